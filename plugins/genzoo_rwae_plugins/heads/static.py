"""Static heads: features of a sequence to q(z^c | x_1:T).

Shapes: B batch, T time, H features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.components import hookimpl, static_head
from genzoo_rwae.padding import mean_of_steps
from genzoo_rwae_plugins.encoders.recurrent import run_lstm
from genzoo_rwae_plugins.heads.posterior import LogVariance, Posterior, posterior_layer

__all__ = ["BidirectionalHead", "PooledHead"]


@static_head("pooled")
class PooledHead(nn.Module):
    """The mean over the true steps, through one hidden layer: blind to their order.

    Args:
        hidden: width of the hidden layer.
        log_variance: the posterior's log-variance at the start.
        floor: smallest log-variance; a higher floor leaves less room for information.
        ceiling: largest log-variance; one below the prior's makes every entry carry information.
        posterior: `gaussian`, or `deterministic`: the mean alone, for penalties of samples.

    Raises:
        OptionError: the floor is above the ceiling.
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
        self.hidden = nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.2))
        self.law = posterior_layer(hidden, size, log_variance, floor, ceiling, posterior)

    def forward(self, features_BTH: Tensor, lengths_B: Tensor) -> DiagonalGaussian:
        """[B, T, H] to a law over [B, size]."""
        law: DiagonalGaussian = self.law(self.hidden(mean_of_steps(features_BTH, lengths_B)))
        return law


@static_head("bidirectional")
class BidirectionalHead(nn.Module):
    """A bidirectional LSTM over the features; its two last states.

    Args:
        hidden: width of the LSTM's state, per direction.
        log_variance: the posterior's log-variance at the start.
        floor: smallest log-variance; a higher floor leaves less room for information.
        ceiling: largest log-variance; one below the prior's makes every entry carry information.
        posterior: `gaussian`, or `deterministic`: the mean alone, for penalties of samples.

    Raises:
        OptionError: the floor is above the ceiling.

    Source: arXiv 2101.07496, Fig. 1 (an LSTM over x_1:T); bidirectional as in S3VAE's and
    C-DSVAE's code.
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
        self.width = hidden
        self.lstm = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
        self.law = posterior_layer(2 * hidden, size, log_variance, floor, ceiling, posterior)

    def forward(self, features_BTH: Tensor, lengths_B: Tensor) -> DiagonalGaussian:
        """[B, T, H] to a law over [B, size]."""
        states_BTH = run_lstm(self.lstm, features_BTH, lengths_B)
        rows_B = torch.arange(len(states_BTH), device=states_BTH.device)
        last_BH = states_BTH[rows_B, lengths_B.to(rows_B.device) - 1, : self.width]
        first_BH = states_BTH[:, 0, self.width :]
        law: DiagonalGaussian = self.law(torch.cat([last_BH, first_BH], dim=-1))
        return law


@hookimpl
def genzoo_static_heads() -> Iterator[object]:
    yield PooledHead
    yield BidirectionalHead
