"""Codes and their laws, as they travel from a model to the objective.

Shapes: B batch, T time, D width of a code, S width of a prior's state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = [
    "Codes",
    "DiagonalGaussian",
    "Draw",
    "DynamicCode",
    "DynamicPrior",
    "StaticCode",
    "StaticPrior",
    "draw_mean",
    "draw_sample",
]


@dataclass(frozen=True)
class DiagonalGaussian:
    """Independent Gaussians, one per entry.

    Attributes:
        mean: [..., D].
        log_variance: [..., D].

    >>> law = DiagonalGaussian(torch.zeros(2, 3), torch.zeros(2, 3))
    >>> law.sample(torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3])
    """

    mean: Tensor
    log_variance: Tensor

    @property
    def sd(self) -> Tensor:
        return (0.5 * self.log_variance).exp()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A reparametrised sample [..., D]; gradients reach mean and log-variance.

        Noise is drawn where the generator is, so that one generator serves laws on any device.
        """
        device = self.mean.device if generator is None else generator.device
        noise = torch.randn(
            self.mean.shape, generator=generator, dtype=self.mean.dtype, device=device
        )
        return self.mean + self.sd * noise.to(self.mean.device)

    def kl(self, other: DiagonalGaussian) -> Tensor:
        """KL(self ‖ other) in nats, summed over D: [...].

        ½ Σ_d [ln v'_d − ln v_d + (v_d + (μ_d − μ'_d)²)/v'_d − 1]
        """
        gap = (self.mean - other.mean).square()
        ratio = (self.log_variance - other.log_variance).exp()
        scaled = gap * (-other.log_variance).exp()
        return 0.5 * (other.log_variance - self.log_variance + ratio + scaled - 1).sum(-1)


Draw = Callable[[DiagonalGaussian], Tensor]
"""Takes a law to a value: a sample in training, the mean when codes are measured."""


def draw_mean(law: DiagonalGaussian) -> Tensor:
    """The law's mean."""
    return law.mean


def draw_sample(generator: torch.Generator | None) -> Draw:
    """Samples of laws from one generator."""

    def draw(law: DiagonalGaussian) -> Tensor:
        return law.sample(generator)

    return draw


@dataclass(frozen=True)
class StaticCode:
    """The static code of a batch beside its prior.

    Attributes:
        sample: z^c [B, D].
        posterior: q(z^c | x_1:T) [B, D].
        prior: P(z^c) [B, D], the same law in every row.
    """

    sample: Tensor
    posterior: DiagonalGaussian
    prior: DiagonalGaussian


@dataclass(frozen=True)
class DynamicCode:
    """The dynamic codes of a batch beside their prior.

    Attributes:
        sample: z^m [B, T, D].
        posterior: q(z^m_t | z^m_<t, x_t) [B, T, D].
        prior: p(z^m_t | z^m_<t) [B, T, D], along the sampled path.
        state: what the prior knows of z^m_<t [B, T, S]; constant at t = 1.
    """

    sample: Tensor
    posterior: DiagonalGaussian
    prior: DiagonalGaussian
    state: Tensor


@dataclass(frozen=True)
class Codes:
    """What a model infers from a batch."""

    static: StaticCode
    dynamic: DynamicCode


class StaticPrior(nn.Module, ABC):
    """P(z^c)."""

    @abstractmethod
    def law(self, count: int) -> DiagonalGaussian:
        """The prior `count` times: [B, D]."""


class DynamicPrior(nn.Module, ABC):
    """P(z^m_1:T), factorised over time."""

    @abstractmethod
    def along(self, z_BTD: Tensor) -> tuple[DiagonalGaussian, Tensor]:
        """Teacher-forced: p(z_t | z_<t) [B, T, D] along given paths, and states [B, T, S]."""

    @abstractmethod
    def roll_out(
        self, count: int, length: int, draw: Draw, start_BTD: Tensor | None = None
    ) -> Tensor:
        """Paths [B, length, D] from scratch, or going on after `start_BTD` (not repeated)."""
