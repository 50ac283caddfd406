"""What augmentations share: draws, and frames that they take."""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo_rwae.draws import uniform_draws
from genzoo_rwae.errors import OptionError

__all__ = ["check_images", "check_vectors", "uniform"]


def uniform(like: Tensor, generator: torch.Generator | None, *shape: int, axis: int = 0) -> Tensor:
    """Uniform draws in [0, 1), of the dtype and on the device of another tensor.

    The rows of the batch are on `axis` of the shape.

    They are drawn where the generator is, or on the processor, so that the same seed gives the same
    sequences on any device.
    """
    device = "cpu" if generator is None else generator.device
    drawn = uniform_draws(shape, generator, device=device, axis=axis)
    return drawn.to(like.device, like.dtype)


def check_images(name: str, x_BT: Tensor) -> None:
    """Refuse sequences that are not [B, T, C, H, W].

    Raises:
        OptionError: they are not.
    """
    if x_BT.dim() != 5:
        raise OptionError(f"frames are {list(x_BT.shape[2:])}; {name} wants images [C, H, W]")


def check_vectors(name: str, x_BT: Tensor) -> None:
    """Refuse sequences that are not [B, T, F].

    Raises:
        OptionError: they are not.
    """
    if x_BT.dim() != 3:
        raise OptionError(f"frames are {list(x_BT.shape[2:])}; {name} wants vectors [F]")
