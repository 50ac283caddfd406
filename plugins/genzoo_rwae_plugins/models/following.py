"""Things that keep their names: which of them is which, from step to step.

Shapes: B batch, T time, K things, A coordinates of a place, M codes of all things, P = K! orders.
"""

from __future__ import annotations

from itertools import permutations

import torch
from einops import rearrange
from torch import Tensor

__all__ = ["followed", "reordered"]

# an alpha-beta filter's: how much of what a place was off by its path, and its speed, take over
_OF_PLACE, _OF_SPEED = 0.6, 0.5
_STRAY = 5.0  # standard deviation of places about the path, where looks have a say as well


def followed(places_BTKA: Tensor, likings_BTKJ: Tensor | None = None) -> Tensor:
    """The order of things at every step in which each goes on as it moved.

    A thing is expected where an alpha-beta filter sees it go; of all orders that is taken in which
    squared distances to what is expected are smallest in sum. The first step keeps its order.

    Args:
        places_BTKA: where things are, in any order at each step.
        likings_BTKJ: log-likelihood that thing k is what is at the j-th place. With them the most
            likely order is taken, at the first step as well.

    Returns:
        [B, T, K]: at step t, thing k (without likings, that of the first step) is the one of that
        number.

    Two things that cross, told from top to bottom at each step, are followed on their ways:

    >>> places = torch.tensor([[[0.0], [6.0]], [[2.0], [4.0]], [[2.0], [4.0]], [[0.0], [6.0]]])
    >>> followed(places[None])[0].tolist()
    [[0, 1], [0, 1], [1, 0], [1, 0]]

    Source: the filter: Kalata, "The tracking index", IEEE Trans. Aerospace and Electronic Systems
        20 (2), 1984; its gains were chosen on moving digits.
    """
    things = places_BTKA.shape[2]
    orders_PK = torch.tensor(list(permutations(range(things))), device=places_BTKA.device)
    liked_BTP = places_BTKA.new_zeros(*places_BTKA.shape[:2], len(orders_PK))
    if likings_BTKJ is not None:
        liked_BTP = (
            2
            * _STRAY**2
            * likings_BTKJ[:, :, torch.arange(things, device=orders_PK.device), orders_PK].sum(-1)
        )
    first_BK = orders_PK[liked_BTP[:, 0].argmax(1)]  # the first of equals
    at_BKA = _in_order(places_BTKA[:, 0], first_BK)
    speed_BKA, chosen = torch.zeros_like(at_BKA), [first_BK]
    for found_BKA, liked_BP in zip(places_BTKA.unbind(1)[1:], liked_BTP.unbind(1)[1:], strict=True):
        ahead_BKA = at_BKA + speed_BKA
        off_BP = (found_BKA[:, orders_PK] - ahead_BKA[:, None]).square().sum((-2, -1))
        order_BK = orders_PK[(liked_BP - off_BP).argmax(1)]
        off_BKA = _in_order(found_BKA, order_BK) - ahead_BKA
        known = len(chosen) > 1  # the second step tells place and speed as they are
        at_BKA = ahead_BKA + (_OF_PLACE if known else 1.0) * off_BKA
        speed_BKA = speed_BKA + (_OF_SPEED if known else 1.0) * off_BKA
        chosen.append(order_BK)
    return torch.stack(chosen, 1)


def reordered(codes_BTM: Tensor, order_BTK: Tensor) -> Tensor:
    """Codes of things in another order at each step.

    Args:
        codes_BTM: M is a multiple of K; every thing has its share.
        order_BTK: which thing comes k-th.

    >>> reordered(torch.tensor([[[1, 2, 3, 4]]]), torch.tensor([[[1, 0]]])).tolist()
    [[[3, 4, 1, 2]]]
    """
    of_things = rearrange(codes_BTM, "b t (k m) -> b t k m", k=order_BTK.shape[-1])
    return _in_order(of_things, order_BTK).flatten(-2)


def _in_order(values: Tensor, order: Tensor) -> Tensor:
    """[..., K, X] in the orders [..., K]."""
    return values.gather(-2, order[..., None].expand_as(values))
