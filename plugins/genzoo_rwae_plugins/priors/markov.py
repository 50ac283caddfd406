"""Dynamic priors that know the last code alone, or nothing.

Shapes: B batch, T time, D code width, C width of the context.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, Draw, DynamicPrior
from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae_plugins.priors.bounds import Variances, anchored, before

__all__ = ["IidPrior", "MarkovPrior", "RandomWalkPrior"]


class MarkovPrior(DynamicPrior):
    """P(z_1) = N(0, I) and P(z_t | z_<t) = P(z_t | z_t−1); the state of a step is z_t−1.

    A prior of one's own is a subclass with `transition`.

    Args:
        size: D.
    """

    anchor: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        # tells roll-outs the device, where there is nothing to learn
        self.register_buffer("anchor", torch.zeros(size), persistent=False)

    @abstractmethod
    def transition(self, before_BTD: Tensor, context_BC: Tensor | None) -> DiagonalGaussian:
        """P(z_t | z_t−1) [B, T, D] of steps that have a code before them."""

    def along(
        self, z_BTD: Tensor, context_BC: Tensor | None = None
    ) -> tuple[DiagonalGaussian, Tensor]:
        """Laws [B, T, D] along given paths, and the codes before [B, T, D]."""
        before_BTD = before(z_BTD.float())
        return anchored(self.transition(before_BTD, context_BC)), before_BTD

    def roll_out(
        self,
        count: int,
        length: int,
        draw: Draw,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        """Paths [B, length, D]; after `start_BTD` if there is one."""
        path = [] if start_BTD is None else [start_BTD[:, -1:].float()]
        given = len(path)
        if not path:
            zero_B1D = self.anchor.expand(count, 1, -1)
            path.append(draw(DiagonalGaussian(zero_B1D, zero_B1D)))
        while len(path) < given + length:
            path.append(draw(self.transition(path[-1], context_BC)))
        return torch.cat(path[given:], dim=1)


@prior("random-walk")
class RandomWalkPrior(MarkovPrior):
    """z_t = z_t−1 + σ ε_t, from N(0, I): codes that move on from where they are.

    The variance of a code grows by σ² a step, to 1 + (t − 1) σ²; that is what a random walk is.

    Args:
        sd: σ of every entry at the start.
        step: `learnt`: every entry has a σ of its own, between a tenth and ten times `sd`; `fixed`:
            it stays at `sd`.
    """

    def __init__(
        self,
        size: int,
        /,
        *,
        sd: PositiveFloat = 0.3,
        step: Literal["learnt", "fixed"] = "learnt",
    ) -> None:
        super().__init__(size)
        self.variances = Variances(sd / 10, sd * 10)
        said_D = torch.full((size,), self.variances.said(sd))
        if step == "learnt":
            self.said = nn.Parameter(said_D)
        else:
            self.register_buffer("said", said_D)

    def transition(self, before_BTD: Tensor, context_BC: Tensor | None) -> DiagonalGaussian:
        """N(z_t−1, diag σ²)."""
        log_variance_D = self.variances.log_variance(self.said)
        return DiagonalGaussian(before_BTD, log_variance_D.expand_as(before_BTD))


@prior("iid")
class IidPrior(DynamicPrior):
    """P(z_t) = N(0, I) at every step, whatever came before.

    What a model without a dynamic prior has: beside it, another one shows what it is worth. It
    remembers nothing; its state is a single 0.
    """

    anchor: Tensor

    def __init__(self, size: int, /) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.zeros(size), persistent=False)

    def along(
        self, z_BTD: Tensor, context_BC: Tensor | None = None
    ) -> tuple[DiagonalGaussian, Tensor]:
        """N(0, I) at every step [B, T, D], and states [B, T, 1] of zeros."""
        zero_BTD = torch.zeros_like(z_BTD, dtype=torch.float32)
        return DiagonalGaussian(zero_BTD, zero_BTD), zero_BTD[..., :1]

    def roll_out(
        self,
        count: int,
        length: int,
        draw: Draw,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        """Paths [B, length, D]; what `start_BTD` was does not matter."""
        zero_B1D = self.anchor.expand(count, 1, -1)
        law = DiagonalGaussian(zero_B1D, zero_B1D)
        return torch.cat([draw(law) for _ in range(length)], dim=1)


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield RandomWalkPrior
    yield IidPrior
