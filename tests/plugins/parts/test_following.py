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


def test_a_step_that_is_off_does_not_turn_a_thing_round():
    """One bad place where two meet: the speed of before is kept by half."""
    one_T = torch.tensor([0.0, 2, 4, 6, 7, 10, 12, 14])
    other_T = torch.tensor([15.0, 13, 11, 9, 8, 5, 3, 1])
    told = torch.stack([one_T, other_T], -1).sort(-1).values[None, :, :, None]
    found_TK = reordered(told.flatten(2), followed(told))[0]
    assert found_TK[5:, 0].tolist() == one_T[5:].tolist()


@given(st.integers(2, 4), st.integers(0, 2**16))
def test_each_sequence_is_followed_by_itself(things, seed):
    places_BTKA = torch.rand(5, 6, things, 2, generator=drawn(seed))
    whole = followed(places_BTKA)
    assert torch.equal(followed(places_BTKA[1:3]), whole[1:3])
    assert torch.equal(followed(places_BTKA[:, :4]), whole[:, :4])  # no step knows of later ones
    assert torch.equal(whole.sort(-1).values, torch.arange(things).expand_as(whole))
