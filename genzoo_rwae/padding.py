"""Padding, told from true steps by the lengths of the sequences.

Shapes: B batch, T time, H features.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mean_of_steps", "true_steps"]


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
