"""What must hold of a prior, of the static code or of the dynamic ones.

Shapes: B batch, T time, D code width, S width of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.codes import (
    DiagonalGaussian,
    DynamicPrior,
    StaticPrior,
    draw_mean,
    draw_sample,
)
from genzoo_rwae.errors import OptionError
from genzoo_rwae.spec.part import Part
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.parts import component_of_kind, part_of, title_of
from genzoo_rwae.testing.properties import (
    Property,
    expect,
    expect_gradients,
    expect_same,
    expect_shape,
    figure,
    investigate,
    not_built,
    property_of,
)
from genzoo_rwae.testing.strategies import samples, seeded, with_seed

__all__ = ["check_prior", "examine_prior"]


def check_prior(prior: Any, /, *, exceptions: Collection[str] = (), **options: Any) -> Report:
    """Try what must hold of a prior; for a test of one's own.

    Args:
        prior: a StaticPrior or a DynamicPrior under @prior.
        exceptions: names of properties that do not hold of this one, and need not.
        options: its options; the others have their defaults.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        PluginError: it is no prior, or an option is unknown or missing.
        ValueError: an exception is no name of a property.
    """
    __tracebackhide__ = True
    return examine_prior(prior, exceptions=exceptions, **options).raise_if_failed()


def examine_prior(prior: Any, /, *, exceptions: Collection[str] = (), **options: Any) -> Report:
    """As `check_prior`, but returns the report whatever it says."""
    component = component_of_kind("prior", prior)
    subject = PriorSubject(part_of(component, options))
    title = title_of(component)
    try:
        made = subject.fresh(2, seed=0)
    except Exception as error:  # whatever its author's code raises
        return not_built(title, "size = 2", error)
    if not isinstance(made, StaticPrior | DynamicPrior):
        found = f"found a {type(made).__name__}; wanted a StaticPrior or a DynamicPrior"
        return not_built(title, "size = 2", OptionError(found))
    properties = STATIC if isinstance(made, StaticPrior) else DYNAMIC
    return investigate(title, properties, subject, exceptions=exceptions)


@dataclass
class PriorSubject:
    """A prior with its options."""

    part: Part

    def fresh(self, size: int, *, seed: int) -> Any:
        """The prior of codes of a width, with the initial weights of a seed."""
        with with_seed(seed):
            return self.part(size)

    def lively(self, size: int) -> Any:
        """The prior with larger weights, so that its laws depend on the past enough to see it."""
        prior = self.fresh(size, seed=0).eval()
        with torch.no_grad():
            for number, parameter in enumerate(prior.parameters()):
                parameter.add_(0.3 * seeded(number, *parameter.shape))
        return prior


@dataclass(frozen=True)
class _Count:
    size: int
    count: int


@dataclass(frozen=True)
class _Path:
    z: Tensor


@dataclass(frozen=True)
class _Roll:
    size: int
    count: int
    length: int


def _counts(subject: PriorSubject) -> SearchStrategy[_Count]:
    return st.builds(_Count, st.integers(1, 4), st.integers(1, 4))


def _paths(subject: PriorSubject) -> SearchStrategy[_Path]:
    return st.builds(_Path, samples(steps=(1, 3), rows=(1, 5), width=(1, 3)))


def _rolls(subject: PriorSubject) -> SearchStrategy[_Roll]:
    return st.builds(_Roll, st.integers(1, 3), st.integers(1, 3), st.integers(1, 12))


def _expect_law(law: DiagonalGaussian, shape: Sequence[int]) -> None:
    for name, tensor in (("mean", law.mean), ("log_variance", law.log_variance)):
        expect_shape(name, tensor, shape)
        expect(tensor.isfinite().all(), f"{name} {tensor.flatten().tolist()}", "finite numbers")


def _expect_same_law(found: DiagonalGaussian, wanted: DiagonalGaussian) -> None:
    expect_same(found.mean, wanted.mean, "mean")
    expect_same(found.log_variance, wanted.log_variance, "log_variance")


def _cut(law: DiagonalGaussian, take: Callable[[Tensor], Tensor]) -> DiagonalGaussian:
    return DiagonalGaussian(take(law.mean), take(law.log_variance))


# -- static ---------------------------------------------------------------------------------------


@property_of(_counts, count=6, mend="expand the law's parameters to [count, size]")
def law(subject: PriorSubject, drawn: _Count) -> None:
    """law(count) is one law `count` times, [count, size], finite."""
    found = subject.lively(drawn.size).law(drawn.count)
    _expect_law(found, [drawn.count, drawn.size])
    _expect_same_law(found, _cut(found, lambda x: x[:1].expand_as(x)))


@property_of(
    lambda subject: st.just(3), count=1, mend="use the parameter, or drop it; look for .detach()"
)
def law_learns(subject: PriorSubject, size: int) -> None:
    """The gradient of its law reaches every parameter, if it has any."""
    prior = subject.lively(size)
    found = prior.law(4)
    mix = seeded(1, 4, size)
    expect_gradients(prior, (found.mean * mix + found.log_variance * mix.flip(0)).sum())


@property_of(
    lambda subject: st.just(3),
    count=1,
    mend="keep what it learns in parameters and buffers, and no other state",
)
def law_state(subject: PriorSubject, size: int) -> None:
    """What state_dict saves brings another one to the same law."""
    prior, other = subject.lively(size), subject.fresh(size, seed=1).eval()
    other.load_state_dict(prior.state_dict())
    _expect_same_law(other.law(2), prior.law(2))


# -- dynamic --------------------------------------------------------------------------------------


@property_of(_paths, count=8, mend="one law and one state for every step of every path")
def along(subject: PriorSubject, path: _Path) -> None:
    """along gives laws [B, T, D] and states [B, T, S], finite."""
    found, state_BTS = subject.lively(path.z.shape[-1]).along(path.z)
    _expect_law(found, path.z.shape)
    expect_shape("states", state_BTS, [*path.z.shape[:2], state_BTS.shape[-1]])
    expect(state_BTS.isfinite().all(), "states that are not finite", "finite numbers")


@property_of(
    _paths,
    count=14,
    mend="feed codes shifted by one step: zeros first, z_BTD[:, :-1] after them; no backward pass",
)
def causal(subject: PriorSubject, path: _Path) -> None:
    """The law and the state of a step depend on the codes before it alone."""
    prior = subject.lively(path.z.shape[-1])
    wanted, states = prior.along(path.z)
    for t in range(path.z.shape[1]):
        changed = torch.cat([path.z[:, :t], path.z[:, t:] + 1.0], 1)
        found, other = prior.along(changed)
        _expect_same_law(_cut(found, lambda x, t=t: x[:, t]), _cut(wanted, lambda x, t=t: x[:, t]))  # type: ignore[misc]
        expect_same(other[:, t], states[:, t], f"state of step {t}")


@property_of(_paths, count=5, mend="what is known before the first code is the same for all paths")
def starts_alike(subject: PriorSubject, path: _Path) -> None:
    """The first law and the first state are the same for every path."""
    found, states = subject.lively(path.z.shape[-1]).along(path.z)
    first = _cut(found, lambda x: x[:, 0])
    _expect_same_law(first, _cut(first, lambda x: x[:1].expand_as(x)))
    expect_same(states[:, 0], states[:1, 0].expand_as(states[:, 0]), "first states")


@property_of(
    lambda subject: st.just(_Path(seeded(5, 3, 5, 2))),
    count=1,
    mend="if steps are to be independent, except this",
)
def remembers(subject: PriorSubject, path: _Path) -> None:
    """The law of a step depends on the codes before it."""
    prior = subject.lively(2)
    changed = torch.cat([path.z[:, :-1] + 1.0, path.z[:, -1:]], 1)
    before, after = (prior.along(z)[0].mean[:, -1] for z in (path.z, changed))
    gap = float((before - after).detach().abs().max())
    expect(gap > 1e-6, f"means that differ by {figure(gap)} after another past", "a difference")


@property_of(
    lambda subject: st.builds(_Path, samples(steps=(2, 3), rows=(1, 4), width=(1, 3))),
    count=5,
    mend="no operation may mix the first axis: look for dim=0, and batch_first=True",
)
def rows_apart(subject: PriorSubject, path: _Path) -> None:
    """A path has the same laws alone as in a batch."""
    prior = subject.lively(path.z.shape[-1])
    together = prior.along(path.z)[0]
    for row in range(len(path.z)):
        found = _cut(together, lambda x, row=row: x[row : row + 1])  # type: ignore[misc]
        _expect_same_law(found, prior.along(path.z[row : row + 1])[0])


@property_of(_rolls, count=8, mend="feed back what draw gave, one step at a time")
def rolls_out(subject: PriorSubject, roll: _Roll) -> None:
    """roll_out gives finite paths [count, length, D] of any length."""
    prior = subject.lively(roll.size)
    path = prior.roll_out(roll.count, roll.length, draw_sample(torch.Generator().manual_seed(0)))
    expect_shape("paths", path, [roll.count, roll.length, roll.size])
    expect(path.isfinite().all(), "paths that are not finite", "finite numbers")


@property_of(
    _rolls,
    count=8,
    mend="along and roll_out have to be one law: the same first step, the same shift by one, the "
    "same bounds",
)
def along_what_it_rolled(subject: PriorSubject, roll: _Roll) -> None:
    """Teacher-forced laws along a rolled-out path are those that it was drawn from."""
    prior = subject.lively(roll.size)
    seen: list[DiagonalGaussian] = []

    def draw(step: DiagonalGaussian) -> Tensor:
        seen.append(step)
        return step.sample(torch.Generator().manual_seed(len(seen)))

    path = prior.roll_out(roll.count, roll.length, draw)
    expect(len(seen) == roll.length, f"{len(seen)} draws", f"one for each of {roll.length} steps")
    wanted = DiagonalGaussian(
        torch.stack([step.mean.reshape(roll.count, roll.size) for step in seen], 1),
        torch.stack([step.log_variance.reshape(roll.count, roll.size) for step in seen], 1),
    )
    _expect_same_law(prior.along(path)[0], wanted)


@property_of(
    _rolls,
    count=8,
    mend="bring the state to where start_BTD ends, and do not repeat its steps",
)
def goes_on(subject: PriorSubject, roll: _Roll) -> None:
    """Going on after the beginning of a path is rolling it out in one go."""
    prior = subject.lively(roll.size)
    whole = prior.roll_out(roll.count, roll.length + 2, draw_mean)
    rest = prior.roll_out(roll.count, 2, draw_mean, whole[:, : roll.length])
    expect_same(rest, whole[:, roll.length :], "the two steps after the start")


@property_of(
    _rolls,
    count=4,
    mend="all randomness goes through draw: no torch.randn, and no dropout in evaluation",
)
def draws_alone_are_random(subject: PriorSubject, roll: _Roll) -> None:
    """The same seed gives the same path, whatever torch's own generator does."""
    prior = subject.lively(roll.size)
    paths = []
    for other in (1, 2):
        torch.default_generator.manual_seed(other)
        draw = draw_sample(torch.Generator().manual_seed(0))
        paths.append(prior.roll_out(roll.count, roll.length, draw))
    expect_same(paths[1], paths[0], "the second path")


