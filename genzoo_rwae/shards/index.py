"""A folder of shards: shards.json says what it holds; the shards are safetensors files.

A shard has some sequences of one split, one after the other:

    steps         [S, ...]   the true steps of all its sequences, no padding; pictures [S, H, W, C]
    lengths       [N] int64  how many of the steps are each sequence's
    factor:NAME   [N] int64  labels, one tensor for each factor
    group         [N] int64  the recording that a sequence is a piece of, of data in pieces

Shapes: N sequences of a shard, S steps of all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae.files import write_atomic
from genzoo_rwae.sequences import DataInfo, Split

__all__ = [
    "INDEX",
    "MOST_BYTES",
    "MOST_SHARDS",
    "Shard",
    "ShardIndex",
    "SplitShards",
    "check_rows",
    "check_values",
    "read_index",
    "stored_shape",
]

INDEX = "shards.json"
_FORMAT = 1
MOST_BYTES = 40_000_000
"""Of an index that is read: strangers' files are not read without end."""
MOST_SHARDS = 200_000
"""Of one folder, whose index is below `MOST_BYTES` then."""
# what reading JSON of strangers, and taking it for ours, raises
_DAMAGED = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
_SHA256 = re.compile("[0-9a-f]{64}")
_DType = Literal["uint8", "float32"]


@dataclass(frozen=True)
class Shard:
    """One file.

    Attributes:
        file: its name in the folder.
        sequences: how many it has, at least one.
        size: of the file, in bytes.
        sha256: of the file, in hexadecimal digits; empty if nobody noted it.
    """

    file: str
    sequences: int
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class SplitShards:
    """One split.

    Attributes:
        info: what the source said of it.
        dtype: of the values.
        grouped: sequences are pieces of recordings, and shards say of which.
        shards: in the order in which the split counts its sequences.
    """

    info: DataInfo
    dtype: _DType
    grouped: bool
    shards: tuple[Shard, ...]

    @property
    def row_names(self) -> tuple[str, ...]:
        """The tensors of a shard that have one number for each sequence."""
        factors = (f"factor:{factor.name}" for factor in self.info.factors)
        return ("lengths", *factors, *(("group",) if self.grouped else ()))


@dataclass(frozen=True)
class ShardIndex:
    """What shards.json says.

    Attributes:
        source: the name of the source whose sequences they are.
        splits: what there is of each split.
    """

    source: str
    splits: Mapping[Split, SplitShards]

    def write(self, folder: Path) -> None:
        """Write shards.json, which makes a folder of shards whole.

        Raises:
            RunError: it cannot be written.
        """
        splits = {name: _as_json(of) for name, of in self.splits.items()}
        said = {"format": _FORMAT, "source": self.source, "splits": splits}
        write_atomic(folder / INDEX, json.dumps(said, ensure_ascii=False, indent=1) + "\n")


def read_index(folder: Path) -> ShardIndex:
    """What a folder of shards holds; no shard is opened.

    Raises:
        DataError: it has no shards.json, or one that is damaged.
    """
    path = folder / INDEX
    if not path.is_file():
        found = "a folder without one" if folder.is_dir() else "no folder"
        raise DataError(
            f"{path}: found {found}, wanted what `genzoo data shard SPEC -o {folder}` writes at "
            "its end; correct `path`, or let it write all shards"
        )
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ValueError(f"{size:,} bytes, where {MOST_BYTES:,} are the most")
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["format"] != _FORMAT:
            raise ValueError(f"format {said['format']!r}, where {_FORMAT} is known")
        splits: dict[Split, SplitShards] = {
            name: _from_json(said["splits"][name]) for name in get_args(Split)
        }
        return ShardIndex(str(said["source"]), splits)
    except _DAMAGED as error:
        raise DataError(
            f"{path}: cannot be read as an index of shards ({str(error)[:200]}); wanted one that "
            "`genzoo data shard` wrote; copy it again, or write the shards again"
        ) from error


def stored_shape(info: DataInfo) -> tuple[int, ...]:
    """The shape of a step in a shard: pictures have their channels last."""
    shape = info.frame_shape
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def check_rows(info: DataInfo, rows: Mapping[str, np.ndarray]) -> None:
    """Refuse lengths that are none, and labels without a class.

    Args:
        info: of the split.
        rows: the [N] tensors of a shard, by their names.

    Raises:
        ValueError: there are such.
    """
    bounds = {f"factor:{factor.name}": (0, len(factor.classes) - 1) for factor in info.factors}
    for name, (least, most) in {"lengths": (1, info.length), **bounds}.items():
        wrong = (rows[name] < least) | (rows[name] > most)
        if wrong.any():
            place = int(wrong.argmax())
            raise ValueError(
                f"{name} {rows[name][place]} of sequence {place}, wanted {least} to {most}"
            )


def check_values(info: DataInfo, values: np.ndarray) -> None:
    """Refuse values that are not finite, but NaN where values may be missing.

    Args:
        info: of the split.
        values: some steps, of any shape.

    Raises:
        ValueError: there are such.
    """
    if values.dtype == np.uint8:
        return
    wrong = np.isinf(values) if info.missing else ~np.isfinite(values)
    if wrong.any():
        wanted = "finite ones, or NaN for what is missing" if info.missing else "finite ones"
        raise ValueError(f"{int(wrong.sum()):,} values that are not finite, wanted {wanted}")


def _as_json(of: SplitShards) -> dict[str, Any]:
    shards = [[shard.file, shard.sequences, shard.size, shard.sha256] for shard in of.shards]
    return {
        "info": of.info.as_json(), "dtype": of.dtype, "grouped": of.grouped, "shards": shards,
    }  # fmt: skip


def _from_json(raw: Mapping[str, Any]) -> SplitShards:
    if raw["dtype"] not in get_args(_DType):
        raise ValueError(f"values of the type {raw['dtype']!r}")
    shards = tuple(_shard(*shard) for shard in raw["shards"])
    return SplitShards(
        DataInfo.from_json(raw["info"]), raw["dtype"], raw["grouped"] is True, shards
    )


def _shard(file: str, sequences: int, size: int, sha256: str = "") -> Shard:
    # somebody else's index has no say about other folders
    if not isinstance(file, str) or Path(file).name != file:
        raise ValueError(f"{file!r} is no name of a file in the folder")
    if not (type(sequences) is int and type(size) is int and 0 < sequences <= size):
        raise ValueError(f"{file}: {sequences!r} sequences in {size!r} bytes")
    if not (isinstance(sha256, str) and (not sha256 or _SHA256.fullmatch(sha256))):
        raise ValueError(f"{file}: {sha256!r:.80} is no SHA-256")
    return Shard(file, sequences, size, sha256)
