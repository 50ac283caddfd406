"""One shard, opened with no trust in it.

Shapes: N sequences of a shard, S steps of all of them, T steps of one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from genzoo_rwae.digests import Digest
from genzoo_rwae.errors import DataError
from genzoo_rwae.shards import Shard, SplitShards, check_rows, check_values, stored_shape
from genzoo_rwae_plugins.sources.places import check_regular

__all__ = ["OpenShard"]

_MOST_HEADER = 1_000_000  # bytes; ours have a few hundred for each factor
_TYPES = {"uint8": "U8", "float32": "F32"}


class OpenShard:
    """A shard whose steps are memory-mapped; what is taken of them is checked then.

    Attributes:
        rows: the tensors with a number for each sequence, [N] int64.

    Args:
        path: the file.
        shard: what the index says of it.
        of: what the index says of its split.
        is_known: its bytes were compared with their digest before.

    Raises:
        DataError: it is not there, or not what the index says.
    """

    def __init__(
        self, path: Path, shard: Shard, of: SplitShards, *, is_known: bool = False
    ) -> None:
        self._path, self._size, self._info = path, shard.size, of.info
        try:
            check_regular(path)
            self._check_size()
            _check_header(path)
            if shard.sha256 and not is_known and Digest.of_file(path).sha256 != shard.sha256:
                raise ValueError("its bytes are not those that were written")
            # through torch the steps stay where they are: as numpy's they would come into memory,
            # and the whole process would wait for the disc
            with safe_open(path, framework="pt") as file:
                self.rows: Mapping[str, np.ndarray] = {
                    name: _tensor(file, name, (shard.sequences,), "I64").copy()
                    for name in of.row_names
                }
                check_rows(of.info, self.rows)
                self._ends_N = self.rows["lengths"].cumsum()
                shape = (int(self._ends_N[-1]), *stored_shape(of.info))
                self._steps_S = _tensor(file, "steps", shape, _TYPES[of.dtype])
        except (OSError, ValueError, SafetensorError) as error:
            raise self._refused(error) from error

    def steps(self, place: int) -> np.ndarray:
        """The true steps of one sequence: [T, ...], pictures with their channels last.

        Raises:
            DataError: the file has changed since, or a value is not finite.
        """
        stop = int(self._ends_N[place])
        steps_T = self._steps_S[stop - int(self.rows["lengths"][place]) : stop]
        try:
            self._check_size()  # to read on where a file was cut short would end the process
            check_values(self._info, steps_T)
        except (OSError, ValueError) as error:
            raise self._refused(error) from error
        return steps_T

    def _check_size(self) -> None:
        if (size := self._path.stat().st_size) != self._size:
            raise ValueError(f"{size:,} bytes, where shards.json tells of {self._size:,}")

    def _refused(self, error: Exception) -> DataError:
        return DataError(
            f"{self._path}: found {str(error)[:500]}; wanted the shard that `genzoo data shard` "
            "wrote; copy it again, or write the shards again"
        )


def _check_header(path: Path) -> None:
    """Refuse a header that is long enough to cost memory; the library believes 100 MB."""
    with path.open("rb") as file:
        raw = file.read(8)
    told = struct.unpack("<Q", raw)[0] if len(raw) == 8 else 0
    if not 0 < told <= _MOST_HEADER:
        raise ValueError(f"a header of {told:,} bytes, where {_MOST_HEADER:,} are the most")


def _tensor(file: Any, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    part = file.get_slice(name)
    found = (tuple(part.get_shape()), part.get_dtype())
    if found != (shape, dtype):
        raise ValueError(
            f"'{name}' of shape {list(found[0])[:8]} and type {found[1]}, where shards.json tells "
            f"of {list(shape)} and {dtype}"
        )
    array: np.ndarray = file.get_tensor(name).numpy()
    return array
