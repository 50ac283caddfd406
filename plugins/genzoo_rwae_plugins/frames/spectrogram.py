"""Convolutional frame nets for vectors whose neighbours belong together, as frequency bins.

Shapes: N frames, F bins, C channels, H the width of a feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from einops import rearrange
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import frame_decoder, frame_encoder, hookimpl
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.frames.halving import (
    Norm,
    Sides,
    doubling_layers,
    halving_layers,
    halvings,
    widths,
)

__all__ = ["SpectrogramFrameDecoder", "SpectrogramFrameEncoder"]

_FEWEST = 8  # bins: one halving to 4


@frame_encoder("spectrogram")
class SpectrogramFrameEncoder(nn.Module):
    """Strided convolutions along the bins of a vector, which halve it until 4 to 7 are left.

    Args:
        channels: channels of the first layer; they double with every halving.
        largest: most channels of a layer, as a multiple of `channels`.
        width: width of the feature.
        norm: normalisation after each convolution but the first. `batch` trains faster, but lets
            the rows of a batch see each other (see `conv`).

    Raises:
        OptionError: frames are no vectors, or have less than 8 bins.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 16,
        largest: PositiveInt = 8,
        width: PositiveInt = 128,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        self.width = width
        sizes = halvings(_bins(frame_shape))
        after = widths(channels, largest, len(sizes) - 1)
        self.layers = halving_layers(1, after, norm, axes=1)
        self.out = nn.Linear(after[-1] * prod(sizes[-1]), width)

    def forward(self, x_NF: Tensor) -> Tensor:
        """[N, F] to [N, width]."""
        h_NCF = self.layers(rearrange(x_NF, "n f -> n 1 f"))
        out: Tensor = self.out(rearrange(h_NCF, "n c f -> n (c f)"))
        return out


@frame_decoder("spectrogram")
class SpectrogramFrameDecoder(nn.Module):
    """Transposed convolutions along the bins, which double a few up to the vector's length.

    Args:
        channels: channels of the last hidden layer; they double towards the fewest bins.
        largest: most channels of a layer, as a multiple of `channels`.
        norm: normalisation after each hidden layer.

    Raises:
        OptionError: frames are no vectors, or have less than 8 bins.
    """

    def __init__(
        self,
        width: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 16,
        largest: PositiveInt = 8,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        sizes = halvings(_bins(frame_shape))[::-1]
        after = [1, *widths(channels, largest, len(sizes) - 1)][::-1]
        self.fewest = (after[0], *sizes[0])
        self.into = nn.Linear(width, prod(self.fewest))
        self.layers = doubling_layers(sizes, after, norm)

    def forward(self, h_NH: Tensor) -> Tensor:
        """[N, width] to [N, F], before any squashing."""
        out_N1F: Tensor = self.layers(self.into(h_NH).unflatten(-1, self.fewest))
        return rearrange(out_N1F, "n 1 f -> n f")


def _bins(frame_shape: tuple[int, ...]) -> Sides:
    if len(frame_shape) != 1:
        raise OptionError(
            f"frames are {list(frame_shape)}; 'spectrogram' wants vectors [F]: take 'conv' for "
            "images, or 'mlp' for frames of any shape"
        )
    if frame_shape[0] < _FEWEST:
        raise OptionError(
            f"frames have {frame_shape[0]} bins; 'spectrogram' wants {_FEWEST} or more: take 'mlp' "
            "for fewer"
        )
    return frame_shape


@hookimpl
def genzoo_frame_encoders() -> Iterator[object]:
    yield SpectrogramFrameEncoder


@hookimpl
def genzoo_frame_decoders() -> Iterator[object]:
    yield SpectrogramFrameDecoder
