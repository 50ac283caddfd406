"""What convolutional frame nets share: how often a frame is halved, and the layers that do it.

Shapes: N frames, C channels, H W the sides of an image or F that of a vector.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from genzoo_rwae_kernels import (
    batch_norm,
    doubling_convolution,
    group_norm,
    halving_convolution,
)
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from genzoo_rwae.errors import OptionError

__all__ = [
    "BatchNorm2d",
    "GroupNorm",
    "MapLayers",
    "Norm",
    "Sides",
    "doubling_layers",
    "halving_layers",
    "halvings",
    "image_sides",
    "norm_layers",
    "widths",
]

Norm = Literal["batch", "group", "none"]
Sides = tuple[int, ...]
"""(H, W) of an image, (F,) of a vector."""

_SMALLEST = 4  # a side is halved as long as what is left is no smaller


class _Halving(nn.Conv2d):
    """torch's, of side 4 and stride 2, by the kernel that knows a faster gradient."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to maps of half the sides."""
        return halving_convolution(input, self.weight, self.bias)


class _Doubling(nn.ConvTranspose2d):
    """Likewise, transposed."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[N, C, H, W] to maps of twice the sides."""
        height, width = self.output_padding
        return doubling_convolution(input, self.weight, self.bias, odd=(height, width))


_CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: _Halving}
_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: _Doubling}


def image_sides(frame_shape: tuple[int, ...]) -> Sides:
    """(H, W) of frames [C, H, W].

    Raises:
        OptionError: frames are no images, or smaller than 8 pixels.
    """
    if len(frame_shape) != 3:
        raise OptionError(
            f"frames are {list(frame_shape)}; convolutions want images [C, H, W]: take 'mlp' for "
            "vectors, or 'spectrogram' for vectors whose neighbours belong together"
        )
    height, width = frame_shape[1:]
    if min(height, width) < 2 * _SMALLEST:
        raise OptionError(
            f"frames are {height}x{width}; convolutions want sides of {2 * _SMALLEST} pixels or "
            "more: take 'mlp' for smaller ones"
        )
    return height, width


def halvings(sides: Sides, smallest: int = _SMALLEST) -> list[Sides]:
    """The sides of a frame, and of what is left of it after every halving, rounded down.

    Args:
        sides: of the frame.
        smallest: no side is halved to less.

    >>> halvings((64, 33))
    [(64, 33), (32, 16), (16, 8), (8, 4)]
    """
    sizes = [sides]
    while min(sizes[-1]) >= 2 * smallest:
        sizes.append(tuple(side // 2 for side in sizes[-1]))
    return sizes


def widths(channels: int, largest: int, count: int) -> list[int]:
    """Channels after every halving: they double, up to a multiple of the first.

    >>> widths(8, 4, 4)
    [8, 16, 32, 32]
    """
    return [channels * min(2**number, largest) for number in range(count)]


def halving_layers(before: int, after: Sequence[int], norm: Norm, axes: int) -> MapLayers:
    """Strided convolutions of side 4, each of which halves a frame.

    Args:
        before: channels of the frame.
        after: channels after every layer.
        norm: normalisation after each layer but the first.
        axes: 2 for images, 1 for vectors.
    """
    layers: list[nn.Module] = []
    for number, channels in enumerate(after):
        bias = number == 0 or norm == "none"
        layers.append(_CONVOLUTIONS[axes](before, channels, 4, 2, 1, bias=bias))
        if number > 0:
            layers += norm_layers(norm, channels, axes)
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        before = channels
    return MapLayers(*layers)


def doubling_layers(sizes: Sequence[Sides], channels: Sequence[int], norm: Norm) -> MapLayers:
    """Transposed convolutions of side 4, each of which doubles a small map towards the frame.

    Args:
        sizes: sides of the smallest map, of what is made of it, and at last of the frame.
        channels: of all of them.
        norm: normalisation of every map but the frame.
    """
    axes, last = len(sizes[0]), len(sizes) - 1
    layers: list[nn.Module] = []
    for number, (small, large) in enumerate(pairwise(sizes)):
        before, after = channels[number : number + 2]
        layers += [*norm_layers(norm, before, axes), nn.LeakyReLU(0.2, inplace=True)]
        # odd sides lost a pixel when they were halved
        odd = tuple(most - 2 * least for least, most in zip(small, large, strict=True))
        bias = norm == "none" or number == last - 1
        layers.append(_TRANSPOSED[axes](before, after, 4, 2, 1, output_padding=odd, bias=bias))
    return MapLayers(*layers)


def norm_layers(norm: Norm, channels: int, axes: int = 2) -> list[nn.Module]:
    """The normalisation of so many channels, if there is one."""
    if norm == "batch":
        return [BatchNorm2d(channels) if axes == 2 else nn.BatchNorm1d(channels)]
    if norm == "group":
        groups = next(count for count in (8, 4, 2, 1) if channels % count == 0)
        return [GroupNorm(groups, channels)]
    return []


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, by the kernel that makes the leaky ReLU after it along with it."""

    def forward(self, input: Tensor, slope: float = 1.0) -> Tensor:
        """[N, C, H, W] to the same shape; `slope` below 0, 1: no leaky ReLU."""
        if not self.training or not self.track_running_stats or self.momentum is None:
            made = super().forward(input)
            return made if slope == 1.0 else leaky_relu(made, slope, inplace=slope >= 0.0)
        self._check_input_dim(input)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        return batch_norm(
            *(input, self.running_mean, self.running_var, self.weight, self.bias),
            momentum=self.momentum,
            eps=self.eps,
            slope=slope,
        )


class GroupNorm(nn.GroupNorm):
    """torch's, by the kernel that makes the leaky ReLU after it along with it."""

    def forward(self, input: Tensor, slope: float = 1.0) -> Tensor:
        """[N, C, ...] to the same shape; `slope` below 0, 1: no leaky ReLU."""
        return group_norm(input, self.num_groups, self.weight, self.bias, eps=self.eps, slope=slope)


class MapLayers(nn.Sequential):
    """torch's, but that a normalisation makes the leaky ReLU after it along with it.

    That is then not called, nor are its hooks; those of the normalisation see what both make.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, ...] through all layers."""
        waiting = deque(self)
        while waiting:
            layer = waiting.popleft()
            is_norm = isinstance(layer, BatchNorm2d | GroupNorm)
            if is_norm and waiting and isinstance(waiting[0], nn.LeakyReLU):
                input = layer(input, waiting.popleft().negative_slope)
            else:
                input = layer(input)
        return input
