"""The order of an epoch that reads a few shards at a time.

Shapes: P shards, W shards that are open at a time, N sequences.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["ShardOrder"]


class ShardOrder:
    """Shards in a random order, the sequences of neighbours in it mixed.

    The P shards of an epoch stand in a ring. Each is mixed and cut into W equal parts, and at turn
    k, of P, part j of shard k − j is read, j = 0..W − 1, all mixed: with every turn one shard is
    opened and one is done with. Every shard is read in W turns, every batch is of W shards or a few
    more, and every sequence is there once.

    Only what a slice asks for is drawn: an epoch takes memory for its shards, not its sequences.

    Args:
        counts_P: how many sequences each shard has, at least one.
        window: W, or all shards where there are fewer.
        generator: what is drawn from; two numbers of it decide everything.
    """

    def __init__(self, counts_P: np.ndarray, window: int, generator: np.random.Generator) -> None:
        self._ring_P = generator.permutation(len(counts_P))
        self._seed = int(generator.integers(2**63))
        self._firsts_P = (np.cumsum(counts_P) - counts_P)[self._ring_P]
        self._counts_P = counts_P[self._ring_P]
        self._window = max(1, min(window, len(counts_P)))
        sizes_WP = [
            np.roll(np.diff(self._cuts(self._counts_P, part), axis=0)[0], part)
            for part in range(self._window)
        ]
        self._turns = lru_cache(2)(self._turn)  # which batches share
        self._ends_P = np.sum(sizes_WP, axis=0, dtype=np.int64).cumsum()

    def __getitem__(self, places: slice, /) -> np.ndarray:
        """The indices at some places of the order: [stop - start] int64."""
        total = int(self._ends_P[-1]) if len(self._ends_P) else 0
        start, stop, step = places.indices(total)
        if step != 1 or start >= stop:
            return np.zeros(0, np.int64)
        first, last = np.searchsorted(self._ends_P, [start, stop - 1], side="right")
        indices = np.concatenate([self._turns(int(turn)) for turn in range(first, last + 1)])
        before = int(self._ends_P[first - 1]) if first else 0
        return indices[start - before : stop - before]

    def _turn(self, turn: int) -> np.ndarray:
        read = np.concatenate([self._part(turn - part, part) for part in range(self._window)])
        return self._generator(1, turn).permutation(read)

    def _part(self, place: int, part: int) -> np.ndarray:
        """Part j of the shard at a place of the ring."""
        place %= len(self._ring_P)
        count = int(self._counts_P[place])
        start, stop = self._cuts(np.array([count]), part)[:, 0]
        mixed = self._generator(0, place).permutation(count)[start:stop]
        indices: np.ndarray = self._firsts_P[place] + mixed
        return indices

    def _cuts(self, counts: np.ndarray, part: int) -> np.ndarray:
        """Where part j of shards with so many sequences begins and ends: [2, .]."""
        return np.stack([counts * part // self._window, counts * (part + 1) // self._window])

    def _generator(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, purpose, number])
