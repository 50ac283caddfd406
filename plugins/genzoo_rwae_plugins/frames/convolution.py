"""Convolutional frame nets for square and oblong frames of any size.

Shapes: N frames, C H W a frame, H also the width of a feature where it is the only axis.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from genzoo_rwae.components import frame_decoder, frame_encoder, hookimpl
from genzoo_rwae_plugins.frames.halving import (
    Norm,
    doubling_layers,
    halving_layers,
    halvings,
    image_sides,
    widths,
)
from genzoo_rwae_plugins.frames.maps import FromMap, ToMap

__all__ = ["ConvFrameDecoder", "ConvFrameEncoder"]


@frame_encoder("conv")
class ConvFrameEncoder(ToMap):
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
        sizes = halvings(image_sides(frame_shape))
        after = widths(channels, largest, len(sizes) - 1)
        layers = halving_layers(frame_shape[0], after, norm, axes=2)
        super().__init__(layers, (after[-1], *sizes[-1]), width)


@frame_decoder("conv")
class ConvFrameDecoder(FromMap):
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
        sizes = halvings(image_sides(frame_shape))[::-1]
        after = [frame_shape[0], *widths(channels, largest, len(sizes) - 1)][::-1]
        super().__init__(width, (after[0], *sizes[0]))
        self.layers = doubling_layers(sizes, after, norm)


@hookimpl
def genzoo_frame_encoders() -> Iterator[object]:
    yield ConvFrameEncoder


@hookimpl
def genzoo_frame_decoders() -> Iterator[object]:
    yield ConvFrameDecoder