@property_of(
    lambda subject: st.just(_Path(seeded(5, 4, 5, 3))),
    count=1,
    mend="use the layer, or drop it; look for .detach() and torch.no_grad()",
)
def laws_learn(subject: PriorSubject, path: _Path) -> None:
    """The gradient of its laws reaches every parameter."""
    prior = subject.fresh(3, seed=0)
    found = prior.along(path.z)[0]
    mix = seeded(1, *path.z.shape)
    expect_gradients(prior, (found.mean * mix + found.log_variance * mix.flip(0)).sum())


@property_of(
    lambda subject: st.just(_Path(seeded(5, 2, 4, 2))),
    count=1,
    mend="keep what it learns in parameters and buffers, and no other state",
)
def laws_state(subject: PriorSubject, path: _Path) -> None:
    """What state_dict saves brings another one to the same laws."""
    prior, other = subject.lively(2), subject.fresh(2, seed=1).eval()
    other.load_state_dict(prior.state_dict())
    _expect_same_law(other.along(path.z)[0], prior.along(path.z)[0])


STATIC: Sequence[Property] = (law, law_learns, law_state)
DYNAMIC: Sequence[Property] = (
    along,
    causal,
    starts_alike,
    remembers,
    rows_apart,
    rolls_out,
    along_what_it_rolled,
    goes_on,
    draws_alone_are_random,
    laws_learn,
    laws_state,
)
