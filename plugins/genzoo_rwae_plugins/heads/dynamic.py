"""Dynamic heads: features of a sequence to q(z^m_t | z^m_<t, x_t), step by step.

Shapes: B batch, T time, H features, D code width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

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
        z_BD = features_BTH.new_zeros(len(features_BTH), self.size)
        state = None
        path, laws = [], []
        for features_BH in features_BTH.unbind(1):
            state = self.cell(torch.cat([features_BH, z_BD.to(features_BH.dtype)], -1), state)
            law: DiagonalGaussian = self.law(state[0])
            z_BD = draw(law)
            path.append(z_BD)
            laws.append(law)
        mean_BTD = torch.stack([law.mean for law in laws], 1)
        log_variance_BTD = torch.stack([law.log_variance for law in laws], 1)
        return torch.stack(path, 1), DiagonalGaussian(mean_BTD, log_variance_BTD)


@hookimpl
def genzoo_dynamic_heads() -> Iterator[object]:
    yield LstmHead
