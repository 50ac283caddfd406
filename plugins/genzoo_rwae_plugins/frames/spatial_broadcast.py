"""A frame decoder that says to every pixel where it is.

Shapes: N frames, C H W a frame, H also the width of a feature where it is the only axis.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import frame_decoder, hookimpl
from genzoo_rwae.errors import OptionError

__all__ = ["SpatialBroadcastDecoder"]


@frame_decoder("spatial-broadcast")
class SpatialBroadcastDecoder(nn.Module):
    """The same feature at every pixel, beside the pixel's place, through convolutions of stride 1.

    Where something is, is then easy to say; the price is that all layers work on full frames.

    Args:
        channels: channels of the hidden layers.
        layers: 3x3 convolutions.

    Raises:
        OptionError: frames are no images.

    Source: Watters et al., Spatial Broadcast Decoder, arXiv 1901.07017, Algorithm 1. The first
    layer is 1x1, so that it can be computed once for all pixels.
    """

    places: Tensor

    def __init__(
        self,
        width: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 32,
        layers: PositiveInt = 3,
    ) -> None:
        super().__init__()
        if len(frame_shape) != 3:
            raise OptionError(
                f"frames are {list(frame_shape)}; 'spatial-broadcast' wants images [C, H, W]: take "
                "'mlp' or 'spectrogram' for vectors"
            )
        depth, *sides = frame_shape
        axes = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in sides), indexing="ij")
        self.register_buffer("places", torch.stack(axes)[None], persistent=False)
        self.of_feature = nn.Linear(width, channels)
        self.of_place = nn.Conv2d(2, channels, 1, bias=False)
        hidden: list[nn.Module] = [nn.LeakyReLU(0.2)]
        for _ in range(layers - 1):
            hidden += [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*hidden, nn.Conv2d(channels, depth, 3, padding=1))

    def forward(self, h_NH: Tensor) -> Tensor:
        """[N, width] to [N, C, H, W], before any squashing."""
        # a 1x1 convolution of [feature, place] is a sum of two
        h_NC11 = self.of_feature(h_NH)[:, :, None, None]
        h_NCHW = (h_NC11 + self.of_place(self.places)).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.layers(h_NCHW)
        return out


@hookimpl
def genzoo_frame_decoders() -> Iterator[object]:
    yield SpatialBroadcastDecoder
