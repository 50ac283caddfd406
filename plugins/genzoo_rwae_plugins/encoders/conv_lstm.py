"""An encoder that is recurrent over feature maps.

Shapes: B batch, T time, C channels, H W a map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from einops import rearrange
from genzoo_rwae_kernels import ConvLstmCell
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import encoder, hookimpl
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.encoders.recurrent import per_frame
from genzoo_rwae_plugins.frames.halving import (
    Norm,
    halving_layers,
    halvings,
    image_sides,
    widths,
)

__all__ = ["ConvLstmEncoder"]


@encoder("conv-lstm")
class ConvLstmEncoder(nn.Module):
    """Convolutional LSTMs over feature maps, so that a state keeps where things are.

    Strided convolutions halve the frame to maps, layers of a convolutional LSTM go over their
    steps, and a linear map of the last layer's state is the step's feature.

    Args:
        channels: channels after the first halving; they double with every further one.
        largest: most channels of a map, as a multiple of `channels`.
        smallest: no side of the frame is halved to less than this many pixels.
        hidden: channels of a state.
        layers: layers of the convolutional LSTM.
        kernel: side of its convolution, odd.
        peephole: gates see the cell; the weights are maps.
        width: width of the feature.
        norm: normalisation after each strided convolution but the first (see the frame encoder
            `conv`).

    Raises:
        OptionError: frames are vectors, or smaller than 8 pixels; an even kernel.

    Source: Shi et al., arXiv 1506.04214, Sec. 3.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        channels: PositiveInt = 32,
        largest: PositiveInt = 8,
        smallest: Annotated[int, Field(ge=2)] = 8,
        hidden: PositiveInt = 64,
        layers: PositiveInt = 1,
        kernel: PositiveInt = 3,
        peephole: bool = False,
        width: PositiveInt = 128,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise OptionError(
                f"kernel is {kernel}; wanted an odd side, so that maps keep their size",
                option="kernel",
            )
        self.width = width
        sizes = halvings(image_sides(frame_shape), smallest)
        height, wide = sizes[-1]
        after = widths(channels, largest, len(sizes) - 1)
        self.stem = halving_layers(frame_shape[0], after, norm, axes=2)
        inputs = [after[-1] if after else frame_shape[0], *[hidden] * (layers - 1)]
        holes = (height, wide) if peephole else None
        self.cells = nn.ModuleList(
            ConvLstmCell(count, hidden, kernel=kernel, peephole=holes) for count in inputs
        )
        self.out = nn.Linear(hidden * height * wide, width)

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, C, H, W] to [B, T, width]; padding comes last, so that no true step sees it."""
        maps_BTCHW = per_frame(self.stem, x_BT)
        for cell in self.cells:
            state, steps = None, []
            for map_BCHW in maps_BTCHW.unbind(1):
                state = cell(map_BCHW, state)
                steps.append(state[0])
            maps_BTCHW = torch.stack(steps, 1)
        out: Tensor = self.out(rearrange(maps_BTCHW, "b t c h w -> b t (h w c)"))
        return out


@hookimpl
def genzoo_encoders() -> Iterator[object]:
    yield ConvLstmEncoder
