"""A dynamic head that infers every step's code by itself.

Shapes: B batch, T time, H features, D code width.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, Draw
from genzoo_rwae.components import dynamic_head, hookimpl
from genzoo_rwae_plugins.heads.posterior import LogVariance, Posterior, posterior_layer

__all__ = ["FactorisedHead"]


@dynamic_head("factorised")
class FactorisedHead(nn.Module):
    """Each code from its step's features alone, through one hidden layer: no code is fed back.

    Q(z^m_1:T | x_1:T) = Π_t q(z^m_t | h_t). What a step may know of others is the encoder's choice.
    All steps are computed at once.

    Args:
        hidden: width of the hidden layer.
        log_variance: the posterior's log-variance at the start.
        floor: smallest log-variance; a higher floor leaves less room for what is not motion.
        ceiling: largest log-variance.
        posterior: `gaussian`, or `deterministic`: the mean alone, for penalties of samples.

    Raises:
        OptionError: the floor is above the ceiling.

    Source: Li and Mandt, arXiv 1803.02991, Sec. 2 (their factorised q).
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

    def forward(
        self, features_BTH: Tensor, lengths_B: Tensor, draw: Draw
    ) -> tuple[Tensor, DiagonalGaussian]:
        """[B, T, H] to a path [B, T, D] and its laws [B, T, D]."""
        law: DiagonalGaussian = self.law(self.hidden(features_BTH))
        return draw(law), law


@hookimpl
def genzoo_dynamic_heads() -> Iterator[object]:
    yield FactorisedHead
