"""The order of an epoch over shards: every sequence once, a few shards at a time, well mixed."""

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.shard_order import ShardOrder

COUNTS = np.array([40, 37, 1, 40, 3, 40, 40, 12, 40, 40])


def order(window: int = 3, *, counts: np.ndarray = COUNTS, seed: int = 0) -> ShardOrder:
    return ShardOrder(counts, window, np.random.default_rng(seed))


def shards_of(indices: np.ndarray, counts: np.ndarray = COUNTS) -> np.ndarray:
    return np.searchsorted(counts.cumsum(), indices, side="right")


@pytest.mark.parametrize("window", [1, 2, 3, 10, 64])
@pytest.mark.parametrize("counts", [COUNTS, np.array([5]), np.ones(7, int), np.array([], int)])
def test_every_sequence_is_there_once(window: int, counts: np.ndarray) -> None:
    assert sorted(order(window, counts=counts)[:]) == list(range(counts.sum()))


def test_slices_are_those_of_the_whole_order_wherever_one_begins() -> None:
    made, whole = order(), order()[:]
    for start in (200, 0, 93, 39, 280, 400):
        for length in (0, 1, 16, 100):
            assert np.array_equal(made[start : start + length], whole[start : start + length])


def test_order_is_a_function_of_the_generator_and_epochs_differ() -> None:
    assert np.array_equal(order(seed=1)[:], order(seed=1)[:])
    assert not np.array_equal(order(seed=1)[:], order(seed=2)[:])


def test_few_shards_are_in_use_at_a_time() -> None:
    """16 shards of 64, 4 in the window: a batch of 32 has 4 of them, or 5 as the window moves."""
    counts = np.full(16, 64)
    whole = order(4, counts=counts)[:]
    batches = [np.unique(shards_of(whole[k : k + 32], counts)) for k in range(0, 1024, 32)]
    assert {len(of) for of in batches} <= {4, 5}
    opened: list[int] = []
    reads = 0
    for of in batches:  # with room for window + 1, oldest out first
        for shard in of:
            if shard not in opened:
                opened.append(shard)
                reads += 1
        opened = opened[-5:]
    assert reads <= 16 + 4  # those that the epoch begins with are there again at its end


def test_neighbours_in_a_shard_are_spread_over_the_window() -> None:
    """Two sequences that lie side by side are as far apart in the order as chance has it."""
    counts = np.full(16, 64)
    whole = order(8, counts=counts)[:]
    place = np.argsort(whole)
    beside = np.arange(1023)[np.arange(1023) % 64 != 63]
    apart = np.abs(place[beside + 1] - place[beside])
    apart = np.minimum(apart, 1024 - apart)  # the ring
    # of two places uniform in 8 turns of 64: a third of 512
    assert apart.mean() == pytest.approx(512 / 3, rel=0.1)
    assert (apart == 1).mean() < 0.02


def test_over_epochs_every_shard_is_first_as_often() -> None:
    firsts = [order(1, counts=np.full(4, 8), seed=seed)[0:1] for seed in range(400)]
    share = np.bincount(shards_of(np.concatenate(firsts), np.full(4, 8)), minlength=4) / 400
    assert share == pytest.approx(0.25, abs=0.08)  # 3.7 standard deviations


def test_only_a_slice_of_an_order_of_a_billion_is_drawn() -> None:
    made = order(8, counts=np.full(1_000_000, 1_000))
    indices = made[123_456_789 : 123_456_789 + 64]
    assert len(set(indices.tolist())) == 64
    assert len(np.unique(indices // 1_000)) in (8, 9)
