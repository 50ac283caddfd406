"""The classifier by whose word the field's tables go.

Shapes: B batch, T time, N true frames, F features, C H W an image, ... the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from einops.layers.torch import Rearrange
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import hookimpl, judge
from genzoo_rwae.evaluation.judge import Verdict
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae_plugins.encoders.recurrent import run_lstm
from genzoo_rwae_plugins.judges.pieces import pieces

__all__ = ["RecurrentJudge"]

_FRAME = 128  # width of a frame's features
_STATE = 256  # of the LSTM, per direction, and of the heads' hidden layer
_SMALLEST = 4  # a side is halved as long as what is left is no smaller


@judge("recurrent")
class RecurrentJudge(nn.Module):
    """The published classifier: frames by convolutions, a bidirectional LSTM, a head per factor.

    Images: 4x4 convolutions of stride 2 until a side of 4 is left, then one over all that is left,
    each with batch norm. Other frames: three linear layers of the same widths. A sequence is the
    forward state at its last true step beside the backward state at its first; these 512 values
    are the features.

    Args:
        channels: of the first layer; they double with every layer, up to eight times as many.
            The published 64 is slow without a GPU; 16 tell Sprites apart as well.
        shortest: in training, pieces of sequences are seen, from this many steps to the whole: for
            metrics that ask about single frames or short windows. Null always shows the whole.

    Source: the classifier of the Sprites protocol, as in C-DSVAE's and S3VAE's code.
    """

    def __init__(
        self,
        info: DataInfo,
        /,
        *,
        channels: PositiveInt = 64,
        shortest: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.shortest = shortest
        shape = info.frame_shape
        self.frames = (
            _convolutions(shape, channels) if len(shape) == 3 else _layers(shape, channels)
        )
        self.lstm = nn.LSTM(_FRAME, _STATE, batch_first=True, bidirectional=True)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * _STATE, _STATE), nn.ReLU(), nn.Linear(_STATE, classes))
            for classes in (len(factor.classes) for factor in info.factors)
        )
        self.names = tuple(factor.name for factor in info.factors)

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Verdict:
        """[B, T, ...] to logits [B, K] of every factor; padding never reaches the net."""
        if self.training and self.shortest:
            x_BT, lengths_B = pieces(x_BT, lengths_B, self.shortest)
        true_BT = true_steps(x_BT.shape[1], lengths_B)
        features_NF = self.frames(x_BT[true_BT])
        features_BTF = features_NF.new_zeros(*true_BT.shape, _FRAME)
        features_BTF[true_BT] = features_NF
        states_BTF = run_lstm(self.lstm, features_BTF, lengths_B)
        rows_B = torch.arange(len(x_BT), device=x_BT.device)
        last_BF, first_BF = states_BTF[rows_B, lengths_B - 1, :_STATE], states_BTF[:, 0, _STATE:]
        clip_BF = torch.cat([last_BF, first_BF], dim=-1)
        logits = {n: head(clip_BF) for n, head in zip(self.names, self.heads, strict=True)}
        return Verdict(logits, clip_BF)


def _convolutions(shape: tuple[int, ...], channels: int) -> nn.Sequential:
    before, height, width = shape
    layers: list[nn.Module] = []
    after = channels
    while min(height, width) >= 2 * _SMALLEST:
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        height, width = height // 2, width // 2
        before, after = after, min(2 * after, 8 * channels)
    layers += [nn.Conv2d(before, _FRAME, (height, width)), Rearrange("n f 1 1 -> n f")]
    return nn.Sequential(*layers, nn.BatchNorm1d(_FRAME), nn.Tanh())


def _layers(shape: tuple[int, ...], channels: int) -> nn.Sequential:
    before, after = prod(shape), 8 * channels
    layers: list[nn.Module] = [nn.Flatten(), nn.BatchNorm1d(before)]  # values of any scale
    for _ in range(2):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.2)]
        before = after
    return nn.Sequential(*layers, nn.Linear(before, _FRAME), nn.BatchNorm1d(_FRAME), nn.Tanh())


@hookimpl
def genzoo_judges() -> Iterator[object]:
    yield RecurrentJudge
