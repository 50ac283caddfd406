"""Kernels with a fault, each of which `check_kernel` has to catch, and right ones that pass.

Shapes: N rows of x, M rows of y, D code width.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import Energy, Imq, Rbf
from torch import Tensor

from genzoo_rwae import kernel
from genzoo_rwae.errors import PluginError
from genzoo_rwae.testing import PropertyError, check_kernel, properties
from genzoo_rwae.testing.kernels import KERNEL

NAMES = {p.name for p in KERNEL if not p.claim}
RADIAL = {"shift invariant", "rotation invariant"}


def d2(x: Tensor, y: Tensor) -> Tensor:
    return (x[..., :, None, :] - y[..., None, :, :]).square().sum(-1)


def rbf(x: Tensor, y: Tensor) -> Tensor:
    return (-d2(x, y)).exp()


def linear(x: Tensor, y: Tensor) -> Tensor:
    return x @ y.mT


def negative_distance(x: Tensor, y: Tensor) -> Tensor:
    squared = d2(x, y)
    away = squared > 0
    return -torch.where(away, squared, 1.0).sqrt() * away


@pytest.mark.parametrize(
    ("right", "claims"),
    [
        (rbf, RADIAL),
        (Imq(), RADIAL),
        (Rbf(scales=[0.5, 2.0]), RADIAL),
        (linear, {"rotation invariant"}),
        (negative_distance, {*RADIAL, "conditionally positive"}),
    ],
    ids=["rbf", "our imq", "our rbf", "linear", "negative distance"],
)
def test_right_kernels_pass(right: Any, claims: set[str]) -> None:
    assert len(check_kernel(right, claims=claims).passed) >= 11


def test_a_kernel_that_says_it_is_conditional_is_tried_as_such() -> None:
    assert not Energy().is_positive_definite
    report = check_kernel(Energy())
    assert "conditionally positive" in {finding.property for finding in report.passed}
    assert "positive semidefinite" in {finding.property for finding in report.skipped}


MUTANTS: dict[str, tuple[Any, str]] = {}


def mutant(caught_by: str) -> Any:
    def keep(function: Any) -> Any:
        MUTANTS[function.__name__] = (function, caught_by)
        return function

    return keep


@mutant("one value for each pair")
def summed_over_rows(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x, y).sum(-1)


@mutant("one value for each pair")
def minus_infinity(x: Tensor, y: Tensor) -> Tensor:
    return d2(x, y).log()


@mutant("entries by themselves")
def normalised_by_its_mean(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x, y) / rbf(x, y).mean((-2, -1), keepdim=True)


@mutant("entries by themselves")
def bandwidth_of_the_sample(x: Tensor, y: Tensor) -> Tensor:
    return (-d2(x, y) / (1 + d2(x, y).mean((-2, -1), keepdim=True))).exp()


@mutant("batches as a loop")
def no_batches(x: Tensor, y: Tensor) -> Tensor:
    return (-(x[:, None] - y[None]).square().sum(-1)).exp()


@mutant("symmetric")
def weighs_x_more(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x, y) * (1 + x.square().sum(-1, keepdim=True))


@mutant("positive semidefinite")
def distance(x: Tensor, y: Tensor) -> Tensor:
    return d2(x, y)


@mutant("positive semidefinite")
def box(x: Tensor, y: Tensor) -> Tensor:
    return (1 - d2(x, y) / 4).clamp(min=0) + 0 * linear(x, y)


@mutant("dtype kept")
def float64_out(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x.double(), y.double())


@mutant("single precision")
def half_inside(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x, y) if x.dtype == torch.float64 else rbf(x.bfloat16(), y.bfloat16()).float()


@mutant("single precision")
def uncentred(x: Tensor, y: Tensor) -> Tensor:
    squares = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (-(squares - 2 * x @ y.mT)).exp()


@mutant("finite gradient")
def laplace_of_a_bare_root(x: Tensor, y: Tensor) -> Tensor:
    return (-d2(x, y).sqrt()).exp()


@mutant("gradient")
def y_detached(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x, y.detach())


@mutant("gradient")
def without_a_graph(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x.detach(), y.detach())


@mutant("inputs kept")
def scaled_in_place(x: Tensor, y: Tensor) -> Tensor:
    value = rbf(x, y)
    if not x.requires_grad:
        x *= 0.5
    return value


@mutant("layout")
def viewed(x: Tensor, y: Tensor) -> Tensor:
    return rbf(x.view(-1).view(x.shape), y)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MOST_CALLS", -1)  # no smaller example: for speed
    function, caught_by = MUTANTS[name]
    with pytest.raises(PropertyError) as caught:
        check_kernel(function, exceptions=NAMES - {caught_by})
    (finding,) = caught.value.report.failed
    assert finding.property == caught_by
    assert "x = torch.tensor(" in finding.example


def of_scaled_axes(x: Tensor, y: Tensor) -> Tensor:
    scales_D = torch.arange(1, 1 + x.shape[-1])
    return rbf(x * scales_D, y * scales_D)


@pytest.mark.parametrize(
    ("wrong", "claim"),
    [
        (linear, "shift invariant"),
        (uncentred, "shift invariant"),
        (of_scaled_axes, "rotation invariant"),
        (distance, "conditionally positive"),
    ],
)
def test_a_false_claim_is_caught(wrong: Any, claim: str) -> None:
    with pytest.raises(PropertyError) as caught:
        check_kernel(wrong, claims={claim}, exceptions=NAMES)
    assert [finding.property for finding in caught.value.report.failed] == [claim]


def test_options_reach_a_function_under_the_decorator() -> None:
    @kernel("power")
    def power(x_ND: Tensor, y_MD: Tensor, /, *, exponent: int = 1) -> Tensor:
        return linear(x_ND, y_MD) ** exponent

    assert not check_kernel(power, exponent=2).failed
    with pytest.raises(PropertyError):
        check_kernel(power, exponent=-1)


def test_a_bare_callable_takes_no_options() -> None:
    with pytest.raises(PluginError, match=r"bind with functools\.partial"):
        check_kernel(linear, exponent=2)
    assert not check_kernel(partial(linear)).failed
