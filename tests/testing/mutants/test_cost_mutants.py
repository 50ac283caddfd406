"""Costs with a fault, each of which the kit has to catch, and right ones that pass.

Shapes: B batch, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genzoo_rwae import cost
from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import PropertyError, check_cost, examine, properties
from genzoo_rwae.testing.costs import COST

MUTANTS: dict[str, tuple[Any, str]] = {}


def mutant(caught_by: str) -> Callable[[Any], Any]:
    def keep(build: Any) -> Any:
        made = cost(build.__name__.replace("_", "-"))(build)
        MUTANTS[build.__name__] = (made, caught_by)
        return build

    return keep


@cost("quartic")
def quartic(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return (x_BT - x_hat_BT).pow(4).flatten(2).sum(-1)


@cost("quartic-of-images")
def quartic_of_images(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    if x_BT.dim() != 5:
        raise OptionError("wanted images")
    return quartic(x_BT, x_hat_BT)


@cost("length")
def length(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return ((x_BT - x_hat_BT).square().flatten(2).sum(-1) + 1e-12).sqrt()


@cost("poisson")
def poisson(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return (x_hat_BT - x_BT * (x_hat_BT + 1e-6).log()).flatten(2).sum(-1)


@mutant("form")
def one_number(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT).mean()


@mutant("form")
def float_alone(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT).float()


@mutant("form")
def logarithm(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT) / (x_BT < 1).logical_not().sum()


@mutant("frames apart")
def relative(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT) / x_BT.mean()


@mutant("frames apart")
def differences(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    smoothed_BT = x_hat_BT.cumsum(1) / torch.arange(1, x_BT.shape[1] + 1).reshape(
        -1, *[1] * (x_BT.dim() - 2)
    )
    return quartic(x_BT, x_hat_BT) + quartic(x_BT.cumsum(1), smoothed_BT)


@mutant("sum over a frame")
def mean_of_values(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return (x_BT - x_hat_BT).square().flatten(2).mean(-1)


@mutant("sum over a frame")
def of_neighbours(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    error_BT = (x_BT - x_hat_BT).flatten(2)
    return error_BT.diff(dim=-1).square().sum(-1)


@mutant("least at truth")
def upside_down(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    error_BT = (x_BT - x_hat_BT).square()
    return (2 * error_BT.pow(2) - error_BT).flatten(2).sum(-1)


@mutant("rest at truth")
def root(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return (x_BT - x_hat_BT).flatten(2).pow(2).sum(-1).sqrt()


@mutant("rest at truth")
def aims_beside(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT + 0.5)


@mutant("rest at truth")
def logarithm_of_zero(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT) + 0 * x_hat_BT.clamp_min(0).sqrt().flatten(2).sum(-1)


@mutant("gradient")
def detached(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT.detach() + 0 * x_hat_BT)


@mutant("gradient")
def first_step_alone(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    rest_BT = torch.cat([x_hat_BT[:, :1], x_hat_BT[:, 1:].detach()], 1)
    return quartic(x_BT, rest_BT)


@mutant("layouts")
def viewed(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    b, t = x_BT.shape[:2]
    return (x_BT.reshape(b, t, -1) - x_hat_BT.view(b, t, -1)).pow(4).sum(-1)


@mutant("inputs kept")
def in_place(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    cost_BT = quartic(x_BT, x_hat_BT)
    x_BT.mul_(0.5)
    return cost_BT


@mutant("repeats")
def noisy(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT) * (1 + 1e-6 * torch.rand(1, dtype=x_BT.dtype))


@mutant("symmetric")
def one_sided(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    wrong_BT = x_BT - x_hat_BT
    return (wrong_BT.relu() * 2 + (-wrong_BT).relu()).square().flatten(2).sum(-1)


@mutant("zero at truth")
def raised(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    return quartic(x_BT, x_hat_BT) + 0.1


CLAIMS = {"symmetric", "zero at truth"}


@pytest.mark.parametrize("build", [quartic, quartic_of_images, length])
def test_right_ones_pass(build: Any) -> None:
    report = check_cost(build, claims=CLAIMS)
    assert len(report.passed) == len(COST)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MOST_CALLS", -1)  # no smaller example: for speed
    build, caught_by = MUTANTS[name]
    others = {p.name for p in COST if not p.claim} - {caught_by}
    claims = CLAIMS & {caught_by}
    (finding,) = examine(build, exceptions=others, claims=claims).failed
    assert finding.property == caught_by


def test_a_cost_may_be_least_at_the_end_of_the_numbers() -> None:
    check_cost(poisson)


def test_one_that_takes_no_frames_is_not_built() -> None:
    (finding,) = examine(quartic_of_images, frame_shapes=[(6,), (2, 2)]).failed
    assert finding.property == "built"
    assert "wanted images" in finding.message
    with pytest.raises(PropertyError, match="wanted images"):
        check_cost(quartic_of_images, frame_shapes=[(6,)])
