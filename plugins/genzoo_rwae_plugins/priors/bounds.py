"""Bounds of learnt Gaussian laws: whatever a net says, means and variances stay sane.

Shapes: B batch, T time, D code width, C width of the context.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.errors import OptionError

__all__ = ["First", "Variances", "anchored", "before", "beside", "bounded_mean"]

First = Literal["standard", "learnt"]


@dataclass(frozen=True)
class Variances:
    """Standard deviations that a net may give, on a logarithmic scale.

    Args:
        smallest_sd: where the net says −∞.
        largest_sd: where it says +∞.

    Raises:
        OptionError: the smallest standard deviation is above the largest.

    >>> Variances(0.1, 10.0).log_variance(torch.tensor([-99.0, 0.0, 99.0])).exp()
    tensor([1.0000e-02, 1.0000e+00, 1.0000e+02])
    """

    smallest_sd: float
    largest_sd: float

    def __post_init__(self) -> None:
        if self.smallest_sd > self.largest_sd:
            raise OptionError(
                f"smallest_sd is {self.smallest_sd}, above largest_sd: {self.largest_sd}; wanted "
                "it below",
                option="smallest_sd",
            )

    def log_variance(self, said: Tensor) -> Tensor:
        """What a net said [...] as log-variances [...], in float32."""
        lowest, highest = 2 * math.log(self.smallest_sd), 2 * math.log(self.largest_sd)
        return lowest + (highest - lowest) * torch.sigmoid(said.float())

    def said(self, sd: float) -> float:
        """What a net has to say for a standard deviation; the inverse of `log_variance`.

        One that is out of bounds is taken as just inside them, where the gradient is not yet 0.
        """
        wide = math.log(self.largest_sd / self.smallest_sd)
        share = math.log(sd / self.smallest_sd) / wide if wide else 0.5
        share = min(max(share, 0.01), 0.99)
        return math.log(share / (1 - share))


def bounded_mean(said: Tensor, bound: float) -> Tensor:
    """What a net said as means of absolute value below a bound, in float32."""
    return bound * torch.tanh(said.float() / bound)


def anchored(law_BTD: DiagonalGaussian) -> DiagonalGaussian:
    """The law with N(0, I) at the first step, which gives the codes their scale."""
    steps_T = torch.arange(law_BTD.mean.shape[1], device=law_BTD.mean.device)
    later_T1 = (steps_T > 0)[:, None]
    return DiagonalGaussian(law_BTD.mean * later_T1, law_BTD.log_variance * later_T1)


def before(z_BTD: Tensor) -> Tensor:
    """The code before every step; 0 at the first."""
    return torch.cat([torch.zeros_like(z_BTD[:, :1]), z_BTD[:, :-1]], dim=1)


def beside(z_BTD: Tensor, context_BC: Tensor | None) -> Tensor:
    """Codes with the context beside them at every step."""
    if context_BC is None:
        return z_BTD
    return torch.cat([z_BTD, context_BC[:, None].expand(-1, z_BTD.shape[1], -1)], dim=-1)
