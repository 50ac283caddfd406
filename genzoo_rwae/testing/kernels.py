"""What must hold of a kernel.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.components import component_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.parts import component_of_kind, part_of, title_of
from genzoo_rwae.testing.properties import (
    Property,
    expect,
    expect_close,
    expect_shape,
    figure,
    investigate,
    not_built,
    property_of,
)
from genzoo_rwae.testing.strategies import pairs_of_samples, seeded

__all__ = ["check_kernel", "examine_kernel"]

_CONDITIONAL = "conditionally positive"


def check_kernel(
    kernel: Any,
    /,
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
    **options: Any,
) -> Report:
    """Try what must hold of a kernel; for a test of one's own.

    Args:
        kernel: a function or class under @kernel, or any callable k(x_ND, y_MD) -> [..., N, M].
        claims: what holds of this one beyond what must hold of all: `shift invariant`, `rotation
            invariant`, or `conditionally positive` in place of positive semi-definite (as the
            negative distance); a kernel whose `is_positive_definite` is False claims it by that.
        exceptions: names of properties that do not hold of this one, and need not.
        options: a component's options; the others have their defaults.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        PluginError: it is no kernel, or an option is unknown or missing.
        ValueError: a claim or an exception is no name of a property.

    Example:
        >>> check_kernel(lambda x_ND, y_MD: x_ND @ y_MD.mT).failed
        ()
    """
    __tracebackhide__ = True
    report = examine_kernel(kernel, claims=claims, exceptions=exceptions, **options)
    return report.raise_if_failed()


def examine_kernel(
    kernel: Any,
    /,
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
    **options: Any,
) -> Report:
    """As `check_kernel`, but returns the report whatever it says."""
    if component_of(kernel) is None and callable(kernel) and not isinstance(kernel, type):
        if options:
            raise PluginError(
                f"{kernel!r} is no component, so it has no options; bind with functools.partial"
            )
        title, call = f"the kernel {getattr(kernel, '__name__', repr(kernel))}", kernel
    else:
        component = component_of_kind("kernel", kernel)
        part = part_of(component, options)
        title = title_of(component)
        is_class = isinstance(component.build, type)
        try:
            call = part() if is_class else partial(component.build, **part.options)
        except Exception as error:  # whatever its author's code raises
            return not_built(title, f"{component.name}()", error)
    claims = {claims} if isinstance(claims, str) else set(claims)
    exceptions = {exceptions} if isinstance(exceptions, str) else set(exceptions)
    if getattr(call, "is_positive_definite", True) is False:
        claims.add(_CONDITIONAL)
    if _CONDITIONAL in claims:
        exceptions.add("positive semidefinite")
    return investigate(title, KERNEL, KernelSubject(call), claims=claims, exceptions=exceptions)


@dataclass(frozen=True)
class _Rows:
    """What a kernel compares."""

    x: Tensor
    y: Tensor


@dataclass
class KernelSubject:
    """A kernel with its options bound."""

    call: Callable[[Tensor, Tensor], Tensor]

    def of(self, pair: _Rows) -> Tensor:
        return self.call(pair.x, pair.y)

    def pairs(self, rows: tuple[int, int] = (1, 4), **how: Any) -> SearchStrategy[_Rows]:
        how = {"dtypes": [self.dtype], "equal_sizes": False, **how}
        return pairs_of_samples(rows=rows, **how).map(lambda pair: _Rows(pair.q, pair.p))

    @cached_property
    def dtype(self) -> torch.dtype:
        """float64 if it goes in and comes out."""
        x_ND, y_MD = (seeded(s, 3, 2, dtype=torch.float64) for s in (1, 2))
        try:
            return self.call(x_ND, y_MD).dtype
        except Exception:
            return torch.float32

    def tolerance(self, *values: Tensor) -> float:
        size = max(1e-30, *(float(value.detach().abs().max()) for value in values))
        near = 1e-10 if values[0].dtype == torch.float64 else 1e-5
        return near * size


@property_of(
    lambda subject: subject.pairs(),
    refusable=False,
    mend="broadcast rows of x against rows of y: x_ND[..., :, None, :] and y_MD[..., None, :, :]",
)
def one_value_for_each_pair(subject: KernelSubject, pair: _Rows) -> None:
    """Samples [N, D] and [M, D] give [N, M] finite numbers."""
    k_NM = subject.of(pair)
    expect_shape("a matrix", k_NM, [len(pair.x), len(pair.y)])
    expect(k_NM.isfinite().all(), f"{k_NM.tolist()}", "finite numbers")


@property_of(
    lambda subject: subject.pairs(),
    mend="entry [i, j] may look at row i of x and row j of y only: no mean, no median over rows",
)
def entries_by_themselves(subject: KernelSubject, pair: _Rows) -> None:
    """An entry depends on its two rows alone."""
    whole_NM = subject.of(pair)
    alone_NM = torch.stack(
        [torch.cat([subject.call(x_D[None], y_D[None])[0] for y_D in pair.y]) for x_D in pair.x]
    )
    expect_close(whole_NM, alone_NM, near=subject.tolerance(whole_NM))


@property_of(
    lambda subject: subject.pairs(steps=(1, 3)),
    mend="rows are the last axis but one: .mT instead of .T, dim=-1 and dim=-2 instead of 0 and 1",
)
def batches_as_a_loop(subject: KernelSubject, pair: _Rows) -> None:
    """Batches [T, N, D] and [T, M, D] give [T, N, M]: one after the other."""
    together = subject.of(pair)
    alone = torch.stack([subject.call(x, y) for x, y in zip(pair.x, pair.y, strict=True)])
    expect_close(together, alone, near=subject.tolerance(alone))


@property_of(lambda subject: subject.pairs(), mend="k(a, b) and k(b, a) have to be one number")
def symmetric(subject: KernelSubject, pair: _Rows) -> None:
    """k(x, y) is k(y, x)."""
    forth, back = subject.of(pair), subject.call(pair.y, pair.x)
    expect_close(back, forth.mT, "k(y, x), transposed", near=subject.tolerance(forth))


@property_of(
    lambda subject: subject.pairs((2, 6)),
    count=14,
    mend="not every function of a distance is a kernel; claim 'conditionally positive' if it is so "
    "for weights that sum to 0",
)
def positive_semidefinite(subject: KernelSubject, pair: _Rows) -> None:
    """Its matrix of a sample with itself has no negative eigenvalue."""
    _expect_no_negative_eigenvalue(subject.call(pair.x, pair.x))


@property_of(lambda subject: subject.pairs((2, 6)), count=14, claim=True, mend="look for its sign")
def conditionally_positive(subject: KernelSubject, pair: _Rows) -> None:
    """For weights that sum to 0 its matrix has no negative eigenvalue."""
    k_NN = subject.call(pair.x, pair.x)
    centred = k_NN - k_NN.mean(-1, keepdim=True) - k_NN.mean(-2, keepdim=True) + k_NN.mean()
    _expect_no_negative_eigenvalue(centred)


def _expect_no_negative_eigenvalue(k_NN: Tensor) -> None:
    eigenvalues = torch.linalg.eigvalsh((k_NN.double() + k_NN.double().mT) / 2)
    near = 1e-9 if k_NN.dtype == torch.float64 else 1e-4
    lowest = float(eigenvalues.min())
    size = max(1e-12, float(eigenvalues.abs().max()), float(k_NN.detach().abs().max()))
    expect(lowest >= -near * size, f"an eigenvalue of {figure(lowest)}", "none below 0")


@property_of(
    lambda subject: subject.pairs(dtypes=[torch.float32]),
    count=3,
    mend="cast the result back with .to(x_ND.dtype)",
)
def dtype_kept(subject: KernelSubject, pair: _Rows) -> None:
    """float32 goes in and comes out."""
    found = subject.of(pair).dtype
    expect(found == torch.float32, str(found), "torch.float32")


@property_of(
    lambda subject: subject.pairs(dtypes=[torch.float32], offsets=[0.0, 300.3]),
    count=20,
    only_if=lambda subject: (
        "" if subject.dtype == torch.float64 else "it does not give float64 for float64"
    ),
    mend="|x|^2 + |y|^2 - 2xy loses all at an offset: centre both samples, or subtract rows first",
)
def single_precision(subject: KernelSubject, pair: _Rows) -> None:
    """In float32 it says what it says in float64, to 1e-5 of its largest entry."""
    single, double = subject.of(pair), subject.call(pair.x.double(), pair.y.double())
    within = [subject.call(x.double(), x.double()) for x in (pair.x, pair.y)]
    size = max(float(k.detach().abs().max()) for k in (double, *within))
    expect_close(single, double, "in float32", near=1e-5 * size)


@property_of(
    lambda subject: subject.pairs((2, 4), equal_sizes=True).map(
        lambda pair: _Rows(pair.x, pair.x.clone())
    ),
    mend="sqrt and norm have an infinite slope at 0: guard them with torch.where before the root",
)
def finite_gradient(subject: KernelSubject, pair: _Rows) -> None:
    """Its gradient is finite also where rows coincide."""
    x_ND, y_MD = (x.clone().requires_grad_() for x in (pair.x, pair.y))
    total = subject.call(x_ND, y_MD).sum() + subject.call(x_ND, x_ND).sum()
    if total.requires_grad:
        slope = torch.autograd.grad(total, [x_ND, y_MD], allow_unused=True)[0]
        found = "none" if slope is None else f"a gradient of x with {slope.flatten().tolist()}"
        expect(slope is not None and slope.isfinite().all(), found, "finite numbers")


@property_of(
    lambda subject: subject.pairs((2, 4), generic=True),
    count=6,
    mend="look for .detach(), .item(), .data, torch.no_grad() and cuts on the way from the rows",
)
def gradient(subject: KernelSubject, pair: _Rows) -> None:
    """Its gradient is the slope that small steps show."""
    x_ND, y_MD = (x.clone().requires_grad_() for x in (pair.x, pair.y))
    k_NM = subject.call(x_ND, y_MD)
    expect(k_NM.requires_grad, "a matrix without a gradient", "one that follows the rows")
    mix_NM = seeded(9, *k_NM.shape, dtype=k_NM.dtype)
    slopes = torch.autograd.grad((k_NM * mix_NM).sum(), [x_ND, y_MD], allow_unused=True)
    step, near = (1e-5, 1e-6) if subject.dtype == torch.float64 else (1e-2, 3e-2)
    for name, slope, number in zip("xy", slopes, (0, 1), strict=True):
        start = [pair.x, pair.y]
        direction = seeded(7 + number, *start[number].shape, dtype=pair.x.dtype)
        values = []
        for sign in (1, -1):
            rows = list(start)
            rows[number] = start[number] + sign * step * direction
            values.append((subject.call(*rows) * mix_NM).sum())
        wanted = (values[0] - values[1]).detach() / (2 * step)
        found = torch.zeros_like(wanted) if slope is None else (slope * direction).sum()
        size = max(float(wanted.abs()), float((k_NM * mix_NM).detach().abs().sum()))
        expect_close(found, wanted, f"slope along {name}", near=near * size)


@property_of(
    lambda subject: subject.pairs(),
    count=4,
    mend="replace in-place operations on the samples by new tensors",
)
def inputs_kept(subject: KernelSubject, pair: _Rows) -> None:
    """What it is given is not written into."""
    before = [x.clone() for x in (pair.x, pair.y)]
    subject.of(pair)
    for tensor, kept in zip((pair.x, pair.y), before, strict=True):
        expect_close(tensor, kept, "the input afterwards", near=0.0)


@property_of(
    lambda subject: subject.pairs(),
    count=4,
    mend=".view needs contiguous memory: take .reshape or einops",
)
def layout(subject: KernelSubject, pair: _Rows) -> None:
    """Samples that do not lie in one piece of memory give the same matrix."""
    strided = [x.mT.contiguous().mT for x in (pair.x, pair.y)]
    found, wanted = subject.call(*strided), subject.of(pair)
    expect_close(found, wanted, near=subject.tolerance(wanted))


@property_of(
    lambda subject: subject.pairs(dtypes=[torch.float32]),
    claim=True,
    mend="take differences of rows first, or centre both samples before squares are subtracted",
)
def shift_invariant(subject: KernelSubject, pair: _Rows) -> None:
    """Moving all rows by 1,000 or 10,000 changes nothing, in float32."""
    wanted = subject.of(pair)
    largest = max(float(subject.call(x, x).detach().abs().max()) for x in (pair.x, pair.y))
    for shift in (1e3, 1e4):
        found = subject.call(pair.x + shift, pair.y + shift)
        expect_close(found, wanted, f"moved by {shift:,.0f}", near=1e-5 * largest)


@property_of(
    lambda subject: subject.pairs(width=(2, 4)),
    claim=True,
    mend="no axis may count more than others",
)
def rotation_invariant(subject: KernelSubject, pair: _Rows) -> None:
    """Turning all rows changes nothing."""
    width = pair.x.shape[-1]
    turn_DD = torch.linalg.qr(seeded(11, width, width, dtype=pair.x.dtype)).Q
    found, wanted = subject.call(pair.x @ turn_DD, pair.y @ turn_DD), subject.of(pair)
    expect_close(found, wanted, "turned", near=subject.tolerance(wanted))


KERNEL: Sequence[Property] = (
    one_value_for_each_pair,
    entries_by_themselves,
    batches_as_a_loop,
    symmetric,
    positive_semidefinite,
    conditionally_positive,
    dtype_kept,
    single_precision,
    finite_gradient,
    gradient,
    inputs_kept,
    layout,
    shift_invariant,
    rotation_invariant,
)
