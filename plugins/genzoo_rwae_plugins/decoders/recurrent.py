"""Decoders over frame nets: with and without recurrence.

Shapes: B batch, T time, D width of all codes of a step, H width of a feature, ... the frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import Use, decoder, hookimpl
from genzoo_rwae_plugins.encoders.recurrent import Cell, per_frame, recurrence
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder

__all__ = ["FrameDecoder", "LstmDecoder"]

FrameNet = Annotated[Callable[..., Any], Use("frame-decoder")]


@decoder("frame")
class FrameDecoder(nn.Module):
    """Every step by itself: a hidden layer on its codes, then a frame net.

    Nothing but the step's own codes can reach its frame, so that motion has to be in z^m.

    Args:
        hidden: width of the hidden layer.
        octaves: K; beside every entry z of the codes the hidden layer sees sin and cos of 2^k π z,
            k = -1, ..., K - 2. Where one entry tells many kinds apart, as six colours along a line,
            frames are a rugged function of it, which is learnt slowly from z alone.
        frames: the net that draws single frames.

    Source of octaves: Tancik et al., "Fourier features let networks learn high frequency functions
        in low dimensional domains", NeurIPS 2020, arXiv 2006.10739 (positional encoding).
    """

    frame_by_frame = True

    def __init__(
        self,
        codes: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        hidden: PositiveInt = 256,
        octaves: Annotated[int, Field(ge=0, le=8)] = 0,
        frames: FrameNet = ConvFrameDecoder,
    ) -> None:
        super().__init__()
        self.octaves = octaves
        seen = (1 + 2 * octaves) * codes
        self.into = nn.Sequential(nn.Linear(seen, hidden), nn.LeakyReLU(0.2))
        self.frames = frames(hidden, frame_shape)

    def forward(self, z_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, ...], before any squashing."""
        return per_frame(self.frames, self.into(_with_waves(z_BTD, self.octaves)))


def _with_waves(z_BTD: Tensor, octaves: int) -> Tensor:
    """Codes, and waves of them of 4, 2, 1, ... units' length."""
    angles = [2.0 ** (octave - 1) * math.pi * z_BTD.float() for octave in range(octaves)]
    return torch.cat([z_BTD, *(wave(a) for a in angles for wave in (torch.sin, torch.cos))], dim=-1)


@decoder("lstm")
class LstmDecoder(nn.Module):
    """An LSTM over the codes of all steps, its states to a frame net.

    Args:
        hidden: width of the LSTM's state.
        cell: `lstm`, or `gru` in its place: three quarters of the parameters.
        frames: the net that draws single frames.

    Source: arXiv 2101.07496, Fig. 1: z^c and z^m_t concatenated into an LSTM, its state h_t into
    the decoder. `gru`: Cho et al., arXiv 1406.1078.
    """

    def __init__(
        self,
        codes: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        hidden: PositiveInt = 256,
        cell: Cell = "lstm",
        frames: FrameNet = ConvFrameDecoder,
    ) -> None:
        super().__init__()
        # called so whatever the cell, for the weights of runs of version 0.1
        self.lstm = recurrence(cell, codes, hidden)
        self.frames = frames(hidden, frame_shape)

    def forward(self, z_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, ...], before any squashing."""
        return per_frame(self.frames, self.lstm(z_BTD)[0])


@hookimpl
def genzoo_decoders() -> Iterator[object]:
    yield FrameDecoder
    yield LstmDecoder
