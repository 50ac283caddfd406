"""Priors as their properties see them, and examples of what they are given.

Shapes: B batch, T time, D code width, C width of the context.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.codes import DiagonalGaussian, DynamicPrior, Law, Paths, StaticPrior
from genzoo_rwae.components import wired_of
from genzoo_rwae.spec.part import Part
from genzoo_rwae.testing.properties import expect, expect_same, expect_shape
from genzoo_rwae.testing.strategies import samples, seeded, with_seed

__all__ = [
    "Numbers",
    "Path",
    "PriorSubject",
    "Roll",
    "Told",
    "cut",
    "expect_law",
    "expect_same_law",
    "expect_same_numbers",
    "numbers_of",
    "numbers_of_any",
    "paths",
    "rolls",
    "some_paths",
]


@dataclass
class PriorSubject:
    """A prior with its options."""

    part: Part
    _lively: dict[tuple[int, int], Any] = field(default_factory=dict, repr=False)

    @cached_property
    def is_fitted(self) -> bool:
        """Whether it is a dynamic prior that is fitted when training is over."""
        prior = self.fresh(1, seed=0)
        inherited = type(prior).fit_to is DynamicPrior.fit_to
        return isinstance(prior, DynamicPrior) and not inherited

    @cached_property
    def takes_context(self) -> bool:
        """Whether it can be told something, as the action."""
        return len(wired_of(self.part.registered.component.build)) > 1

    def fresh(self, size: int, context: int = 0, *, seed: int) -> Any:
        """The prior of codes of a width, with the initial weights of a seed."""
        with with_seed(seed):
            return self.part(size, context) if context else self.part(size)

    def lively(self, size: int, context: int = 0) -> Any:
        """The prior with larger weights, so that its laws depend on the past enough to see it.

        One that is fitted when training is over has been.
        """
        if (size, context) not in self._lively:
            self._lively[size, context] = self.fitted(size, context)
        return copy.deepcopy(self._lively[size, context])

    def fitted(self, size: int, context: int = 0, *, beyond: float = 0.0) -> Any:
        """As `lively`, made anew; `beyond` stands in paths where they are over."""
        prior = self.fresh(size, context, seed=0).eval()
        with torch.no_grad():
            for number, parameter in enumerate(prior.parameters()):
                parameter.add_(0.3 * seeded(number, *parameter.shape))
            if isinstance(prior, StaticPrior):
                prior.fit_to(lambda most: 0.5 + seeded(7, min(most, 200), size))
            if isinstance(prior, DynamicPrior):
                prior.fit_to(lambda most: some_paths(min(most, 40), size, context, beyond))
        return prior

    def told(self, size: int, context: int) -> Told:
        """The lively prior and, if the context has a width, what it is told."""
        return Told(self.lively(size, context), context)


def some_paths(count: int, size: int, context: int, beyond: float = 0.0) -> Paths:
    """Paths of 2 to 4 steps that go by what they are told, for a prior that is fitted to some."""
    lengths_N = 2 + torch.arange(count) % 3
    told_NC = torch.eye(context)[torch.arange(count) % context] if context else None
    walk_NTD = seeded(7, count, 4, size).cumsum(1)
    if told_NC is not None:
        walk_NTD = walk_NTD + told_NC.argmax(-1)[:, None, None]
    over_NT = torch.arange(4) >= lengths_N[:, None]
    return Paths(walk_NTD.masked_fill(over_NT[..., None], beyond), lengths_N, told_NC)


@dataclass(frozen=True)
class Told:
    """A dynamic prior that is told, of every path, one of a few things."""

    prior: Any
    context: int

    def contexts(self, count: int) -> tuple[Tensor, ...]:
        """One-hot contexts [B, C] of paths; nothing if there are none."""
        if not self.context:
            return ()
        return (torch.eye(self.context)[torch.arange(count) % self.context],)

    def along(self, z_BTD: Tensor) -> tuple[Law, Tensor]:
        found: tuple[Law, Tensor] = self.prior.along(z_BTD, *self.contexts(len(z_BTD)))
        return found

    def roll_out(
        self, count: int, length: int, draw: Any, start_BTD: Tensor | None = None
    ) -> Tensor:
        given = dict(zip(["context_BC"], self.contexts(count), strict=False))
        path_BTD: Tensor = self.prior.roll_out(count, length, draw, start_BTD, **given)
        return path_BTD


@dataclass(frozen=True)
class Path:
    """Given paths z [B, T, D], and the width of the context; 0: none."""

    z: Tensor
    context: int = 0


@dataclass(frozen=True)
class Roll:
    """What is to be rolled out, and the width of the context; 0: none."""

    size: int
    count: int
    length: int
    context: int


def _contexts(subject: PriorSubject) -> SearchStrategy[int]:
    return st.sampled_from([0, 2]) if subject.takes_context else st.just(0)


def paths(
    subject: PriorSubject, steps: tuple[int, int] = (1, 3), rows: tuple[int, int] = (1, 5)
) -> SearchStrategy[Path]:
    """Given paths; `samples` has their batch where its steps are, and their steps in its rows."""
    return st.builds(Path, samples(steps=steps, rows=rows, width=(1, 3)), _contexts(subject))


def rolls(subject: PriorSubject) -> SearchStrategy[Roll]:
    few = st.integers(1, 3)
    return st.builds(Roll, few, few, st.integers(1, 12), _contexts(subject))


Numbers = Mapping[str, Tensor]
"""What tells one law from another, name -> [..., F]."""


def numbers_of(law: Law) -> Numbers:
    """Mean and log-variance of a Gaussian; of another law what is typical, and some densities."""
    if isinstance(law, DiagonalGaussian):
        return {"mean": law.mean, "log_variance": law.log_variance}
    return numbers_of_any(law)


def numbers_of_any(law: Law) -> Numbers:
    """What is typical, and the densities at three points: every law has these."""
    typical = law.typical()
    points = (torch.full_like(typical, value) for value in (-1.0, 0.0, 1.0))
    densities = torch.stack([law.log_density(point) for point in points], -1)
    return {"typical value": typical, "log_density": densities}


def expect_law(law: Law, shape: Sequence[int]) -> None:
    """Raise Falsified unless a law has a shape and finite numbers."""
    for name, tensor in numbers_of(law).items():
        expect_shape(name, tensor, [*shape[:-1], 3] if name == "log_density" else shape)
        expect(tensor.isfinite().all(), f"{name} {tensor.flatten().tolist()}", "finite numbers")


def expect_same_numbers(found: Numbers, wanted: Numbers) -> None:
    """Raise Falsified unless two laws are the same."""
    expect(found.keys() == wanted.keys(), f"{[*found]}", f"{[*wanted]}, as of the same law")
    for name, tensor in found.items():
        expect_same(tensor, wanted[name], name)


def expect_same_law(found: Law, wanted: Law) -> None:
    """Raise Falsified unless two laws are the same."""
    expect_same_numbers(numbers_of(found), numbers_of(wanted))


def cut(numbers: Numbers, index: Any) -> Numbers:
    """Those of a part of the rows or steps."""
    return {name: tensor[index] for name, tensor in numbers.items()}
