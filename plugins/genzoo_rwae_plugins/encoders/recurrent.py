"""Encoders over frame nets: with and without recurrence.

Shapes: B batch, T time, H width of a feature, N = B·T frames, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from genzoo_rwae.components import Use, encoder, hookimpl
from genzoo_rwae_plugins.frames.convolution import ConvFrameEncoder

__all__ = ["Cell", "FrameEncoder", "LstmEncoder", "per_frame", "recurrence", "run_lstm"]

Cell = Literal["lstm", "gru"]
FrameNet = Annotated[Callable[..., Any], Use("frame-encoder")]


@encoder("frame")
class FrameEncoder(nn.Module):
    """Every frame by itself: features of a frame net, no recurrence.

    Args:
        frames: the net on single frames.
    """

    def __init__(
        self, frame_shape: tuple[int, ...], /, *, frames: FrameNet = ConvFrameEncoder
    ) -> None:
        super().__init__()
        self.frames = frames(frame_shape)
        self.width: int = self.frames.width

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, ...] to [B, T, width]."""
        return per_frame(self.frames, x_BT)


@encoder("lstm")
class LstmEncoder(nn.Module):
    """An LSTM over features of a frame net.

    Args:
        hidden: width of the LSTM's state, per direction.
        cell: `lstm`, or `gru` in its place: three quarters of the parameters.
        direction: `forward` (a step sees the past) or `bidirectional` (it sees the whole
            sequence).
        frames: the net on single frames.

    Source: arXiv 2101.07496, Fig. 1; `gru`: Cho et al., arXiv 1406.1078.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        hidden: PositiveInt = 256,
        cell: Cell = "lstm",
        direction: Literal["forward", "bidirectional"] = "forward",
        frames: FrameNet = ConvFrameEncoder,
    ) -> None:
        super().__init__()
        self.frames = frames(frame_shape)
        both = direction == "bidirectional"
        # called so whatever the cell, for the weights of runs of version 0.1
        self.lstm = recurrence(cell, self.frames.width, hidden, bidirectional=both)
        self.width = 2 * hidden if both else hidden

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, ...] to [B, T, width]; zeros beyond the true lengths."""
        return run_lstm(self.lstm, per_frame(self.frames, x_BT), lengths_B)


def recurrence(cell: Cell, inputs: int, hidden: int, *, bidirectional: bool = False) -> nn.RNNBase:
    """An LSTM or a GRU over [B, T, ...]."""
    layers: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}
    return layers[cell](inputs, hidden, batch_first=True, bidirectional=bidirectional)


def run_lstm(lstm: nn.RNNBase, features_BTH: Tensor, lengths_B: Tensor) -> Tensor:
    """An LSTM or a GRU over true steps only, so that padding never changes what it says."""
    length = features_BTH.shape[1]
    if bool((lengths_B >= length).all()):
        out: Tensor = lstm(features_BTH)[0]
        return out
    packed = pack_padded_sequence(
        features_BTH, lengths_B.cpu(), batch_first=True, enforce_sorted=False
    )
    padded: Tensor = pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=length)[0]
    return padded


def per_frame(net: nn.Module, x_BT: Tensor) -> Tensor:
    """A net on single frames, or one that draws them, on every step of [B, T, ...]."""
    made_BT: Tensor = net(x_BT.flatten(0, 1)).unflatten(0, x_BT.shape[:2])
    return made_BT


@hookimpl
def genzoo_encoders() -> Iterator[object]:
    yield FrameEncoder
    yield LstmEncoder
