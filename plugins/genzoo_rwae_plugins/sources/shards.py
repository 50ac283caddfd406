"""Data sets cut into shards, of any size.

Shapes: B batch, T time, P shards of a split, N sequences of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from pydantic import PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Batch, EpochOrder, SequenceData, Split
from genzoo_rwae.shards import SplitShards, read_index, stored_shape
from genzoo_rwae_plugins.sources.batches import checked_indices, frames_first_channels
from genzoo_rwae_plugins.sources.shard_files import OpenShard
from genzoo_rwae_plugins.sources.shard_order import ShardOrder

__all__ = ["shards"]


@source("shards")
def shards(split: Split, /, *, path: Path, window: PositiveInt = 8) -> SequenceData:
    """Shards that `genzoo data shard` wrote: data of any size, a few files of it in use at a time.

    The sequences of another source as it gave them (draw 0), with lengths, missing values, labels,
    and which recording each is a piece of. Training reads the shards in a random order, `window`
    of them at a time, mixed; all sequences once in an epoch, whatever the number of ranks. Shards
    are memory-mapped safetensors files: what is in memory is what was read of window + 1 of them.

    Args:
        path: the folder.
        window: how many shards are mixed at a time.

    Raises:
        DataError: the folder or a shard is missing, damaged, or not what shards.json says.
    """
    path = path.expanduser()
    return _Shards(path, read_index(path).splits[split], window)


class _Shards(SequenceData):
    """One split."""

    def __init__(self, folder: Path, of: SplitShards, window: int) -> None:
        self.info = of.info
        self._folder, self._of, self._window = folder, of, window
        self._counts_P = np.array([shard.sequences for shard in of.shards], np.int64)
        self._ends_P = self._counts_P.cumsum()
        _check_sizes(folder, of)
        self._known: set[int] = set()  # shards that were found to be what was written
        self._opened = lru_cache(window + 1)(self._open)

    def __len__(self) -> int:
        return int(self._counts_P.sum())

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        shape = (len(indices_B), self.info.length, *stored_shape(self.info))
        x_BT = np.zeros(shape, self._of.dtype)
        numbers = {name: np.empty(len(indices_B), np.int64) for name in self._of.row_names}
        for rows, places, shard in self._places(indices_B):
            for row, place in zip(rows, places, strict=True):
                steps_T = shard.steps(int(place))
                x_BT[row, : len(steps_T)] = steps_T
            for name, of_B in numbers.items():
                of_B[rows] = shard.rows[name][places]
        return Batch(
            x_BT=frames_first_channels(x_BT) if x_BT.ndim == 5 else torch.from_numpy(x_BT),
            lengths_B=torch.from_numpy(numbers["lengths"]),
            indices_B=torch.from_numpy(indices_B),
            factors={
                factor.name: torch.from_numpy(numbers[f"factor:{factor.name}"])
                for factor in self.info.factors
            },
        )

    def epoch_order(self, generator: np.random.Generator, /) -> EpochOrder:
        """A few shards at a time, in a random order."""
        return ShardOrder(self._counts_P, self._window, generator)

    def groups(self, indices_B: np.ndarray, /) -> np.ndarray | None:
        """What the source said: [B]."""
        if not self._of.grouped:
            return None
        indices_B = checked_indices(indices_B, len(self))
        groups_B = np.empty(len(indices_B), np.int64)
        for rows, places, shard in self._places(indices_B):
            groups_B[rows] = shard.rows["group"][places]
        return groups_B

    def _places(self, indices_B: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, OpenShard]]:
        """Every shard that has some of the sequences: rows of the batch, places in the shard."""
        shards_B = np.searchsorted(self._ends_P, indices_B, side="right")
        for number in np.unique(shards_B):
            rows = np.flatnonzero(shards_B == number)
            first = self._ends_P[number] - self._counts_P[number]
            yield rows, indices_B[rows] - first, self._opened(int(number))

    def _open(self, number: int) -> OpenShard:
        shard = self._of.shards[number]
        is_known = number in self._known
        opened = OpenShard(self._folder / shard.file, shard, self._of, is_known=is_known)
        self._known.add(number)
        return opened


def _check_sizes(folder: Path, of: SplitShards) -> None:
    """Find out before a run what is missing or was cut short."""
    for shard in of.shards:
        path = folder / shard.file
        size = path.stat().st_size if path.is_file() else None
        if size != shard.size:
            found = "no file there" if size is None else f"{size:,} bytes"
            raise DataError(
                f"{path}: found {found}, wanted the {shard.size:,} bytes that shards.json tells "
                "of; copy it again"
            )


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield shards
