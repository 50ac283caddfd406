"""What must hold of an estimator of the squared MMD, beside loops in float64.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.testing.estimator_subject import Case, EstimatorSubject
from genzoo_rwae.testing.properties import (
    Property,
    expect,
    expect_close,
    expect_shape,
    figure,
    property_of,
)
from genzoo_rwae.testing.strategies import seeded, weights

__all__ = ["ESTIMATOR"]


@property_of(
    lambda subject: subject.cases(),
    count=30,
    refusable=False,
    mend="V = mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over all pairs; U over pairs i != j "
    "within a sample: sums over N (N - 1) and M (M - 1), across over N M",
)
def equals_the_double_loop(subject: EstimatorSubject, case: Case) -> None:
    """In float64 it is what the definition gives, term by term."""
    found = subject.of(case)
    expect_shape("a value", found, [])
    wanted = subject.by_loops(case)
    expect_close(found, wanted, near=1e-9 * subject.size(case))


@property_of(
    lambda subject: st.one_of(
        subject.cases(8, dtype=torch.float32, apart=[0.0, 2.0]),
        subject.cases(8, dtype=torch.float32, offsets=[1e3, 1e4], moves=True),
    ),
    count=20,
    mend="compute in float32 or better, sum in float64, and take differences of rows (or centre "
    "them) before squares",
)
def single_precision(subject: EstimatorSubject, case: Case) -> None:
    """In float32 it is right to 1e-5 of the kernel's largest entry, also at an offset of 10,000."""
    wanted = subject.by_loops(case)
    expect_close(subject.of(case), wanted, near=1e-5 * subject.size(case))


@property_of(
    lambda subject: subject.cases(4, steps=(1, 3)),
    mend="rows are the last axis but one: dim=-1 and dim=-2 instead of 0 and 1, .mT instead of .T",
)
def batches_as_a_loop(subject: EstimatorSubject, case: Case) -> None:
    """Batches [T, N, D] and [T, M, D] give [T]: what their elements give one by one."""
    together = subject.of(case)
    pairs = zip(case.x, case.y, strict=True)
    alone = torch.stack([subject.of(Case(case.kernel, x, y)) for x, y in pairs])
    expect_close(together, alone, near=1e-9 * subject.size(case))


@property_of(
    lambda subject: subject.cases(dtype=torch.float32),
    count=3,
    mend="cast the result back with .to(x_ND.dtype)",
)
def dtype_kept(subject: EstimatorSubject, case: Case) -> None:
    """float32 goes in and comes out."""
    found = subject.of(case).dtype
    expect(found == torch.float32, str(found), "torch.float32")


@property_of(
    lambda subject: subject.cases(),
    count=4,
    mend="replace in-place operations on the samples by new tensors",
)
def inputs_kept(subject: EstimatorSubject, case: Case) -> None:
    """What it is given is not written into."""
    before = [case.x.clone(), case.y.clone()]
    subject.of(case)
    for tensor, kept in zip((case.x, case.y), before, strict=True):
        expect_close(tensor, kept, "the input afterwards", near=0.0)


@property_of(
    lambda subject: subject.cases(),
    count=4,
    mend=".view needs contiguous memory: take .reshape or einops",
)
def layout(subject: EstimatorSubject, case: Case) -> None:
    """Samples that do not lie in one piece of memory give the same value."""
    x, y = (tensor.mT.contiguous().mT for tensor in (case.x, case.y))
    found, wanted = subject.of(Case(case.kernel, x, y)), subject.of(case)
    expect_close(found, wanted, near=1e-9 * subject.size(case))


@property_of(lambda subject: subject.cases(), mend="treat x and y alike, also where N is not M")
def symmetric(subject: EstimatorSubject, case: Case) -> None:
    """Which of the two samples comes first does not matter."""
    found, wanted = subject.of(Case(case.kernel, case.y, case.x)), subject.of(case)
    expect_close(found, wanted, "with y first", near=1e-9 * subject.size(case))


@property_of(lambda subject: subject.cases(), mend="no row's place may matter")
def row_order(subject: EstimatorSubject, case: Case) -> None:
    """The order of the rows does not matter."""
    generator = torch.Generator().manual_seed(3)
    x, y = (t[torch.randperm(len(t), generator=generator)] for t in (case.x, case.y))
    found, wanted = subject.of(Case(case.kernel, x, y)), subject.of(case)
    expect_close(found, wanted, near=1e-9 * subject.size(case))


