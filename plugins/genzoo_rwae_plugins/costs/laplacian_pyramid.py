"""A cost of images that sees edges as well as areas.

Shapes: B batch, T time, N frames x channels, C H W the frame, h w a level.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange, reduce
from pydantic import PositiveInt
from torch import Tensor
from torch.nn.functional import conv2d, pad

from genzoo_rwae.components import cost, hookimpl
from genzoo_rwae.errors import OptionError

__all__ = ["laplacian_pyramid", "levels_of"]

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # of Burt and Adelson
_LEAST = 8  # pixels of a side: a blur of five then sees more image than mirror
_SMALLEST_LEVEL = 4  # pixels of a side that is not halved any more


@cost("laplacian-pyramid")
def laplacian_pyramid(
    x_BT: Tensor, x_hat_BT: Tensor, /, *, levels: PositiveInt | None = None
) -> Tensor:
    """Absolute error of every level of a Laplacian pyramid, summed over a frame: for sharp edges.

    c(x, x̂) = Σ_j 4^j ‖L_j(x) − L_j(x̂)‖₁: images [B, T, C, H, W] twice to [B, T]. L_j, j = 0, 1, ...
    is what is lost when the image, halved j times, is halved once more; the last level is what is
    left. 4^j makes up for the fewer pixels of coarse levels, of which each has a quarter of the one
    before.

    Args:
        levels: levels, the last one included; null: as many as leave sides of 4 pixels or more.

    Raises:
        OptionError: frames are no images, or smaller than 8 x 8, or too small for the levels.

    Source: Bojanowski et al., Optimizing the Latent Space of Generative Networks, arXiv 1707.05776
        (Lap₁); the pyramid: Burt and Adelson, 1983.
    """
    if x_BT.dim() != 5 or min(x_BT.shape[-2:]) < _LEAST:
        raise OptionError(
            f"frames are {list(x_BT.shape[2:])}; wanted images [C, H, W] of {_LEAST} x {_LEAST} "
            "pixels or more; take a cost for any frames, as squared-error"
        )
    most = _most_levels(min(x_BT.shape[-2:]))
    if levels is not None and levels > most:
        raise OptionError(
            f"levels is {levels}, and frames of {list(x_BT.shape[2:])} have {most} at most; "
            "wanted fewer, or null",
            option="levels",
        )
    # the pyramid is linear: that of the difference is the difference of both
    error_N1HW = rearrange(x_BT - x_hat_BT, "b t c h w -> (b t c) 1 h w")
    total_N = error_N1HW.new_zeros(len(error_N1HW))
    for j, level_N1hw in enumerate(levels_of(error_N1HW, levels or most)):
        total_N = total_N + 4**j * reduce(level_N1hw.abs(), "n 1 h w -> n", "sum")
    return reduce(total_N, "(b t c) -> b t", "sum", b=x_BT.shape[0], t=x_BT.shape[1])


def levels_of(x_N1HW: Tensor, count: int) -> list[Tensor]:
    """The levels of a Laplacian pyramid, fine to coarse: details, and last what is left."""
    levels = []
    for _ in range(count - 1):
        half_N1hw = _blurred(x_N1HW)[..., ::2, ::2]
        levels.append(x_N1HW - _doubled(half_N1hw, x_N1HW))
        x_N1HW = half_N1hw
    return [*levels, x_N1HW]


def _most_levels(side: int) -> int:
    count = 1
    while (side + 1) // 2 >= _SMALLEST_LEVEL:
        side, count = (side + 1) // 2, count + 1
    return count


def _blurred(x_N1HW: Tensor) -> Tensor:
    """Rows and columns blurred; beyond the edge is the mirror image."""
    weights = torch.tensor(_BINOMIAL, dtype=x_N1HW.dtype, device=x_N1HW.device)
    framed = pad(x_N1HW, (2, 2, 2, 2), mode="reflect")
    return conv2d(conv2d(framed, weights.view(1, 1, 1, 5)), weights.view(1, 1, 5, 1))


def _doubled(half_N1hw: Tensor, like_N1HW: Tensor) -> Tensor:
    """As large as another: zeros between the pixels, blurred, four times as bright."""
    apart = torch.zeros_like(like_N1HW)
    apart[..., ::2, ::2] = half_N1hw
    return 4 * _blurred(apart)


@hookimpl
def genzoo_costs() -> Iterator[object]:
    yield laplacian_pyramid
