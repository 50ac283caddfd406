"""Between features and small maps: the two ends that convolutional nets on images share.

Shapes: N frames, C H W a frame or a map, H also the width of a feature where it is the only axis.
"""

from __future__ import annotations

from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn

__all__ = ["FromMap", "ToMap"]


class ToMap(nn.Module):
    """Layers that make a small map of a frame, and one that makes a feature of the map.

    A net of one's own is a subclass that says which layers.

    Args:
        layers: [N, C, H, W] to maps.
        smallest: (C, H, W) of a map.
        width: width of the feature.
    """

    def __init__(self, layers: nn.Sequential, smallest: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = layers
        self.out = nn.Linear(prod(smallest), width)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to [N, width]."""
        h_NCHW = self.layers(x_NCHW)
        out: Tensor = self.out(rearrange(h_NCHW, "n c h w -> n (h w c)"))
        return out


class FromMap(nn.Module):
    """A layer that makes a small map of a feature, and those that make a frame of the map.

    A net of one's own is a subclass that sets `layers`.

    Args:
        width: width of the feature.
        smallest: (C, H, W) of a map.
    """

    layers: nn.Sequential

    def __init__(self, width: int, smallest: tuple[int, ...]) -> None:
        super().__init__()
        self.smallest = smallest
        self.into = nn.Linear(width, prod(smallest))

    def forward(self, h_NH: Tensor) -> Tensor:
        """[N, width] to [N, C, H, W], before any squashing."""
        channels, height, width = self.smallest
        h_NCHW = rearrange(
            self.into(h_NH), "n (h w c) -> n c h w", c=channels, h=height, w=width
        ).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.layers(h_NCHW)
        return out
