"""What a penalty takes and gives: shapes, steps, precision, layout, order, weights.

Shapes: T steps, N rows, D code width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.testing.penalty_subject import (
    PenaltySubject,
    leaves,
    mapped,
    names_of_leaves,
    with_gradient,
)
from genzoo_rwae.testing.properties import (
    expect,
    expect_close,
    expect_shape,
    figure,
    property_of,
)
from genzoo_rwae.testing.strategies import Pair, weights

__all__ = [
    "absent_rows",
    "dtype_kept",
    "finite",
    "inputs_kept",
    "layout",
    "ragged_steps",
    "repeats",
    "row_order",
    "single_precision",
    "steps_apart",
    "steps_as_a_loop",
    "takes_a_batch",
    "weights_of_one",
]


_SEEDS = 64  # over which a random penalty is averaged


@property_of(
    lambda subject: subject.pairs((8, 8), generic=True, width=(4, 4)),
    count=3,
    refusable=False,
    mend="return a scalar tensor for rows [N, D]: reduce over rows (mean) and over columns; laws "
    "may give one value per row, [N]",
)
def takes_a_batch(subject: PenaltySubject, pair: Pair) -> None:
    """Eight rows of each give one finite number."""
    value = subject.value(pair)
    expect_shape("a value", value, [])
    expect(value.isfinite(), figure(value), "a finite number")
    if "paired" in subject.extras:
        expect(
            subject.value(pair, paired=True).isfinite(), "no finite number", "one, if paired too"
        )


@property_of(
    lambda subject: subject.pairs((2, 5), steps=(1, 4)),
    only_if=lambda subject: "" if subject.batched else "it is not marked as batched",
    mend="reduce over the last two axes (dim=-2 for rows, dim=-1 for columns) and keep the first; "
    "or leave batched=True out, and the host loops",
)
def steps_as_a_loop(subject: PenaltySubject, pair: Pair) -> None:
    """Steps [T, N, D] give [T]: what the steps give one by one."""
    together = subject.value(pair)
    steps = leaves(pair)[0].shape[0]
    expect_shape("a value", together, [steps])
    if subject.random:
        return  # a loop would draw other numbers
    alone = [subject.value(mapped(pair, lambda x, t=t: x[t])) for t in range(steps)]  # type: ignore[misc]
    expect_close(together, torch.stack(alone), near=subject.tolerance(together))


@property_of(
    lambda subject: subject.pairs((2, 5), steps=(2, 3)),
    only_if=lambda subject: "" if subject.batched else "it is not marked as batched",
    mend="no operation may mix the first axis: look for dim=0, .flatten and .T",
)
def steps_apart(subject: PenaltySubject, pair: Pair) -> None:
    """The value of a step depends on that step alone."""

    def with_other_last_step(tensor: Tensor) -> Tensor:
        return torch.cat([tensor[:-1], tensor[-1:].flip(-2) * 0.5 - 1.0])

    before, after = subject.value(pair), subject.value(mapped(pair, with_other_last_step))
    expect_close(after[:-1], before[:-1], near=subject.tolerance(before))


@property_of(
    lambda subject: subject.pairs(),
    count=4,
    mend="draw from torch's global generator (the host seeds it), and keep no state between calls",
)
def repeats(subject: PenaltySubject, pair: Pair) -> None:
    """With the same seed it says the same twice."""
    first, second = subject.value(pair), subject.value(pair)
    expect_close(second, first, "the second call", near=0.0)


@property_of(
    lambda subject: subject.pairs(dtypes=[torch.float32]),
    count=3,
    mend="cast the result back with .to(q_ND.dtype)",
)
def dtype_kept(subject: PenaltySubject, pair: Pair) -> None:
    """float32 goes in and comes out."""
    found = subject.value(pair).dtype
    expect(found == torch.float32, str(found), "torch.float32")


@property_of(
    lambda subject: subject.pairs(dtypes=[torch.float32], offsets=[0.0, 10.1, 300.3]),
    only_if=lambda subject: (
        "it draws other numbers in float64" if subject.random
        else "" if subject.takes_float64 else "it does not take float64"
    ),
    mend="compute in the dtype of the samples, never in half precision; centre both samples before "
    "squares are subtracted",
)  # fmt: skip
def single_precision(subject: PenaltySubject, pair: Pair) -> None:
    """In float32 it says what it says in float64, to a thousandth."""
    single, double = subject.value(pair), subject.value(mapped(pair, Tensor.double))
    size = max(1.0, float(double.detach().abs()))
    expect_close(single, double, "in float32", near=1e-3 * size)


@property_of(
    lambda subject: st.tuples(
        subject.pairs(offsets=[0.0, 100.0]), st.sampled_from(["as drawn", "q = p", "one row"])
    ).map(_coinciding),
    count=14,
    mend="sqrt and norm have an infinite slope at 0: guard them with torch.where before the root; "
    "a quotient needs a floor below",
)
def finite(subject: PenaltySubject, pair: Pair) -> None:
    """Value and gradient are finite, also where rows coincide."""
    inputs = with_gradient(pair)
    value = subject.value(inputs)
    expect(value.isfinite(), f"a value of {figure(value)}", "a finite one")
    if not value.requires_grad:
        return
    gradients = torch.autograd.grad(value, leaves(inputs), allow_unused=True)
    for name, gradient in zip(names_of_leaves(pair), gradients, strict=True):
        if gradient is not None:
            fine = gradient.isfinite().all()
            expect(
                fine, f"a gradient of {name} with {gradient.flatten().tolist()}", "finite numbers"
            )


def _coinciding(drawn: tuple[Pair, str]) -> Pair:
    pair, how = drawn
    if how == "q = p":
        return replace(pair, p=pair.q)
    if how == "one row":
        return mapped(pair, lambda x: x[..., :1, :].expand_as(x).contiguous())
    return pair


@property_of(
    lambda subject: subject.pairs(),
    count=4,
    mend="replace in-place operations (+=, .sub_, .sort(out=...)) on the samples by new tensors",
)
def inputs_kept(subject: PenaltySubject, pair: Pair) -> None:
    """What it is given is not written into."""
    before = [tensor.clone() for tensor in leaves(pair)]
    subject.value(pair)
    for kept, tensor in zip(before, leaves(pair), strict=True):
        expect_close(tensor, kept, "the input afterwards", near=0.0)


@property_of(
    lambda subject: subject.pairs(),
    count=4,
    mend=".view needs contiguous memory: take .reshape or einops",
)
def layout(subject: PenaltySubject, pair: Pair) -> None:
    """Samples that do not lie in one piece of memory give the same value."""
    strided = mapped(pair, lambda x: torch.stack([x, x + 1], -1)[..., 0].mT.contiguous().mT)
    found, wanted = subject.value(strided), subject.value(pair)
    expect_close(found, wanted, near=subject.tolerance(wanted))


@property_of(
    lambda subject: subject.pairs((2, 6)),
    mend="codes come in no order: let no row's place matter, or except it if blocks of rows are "
    "the estimator",
)
def row_order(subject: PenaltySubject, pair: Pair) -> None:
    """The order of the rows does not matter (both samples reordered alike)."""
    order = torch.randperm(leaves(pair)[0].shape[-2], generator=torch.Generator().manual_seed(3))
    reordered = mapped(pair, lambda x: x[..., order, :])
    _expect_equal(
        subject,
        lambda seed: subject.value(reordered, seed=seed),
        lambda seed: subject.value(pair, seed=seed),
    )


def _expect_equal(
    subject: PenaltySubject,
    found: Callable[[int], Tensor],
    wanted: Callable[[int], Tensor],
) -> None:
    """Raise Falsified unless two values of seeds are equal; of random ones, in their mean."""
    first, other = found(0), wanted(0)
    near = subject.tolerance(first, other)
    if not subject.random:
        expect_close(first, other, near=near)
        return
    gaps = torch.stack([found(seed) - wanted(seed) for seed in range(4)]).detach()
    if bool((gaps.abs() <= near).all()):
        return  # what is drawn does not depend on the rows
    gaps = torch.stack([found(seed) - wanted(seed) for seed in range(_SEEDS)]).detach().double()
    gap, error = gaps.mean().abs(), gaps.std() / _SEEDS**0.5
    said = f"a mean difference of {figure(gap)} over {_SEEDS} seeds, standard error {figure(error)}"
    expect(gap <= 5 * error + near, said, "none")


@dataclass(frozen=True)
class _Weighted:
    pair: Pair
    weights_N: Tensor


def _weighted(subject: PenaltySubject, *, masks: bool) -> SearchStrategy[_Weighted]:
    def with_weights(pair: Pair) -> SearchStrategy[_Weighted]:
        entries = leaves(pair)[0]
        drawn = weights(entries.shape[-2], masks=masks)
        return drawn.map(lambda weights_N: _Weighted(pair, weights_N.to(entries.dtype)))

    return subject.pairs((2, 6)).flatmap(with_weights)


def _takes_weights(subject: PenaltySubject) -> str:
    return "" if "weights_N" in subject.extras else "it takes no weights_N"


@property_of(
    lambda subject: _weighted(subject, masks=False),
    only_if=_takes_weights,
    mend="every sum over rows, also those that normalise, takes the weights; N is their sum",
)
def absent_rows(subject: PenaltySubject, weighted: _Weighted) -> None:
    """A row of weight 0 is as if it were not there."""
    pair, weights_N = weighted.pair, weighted.weights_N
    there = weights_N > 0
    garbage = mapped(pair, lambda x: torch.where(there[:, None], x, x + 50.0))
    kept = mapped(pair, lambda x: x[there])
    _expect_equal(
        subject,
        lambda seed: subject.value(garbage, weights_N=weights_N, seed=seed),
        lambda seed: subject.value(kept, weights_N=weights_N[there], seed=seed),
    )


@property_of(
    lambda subject: subject.pairs(),
    only_if=_takes_weights,
    count=5,
    mend="None and ones mean the same: that all rows count alike",
)
def weights_of_one(subject: PenaltySubject, pair: Pair) -> None:
    """Weights of 1 are as good as none."""
    ones = torch.ones_like(leaves(pair)[0][..., 0])
    found, wanted = subject.value(pair, weights_N=ones), subject.value(pair)
    expect_close(found, wanted, near=subject.tolerance(wanted))


@property_of(
    lambda subject: _ragged(subject),
    only_if=lambda subject: (
        _takes_weights(subject) or ("" if subject.batched else "it is not marked as batched")
    ),
    mend="weights have the shape [T, N] where samples have [T, N, D]: normalise over the last axis",
)
def ragged_steps(subject: PenaltySubject, weighted: _Weighted) -> None:
    """Masks [T, N] count, at every step, the rows that are there."""
    pair, mask_TN = weighted.pair, weighted.weights_N
    together = subject.value(pair, weights_N=mask_TN)
    expect_shape("a value", together, [len(mask_TN)])
    if subject.random:
        return
    alone = [
        subject.value(mapped(pair, lambda x, t=t: x[t, mask_TN[t] > 0]))  # type: ignore[misc]
        for t in range(len(mask_TN))
    ]
    expect_close(together, torch.stack(alone), near=subject.tolerance(together))


def _ragged(subject: PenaltySubject) -> SearchStrategy[_Weighted]:
    def with_masks(pair: Pair) -> SearchStrategy[_Weighted]:
        entries = leaves(pair)[0]
        drawn = weights(entries.shape[1], steps=entries.shape[0], masks=True)
        return drawn.map(lambda mask_TN: _Weighted(pair, mask_TN.to(entries.dtype)))

    return subject.pairs((2, 5), steps=(1, 3)).flatmap(with_masks)
