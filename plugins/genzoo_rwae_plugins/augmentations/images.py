"""Augmentations of images: colours, tones and crops, the same ones for all frames of a sequence.

Shapes: B batch, T time, C H W the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from einops import rearrange
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from genzoo_rwae.components import augmentation, hookimpl
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.augmentations.draws import check_images, uniform

__all__ = ["colour_jitter", "crop", "tone_curves"]

Side = Annotated[float, Field(gt=0, le=1)]


@augmentation("colour-jitter")
def colour_jitter(
    x_BT: Tensor,
    generator: torch.Generator | None,
    /,
    *,
    gain: tuple[NonNegativeFloat, NonNegativeFloat] = (0.25, 1.25),
) -> Tensor:
    """Channels in another order, each at another strength, one draw for a sequence.

    Images [B, T, C, H, W] to others. What colours something has can then not be told from z^m, how
    it moves can. Values may come to lie above 1.

    Args:
        gain: smallest and largest strength of a channel.

    Raises:
        OptionError: frames are no images, or the smallest gain is above the largest.

    Source: the colour distortion among the motion augmentations of Bai et al., C-DSVAE,
        arXiv 2110.12091, in its simplest form.
    """
    check_images("colour-jitter", x_BT)
    least, most = gain
    if least > most:
        raise OptionError(f"gain is from {least:g} to {most:g}; wanted it rising", option="gain")
    shuffled_BT = _channels_shuffled(x_BT, generator)
    gain_BC = least + (most - least) * uniform(x_BT, generator, len(x_BT), x_BT.shape[2])
    return shuffled_BT * gain_BC[:, None, :, None, None]


@augmentation("tone-curves")
def tone_curves(
    x_BT: Tensor,
    generator: torch.Generator | None,
    /,
    *,
    knots: PositiveInt = 3,
    darkest: Annotated[float, Field(ge=0, le=1)] = 0.15,
) -> Tensor:
    """Channels in another order, each through a random curve, one draw for a sequence.

    Images [B, T, C, H, W] in [0, 1] to others in [0, 1]. A curve goes in straight lines from 0 at 0
    to uniform heights in [darkest, 1] at 1/K, 2/K, ..., 1; it may rise and fall. So black stays
    black, outlines stay, and which of two clothes was the brighter one cannot be told any more: a
    gain, as that of `colour-jitter`, keeps their order.

    Args:
        knots: K, the straight pieces of a curve.
        darkest: smallest height of a knot; above 0 nothing is lost in a black background.

    Raises:
        OptionError: frames are no images.

    Source: in the spirit of Xu et al., Robust and Generalizable Visual Representation Learning via
        Random Convolutions, ICLR 2021, arXiv 2007.13003: shapes kept, colours not to be relied on.
    """
    check_images("tone-curves", x_BT)
    shuffled_BT = _channels_shuffled(x_BT, generator)
    rows, channels = x_BT.shape[0], x_BT.shape[2]
    height_KBC = darkest + (1 - darkest) * uniform(x_BT, generator, knots, rows, channels, axis=1)
    slope_KBC = knots * torch.diff(height_KBC, dim=0, prepend=torch.zeros_like(height_KBC[:1]))
    # at every knot the slope bends to the next one
    bend_KBC = torch.diff(slope_KBC, dim=0, prepend=torch.zeros_like(slope_KBC[:1]))
    bend_KB1C11 = rearrange(bend_KBC, "k b c -> k b 1 c 1 1")
    curved_BT = bend_KB1C11[0] * shuffled_BT
    for knot in range(1, knots):
        curved_BT.addcmul_(bend_KB1C11[knot], (shuffled_BT - knot / knots).relu_())
    return curved_BT


def _channels_shuffled(x_BT: Tensor, generator: torch.Generator | None) -> Tensor:
    rows, channels = x_BT.shape[0], x_BT.shape[2]
    order_BC = uniform(x_BT, generator, rows, channels).argsort(dim=1)
    rows_B1 = torch.arange(rows, device=x_BT.device)[:, None]
    x_BCTHW = rearrange(x_BT, "b t c h w -> b c t h w")[rows_B1, order_BC]
    return rearrange(x_BCTHW, "b c t h w -> b t c h w")


@augmentation("crop")
def crop(x_BT: Tensor, generator: torch.Generator | None, /, *, smallest: Side = 0.75) -> Tensor:
    """A part of the image, as large as the whole again, one draw for a sequence.

    Images [B, T, C, H, W] to others, bilinear. A window of some share of both sides lies anywhere
    inside. A pixel that a missing one would have part in is missing.

    Args:
        smallest: smallest share of a side.

    Raises:
        OptionError: frames are no images.
    """
    check_images("crop", x_BT)
    rows, height, width = len(x_BT), *x_BT.shape[-2:]
    share_B = smallest + (1 - smallest) * uniform(x_BT, generator, rows)
    # of the window's centre, where the image reaches from -1 to 1
    centre_B2 = (2 * uniform(x_BT, generator, rows, 2) - 1) * (1 - share_B)[:, None]
    scale_B22 = share_B[:, None, None] * torch.eye(2, device=x_BT.device, dtype=x_BT.dtype)
    window_B23 = torch.cat([scale_B22, centre_B2[..., None]], dim=-1)
    grid = affine_grid(window_B23, [rows, 1, height, width], align_corners=False)

    def seen(values_BT: Tensor) -> Tensor:
        stacked = rearrange(values_BT, "b t c h w -> b (t c) h w")
        cropped = grid_sample(stacked, grid, padding_mode="border", align_corners=False)
        return rearrange(cropped, "b (t c) h w -> b t c h w", c=x_BT.shape[2])

    missing_BT = x_BT.isnan()
    if not bool(missing_BT.any()):
        return seen(x_BT)
    share_missing_BT = seen(missing_BT.to(x_BT.dtype))
    return seen(x_BT.nan_to_num(0.0)).masked_fill(share_missing_BT > 1e-4, torch.nan)


@hookimpl
def genzoo_augmentations() -> Iterator[object]:
    yield colour_jitter
    yield tone_curves
    yield crop
