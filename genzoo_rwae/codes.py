"""Codes and their laws, as they travel from a model to the objective.

Shapes: B batch, N sequences, T time, D width of a code, S width of a prior's state, A number of
actions, C width of what a prior is told.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from genzoo_rwae.draws import normal_draws, uniform_draws

__all__ = [
    "ActionCode",
    "Categorical",
    "Codes",
    "DiagonalGaussian",
    "Draw",
    "DrawnCodes",
    "DynamicCode",
    "DynamicPrior",
    "Latents",
    "Law",
    "Paths",
    "StaticCode",
    "StaticPrior",
    "draw_mean",
    "draw_sample",
]


class Law(Protocol):
    """A law of codes [..., D], one for every row."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A value of every row [..., D], reparametrised where it can be."""

    def typical(self) -> Tensor:
        """The value that stands for the law when codes are measured [..., D]."""

    def log_density(self, z: Tensor) -> Tensor:
        """Of values [..., D], in nats: [...]."""


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

    def typical(self) -> Tensor:
        """Its mean."""
        return self.mean

    def log_density(self, z: Tensor) -> Tensor:
        """Of values [..., D], in nats: [...].

        −½ Σ_d [ln 2πv_d + (z_d − μ_d)²/v_d]
        """
        scaled = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (math.log(2 * math.pi) + self.log_variance + scaled).sum(-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A reparametrised sample [..., D]; gradients reach mean and log-variance.

        Noise is drawn where the generator is, so that one generator serves laws on any device.
        """
        mean = self.mean
        noise = normal_draws(mean.shape, generator, dtype=mean.dtype, device=mean.device)
        return mean + self.sd * noise

    def kl(self, other: DiagonalGaussian) -> Tensor:
        """KL(self ‖ other) in nats, summed over D: [...].

        ½ Σ_d [ln v'_d − ln v_d + (v_d + (μ_d − μ'_d)²)/v'_d − 1]
        """
        gap = (self.mean - other.mean).square()
        ratio = (self.log_variance - other.log_variance).exp()
        scaled = gap * (-other.log_variance).exp()
        return 0.5 * (other.log_variance - self.log_variance + ratio + scaled - 1).sum(-1)


@dataclass(frozen=True)
class Categorical:
    """One of A classes per row, as a one-hot code or a relaxed one.

    Attributes:
        logits: [..., A], unnormalised log-probabilities.
        temperature: of relaxed samples; towards 0 they become one-hot.
        hard: samples are one-hot, their gradient that of the relaxed ones (straight-through).

    Source: Jang et al., arXiv 1611.01144; Maddison et al., arXiv 1611.00712.

    >>> law = Categorical(torch.tensor([[0.0, 2.0, 1.0]]))
    >>> law.typical()
    tensor([[0., 1., 0.]])
    """

    logits: Tensor
    temperature: float = 1.0
    hard: bool = False

    @property
    def log_p(self) -> Tensor:
        """ln of the probabilities [..., A]."""
        return self.logits.log_softmax(-1)

    def typical(self) -> Tensor:
        """The likeliest class, one-hot [..., A]."""
        return one_hot(self.logits.argmax(-1), self.logits.shape[-1]).to(self.logits.dtype)

    def log_density(self, z: Tensor) -> Tensor:
        """ln of the probability of one-hot values [..., A]; of relaxed ones the weighted mean."""
        return (z * self.log_p).sum(-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A relaxed or straight-through sample [..., A]; gradients reach the logits."""
        logits = self.logits
        uniform = uniform_draws(logits.shape, generator, dtype=logits.dtype, device=logits.device)
        tiny = torch.finfo(logits.dtype).tiny
        gumbel = -(-uniform.clamp_min(tiny).log()).clamp_min(tiny).log()
        relaxed = ((logits + gumbel) / self.temperature).softmax(-1)
        if not self.hard:
            return relaxed
        chosen = one_hot(relaxed.argmax(-1), relaxed.shape[-1]).to(relaxed.dtype)
        return chosen + (relaxed - relaxed.detach())  # in this order: exactly one-hot


@dataclass(frozen=True)
class Draw:
    """Takes a law to a value: a sample in training, what is typical when codes are measured.

    Attributes:
        generator: of the samples.
        typical: no samples.
        progress: share of the run that is over, in [0, 1]; 1 outside training.
    """

    generator: torch.Generator | None = None
    typical: bool = False
    progress: float = 1.0

    def __call__(self, law: Law) -> Tensor:
        return law.typical() if self.typical else law.sample(self.generator)


