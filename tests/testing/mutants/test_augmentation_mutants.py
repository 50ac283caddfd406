"""Augmentations with a fault, each of which the kit has to catch, and right ones that pass.

Shapes: B batch, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genzoo_rwae import augmentation
from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import PropertyError, check_augmentation, examine, properties
from genzoo_rwae.testing.augmentations import AUGMENTATION

Generator = torch.Generator | None
MUTANTS: dict[str, tuple[Any, str]] = {}


def mutant(caught_by: str) -> Callable[[Any], Any]:
    def keep(build: Any) -> Any:
        made = augmentation(build.__name__.replace("_", "-"))(build)
        MUTANTS[build.__name__] = (made, caught_by)
        return build

    return keep


def drawn(x_BT: Tensor, generator: Generator, rows: int | None = None) -> Tensor:
    """A factor from 0.5 to 1.5 for every row, in its shape."""
    rows = len(x_BT) if rows is None else rows
    factor_B = 0.5 + torch.rand(rows, generator=generator)
    return factor_B.to(x_BT.dtype).reshape(-1, *[1] * (x_BT.dim() - 1))


@augmentation("gain")
def gain(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return x_BT * drawn(x_BT, generator)


@augmentation("gain-of-images")
def gain_of_images(x_BT: Tensor, generator: Generator, /) -> Tensor:
    if x_BT.dim() != 5:
        raise OptionError("wanted images")
    return x_BT * drawn(x_BT, generator)


@mutant("form")
def loses_a_step(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return gain(x_BT, generator)[:, 1:]


@mutant("form")
def float_alone(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return gain(x_BT, generator).float()


@mutant("changes")
def does_nothing(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return x_BT.clone()


@mutant("rows differ")
def one_for_all(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return x_BT * drawn(x_BT, generator, rows=1)


@mutant("draws alone are random")
def draws_elsewhere(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return gain(x_BT, generator) * drawn(x_BT, None)


@mutant("without a generator")
def seeds_itself(x_BT: Tensor, generator: Generator, /) -> Tensor:
    own = torch.Generator()
    own.seed()
    return gain(x_BT, generator or own)


@mutant("without a generator")
def needs_a_generator(x_BT: Tensor, generator: Generator, /) -> Tensor:
    if len(x_BT) > 1:  # the first look at the frames has one row
        assert generator is not None
    return gain(x_BT, generator)


@mutant("inputs kept")
def writes(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return x_BT.mul_(drawn(x_BT, generator))


@mutant("missing")
def fills_in(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return gain(x_BT, generator).nan_to_num(0.0)


@mutant("missing")
def centres_the_batch(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return gain(x_BT - x_BT.mean(), generator)


@mutant("missing")
def centres_sequences(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return gain(x_BT - x_BT.flatten(1).mean(1).reshape(-1, *[1] * (x_BT.dim() - 1)), generator)


@mutant("still")
def by_frame(x_BT: Tensor, generator: Generator, /) -> Tensor:
    return gain(x_BT.flatten(0, 1), generator).reshape(x_BT.shape)


@pytest.mark.parametrize("build", [gain, gain_of_images])
def test_right_ones_pass(build: Any) -> None:
    report = check_augmentation(build, claims={"still"})
    assert len(report.passed) == len(AUGMENTATION)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MOST_CALLS", -1)  # no smaller example: for speed
    build, caught_by = MUTANTS[name]
    others = {p.name for p in AUGMENTATION if not p.claim} - {caught_by}
    claims = {"still"} if caught_by == "still" else set()
    (finding,) = examine(build, exceptions=others, claims=claims).failed
    assert finding.property == caught_by


def test_what_moves_is_not_asked_to_stand_still() -> None:
    by_frame_alone = MUTANTS["by_frame"][0]
    assert not examine(by_frame_alone).failed


def test_one_that_takes_no_frames_is_not_built() -> None:
    (finding,) = examine(gain_of_images, frame_shapes=[(6,), (2, 2)]).failed
    assert finding.property == "built"
    assert "wanted images" in finding.message
    with pytest.raises(PropertyError, match="wanted images"):
        check_augmentation(gain_of_images, frame_shapes=[(6,)])
