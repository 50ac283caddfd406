"""One law for all things of a sequence, which are independent under it.

Shapes: B sequences, K things of each, S codes of a thing, N = B K.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor

from genzoo_rwae.codes import DiagonalGaussian, Law, StaticPrior

__all__ = ["SharedPrior"]


class SharedPrior(StaticPrior):
    """P(z^c) = Π_k P(z^c_k): the same static prior for every thing.

    Args:
        each: the prior of one thing.
        things: K.
    """

    def __init__(self, each: StaticPrior, things: int, /) -> None:
        super().__init__()
        self.each, self.things = each, things

    def law(self, count: int) -> Law:
        """The prior `count` times: [B, K S]."""
        law = self.each.law(count)
        if isinstance(law, DiagonalGaussian):
            mean_BS, log_variance_BS = (
                repeat(of_one_BS, "b s -> b (k s)", k=self.things)
                for of_one_BS in (law.mean, law.log_variance)
            )
            return DiagonalGaussian(mean_BS, log_variance_BS)
        return _Independent(law, self.things)

    def fit_to(self, draws: Callable[[int], Tensor]) -> str | None:
        """Fit the prior of one thing to the codes of all things."""

        def of_single_things(most: int) -> Tensor:
            return rearrange(draws(most), "b (k s) -> (b k) s", k=self.things)

        return self.each.fit_to(of_single_things)


@dataclass(frozen=True)
class _Independent:
    """The same law for every thing, where that is no Gaussian."""

    each: Law
    things: int

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return torch.cat([self.each.sample(generator) for _ in range(self.things)], -1)

    def typical(self) -> Tensor:
        return torch.cat([self.each.typical()] * self.things, -1)

    def log_density(self, z_BS: Tensor) -> Tensor:
        parts = z_BS.chunk(self.things, -1)
        return torch.stack([self.each.log_density(part) for part in parts]).sum(0)
