"""What must hold of a reconstruction cost.

Shapes: B batch, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.spec.part import Part
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.frames import FRAME_SHAPES, Sequences, investigate_on_frames
from genzoo_rwae.testing.parts import component_of_kind, part_of
from genzoo_rwae.testing.properties import (
    Property,
    expect,
    expect_close,
    expect_same,
    expect_shape,
    figure,
    property_of,
)

__all__ = ["COST", "check_cost", "examine_cost"]

_STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # down a gradient, in units of what it moves


def check_cost(cost: Any, /, **how: Any) -> Report:
    """Try what must hold of a reconstruction cost; for a test of one's own.

    Args:
        cost: a function under @cost.
        how: as of `examine_cost`.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        PluginError: it is no cost, or an option is unknown or missing.
        ValueError: a claim or an exception is no name of a property.
    """
    __tracebackhide__ = True
    return examine_cost(cost, **how).raise_if_failed()


def examine_cost(
    cost: Any,
    /,
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
    frame_shapes: Sequence[tuple[int, ...]] = FRAME_SHAPES,
    **options: Any,
) -> Report:
    """As `check_cost`, but returns the report whatever it says.

    Args:
        cost: a function under @cost.
        claims: what holds of this one beyond what must hold of all: `symmetric`, `zero at truth`.
        exceptions: names of properties that do not hold of this one, and need not.
        frame_shapes: shapes of frames that it is tried with; those that it refuses with an
            OptionError are left out.
        options: its options; the others have their defaults.
    """
    component = component_of_kind("cost", cost)
    part = part_of(component, options)
    return investigate_on_frames(
        component,
        COST,
        lambda taken: _Subject(part, taken),
        lambda x_BT: part(x_BT, x_BT),
        frame_shapes,
        claims=claims,
        exceptions=exceptions,
    )


@dataclass
class _Subject:
    """A cost with its options, and the frames that it takes."""

    part: Part
    frame_shapes: list[tuple[int, ...]]

    def __call__(self, x_BT: Tensor, x_hat_BT: Tensor) -> Tensor:
        cost_BT: Tensor = self.part(x_BT, x_hat_BT)
        return cost_BT

    def slope(self, x_BT: Tensor, x_hat_BT: Tensor) -> Tensor:
        """The gradient of the sum over frames, at a reconstruction."""
        x_hat_BT = x_hat_BT.detach().requires_grad_()
        cost_BT = self(x_BT, x_hat_BT)
        expect(cost_BT.requires_grad, "a cost without a gradient", "one that follows x_hat_BT")
        (slope_BT,) = torch.autograd.grad(cost_BT.sum(), x_hat_BT, allow_unused=True)
        expect(slope_BT is not None, "no gradient of x_hat_BT", "one")
        return slope_BT


def _sequences(subject: _Subject) -> SearchStrategy[Sequences]:
    shapes = st.sampled_from(subject.frame_shapes)
    return st.builds(Sequences, shapes, st.integers(1, 3), st.integers(1, 4))


def _both(sequences: Sequences, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Sequences and another reconstruction of them."""
    return sequences.values(dtype), sequences.values(dtype, seed=2)


@property_of(_sequences, count=8, mend="sum over all but the first two axes: .flatten(2).sum(-1)")
def form(subject: _Subject, sequences: Sequences) -> None:
    """It gives a finite number of the same dtype for every frame."""
    for dtype in (torch.float32, torch.float64):
        x_BT, x_hat_BT = _both(sequences, dtype)
        found = subject(x_BT, x_hat_BT)
        expect_shape("the cost", found, x_BT.shape[:2])
        expect(found.dtype == dtype, f"{found.dtype} of {dtype}", f"{dtype}")
        expect(found.isfinite().all(), "costs that are not finite", "finite numbers")


@property_of(
    _sequences, count=6, mend="no mean over a batch or over time, and no number taken from one"
)
def frames_apart(subject: _Subject, sequences: Sequences) -> None:
    """The cost of a frame is what it costs alone."""
    x_BT, x_hat_BT = _both(sequences)
    alone = subject(x_BT[-1:, -1:], x_hat_BT[-1:, -1:])
    expect_same(subject(x_BT, x_hat_BT)[-1:, -1:], alone, "the last frame's cost")


@property_of(_sequences, count=6, mend="sum over a frame; a mean makes every weight mean another")
def sum_over_a_frame(subject: _Subject, sequences: Sequences) -> None:
    """One error everywhere costs more in a frame of four times the values."""
    *first, last = shape = sequences.frame_shape
    # images are larger on both sides
    larger = (shape[0], 2 * shape[1], 2 * last) if len(shape) == 3 else (*first, 4 * last)
    small, large = (
        float(subject(torch.full((1, 1, *of), 0.25), torch.full((1, 1, *of), 0.75)))
        for of in (shape, larger)
    )
    expect(small > 0, f"{figure(small)} where every value is 0.5 too large", "more than 0")
    expect(
        large >= 1.5 * small,
        f"{figure(small)} of frames {shape}, {figure(large)} of {larger}",
        "more for more values",
    )


