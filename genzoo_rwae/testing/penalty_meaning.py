"""What a penalty says: its gradient, its reaction to samples apart, its mark, its claims.

Shapes: N rows, D code width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.codes import Categorical, DiagonalGaussian
from genzoo_rwae.testing.penalty_subject import (
    PenaltySubject,
    leaves,
    mapped,
    moved,
    names_of_leaves,
    with_gradient,
    with_leaf,
    with_shuffled_motion,
)
from genzoo_rwae.testing.properties import (
    expect,
    expect_close,
    expect_gradients,
    figure,
    property_of,
)
from genzoo_rwae.testing.strategies import Pair, seeded

__all__ = [
    "coupled_rows",
    "descends",
    "gradient",
    "mean_over_rows",
    "nonnegative",
    "parameters_learn",
    "reacts",
    "shift_invariant",
    "state",
    "symmetric",
    "zero_at_equal_samples",
]


@property_of(
    lambda subject: subject.pairs((3, 5), generic=True),
    count=8,
    mend="look for .detach(), .item() and torch.no_grad() on the way from the samples; except it "
    "if a gradient is stopped on purpose",
)
def gradient(subject: PenaltySubject, pair: Pair) -> None:
    """Its gradient is the slope that small steps show."""
    inputs = with_gradient(pair)
    value = subject.value(inputs)
    expect(value.requires_grad, "a value without a gradient", "one that follows the samples")
    tensors = leaves(inputs)
    gradients = torch.autograd.grad(value, tensors, allow_unused=True)
    step, near = (1e-5, 1e-5) if subject.takes_float64 else (1e-2, 3e-2)
    names = names_of_leaves(pair)
    for number, tensor in enumerate(tensors):
        direction = seeded(7 + number, *tensor.shape, dtype=tensor.dtype)
        ahead, behind = (
            subject.value(with_leaf(pair, number, tensor.detach() + sign * step * direction))
            for sign in (1, -1)
        )
        wanted = (ahead - behind).detach() / (2 * step)
        slope = gradients[number]
        found = torch.zeros_like(wanted) if slope is None else (slope * direction).sum()
        size = max(float(wanted.abs()), float(value.detach().abs()), 1.0)
        expect_close(found, wanted, f"slope along {names[number]}", near=near * size)


@dataclass(frozen=True)
class _TwoPairs:
    """Samples of one law, and samples of two that are far from each other."""

    alike: Pair
    apart: Pair


def _two_pairs(subject: PenaltySubject) -> SearchStrategy[_TwoPairs]:
    return st.integers(0, 99).map(lambda seed: _of_seed(subject, seed))


def _of_seed(subject: PenaltySubject, seed: int) -> _TwoPairs:
    a_ND, b_ND = (seeded(s, 16, 2, dtype=subject.dtype) for s in (seed, seed + 1000))
    if not subject.split:
        alike = subject.like(a_ND, b_ND)
        return _TwoPairs(alike, moved(alike, 2.0))
    # for what measures dependence: two columns that are independent, or nearly the same
    nearly_N2 = torch.cat([a_ND[:, :1], a_ND[:, :1] + b_ND[:, :1] / 8], -1)
    return _TwoPairs(with_shuffled_motion(a_ND), with_shuffled_motion(nearly_N2))


@property_of(
    _two_pairs,
    count=3,
    mend="a divergence grows when its samples move apart: look for its sign, and for samples that "
    "are not used",
)
def reacts(subject: PenaltySubject, pairs: _TwoPairs) -> None:
    """It says more of samples that are apart than of samples of one law."""
    alike, apart = (subject.value(pair).detach() for pair in (pairs.alike, pairs.apart))
    if subject.adversarial:  # a critic that has learnt nothing knows no direction
        expect(alike != apart, f"{figure(alike)} of both", "a difference")
    else:
        more = apart > alike + 1e-6 * (1 + alike.abs())
        found = f"{figure(apart)} of samples apart, {figure(alike)} of samples of one law"
        expect(more, found, "more of samples apart")


@property_of(_two_pairs, count=2, mend="its value is minimised: look for its sign")
def descends(subject: PenaltySubject, pairs: _TwoPairs) -> None:
    """Following its gradient, free codes bring it down."""
    start = subject.value(pairs.apart).detach()
    rows = leaves(pairs.apart)[0]
    for _ in range(30):
        free = rows.clone().requires_grad_()
        value = subject.value(with_leaf(pairs.apart, 0, free))
        expect(value.requires_grad, "a value without a gradient", "one that follows q")
        slope = torch.autograd.grad(value, free)[0]
        # every row by 0.1 or so, whatever the scale of the value
        rows = rows - 0.1 * len(rows) ** 0.5 * slope / slope.norm().clamp_min(1e-30)
    end = subject.value(with_leaf(pairs.apart, 0, rows)).detach()
    found = f"{figure(end)} after 30 steps of q down its gradient, from {figure(start)}"
    expect(end < start, found, "a lower value")


def _halves(subject: PenaltySubject, pair: Pair) -> tuple[Tensor, Tensor]:
    """Its value, and the mean of its values of every other row."""
    parts = [
        subject.value(mapped(pair, lambda x, k=k: x[k::2]))  # type: ignore[misc]
        for k in (0, 1)
    ]
    return subject.value(pair), torch.stack(parts).mean()


@property_of(
    lambda subject: subject.pairs((4, 4), generic=True),
    count=5,
    only_if=lambda subject: "it is marked as batch-coupled" if subject.coupled else "",
    mend="its value couples the rows of a batch: leave batch_coupled=False out, and it sees the "
    "codes of all ranks",
)
def mean_over_rows(subject: PenaltySubject, pair: Pair) -> None:
    """A batch has the mean of the values of its halves, as batch_coupled=False promises."""
    whole, of_halves = _halves(subject, pair)
    expect_close(whole, of_halves, "of the whole batch", near=subject.tolerance(whole))


@property_of(
    lambda subject: st.just(subject.like(*(seeded(s, 8, 2, dtype=subject.dtype) for s in (1, 2)))),
    count=1,
    only_if=lambda subject: (
        "it is not marked as batch-coupled" if not subject.coupled
        else "of its critic's weights and the rows, the rows alone are at hand"
        if subject.adversarial else ""
    ),
    mend="it is a mean over rows: say batch_coupled=False, and ranks need not gather codes for it",
)  # fmt: skip
def coupled_rows(subject: PenaltySubject, pair: Pair) -> None:
    """A batch has another value than the mean of its halves, as batch_coupled promises."""
    whole, of_halves = _halves(subject, pair)
    near = subject.tolerance(whole)
    same = (whole - of_halves).abs() <= near
    expect(~same, f"{figure(whole)} of the batch and as mean of its halves", "a difference")


@property_of(
    lambda subject: st.integers(1, 4),
    count=2,
    only_if=lambda subject: "" if subject.module else "it has no state",
    mend="keep what it learns in parameters and buffers, and no other state",
)
def state(subject: PenaltySubject, width: int) -> None:
    """What state_dict saves brings another one to the same values."""
    width = max(2, width) if subject.split else width
    one, other = (subject.fresh(width, subject.dtype, seed=seed) for seed in (0, 1))
    assert one.module is not None
    assert other.module is not None
    other.module.load_state_dict(one.module.state_dict())
    pair = subject.like(*(seeded(s, 6, width, dtype=subject.dtype) for s in (1, 2)))
    values = []
    for wired in (one, other):
        torch.default_generator.manual_seed(0)
        values.append(wired(pair.q, pair.p, paired=False))
    expect_close(values[1], values[0], "after loading", near=subject.tolerance(values[0]))


@property_of(
    lambda subject: st.just(subject.like(*(seeded(s, 8, 4, dtype=subject.dtype) for s in (1, 2)))),
    count=1,
    only_if=lambda subject: (
        "its critic has a loss of its own" if subject.adversarial
        else "" if subject.module else "it has no parameters"
    ),
    mend="drop a parameter that nothing depends on, or use it",
)  # fmt: skip
def parameters_learn(subject: PenaltySubject, pair: Pair) -> None:
    """Its gradient reaches every parameter of its own."""
    module = subject.fresh(4, subject.dtype, seed=0)
    assert module.module is not None
    torch.default_generator.manual_seed(0)
    expect_gradients(module.module, module(pair.q, pair.p, paired=False))


def _unless_split(subject: PenaltySubject) -> str:
    return "it measures dependence inside a row" if subject.split else ""


@property_of(lambda subject: subject.pairs(), claim=True, mend="treat q and p alike")
def symmetric(subject: PenaltySubject, pair: Pair) -> None:
    """Which of the two samples comes first does not matter."""
    found, wanted = subject.value(Pair(pair.p, pair.q)), subject.value(pair)
    expect_close(found, wanted, "with p first", near=subject.tolerance(wanted))


@property_of(
    lambda subject: subject.pairs(),
    claim=True,
    mend="look for its sign and normalisers; an unbiased estimate is negative at times, and should "
    "not claim this",
)
def nonnegative(subject: PenaltySubject, pair: Pair) -> None:
    """It is never negative."""
    value = subject.value(pair)
    lowest = -subject.tolerance(value)
    expect(value >= lowest, figure(value), "0 or more")


@property_of(
    lambda subject: subject.pairs(),
    claim=True,
    only_if=_unless_split,
    mend="an unbiased estimate is 0 in the mean only, and should not claim this",
)
def zero_at_equal_samples(subject: PenaltySubject, pair: Pair) -> None:
    """It is 0 where both samples have the same rows."""
    same = Pair(pair.q, pair.q)
    if not subject.wants_laws:
        same = Pair(pair.q, pair.q.flip(-2))
    value = subject.value(same)
    expect_close(value, torch.zeros_like(value), "of equal samples", near=subject.tolerance(value))


@property_of(
    lambda subject: subject.pairs(dtypes=[torch.float32]),
    claim=True,
    mend="centre both samples on a common mean before squares are subtracted",
)
def shift_invariant(subject: PenaltySubject, pair: Pair) -> None:
    """Moving both samples by 1,000 changes nothing, in float32."""

    def shifted(side: Any) -> Any:
        if isinstance(side, DiagonalGaussian):
            return replace(side, mean=side.mean + 1000.0)
        if isinstance(side, Categorical):
            return replace(side, logits=side.logits + 1000.0)
        return side + 1000.0

    found, wanted = subject.value(Pair(shifted(pair.q), shifted(pair.p))), subject.value(pair)
    expect_close(found, wanted, "after the move", near=subject.tolerance(wanted))
