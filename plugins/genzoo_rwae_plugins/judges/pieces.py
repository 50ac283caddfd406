"""What a judge is trained on where it has to tell short pieces of sequences apart.

Shapes: B batch, T time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo_rwae.padding import random_windows

__all__ = ["pieces"]


def pieces(
    x_BT: Tensor, lengths_B: Tensor, shortest: int, longest: int | None = None
) -> tuple[Tensor, Tensor]:
    """A piece of every sequence, of a length drawn for the batch, and their true lengths.

    Args:
        x_BT: [B, T, ...].
        lengths_B: true lengths; what is shorter than the piece is seen whole.
        shortest: steps of a piece, at least.
        longest: at most; None: T.
    """
    steps = x_BT.shape[1]
    low, high = min(shortest, steps), min(longest or steps, steps)
    length = int(torch.randint(low, high + 1, ()))
    return random_windows(x_BT, lengths_B, length, None)