@property_of(_sequences, count=8, mend="a cost measures how far x_hat_BT is from x_BT")
def least_at_truth(subject: _Subject, sequences: Sequences) -> None:
    """Nothing costs less than the truth."""
    x_BT, x_hat_BT = _both(sequences)
    truth, other = subject(x_BT, x_BT), subject(x_BT, x_hat_BT)
    expect(
        (truth <= other + 1e-4 * (1 + other.abs())).all(),
        f"{figure(truth.sum())} of the truth, {figure(other.sum())} of another reconstruction",
        "the truth to cost least",
    )


@property_of(
    _sequences,
    count=6,
    mend="sqrt and norm have no gradient at 0: add a small number under the root",
)
def rest_at_truth(subject: _Subject, sequences: Sequences) -> None:
    """At the truth the gradient is zero, and finite where the truth is 0 or 1."""
    x_BT, _ = _both(sequences)
    for end in (0.0, 1.0):  # which may be where the cost ends: Bernoulli's, Poisson's
        slope_BT = subject.slope(torch.full_like(x_BT, end), torch.full_like(x_BT, end))
        expect(slope_BT.isfinite().all(), f"a gradient at {end:g} that is not finite", "numbers")
    slope_BT = subject.slope(x_BT, x_BT)
    expect_close(slope_BT, torch.zeros_like(x_BT), "the gradient at the truth", near=1e-4)


@property_of(_sequences, count=6, mend="look for .detach(), torch.no_grad(), round, argmax")
def gradient(subject: _Subject, sequences: Sequences) -> None:
    """The gradient is finite and leads to a smaller cost, in every frame."""
    x_BT, x_hat_BT = _both(sequences, torch.float64)
    slope_BT, before = subject.slope(x_BT, x_hat_BT), subject(x_BT, x_hat_BT)
    expect(slope_BT.isfinite().all(), "a gradient that is not finite", "finite numbers")
    size = slope_BT.flatten(2).norm(dim=-1)
    expect((size > 0).all(), "a gradient of a frame that is all zero", "one that is not")
    unit_BT = slope_BT / size.reshape(*size.shape, *[1] * len(sequences.frame_shape))
    lower = torch.zeros_like(before, dtype=torch.bool)
    for step in _STEPS:
        there = (x_hat_BT - step * unit_BT).clamp(0, 1)
        lower |= subject(x_BT, there) < before
    expect(lower.all(), "no step down the gradient that costs less", "one in every frame")


@property_of(_sequences, count=4, mend="use .reshape or .flatten, never .view: frames are permuted")
def layouts(subject: _Subject, sequences: Sequences) -> None:
    """How values lie in memory changes nothing."""
    x_BT, x_hat_BT = _both(sequences)
    last = x_hat_BT.dim() - 1
    permuted = x_hat_BT.movedim(2, last).contiguous().movedim(last, 2)
    by_time = x_BT.transpose(0, 1).contiguous().transpose(0, 1)
    expect_same(subject(by_time, permuted), subject(x_BT, x_hat_BT), "the cost")


@property_of(_sequences, count=4, mend="x - y in place of x -= y, or a clone of it")
def inputs_kept(subject: _Subject, sequences: Sequences) -> None:
    """What it is given is not written into."""
    x_BT, x_hat_BT = _both(sequences)
    kept = x_BT.clone(), x_hat_BT.clone()
    subject(x_BT, x_hat_BT)
    for given, before in zip((x_BT, x_hat_BT), kept, strict=True):
        expect_close(given, before, "the input afterwards", near=0.0)


@property_of(_sequences, count=4, mend="a cost draws nothing and remembers nothing")
def repeats(subject: _Subject, sequences: Sequences) -> None:
    """The same frames cost the same, whatever was asked before."""
    x_BT, x_hat_BT = _both(sequences)
    before = subject(x_BT, x_hat_BT)
    subject(x_hat_BT, x_BT)
    expect_close(subject(x_BT, x_hat_BT), before, "the second time", near=0.0)


@property_of(_sequences, count=4, claim=True, mend="leave the claim out: it is no distance")
def symmetric(subject: _Subject, sequences: Sequences) -> None:
    """Data and reconstruction may change places."""
    x_BT, x_hat_BT = _both(sequences)
    expect_same(subject(x_hat_BT, x_BT), subject(x_BT, x_hat_BT), "the cost changed round")


@property_of(_sequences, count=4, claim=True, mend="leave the claim out: it is no distance")
def zero_at_truth(subject: _Subject, sequences: Sequences) -> None:
    """The truth costs nothing."""
    x_BT, _ = _both(sequences)
    found = subject(x_BT, x_BT)
    expect_close(found, torch.zeros_like(found), "the truth", near=1e-4)


COST: Sequence[Property] = (
    form,
    frames_apart,
    sum_over_a_frame,
    least_at_truth,
    rest_at_truth,
    gradient,
    layouts,
    inputs_kept,
    repeats,
    symmetric,
    zero_at_truth,
)
