"""Frame nets of linear layers, for vectors and small images.

Shapes: N frames, H the width of a feature, ... the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import frame_decoder, frame_encoder, hookimpl

__all__ = ["MlpFrameDecoder", "MlpFrameEncoder"]


@frame_encoder("mlp")
class MlpFrameEncoder(nn.Module):
    """Two linear layers on the flattened frame.

    Args:
        hidden: width of the hidden layer.
        width: width of the feature.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        hidden: PositiveInt = 256,
        width: PositiveInt = 128,
    ) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Linear(prod(frame_shape), hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, width)
        )

    def forward(self, x_N: Tensor) -> Tensor:
        """[N, ...] to [N, width]."""
        out: Tensor = self.layers(x_N.flatten(1))
        return out


@frame_decoder("mlp")
class MlpFrameDecoder(nn.Module):
    """Two linear layers to the flattened frame.

    Args:
        hidden: width of the hidden layer.
    """

    def __init__(
        self, width: int, frame_shape: tuple[int, ...], /, *, hidden: PositiveInt = 256
    ) -> None:
        super().__init__()
        self.frame_shape = tuple(frame_shape)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, prod(frame_shape))
        )

    def forward(self, h_NH: Tensor) -> Tensor:
        """[N, width] to [N, ...], before any squashing."""
        out: Tensor = self.layers(h_NH).unflatten(-1, self.frame_shape)
        return out


@hookimpl
def genzoo_frame_encoders() -> Iterator[object]:
    yield MlpFrameEncoder


@hookimpl
def genzoo_frame_decoders() -> Iterator[object]:
    yield MlpFrameDecoder
