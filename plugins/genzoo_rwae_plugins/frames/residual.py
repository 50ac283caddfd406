"""Residual convolutional frame nets, deeper than `conv` at the same sizes.

Shapes: N frames, C H W a frame, H also the width of a feature where it is the only axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import frame_decoder, frame_encoder, hookimpl
from genzoo_rwae_plugins.frames.halving import (
    MapLayers,
    Norm,
    halvings,
    image_sides,
    norm_layers,
    widths,
)
from genzoo_rwae_plugins.frames.maps import FromMap, ToMap

__all__ = ["ResidualBlock", "ResidualFrameDecoder", "ResidualFrameEncoder"]


class ResidualBlock(nn.Module):
    """A map and what two convolutions add to it, each behind a normalisation and a nonlinearity.

    Source: He et al., Identity Mappings in Deep Residual Networks, arXiv 1603.05027, Fig. 1 (b).
    """

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        bias = norm == "none"
        twice = (_layers(channels, channels, norm, bias=bias) for _ in range(2))
        self.layers = MapLayers(*chain(*twice))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        out: Tensor = x_NCHW + self.layers(x_NCHW)
        return out


@frame_encoder("residual")
class ResidualFrameEncoder(ToMap):
    """Residual blocks behind strided convolutions that halve the frame until a side of 4 is left.

    Args:
        channels: channels of the first layer; they double with every halving.
        largest: most channels of a layer, as a multiple of `channels`.
        blocks: residual blocks after every halving.
        width: width of the feature.
        norm: normalisation before each convolution. `batch` trains faster, but lets the rows of a
            batch see each other (see `conv`).

    Raises:
        OptionError: frames are vectors, or smaller than 8 pixels.

    Source: He et al., arXiv 1603.05027.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 32,
        largest: PositiveInt = 8,
        blocks: PositiveInt = 1,
        width: PositiveInt = 128,
        norm: Norm = "group",
    ) -> None:
        sizes = halvings(image_sides(frame_shape))
        sequence = [frame_shape[0], *widths(channels, largest, len(sizes) - 1)]
        layers: list[nn.Module] = []
        for before, after in pairwise(sequence):
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none"))
            layers += [ResidualBlock(after, norm) for _ in range(blocks)]
        layers += [*norm_layers(norm, sequence[-1]), nn.LeakyReLU(0.2)]
        super().__init__(MapLayers(*layers), (sequence[-1], *sizes[-1]), width)


@frame_decoder("residual")
class ResidualFrameDecoder(FromMap):
    """Residual blocks on a small map, doubled by pixel shuffle up to the frame's size.

    Args:
        channels: channels of the last hidden map; they double towards the smallest one.
        largest: most channels of a map, as a multiple of `channels`.
        blocks: residual blocks before every doubling.
        norm: normalisation before each convolution.

    Raises:
        OptionError: frames are vectors, or smaller than 8 pixels.

    Source: He et al., arXiv 1603.05027; pixel shuffle: Shi et al., arXiv 1609.05158, Sec. 3.2. The
    last pixel of an odd side is that beside it.
    """

    def __init__(
        self,
        width: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 32,
        largest: PositiveInt = 8,
        blocks: PositiveInt = 1,
        norm: Norm = "batch",
    ) -> None:
        sizes = halvings(image_sides(frame_shape))[::-1]
        sequence = [frame_shape[0], *widths(channels, largest, len(sizes) - 1)][::-1]
        super().__init__(width, (sequence[0], *sizes[0]))
        layers: list[nn.Module] = []
        channels_of, sides_of = pairwise(sequence), pairwise(sizes)
        for (before, after), (small, large) in zip(channels_of, sides_of, strict=True):
            layers += [ResidualBlock(before, norm) for _ in range(blocks)]
            # nothing normalises the frame, so that its layer has a bias whatever norm says
            bias = norm == "none" or large == sizes[-1]
            layers += [*_layers(before, 4 * after, norm, bias=bias), nn.PixelShuffle(2)]
            odd = large[0] - 2 * small[0], large[1] - 2 * small[1]
            if any(odd):
                layers.append(nn.ReplicationPad2d((0, odd[1], 0, odd[0])))
        self.layers = MapLayers(*layers)


def _layers(before: int, after: int, norm: Norm, *, bias: bool) -> list[nn.Module]:
    # not in place: without a normalisation it would write into what the block adds to
    first = [*norm_layers(norm, before), nn.LeakyReLU(0.2)]
    return [*first, nn.Conv2d(before, after, 3, padding=1, bias=bias)]


@hookimpl
def genzoo_frame_encoders() -> Iterator[object]:
    yield ResidualFrameEncoder


@hookimpl
def genzoo_frame_decoders() -> Iterator[object]:
    yield ResidualFrameDecoder
