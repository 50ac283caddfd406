"""Random numbers that depend on what they are for, and on nothing else.

A sequence's numbers follow from (source, split, index, draw): neither the batch that it is in nor
what was taken before has a say. Only streams that numpy promises to keep are used (SeedSequence,
the raw words of PCG64, the legacy RandomState), so data sets stay the same across versions.

Shapes: B batch, K numbers per sequence, N items.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from genzoo_rwae.sequences import Split

__all__ = ["fixed_uniforms", "held_out_split", "uniforms"]

_SPLITS: dict[Split, int] = {"train": 0, "validation": 1, "test": 2}


def uniforms(
    source: str, split: Split, indices_B: np.ndarray, /, *, draw: int, count: int
) -> np.ndarray:
    """Uniform numbers of single sequences.

    A longer row starts with the shorter one's numbers.

    Args:
        source: name of the data source, so that two sources do not share their numbers.
        split: the split that the indices count in.
        indices_B: [B] indices of the sequences.
        draw: the realisation, at least 0.
        count: K.

    Returns:
        [B, K] float64 in [0, 1).
    """
    words_BK = np.empty((len(indices_B), count), dtype=np.uint64)
    head = (zlib.crc32(source.encode()), _SPLITS[split])
    for row_K, index in zip(words_BK, indices_B, strict=True):
        seed = np.random.SeedSequence((*head, int(index), draw))
        row_K[:] = np.random.PCG64(seed).random_raw(count)
    return _unit_interval(words_BK)


def fixed_uniforms(source: str, split: Split, /, *, count: int) -> np.ndarray:
    """Uniform numbers of a split as a whole, which no draw changes: [K] float64 in [0, 1)."""
    # three words, where `uniforms` has four of which the last may be 0: the 1 keeps them apart
    seed = np.random.SeedSequence((zlib.crc32(source.encode()), _SPLITS[split], 0, 0, 1))
    return _unit_interval(np.random.PCG64(seed).random_raw(count))


def held_out_split(
    count: int, split: Split, /, *, validation: int, test: int, seed: int, fold: int = 0
) -> np.ndarray:
    """The items of one split, from a fixed permutation of all: train, then validation, then test.

    Args:
        count: N, how many items there are.
        split: which part.
        validation: how many items validation gets.
        test: how many items test gets.
        seed: of the permutation.
        fold: other items are for validation with every one; those for testing stay.

    Returns:
        [.] int64 items; the three splits are disjoint and cover all.
    """
    order_N = np.random.RandomState(seed).permutation(count)
    train = count - validation - test
    free = slice(train + validation)
    order_N[free] = np.roll(order_N[free], fold * validation)
    bounds = {"train": (0, train), "validation": (train, train + validation)}
    start, stop = bounds.get(split, (train + validation, count))
    return order_N[start:stop]


def _unit_interval(words: np.ndarray) -> np.ndarray:
    """The upper 53 bits of 64-bit words as multiples of 2^-53."""
    result: np.ndarray = (words >> np.uint64(11)) * 2.0**-53
    return result
