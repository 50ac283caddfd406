"""What every source does on the way from indices to a `Batch`.

Shapes: B batch, T time, H W C frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genzoo_rwae.sequences import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["batch_of_equal_lengths", "checked_indices", "frames_first_channels"]


def checked_indices(indices_B: np.ndarray, count: int) -> np.ndarray:
    """Indices as int64, none of them outside the split.

    Raises:
        IndexError: an index is negative or not below `count`; numpy would wrap or read on.
    """
    indices_B = np.asarray(indices_B, dtype=np.int64)
    if indices_B.ndim != 1:
        raise IndexError(f"got indices of shape {indices_B.shape}; wanted one row [B]")
    outside = (indices_B < 0) | (indices_B >= count)
    if outside.any():
        raise IndexError(
            f"got index {indices_B[outside][0]}; the split has {count} sequences, 0 to {count - 1}"
        )
    return indices_B


def frames_first_channels(frames_BTHWC: np.ndarray) -> Tensor:
    """Frames as [B, T, C, H, W] that stay channels-last in memory: a view, no copy.

    A model that works in `channels_last` then gets its format for nothing.
    """
    return torch.from_numpy(frames_BTHWC).permute(0, 1, 4, 2, 3)


def batch_of_equal_lengths(
    x_BT: Tensor, indices_B: np.ndarray, factors: Mapping[str, np.ndarray]
) -> Batch:
    """A batch in which every sequence fills all T steps."""
    return Batch(
        x_BT=x_BT,
        lengths_B=torch.full((len(indices_B),), x_BT.shape[1], dtype=torch.int64),
        indices_B=torch.from_numpy(indices_B),
        factors={
            name: torch.from_numpy(np.asarray(labels_B, dtype=np.int64))
            for name, labels_B in factors.items()
        },
    )
