"""The last layer of every head: a diagonal Gaussian with small variances at the start, or a point.

A head has the options `log_variance`, `floor`, `ceiling` and `posterior`, and hands them to
`posterior_layer`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.errors import OptionError

__all__ = ["GaussianLayer", "LogVariance", "PointLayer", "Posterior", "posterior_layer"]

_SMALLEST, _LARGEST = -12.0, 2.0  # keeps exp() and its gradient finite whatever a net says

# an option beyond these would start where the clamp has no gradient, and stay there
LogVariance = Annotated[float, Field(ge=_SMALLEST, le=_LARGEST)]
Posterior = Literal["gaussian", "deterministic"]


def posterior_layer(
    features: int,
    size: int,
    log_variance: float,
    floor: float,
    ceiling: float,
    posterior: Posterior,
) -> GaussianLayer | PointLayer:
    """The layer from features to the law of a code.

    Args:
        features: width of what it sees.
        size: width of the code.
        log_variance: at the start.
        floor: smallest log-variance.
        ceiling: largest log-variance.
        posterior: `gaussian`, or `deterministic`: the mean alone.

    Raises:
        OptionError: the floor is above the ceiling.
    """
    if floor > ceiling:
        raise OptionError(
            f"floor is {floor:g}, above ceiling: {ceiling:g}; wanted it below", option="floor"
        )
    if posterior == "deterministic":
        return PointLayer(features, size)
    return GaussianLayer(features, size, log_variance, floor, ceiling)


class GaussianLayer(nn.Module):
    """A linear layer to mean and log-variance, in float32.

    Args:
        features: width of what it sees.
        size: width of the code.
        log_variance: its bias at the start. With unit variance training stalls on the mean image.
            One beyond floor or ceiling starts there.
        floor: smallest log-variance.
        ceiling: largest log-variance.
    """

    def __init__(
        self,
        features: int,
        size: int,
        log_variance: float,
        floor: float = _SMALLEST,
        ceiling: float = _LARGEST,
    ) -> None:
        super().__init__()
        self.floor, self.ceiling = floor, ceiling
        self.mean = nn.Linear(features, size)
        self.log_variance = nn.Linear(features, size)
        nn.init.zeros_(self.log_variance.weight)
        # at the very edge of the clamp a gradient still passes
        nn.init.constant_(self.log_variance.bias, min(max(log_variance, floor), ceiling))

    def forward(self, h: Tensor) -> DiagonalGaussian:
        """[..., features] to a law over [..., size]."""
        log_variance = self.log_variance(h).float().clamp(self.floor, self.ceiling)
        return DiagonalGaussian(self.mean(h).float(), log_variance)


class PointLayer(nn.Module):
    """A linear layer to a code without noise, in float32: a Gaussian of variance 0.

    Its samples are its means, exactly. No KL of such a law is finite, so that only penalties of
    samples go with it.

    Args:
        features: width of what it sees.
        size: width of the code.
    """

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.mean = nn.Linear(features, size)

    def forward(self, h: Tensor) -> DiagonalGaussian:
        """[..., features] to a law over [..., size]."""
        mean = self.mean(h).float()
        return DiagonalGaussian(mean, torch.full_like(mean, -torch.inf))
