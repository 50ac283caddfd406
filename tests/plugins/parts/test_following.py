"""Things followed along a sequence, in whatever order each step tells them.

Shapes: B batch, T time, K things, A coordinates of a place, M codes of all things.
"""

import pytest
import torch
from genzoo_rwae_plugins.models.following import followed, reordered
from hypothesis import given
from hypothesis import strategies as st


def drawn(seed):
    return torch.Generator().manual_seed(seed)


def straight(things, steps, seed):
    """Places of things that move evenly, no two of them ever near: [1, T, K, 2]."""
    starts_K2 = 10.0 * torch.arange(things)[:, None] + torch.rand(things, 2, generator=drawn(seed))
    speeds_K2 = torch.rand(things, 2, generator=drawn(seed + 1)) - 0.5
    return (starts_K2 + torch.arange(steps)[:, None, None] * speeds_K2)[None]


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 2**16))
def test_things_that_keep_apart_are_followed_whatever_the_order_of_a_step(things, steps, seed):
    places_BTKA = straight(things, steps, seed)
    orders_TK = torch.stack(
        [torch.randperm(things, generator=drawn(seed + t)) for t in range(steps)]
    )
    mixed_BTKA = torch.stack([places_BTKA[:, t, order] for t, order in enumerate(orders_TK)], dim=1)
    order_BTK = followed(mixed_BTKA)
    assert order_BTK[0, 0].tolist() == list(range(things))
    found_BTM = reordered(mixed_BTKA.flatten(2), order_BTK)
    assert torch.equal(found_BTM, places_BTKA[:, :, orders_TK[0]].flatten(2))


@pytest.mark.parametrize("sorted_by_place", [True, False])
def test_two_that_cross_go_on_as_they_moved(sorted_by_place):
    one_T = torch.arange(9.0)
    places_BTKA = torch.stack([one_T, 8.4 - one_T], -1)[None, :, :, None]
    told = places_BTKA.sort(2).values if sorted_by_place else places_BTKA
    order_BTK = followed(told)
    assert torch.equal(reordered(told.flatten(2), order_BTK), places_BTKA.flatten(2))


@pytest.mark.parametrize(
    ("one_T", "other_T"),
    [
        ([0.0, 2, 4, 6, 7.5, 7.5, 12, 14], [15.0, 13, 11, 9, 7.5, 7.5, 3, 1]),  # seen as one twice
        ([14.0, 16, 14, 12, 10, 8, 6, 4, 2], [-1.0, 0, 1, 2, 3, 4, 5, 6, 7]),  # has turned before
    ],
)
def test_a_thing_goes_on_at_the_speed_of_some_steps(one_T, other_T):
    """Neither of the last one alone, which may be off, nor of the first."""
    told = torch.tensor([one_T, other_T]).T.sort(-1).values[None, :, :, None]
    found_TK = reordered(told.flatten(2), followed(told))[0]
    assert sorted(found_TK.T.tolist()) == sorted([one_T, other_T])


@pytest.mark.parametrize("likings", [None, [[0.0, 0], [0, 0]], [[1.0, 0], [0, 1]]])
def test_looks_that_say_nothing_new_change_nothing(likings):
    told = torch.tensor([[0.0, 9], [1, 8], [2, 7]])[None, :, :, None]
    likings = None if likings is None else torch.tensor(likings).expand(1, 3, 2, 2)
    assert followed(told, likings).tolist() == [[[0, 1]] * 3]


@pytest.mark.parametrize("step", [0, 1, 2])
def test_looks_have_their_say_at_every_step(step):
    """Thing 0 looks like what is at the second place, worth more than the 8 pixels squared."""
    told = torch.tensor([0.0, 2]).expand(1, 3, 2)[..., None]
    likings = torch.zeros(1, 3, 2, 2)
    likings[0, step, 0, 1] = 0.3  # of a log-likelihood
    order = followed(told, likings)[0].tolist()
    assert order[step] == [1, 0]
    assert order[:step] == [[0, 1]] * step
    weak = 0.01 * likings
    if step:
        assert followed(told, weak)[0].tolist() == [[0, 1]] * 3


def test_a_liking_is_of_a_thing_for_a_place():
    """Three things, of which each looks like what is at the next place."""
    told = torch.zeros(1, 1, 3, 1)
    likings = torch.eye(3).roll(1, 1).expand(1, 1, 3, 3)
    assert followed(told, likings).tolist() == [[[1, 2, 0]]]


@given(st.integers(2, 4), st.integers(0, 2**16))
def test_each_sequence_is_followed_by_itself(things, seed):
    places_BTKA = torch.rand(5, 6, things, 2, generator=drawn(seed))
    whole = followed(places_BTKA)
    assert torch.equal(followed(places_BTKA[1:3]), whole[1:3])
    assert torch.equal(followed(places_BTKA[:, :4]), whole[:, :4])  # no step knows of later ones
    assert torch.equal(whole.sort(-1).values, torch.arange(things).expand_as(whole))
