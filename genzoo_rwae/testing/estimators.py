"""The check of an estimator of the squared MMD."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from torch import Tensor

from genzoo_rwae.testing.estimator_properties import ESTIMATOR
from genzoo_rwae.testing.estimator_subject import (
    KERNELS,
    Estimator,
    EstimatorSubject,
    PairedKernel,
)
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.properties import investigate

__all__ = ["Estimator", "check_estimator", "examine_estimator"]

Row = Sequence[float]


def check_estimator(
    function: Estimator,
    /,
    *,
    estimator: Literal["biased", "unbiased"],
    kernel: Callable[[Tensor, Tensor], Tensor] | None = None,
    pair: Callable[[Row, Row], float] | None = None,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
) -> Report:
    """Try what must hold of an estimator of the squared MMD.

    Where the function takes `paired`, `x_weights` and `y_weights`, these are tried too.

    Args:
        function: f(x_ND, y_MD, kernel), as `mmd2_biased`.
        estimator: `biased` for the V-statistic, `unbiased` for the U-statistic.
        kernel: what it is to be called with, of differences of rows; if not given, an inverse
            multiquadric and x . y.
        pair: the same kernel of two rows of numbers, for the loops.
        claims: `refuses nonsense`: NaN, widths that differ, no rows.
        exceptions: names of properties that do not hold of this one, and need not.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        ValueError: a kernel without its `pair`; another estimator; a claim or an exception that is
            no name of a property.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), (4) and (5).

    Example:
        >>> def v_statistic(x_ND, y_MD, kernel):
        ...     within = kernel(x_ND, x_ND).mean((-2, -1)) + kernel(y_MD, y_MD).mean((-2, -1))
        ...     return within - 2 * kernel(x_ND, y_MD).mean((-2, -1))
        >>> check_estimator(v_statistic, estimator="biased").failed
        ()
    """
    __tracebackhide__ = True
    report = examine_estimator(
        function, estimator=estimator, kernel=kernel, pair=pair, claims=claims,
        exceptions=exceptions,
    )  # fmt: skip
    return report.raise_if_failed()


def examine_estimator(
    function: Estimator,
    /,
    *,
    estimator: Literal["biased", "unbiased"],
    kernel: Callable[[Tensor, Tensor], Tensor] | None = None,
    pair: Callable[[Row, Row], float] | None = None,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
) -> Report:
    """As `check_estimator`, but returns the report whatever it says."""
    if estimator not in ("biased", "unbiased"):
        raise ValueError(f"estimator is {estimator!r}; wanted 'biased' or 'unbiased'")
    if (kernel is None) != (pair is None):
        raise ValueError("kernel and pair belong together: give both, or neither")
    kernels: tuple[PairedKernel, ...] = KERNELS
    if kernel is not None and pair is not None:
        kernels = (PairedKernel(repr(kernel), kernel, pair, moves=True),)
    title = f"the {estimator} estimator {getattr(function, '__name__', repr(function))}"
    subject = EstimatorSubject(function, estimator, kernels)
    return investigate(title, ESTIMATOR, subject, claims=claims, exceptions=exceptions)
