"""Batches in an order that depends on the seed and the step alone, made one step ahead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Batch, EpochOrder, SequenceData, check_labels
from genzoo_rwae.training.randomness import order_generator

__all__ = ["Batches", "taken"]

_ALL = slice(None)


def taken(data: SequenceData, indices_B: np.ndarray, *, step: int, draw: int = 0) -> Batch:
    """Some sequences of a split, while a run is at `step`.

    Raises:
        DataError: a file that was there when the run began cannot be read, or a label is no class.
    """
    try:
        batch = data.take(indices_B, draw=draw)
    except (OSError, DataError) as error:
        raise DataError(
            f"step {step}: the data cannot be read any more: {error}; wanted the files "
            "that there were when the run began: bring them back, and the same command goes on "
            "from the last checkpoint"
        ) from error
    check_labels(batch, data.info, needed=False)
    return batch


class Batches:
    """The training split as an endless, resumable series of full batches.

    An epoch's last, smaller batch is left out: penalties compare whole batches.
    The split has as many sequences as a batch at least (`genzoo_rwae.run` has checked it).
    """

    def __init__(self, data: SequenceData, size: int, seed: int) -> None:
        self.data, self.size, self.seed = data, size, seed
        self.per_epoch = len(data) // size
        self._order = lru_cache(maxsize=1)(self._drawn_order)

    def indices(self, step: int) -> np.ndarray:
        """Which sequences the batch of one step has."""
        epoch, number = divmod(step, self.per_epoch)
        return self._order(epoch)[number * self.size : (number + 1) * self.size]

    def at(self, step: int, rows: slice = _ALL) -> Batch:
        """The batch of one step, or some rows of it. Raises as `taken`."""
        draw = step // self.per_epoch + 1
        return taken(self.data, self.indices(step)[rows], draw=draw, step=step + 1)

    def start(self, step: int, end: int | None, rows: slice = _ALL) -> Iterator[Batch]:
        """Batches from `step` on, up to `end`, the next one made while this one is used."""
        with ThreadPoolExecutor(1, "genzoo-batches") as pool:
            ahead: Future[Batch] | None = pool.submit(self.at, step, rows)
            while ahead is not None:
                batch = ahead.result()
                step += 1
                ahead = pool.submit(self.at, step, rows) if end is None or step < end else None
                yield batch

    def _drawn_order(self, epoch: int) -> EpochOrder:
        return self.data.epoch_order(order_generator(self.seed, epoch))