draw_mean = Draw(typical=True)
"""Means of Gaussian laws, the likeliest class of categorical ones."""


def draw_sample(generator: torch.Generator | None, progress: float = 1.0) -> Draw:
    """Samples of laws from one generator."""
    return Draw(generator, progress=progress)


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
    prior: Law


@dataclass(frozen=True)
class DynamicCode:
    """The dynamic codes of a batch beside their prior.

    Attributes:
        sample: z^m [B, T, D].
        posterior: q(z^m_t | z^m_<t, x_t) [B, T, D].
        prior: p(z^m_t | z^m_<t) [B, T, D], along the sampled path; Gaussian in most priors.
        state: what the prior knows of z^m_<t [B, T, S]; constant at t = 1.
    """

    sample: Tensor
    posterior: DiagonalGaussian
    prior: Law
    state: Tensor


@dataclass(frozen=True)
class ActionCode:
    """The action of a batch beside its prior.

    Attributes:
        sample: a [B, A], one-hot or relaxed.
        posterior: q(a | z^m_1:T) [B, A].
        prior: P(a) [B, A], uniform.
    """

    sample: Tensor
    posterior: Categorical
    prior: Categorical


@dataclass(frozen=True)
class Codes:
    """What a model infers from a batch; `action` of models that have one."""

    static: StaticCode
    dynamic: DynamicCode
    action: ActionCode | None = None


@dataclass(frozen=True)
class Latents:
    """Values of all codes, as a decoder takes them.

    Attributes:
        static_BD: z^c.
        dynamic_BTD: z^m.
        action_BA: one-hot a, of models that have one.
    """

    static_BD: Tensor
    dynamic_BTD: Tensor
    action_BA: Tensor | None = None


@dataclass(frozen=True)
class DrawnCodes:
    """Draws of the codes of training sequences, for priors that are fitted to them; no labels.

    Attributes:
        static_ND: z^c, on the model's device.
        dynamic_NTD: z^m, likewise; 0 beyond the true lengths.
        lengths_N: true lengths, on the CPU.
        action_NA: one-hot a, of models that have actions.
    """

    static_ND: Tensor
    dynamic_NTD: Tensor
    lengths_N: Tensor
    action_NA: Tensor | None = None


@dataclass(frozen=True)
class Paths:
    """Draws of dynamic codes, as a prior is fitted to them.

    Attributes:
        z_NTD: the paths, on the model's device; what is beyond the true lengths counts for nothing.
        lengths_N: true lengths, on the CPU.
        context_NC: what the prior is told of every path, if it is told something.
    """

    z_NTD: Tensor
    lengths_N: Tensor
    context_NC: Tensor | None = None


class StaticPrior(nn.Module, ABC):
    """P(z^c)."""

    @abstractmethod
    def law(self, count: int) -> Law:
        """The prior `count` times: [B, D]."""

    def fit_to(self, draws: Callable[[int], Tensor]) -> str | None:
        """Called when training is over; a prior that is learnt in training has nothing to do.

        It is called under `torch.no_grad()`, in evaluation mode.

        Args:
            draws: gives draws of Q(z^c | x) [N, D] for at most so many training sequences, spread
                evenly.

        Returns:
            What was fitted, for the console; None: nothing.
        """
        return None


class DynamicPrior(nn.Module, ABC):
    """P(z^m_1:T), factorised over time.

    A prior that can be told the action is built with its width as a second wired argument,
    (size, context, /). That is 0 where it is told nothing; else it gets `context_BC` in both
    methods. Others never see one.
    """

    @abstractmethod
    def along(self, z_BTD: Tensor, context_BC: Tensor | None = None) -> tuple[Law, Tensor]:
        """Teacher-forced: p(z_t | z_<t) [B, T, D] along given paths, and states [B, T, S]."""

    @abstractmethod
    def roll_out(
        self,
        count: int,
        length: int,
        draw: Draw,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        """Paths [B, length, D] from scratch, or going on after `start_BTD` (not repeated)."""

    def fit_to(self, draws: Callable[[int], Paths]) -> str | None:
        """As `StaticPrior.fit_to`; `draws` gives draws of Q(z^m_1:T | x)."""
        return None

    def log_density(self, z_BTD: Tensor, context_BC: Tensor | None = None) -> Tensor:
        """ln p(z_t | z_<t) of given paths, in nats: [B, T]."""
        law, _ = self.along(z_BTD) if context_BC is None else self.along(z_BTD, context_BC)
        return law.log_density(z_BTD)
