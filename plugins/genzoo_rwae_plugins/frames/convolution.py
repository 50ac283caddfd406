"""Convolutional frame nets for square and oblong frames of any size.

Shapes: N frames, C H W a frame, H also the width of a feature where it is the only axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from einops import rearrange
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import frame_decoder, frame_encoder, hookimpl
from genzoo_rwae.errors import OptionError

__all__ = ["ConvFrameDecoder", "ConvFrameEncoder"]

Norm = Literal["batch", "group", "none"]
_SMALLEST = 4  # a side is halved as long as what is left is no smaller


@frame_encoder("conv")
class ConvFrameEncoder(nn.Module):
    """Strided 4x4 convolutions that halve the frame until a side of 4 is left (DCGAN).

    Args:
        channels: channels of the first layer; they double with every halving.
        largest: most channels of a layer, as a multiple of `channels`.
        width: width of the feature.
        norm: normalisation after each convolution but the first. `batch` trains faster, but lets
            the rows of a batch see each other, and with that repel each other: an unbiased MMD on
            their codes then falls below zero in training and not in evaluation.

    Raises:
        OptionError: frames are vectors, or smaller than 8 pixels.

    Source: Radford et al., arXiv 1511.06434; the usual net of the R-WAE family.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 32,
        largest: PositiveInt = 8,
        width: PositiveInt = 128,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        self.width = width
        sizes = _halvings(frame_shape)
        layers: list[nn.Module] = []
        before = frame_shape[0]
        for number in range(len(sizes) - 1):
            after = channels * min(2**number, largest)
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=number == 0 or norm == "none"))
            if number > 0:
                layers += _norm(norm, after)
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            before = after
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(before * sizes[-1][0] * sizes[-1][1], width)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to [N, width]."""
        h_NCHW = self.layers(x_NCHW)
        out: Tensor = self.out(rearrange(h_NCHW, "n c h w -> n (h w c)"))
        return out


@frame_decoder("conv")
class ConvFrameDecoder(nn.Module):
    """Transposed 4x4 convolutions that double a small map up to the frame's size (DCGAN).

    Args:
        channels: channels of the last hidden layer; they double towards the smallest map.
        largest: most channels of a layer, as a multiple of `channels`.
        norm: normalisation after each hidden layer.

    Raises:
        OptionError: frames are vectors, or smaller than 8 pixels.

    Source: Radford et al., arXiv 1511.06434.
    """

    def __init__(
        self,
        width: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 32,
        largest: PositiveInt = 8,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        sizes = _halvings(frame_shape)[::-1]
        depth = len(sizes) - 1
        before = channels * min(2 ** (depth - 1), largest)
        self.smallest = (before, *sizes[0])
        self.into = nn.Linear(width, before * sizes[0][0] * sizes[0][1])
        layers: list[nn.Module] = [*_norm(norm, before), nn.LeakyReLU(0.2, inplace=True)]
        for number, (small, large) in enumerate(pairwise(sizes)):
            last = number == depth - 1
            after = frame_shape[0] if last else channels * min(2 ** (depth - 2 - number), largest)
            # odd sides lost a pixel when they were halved
            odd = (large[0] - 2 * small[0], large[1] - 2 * small[1])
            bias = last or norm == "none"
            layers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, output_padding=odd, bias=bias))
            if not last:
                layers += [*_norm(norm, after), nn.LeakyReLU(0.2, inplace=True)]
            before = after
        self.layers = nn.Sequential(*layers)

    def forward(self, h_NH: Tensor) -> Tensor:
        """[N, width] to [N, C, H, W], before any squashing."""
        channels, height, width = self.smallest
        h_NCHW = rearrange(
            self.into(h_NH), "n (h w c) -> n c h w", c=channels, h=height, w=width
        ).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.layers(h_NCHW)
        return out


def _halvings(frame_shape: tuple[int, ...]) -> list[tuple[int, int]]:
    if len(frame_shape) != 3:
        raise OptionError(
            f"frames are {list(frame_shape)}; convolutions want images [C, H, W]: take 'mlp' for "
            "vectors"
        )
    height, width = frame_shape[1:]
    if min(height, width) < 2 * _SMALLEST:
        raise OptionError(
            f"frames are {height}x{width}; convolutions want sides of {2 * _SMALLEST} pixels or "
            "more: take 'mlp' for smaller ones"
        )
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * _SMALLEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "group":
        groups = next(count for count in (8, 4, 2, 1) if channels % count == 0)
        return [nn.GroupNorm(groups, channels)]
    return []


@hookimpl
def genzoo_frame_encoders() -> Iterator[object]:
    yield ConvFrameEncoder


@hookimpl
def genzoo_frame_decoders() -> Iterator[object]:
    yield ConvFrameDecoder
