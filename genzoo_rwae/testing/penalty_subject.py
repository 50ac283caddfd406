"""A penalty as the properties of penalties see it: called as the host calls it.

Shapes: N rows, D code width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.adversarial import AdversarialPenalty
from genzoo_rwae.codes import Categorical, DiagonalGaussian
from genzoo_rwae.objective.wiring import WiredPenalty
from genzoo_rwae.spec.part import Part
from genzoo_rwae.testing.strategies import (
    Pair,
    pairs_of_categoricals,
    pairs_of_laws,
    pairs_of_samples,
    seeded,
    with_seed,
)

__all__ = [
    "PenaltySubject",
    "leaves",
    "mapped",
    "moved",
    "names_of_leaves",
    "with_gradient",
    "with_leaf",
    "with_shuffled_motion",
]


@dataclass
class PenaltySubject:
    """A penalty with its options, built for whatever width an example has."""

    part: Part
    built: dict[tuple[int, torch.dtype], WiredPenalty] = field(default_factory=dict)

    def at(self, pair: Pair) -> WiredPenalty:
        """The penalty for rows of the pair's width and dtype; the same one every time."""
        entries = leaves(pair)[0]
        key = (entries.shape[-1], entries.dtype)
        if key not in self.built:
            self.built[key] = self.fresh(*key, seed=0)
        return self.built[key]

    def fresh(self, width: int, dtype: torch.dtype, *, seed: int) -> WiredPenalty:
        """The penalty with initial weights of a seed, if it has weights."""
        with with_seed(seed):
            wired = WiredPenalty(self.part, width, split=max(1, width // 2))
        if wired.module is not None:
            wired.module.to(dtype).eval()
        return wired

    def value(
        self, pair: Pair, *, paired: bool = False, weights_N: Tensor | None = None, seed: int = 0
    ) -> Tensor:
        """What the host would get for a pair."""
        wired = self.at(pair)
        with with_seed(seed):
            return wired(pair.q, pair.p, paired=paired, weights_N=weights_N)

    def critic_loss(self, wired: WiredPenalty, pair: Pair) -> Tensor:
        assert wired.critic is not None
        return wired.critic.critic_loss(pair.q, pair.p, *wired.further(paired=False))

    def pairs(
        self,
        rows: tuple[int, int] = (2, 6),
        *,
        generic: bool = False,
        width: tuple[int, int] = (1, 3),
        **how: Any,
    ) -> SearchStrategy[Pair]:
        """Examples of what the penalty compares, in the dtype that shows most."""
        how = {"dtypes": [self.dtype], **how}
        if self.law is Categorical:
            classes = (max(2, width[0]), max(2, width[1]))
            return pairs_of_categoricals(rows=rows, classes=classes, **how)
        if self.wants_laws:
            return pairs_of_laws(rows=rows, width=width, **how)
        if self.split:
            wide = (max(2, width[0]), max(2, width[1]))
            found = pairs_of_samples(rows=rows, width=wide, generic=generic, **how)
            return found.map(lambda pair: with_shuffled_motion(pair.q))
        return pairs_of_samples(rows=rows, width=width, generic=generic, **how)

    def like(self, mean_ND: Tensor, p_ND: Tensor) -> Pair:
        """A pair of the penalty's sort with these rows (as means or logits of laws)."""
        if self.law is Categorical:
            return Pair(Categorical(mean_ND), Categorical(p_ND))
        if self.wants_laws:
            return Pair(
                *(DiagonalGaussian(rows, torch.zeros_like(rows)) for rows in (mean_ND, p_ND))
            )
        return Pair(mean_ND, p_ND)

    @cached_property
    def _probe(self) -> Pair:
        return self.like(seeded(1, 8, 4), seeded(2, 8, 4))

    @cached_property
    def law(self) -> type | None:
        """The laws that it compares; None: samples."""
        return self.at(Pair(seeded(1, 8, 4), seeded(2, 8, 4))).law

    @property
    def wants_laws(self) -> bool:
        return self.law is not None

    @cached_property
    def extras(self) -> tuple[str, ...]:
        return self.at(self._probe).extras

    @property
    def split(self) -> bool:
        return "split" in self.extras

    @cached_property
    def module(self) -> bool:
        return self.at(self._probe).module is not None

    @cached_property
    def adversarial(self) -> bool:
        build = self.part.registered.component.build
        return isinstance(build, type) and issubclass(build, AdversarialPenalty)

    @property
    def batched(self) -> bool:
        return self.part.registered.component.batched

    @property
    def coupled(self) -> bool:
        return self.part.registered.component.batch_coupled

    @cached_property
    def takes_float64(self) -> bool:
        """Whether float64 goes in and comes out."""
        try:
            return self.value(mapped(self._probe, Tensor.double)).dtype == torch.float64
        except Exception:
            return False

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.takes_float64 else torch.float32

    @cached_property
    def random(self) -> bool:
        """Whether its value depends on torch's generator."""
        try:
            return bool(self.value(self._probe) != self.value(self._probe, seed=1))
        except Exception:  # what is wrong with it, the first property says
            return False

    def tolerance(self, *values: Tensor) -> float:
        """How far two values of it may be apart that should be equal."""
        size = max(1.0, *(float(value.detach().abs().max()) for value in values))
        near = 1e-9 if values[0].dtype == torch.float64 else 1e-4
        return near * size


def leaves(pair: Pair) -> list[Tensor]:
    """The tensors of a pair."""
    tensors: list[Tensor] = []
    for side in (pair.q, pair.p):
        tensors += list(_tensors(side).values())
    return tensors


def _tensors(side: Any) -> dict[str, Tensor]:
    """The tensors of one side, by what they are called there."""
    if isinstance(side, DiagonalGaussian):
        return {".mean": side.mean, ".log_variance": side.log_variance}
    return {".logits": side.logits} if isinstance(side, Categorical) else {"": side}


def mapped(pair: Pair, change: Callable[[Tensor], Tensor]) -> Pair:
    """A pair with all its tensors changed."""

    def one(side: Any) -> Any:
        if isinstance(side, DiagonalGaussian):
            return DiagonalGaussian(change(side.mean), change(side.log_variance))
        if isinstance(side, Categorical):
            return replace(side, logits=change(side.logits))
        return change(side)

    return Pair(one(pair.q), one(pair.p))


def moved(pair: Pair, by: float) -> Pair:
    """q's rows, or the means of its laws, moved along all axes; its logits along the first.

    Along all axes logits move without a change of the law.
    """
    if isinstance(pair.q, Categorical):
        first_A = torch.eye(pair.q.logits.shape[-1], dtype=pair.q.logits.dtype)[0]
        return replace(pair, q=replace(pair.q, logits=pair.q.logits + by * first_A))
    if isinstance(pair.q, DiagonalGaussian):
        return replace(pair, q=replace(pair.q, mean=pair.q.mean + by))
    return replace(pair, q=pair.q + by)


def with_gradient(pair: Pair) -> Pair:
    return mapped(pair, lambda tensor: tensor.clone().requires_grad_())


def with_leaf(pair: Pair, number: int, tensor: Tensor) -> Pair:
    """A pair with one of its tensors replaced."""
    tensors = iter(tensor if i == number else leaf for i, leaf in enumerate(leaves(pair)))
    return mapped(pair, lambda leaf: next(tensors))


def names_of_leaves(pair: Pair) -> list[str]:
    return [f"{name}{of}" for name in ("q", "p") for of in _tensors(getattr(pair, name))]


def with_shuffled_motion(q_ND: Tensor) -> Pair:
    """Rows against the same with the second code of the row before, as the host compares them."""
    half = max(1, q_ND.shape[-1] // 2)
    return Pair(q_ND, torch.cat([q_ND[..., :half], q_ND[..., half:].roll(1, -2)], -1))
