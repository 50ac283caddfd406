"""Dynamic heads: features of a sequence to q(z^m_t | z^m_<t, x_t), step by step.

Shapes: B batch, T time, H features, D code width, S state, G = 4 S gates, I = D + S.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from genzoo_rwae_kernels.precision import outside_autocast
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import linear

from genzoo_rwae.codes import DiagonalGaussian, Draw
from genzoo_rwae.components import dynamic_head, hookimpl
from genzoo_rwae_plugins.heads.posterior import LogVariance, Posterior, posterior_layer

__all__ = ["LstmHead"]

_Stepped = Callable[[int, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""The number of a step, the code before it and the LSTM's state, [B, S] twice, to the next one."""


@dynamic_head("lstm")
class LstmHead(nn.Module):
    """An LSTM over the features of a step and the code of the step before.

    Args:
        hidden: width of the LSTM's state.
        log_variance: the posterior's log-variance at the start.
        floor: smallest log-variance; a higher floor leaves less room for what is not motion.
        ceiling: largest log-variance.
        posterior: `gaussian`, or `deterministic`: the mean alone, for penalties of samples.

    Raises:
        OptionError: the floor is above the ceiling.

    Source: arXiv 2101.07496, Sec. 3 and Fig. 1: z^m_t from a state h_t and z^m_t-1.
    """

    def __init__(
        self,
        features: int,
        size: int,
        /,
        *,
        hidden: PositiveInt = 128,
        log_variance: LogVariance = -4.0,
        floor: LogVariance = -12.0,
        ceiling: LogVariance = 2.0,
        posterior: Posterior = "gaussian",
    ) -> None:
        super().__init__()
        self.size = size
        self.cell = nn.LSTMCell(features + size, hidden)
        self.law = posterior_layer(hidden, size, log_variance, floor, ceiling, posterior)

    def forward(
        self, features_BTH: Tensor, lengths_B: Tensor, draw: Draw
    ) -> tuple[Tensor, DiagonalGaussian]:
        """[B, T, H] to a path [B, T, D] and its laws [B, T, D]."""
        by_parts = _has_cheap_launches(features_BTH.device)
        stepped = self._by_parts(features_BTH) if by_parts else self._whole(features_BTH)
        # casts of what is left to a step would take longer than the step
        with outside_autocast(features_BTH.device) if by_parts else nullcontext():
            z_BD = self.cell.weight_hh.new_zeros(len(features_BTH), self.size)
            h_BS = cell_BS = z_BD.new_zeros(len(features_BTH), self.cell.hidden_size)
            path, laws = [], []
            for step in range(features_BTH.shape[1]):
                h_BS, cell_BS = stepped(step, z_BD, h_BS, cell_BS)
                law: DiagonalGaussian = self.law(h_BS)
                z_BD = draw(law)
                path.append(z_BD)
                laws.append(law)
        mean_BTD = torch.stack([law.mean for law in laws], 1)
        log_variance_BTD = torch.stack([law.log_variance for law in laws], 1)
        return torch.stack(path, 1), DiagonalGaussian(mean_BTD, log_variance_BTD)

    def _whole(self, features_BTH: Tensor) -> _Stepped:
        """torch's cell, which is a single kernel on a GPU."""

        def stepped(step: int, z_BD: Tensor, *state: Tensor) -> tuple[Tensor, Tensor]:
            features_BH = features_BTH[:, step]
            seen = torch.cat([features_BH, z_BD.to(features_BH.dtype)], 1)
            after: tuple[Tensor, Tensor] = self.cell(seen, state)
            return after

        return stepped

    def _by_parts(self, features_BTH: Tensor) -> _Stepped:
        """What features make of the gates for all steps at once; a step adds what is left."""
        weight_ih, bias_G = self.cell.weight_ih, self.cell.bias_ih + self.cell.bias_hh
        gates_BTG = linear(features_BTH, weight_ih[:, : -self.size], bias_G)
        weight_IG = torch.cat([weight_ih[:, -self.size :], self.cell.weight_hh], 1).t()
        gates = gates_BTG.to(weight_IG.dtype).unbind(1)

        def stepped(
            step: int, z_BD: Tensor, h_BS: Tensor, cell_BS: Tensor
        ) -> tuple[Tensor, Tensor]:
            seen_BI = torch.cat([z_BD.to(weight_IG.dtype), h_BS], 1)
            return _state(gates[step].addmm(seen_BI, weight_IG), cell_BS)

        return stepped


def _has_cheap_launches(device: torch.device) -> bool:
    """Whether a step is the faster for less work in more kernels, as on a CPU."""
    return device.type == "cpu"


def _state(gates_BG: Tensor, cell_BS: Tensor) -> tuple[Tensor, Tensor]:
    """The state of an LSTM after a step, and its cell."""
    taken_BS, kept_BS, new_BS, shown_BS = gates_BG.chunk(4, 1)
    cell_BS = kept_BS.sigmoid() * cell_BS + taken_BS.sigmoid() * new_BS.tanh()
    return shown_BS.sigmoid() * cell_BS.tanh(), cell_BS


@hookimpl
def genzoo_dynamic_heads() -> Iterator[object]:
    yield LstmHead
