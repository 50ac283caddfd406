"""Padding, told from true steps by the lengths of the sequences; windows that heed it.

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
    """Steps in a row of every sequence, beginning at a place drawn for each among its true ones.

    Sequences that are shorter than the window are seen whole, from their start, with padding.

    Args:
        x_BT: [B, T, ...].
        lengths_B: true lengths.
        steps: W, of a window.
        generator: of the places.

    Returns:
        [B, W, ...], and how many steps of each window are true.

    Raises:
        ValueError: a window is longer than T.

    >>> x_BT = torch.arange(8).reshape(2, 4)
    >>> windows_BW, lengths_B = random_windows(x_BT, torch.tensor([3, 1]), 3, None)
    >>> windows_BW.tolist(), lengths_B.tolist()
    ([[0, 1, 2], [4, 5, 6]], [3, 1])
    """
    if steps > x_BT.shape[1]:
        raise ValueError(f"windows of {steps} steps in sequences of {x_BT.shape[1]}")
    room_B = (lengths_B - steps).clamp_min(0)
    u_B = uniform_draws((len(x_BT),), generator).to(lengths_B.device)
    start_B = (u_B * (room_B + 1)).floor().to(lengths_B.dtype)
    at_BW = (start_B[:, None] + torch.arange(steps, device=lengths_B.device)).to(x_BT.device)
    rows_B1 = torch.arange(len(x_BT), device=x_BT.device)[:, None]
    return x_BT[rows_B1, at_BW], lengths_B.clamp_max(steps)
