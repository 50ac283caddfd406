"""Dynamic heads: features of a sequence to q(z^m_t | z^m_<t, x_t), step by step.

Shapes: B batch, T time, H features, D code width, S state, G = 4 S gates, I = D + S.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from genzoo_rwae_kernels.precision import outside_autocast
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import linear

from genzoo_rwae.codes import DiagonalGaussian, Draw
from genzoo_rwae.components import dynamic_head, hookimpl
from genzoo_rwae_plugins.heads.posterior import LogVariance, Posterior, posterior_layer

__all__ = ["LstmHead"]


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
        weight_ih = self.cell.weight_ih
        of_features, of_code = weight_ih[:, : -self.size], weight_ih[:, -self.size :]
        # all steps at once; what is left to each is small, and casts would take longer than it
        gates_BTG = linear(features_BTH, of_features, self.cell.bias_ih + self.cell.bias_hh)
        with outside_autocast(features_BTH.device):
            weight_IG = torch.cat([of_code, self.cell.weight_hh], 1).t()
            z_BD = weight_IG.new_zeros(len(features_BTH), self.size)
            h_BS = cell_BS = weight_IG.new_zeros(len(features_BTH), self.cell.hidden_size)
            path, laws = [], []
            for gates_BG in gates_BTG.to(weight_IG.dtype).unbind(1):
                seen_BI = torch.cat([z_BD.to(weight_IG.dtype), h_BS], 1)
                h_BS, cell_BS = _stepped(gates_BG.addmm(seen_BI, weight_IG), cell_BS)
                law: DiagonalGaussian = self.law(h_BS)
                z_BD = draw(law)
                path.append(z_BD)
                laws.append(law)
        mean_BTD = torch.stack([law.mean for law in laws], 1)
        log_variance_BTD = torch.stack([law.log_variance for law in laws], 1)
        return torch.stack(path, 1), DiagonalGaussian(mean_BTD, log_variance_BTD)


def _stepped(gates_BG: Tensor, cell_BS: Tensor) -> tuple[Tensor, Tensor]:
    """The state of an LSTM after a step, and its cell."""
    taken_BS, kept_BS, new_BS, shown_BS = gates_BG.chunk(4, 1)
    cell_BS = kept_BS.sigmoid() * cell_BS + taken_BS.sigmoid() * new_BS.tanh()
    return shown_BS.sigmoid() * cell_BS.tanh(), cell_BS


@hookimpl
def genzoo_dynamic_heads() -> Iterator[object]:
    yield LstmHead
