"""Padding, told from true steps by the lengths of the sequences; and parts without it.

Shapes: B batch, T time, H features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo_rwae.draws import uniform_draws

__all__ = ["mean_of_steps", "random_windows", "true_steps"]


def true_steps(length: int, lengths_B: Tensor, device: torch.device | None = None) -> Tensor:
    """Which steps are true, and no padding.

    Args:
        length: T, of the padded batch.
        lengths_B: true lengths.
        device: of what comes out; without one that of the lengths.

    Returns:
        [B, T] bool.

    >>> true_steps(3, torch.tensor([2, 3]))
    tensor([[ True,  True, False],
            [ True,  True,  True]])
    """
    lengths_B = lengths_B.to(device or lengths_B.device)
    return torch.arange(length, device=lengths_B.device) < lengths_B[:, None]


def mean_of_steps(x_BTH: Tensor, lengths_B: Tensor) -> Tensor:
    """The mean over the true steps.

    Args:
        x_BTH: [B, T, H], finite in the padding too.
        lengths_B: true lengths, 1 or more.

    Returns:
        [B, H].

    >>> mean_of_steps(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([2]))
    tensor([[1.5000]])
    """
    true_BT = true_steps(x_BTH.shape[1], lengths_B, x_BTH.device)
    return (x_BTH * true_BT[..., None]).sum(1) / lengths_B.to(x_BTH.device)[:, None]


def random_windows(
    x_BT: Tensor, lengths_B: Tensor, steps: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """So many steps in a row of every sequence, from a place drawn for each, and their lengths.

    Shorter sequences are seen whole, from their start.

    Args:
        x_BT: [B, T, ...].
        lengths_B: true lengths.
        steps: of a window; no more than T.
        generator: of the places.
    """
    room_B = (lengths_B - steps).clamp_min(0)
    u_B = uniform_draws((len(x_BT),), generator).to(lengths_B.device)
    start_B = (u_B * (room_B + 1)).floor().to(lengths_B.dtype)
    at_BW = (start_B[:, None] + torch.arange(steps, device=lengths_B.device)).to(x_BT.device)
    rows_B1 = torch.arange(len(x_BT), device=x_BT.device)[:, None]
    return x_BT[rows_B1, at_BW], lengths_B.clamp_max(steps)
