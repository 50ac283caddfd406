"""A temporal convolutional encoder.

Shapes: B batch, T time, H width of a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from einops import rearrange
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from genzoo_rwae.components import Use, encoder, hookimpl
from genzoo_rwae_plugins.encoders.recurrent import per_frame
from genzoo_rwae_plugins.frames.convolution import ConvFrameEncoder

__all__ = ["TcnEncoder"]


@encoder("tcn")
class TcnEncoder(nn.Module):
    """Dilated causal convolutions in time, in residual blocks, over features of a frame net.

    A step sees the 2 (kernel - 1) (2^blocks - 1) steps before it.

    Args:
        hidden: width of the feature.
        blocks: residual blocks of two convolutions; those of block i skip 2^i - 1 steps between
            the ones that they see.
        kernel: steps that a convolution sees.
        frames: the net on single frames.

    Source: Bai et al., arXiv 1803.01271, Sec. 3, without weight normalisation and dropout.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        hidden: PositiveInt = 128,
        blocks: PositiveInt = 3,
        kernel: PositiveInt = 3,
        frames: Annotated[Callable[..., Any], Use("frame-encoder")] = ConvFrameEncoder,
    ) -> None:
        super().__init__()
        self.width = hidden
        self.frames = frames(frame_shape)
        self.into = nn.Linear(self.frames.width, hidden)
        self.blocks = nn.Sequential(*(CausalBlock(hidden, kernel, 2**i) for i in range(blocks)))

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, ...] to [B, T, hidden]; padding comes last, so that no true step sees it."""
        h_BTH = self.into(per_frame(self.frames, x_BT))
        out_BHT: Tensor = self.blocks(rearrange(h_BTH, "b t h -> b h t"))
        return rearrange(out_BHT, "b h t -> b t h")


class CausalBlock(nn.Module):
    """What it is given and what two dilated causal convolutions make of it."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.one, self.other = (
            nn.Conv1d(channels, channels, kernel, dilation=dilation) for _ in range(2)
        )

    def forward(self, x_BHT: Tensor) -> Tensor:
        """[B, H, T] to the same shape."""
        h_BHT = x_BHT
        for convolution in (self.one, self.other):
            h_BHT = leaky_relu(convolution(pad(h_BHT, (self.past, 0))), 0.2)
        return leaky_relu(x_BHT + h_BHT, 0.2)


@hookimpl
def genzoo_encoders() -> Iterator[object]:
    yield TcnEncoder
