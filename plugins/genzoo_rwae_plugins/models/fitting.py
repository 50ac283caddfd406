"""Where a thing that has been drawn fits best into frames: all places are tried at once.

Shapes: B batch, T time, K things, J places, C channels, P a patch's side, Y X a frame's height and
width, L = Y − P + 1 (or X − P + 1) places along an axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import einsum
from torch import Tensor

__all__ = ["fits", "mean_place", "near"]


def fits(frames_BTKCYX: Tensor, patches_BKCPP: Tensor) -> Tensor:
    """How well a thing's patch fits into frames at every place.

    Args:
        frames_BTKCYX: what is left for each thing to explain; K may be 1, for all alike.
        patches_BKCPP: one a sequence and thing.

    Returns:
        [B, T, K, L, L]: −½|frame − patch there|², but for what is the same at all places.

    >>> patch = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> frame = torch.zeros(3, 4)
    >>> frame[1:, 2:] = patch
    >>> fits(frame[None, None, None, None], patch[None, None, None])[0, 0, 0].round()
    tensor([[-15., -11.,  -4.],
            [-15.,  -1.,  15.]])
    """
    sides = frames_BTKCYX.shape[-2:]
    patches_BTKCYX = torch.fft.rfft2(patches_BKCPP, s=tuple(sides)).conj()[:, None]
    spectra = (torch.fft.rfft2(frames_BTKCYX) * patches_BTKCYX).sum(3)
    # places at which the patch would go round the frame's edge are left out
    rows, columns = (whole - patches_BKCPP.shape[-1] + 1 for whole in sides)
    products: Tensor = torch.fft.irfft2(spectra, s=tuple(sides))[..., :rows, :columns]
    return products - 0.5 * patches_BKCPP.square().sum((-3, -2, -1))[:, None, :, None, None]


def near(places_BTJ2: Tensor, room: Sequence[int], spread: float) -> Tensor:
    """Log-density, up to a constant, of normal distributions about places: [B, T, J, L, L].

    Args:
        places_BTJ2: row and column.
        room: how many places there are along either axis.
        spread: standard deviation in pixels.
    """
    of_axes = [
        -(torch.arange(count, device=places_BTJ2.device) - places_BTJ2[..., axis, None]).square()
        for axis, count in enumerate(room)
    ]
    return (of_axes[0][..., :, None] + of_axes[1][..., None, :]) / (2 * spread**2)


def mean_place(log_BTKLL: Tensor) -> Tensor:
    """The mean row and column [B, T, K, 2] by log-weights of places."""
    weights = log_BTKLL.flatten(-2).softmax(-1).view(log_BTKLL.shape)
    rows, columns = (
        torch.arange(count, device=weights.device).to(weights.dtype) for count in weights.shape[-2:]
    )
    return torch.stack(
        [
            einsum(weights, rows, "b t k y x, y -> b t k"),
            einsum(weights, columns, "b t k y x, x -> b t k"),
        ],
        -1,
    )
