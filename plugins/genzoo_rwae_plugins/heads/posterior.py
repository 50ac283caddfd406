"""The last layer of every head: a diagonal Gaussian with small variances at the start."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian

__all__ = ["GaussianLayer", "LogVariance"]

_SMALLEST, _LARGEST = -12.0, 2.0  # keeps exp() and its gradient finite whatever a net says

# an option beyond these would start where the clamp has no gradient, and stay there
LogVariance = Annotated[float, Field(ge=_SMALLEST, le=_LARGEST)]


class GaussianLayer(nn.Module):
    """A linear layer to mean and log-variance, in float32.

    Args:
        features: width of what it sees.
        size: width of the code.
        log_variance: its bias at the start. With unit variance training stalls on the mean image.
        floor: smallest log-variance.
    """

    def __init__(
        self, features: int, size: int, log_variance: float, floor: float = _SMALLEST
    ) -> None:
        super().__init__()
        self.floor = floor
        self.mean = nn.Linear(features, size)
        self.log_variance = nn.Linear(features, size)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, log_variance)

    def forward(self, h: Tensor) -> DiagonalGaussian:
        """[..., features] to a law over [..., size]."""
        log_variance = self.log_variance(h).float().clamp(self.floor, _LARGEST)
        return DiagonalGaussian(self.mean(h).float(), log_variance)