@property_of(
    lambda subject: subject.cases(4, generic=True),
    count=8,
    mend="look for .detach(), .item(), torch.no_grad() and clamps on the way from the samples",
)
def gradient(subject: EstimatorSubject, case: Case) -> None:
    """Its gradient is the slope that small steps show, in both samples."""
    tensors = [tensor.clone().requires_grad_() for tensor in (case.x, case.y)]
    value = subject.of(Case(case.kernel, *tensors))
    expect(value.requires_grad, "a value without a gradient", "one that follows the samples")
    slopes = torch.autograd.grad(value, tensors, allow_unused=True)
    for number, name in enumerate("xy"):
        direction = seeded(7 + number, *tensors[number].shape, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            rows = [case.x, case.y]
            rows[number] = rows[number] + sign * 1e-5 * direction
            values.append(subject.of(Case(case.kernel, *rows)))
        wanted = (values[0] - values[1]).detach() / 2e-5
        slope = slopes[number]
        found = torch.zeros_like(wanted) if slope is None else (slope * direction).sum()
        near = 1e-7 * subject.size(case) + 1e-6 * float(wanted.abs())
        expect_close(found, wanted, f"slope along {name}", near=near)


@property_of(
    lambda subject: subject.cases(4, generic=True),
    count=4,
    mend="a hand-written backward has to be differentiable, or to say that it is not: "
    "@once_differentiable",
)
def second_derivative(subject: EstimatorSubject, case: Case) -> None:
    """Its gradient's gradient is right, or an error says that there is none."""
    x_ND = case.x.clone().requires_grad_()
    direction = seeded(7, *x_ND.shape, dtype=torch.float64)
    value = subject.of(Case(case.kernel, x_ND, case.y))
    try:
        slope = torch.autograd.grad(value, x_ND, create_graph=True)[0]
        found = torch.autograd.grad((slope * direction).sum(), x_ND)[0]
    except (RuntimeError, NotImplementedError):
        return
    slopes = []
    for sign in (1, -1):
        moved = (case.x + sign * 1e-5 * direction).requires_grad_()
        slopes.append(torch.autograd.grad(subject.of(Case(case.kernel, moved, case.y)), moved)[0])
    wanted = (slopes[0] - slopes[1]) / 2e-5
    near = 1e-6 * subject.size(case) + 1e-5 * float(wanted.abs().max())
    expect_close(found, wanted, "along one direction", near=near)


@property_of(
    lambda subject: subject.cases(4, dtype=torch.float32),
    mend="sqrt and division have an infinite slope at 0; the squared MMD needs neither",
)
def finite(subject: EstimatorSubject, case: Case) -> None:
    """Value and gradient are finite where rows of both samples coincide."""
    x_ND = case.x.clone().requires_grad_()
    value = subject.of(Case(case.kernel, x_ND, case.x.clone()))
    expect(value.isfinite(), figure(value), "a finite value")
    slope = torch.autograd.grad(value, x_ND)[0]
    expect(slope.isfinite().all(), f"a gradient with {slope.flatten().tolist()}", "finite numbers")


@property_of(
    lambda subject: subject.cases(4, generic=True, moves=True),
    count=6,
    mend="some block of the kernel sends no gradient to one of its samples",
)
def gradients_cancel(subject: EstimatorSubject, case: Case) -> None:
    """Moving both samples alike changes nothing: all gradients add up to 0."""
    tensors = [tensor.clone().requires_grad_() for tensor in (case.x, case.y)]
    slopes = torch.autograd.grad(
        subject.of(Case(case.kernel, *tensors)), tensors, allow_unused=True
    )
    total_D = torch.stack([s.sum(0) for s in slopes if s is not None]).sum(0)
    expect_close(total_D, torch.zeros_like(total_D), "in sum", near=1e-9)


@property_of(
    lambda subject: subject.cases(),
    only_if=lambda subject: "" if subject.biased else "an unbiased estimate is negative at times",
    mend="V is the squared distance of two means in the kernel's space: look for its signs",
)
def nonnegative(subject: EstimatorSubject, case: Case) -> None:
    """A biased estimate is never negative, and 0 between a sample and itself."""
    near = 1e-9 * subject.size(case)
    value = subject.of(case)
    expect(value >= -near, figure(value), "0 or more")
    same = subject.of(Case(case.kernel, case.x, case.x.flip(0)))
    expect(same.abs() <= near, f"{figure(same)} between x and itself", "0")


@property_of(
    lambda subject: subject.cases(moves=True, generic=True),
    count=5,
    only_if=lambda subject: "a biased one is" if subject.biased else "",
    mend="drop clamp, relu and abs: they make an unbiased estimate a biased one",
)
def not_clamped(subject: EstimatorSubject, case: Case) -> None:
    """An unbiased estimate is negative between a sample and itself."""
    value = subject.of(Case(case.kernel, case.x, case.x))
    expect(value < 0, f"{figure(value)} between x and itself", "a negative value")


@property_of(
    lambda subject: subject.cases(equal_sizes=True),
    only_if=lambda subject: (
        "a biased estimate keeps all pairs" if subject.biased
        else "" if subject.takes("paired") else "it takes no `paired`"
    ),
    mend="leave out the diagonal across as well, and divide by N (N - 1)",
)  # fmt: skip
def paired_rows(subject: EstimatorSubject, case: Case) -> None:
    """With paired=True the pairs (x_i, y_i) are left out."""
    wanted = subject.by_loops(case, paired=True)
    expect_close(subject.of(case, paired=True), wanted, near=1e-9 * subject.size(case))


def _weighted(subject: EstimatorSubject, *, whole: bool = False) -> SearchStrategy[Case]:
    """Cases with weights; `whole`: of 1 and more, as counts of rows."""

    def with_weights(case: Case) -> SearchStrategy[Case]:
        drawn = [
            weights(len(x), fewest=len(x) if whole else subject.fewest).map(Tensor.double)
            for x in (case.x, case.y)
        ]
        return st.builds(partial(Case, case.kernel, case.x, case.y), *drawn)

    return subject.cases().flatmap(with_weights)


def _takes_weights(subject: EstimatorSubject) -> str:
    return "" if subject.takes("x_weights", "y_weights") else "it takes no x_weights and y_weights"


@property_of(
    _weighted,
    only_if=_takes_weights,
    mend="every sum over rows takes the weights, also those that normalise",
)
def absent_rows(subject: EstimatorSubject, case: Case) -> None:
    """A row of weight 0 is as if it were not there."""
    assert case.x_weights is not None
    assert case.y_weights is not None
    x_there, y_there = case.x_weights > 0, case.y_weights > 0
    kept = Case(
        case.kernel, case.x[x_there], case.y[y_there], case.x_weights[x_there],
        case.y_weights[y_there],
    )  # fmt: skip
    found, wanted = subject.of(case), subject.of(kept)
    expect_close(found, wanted, near=1e-9 * subject.size(case))


@property_of(
    _weighted,
    count=20,
    only_if=_takes_weights,
    mend="with a = w / sum w: V = sum a_i a_j k(x_i, x_j) + ..., U = sum over i != j of a_i a_j "
    "k(x_i, x_j) / (1 - sum a_i^2) + ..., across sum a_i b_j k(x_i, y_j)",
)
def weighted_sums(subject: EstimatorSubject, case: Case) -> None:
    """Weights count pairs by their product, and are normalised to sum 1."""
    assert case.x_weights is not None
    assert case.y_weights is not None
    expect_close(subject.of(case), subject.by_loops(case), near=1e-9 * subject.size(case))


@property_of(
    lambda subject: _weighted(subject, whole=True),
    only_if=lambda subject: (
        _takes_weights(subject)
        or ("" if subject.biased else "an unbiased one sees copies as rows of their own")
    ),
    mend="a weight of 2 is a row that is there twice",
)
def weights_as_copies(subject: EstimatorSubject, case: Case) -> None:
    """A row of weight 2 counts as much as two rows."""
    assert case.x_weights is not None
    assert case.y_weights is not None
    x, y = (
        rows.repeat_interleave(w.long(), dim=0)
        for rows, w in ((case.x, case.x_weights), (case.y, case.y_weights))
    )
    found, wanted = subject.of(case), subject.of(Case(case.kernel, x, y))
    expect_close(found, wanted, near=1e-9 * subject.size(case))


@property_of(
    lambda subject: subject.cases(3),
    count=1,
    claim=True,
    refusable=False,
    mend="raise a ValueError that says what was found and what was wanted",
)
def refuses_nonsense(subject: EstimatorSubject, case: Case) -> None:
    """NaN, no rows, and widths that differ are errors, not numbers."""
    wider = torch.cat([case.y, case.y], -1)
    nonsense = {
        "NaN": (case.x * torch.nan, case.y),
        "no rows": (case.x[:0], case.y),
        "widths that differ": (case.x, wider),
    }
    if not subject.biased:
        nonsense["one row of x"] = (case.x[:1], case.y)
    for what, (x, y) in nonsense.items():
        try:
            value = subject.of(Case(case.kernel, x, y))
        except (ValueError, TypeError):
            continue
        expect(False, f"a value of {value.tolist()} for {what}", "a ValueError")


ESTIMATOR: Sequence[Property] = (
    equals_the_double_loop,
    single_precision,
    batches_as_a_loop,
    dtype_kept,
    inputs_kept,
    layout,
    symmetric,
    row_order,
    gradient,
    second_derivative,
    finite,
    gradients_cancel,
    nonnegative,
    not_clamped,
    paired_rows,
    absent_rows,
    weighted_sums,
    weights_as_copies,
    refuses_nonsense,
)
