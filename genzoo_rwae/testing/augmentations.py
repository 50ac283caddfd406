"""What must hold of an augmentation.

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
    property_of,
)
from genzoo_rwae.testing.strategies import with_seed

__all__ = ["AUGMENTATION", "check_augmentation", "examine_augmentation"]

_MANY = 16  # rows of which two differ, if draws do


def check_augmentation(augmentation: Any, /, **how: Any) -> Report:
    """Try what must hold of an augmentation; for a test of one's own.

    Args:
        augmentation: a function under @augmentation.
        how: as of `examine_augmentation`.

    Raises:
        PropertyError: some property does not hold; the message has its smallest example.
        PluginError: it is no augmentation, or an option is unknown or missing.
        ValueError: a claim or an exception is no name of a property.
    """
    __tracebackhide__ = True
    return examine_augmentation(augmentation, **how).raise_if_failed()


def examine_augmentation(
    augmentation: Any,
    /,
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
    frame_shapes: Sequence[tuple[int, ...]] = FRAME_SHAPES,
    **options: Any,
) -> Report:
    """As `check_augmentation`, but returns the report whatever it says.

    Args:
        augmentation: a function under @augmentation.
        claims: what holds of this one beyond what must hold of all: `still`.
        exceptions: names of properties that do not hold of this one, and need not.
        frame_shapes: shapes of frames that it is tried with; those that it refuses with an
            OptionError are left out.
        options: its options; the others have their defaults.
    """
    component = component_of_kind("augmentation", augmentation)
    part = part_of(component, options)
    return investigate_on_frames(
        component,
        AUGMENTATION,
        lambda taken: _Subject(part, taken),
        lambda x_BT: part(x_BT, None),
        frame_shapes,
        claims=claims,
        exceptions=exceptions,
    )


@dataclass
class _Subject:
    """An augmentation with its options, and the frames that it takes."""

    part: Part
    frame_shapes: list[tuple[int, ...]]

    def __call__(self, x_BT: Tensor, seed: int | None = 0) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        changed: Tensor = self.part(x_BT, generator)
        return changed


def _sequences(subject: _Subject) -> SearchStrategy[Sequences]:
    shapes = st.sampled_from(subject.frame_shapes)
    return st.builds(Sequences, shapes, st.integers(1, 4), st.integers(1, 5))


def _many(subject: _Subject) -> SearchStrategy[Sequences]:
    shapes = st.sampled_from(subject.frame_shapes)
    return st.builds(Sequences, shapes, st.just(_MANY), st.just(6))


@property_of(_sequences, count=8, mend="change values, not the shape; cast back to x_BT.dtype")
def form(subject: _Subject, sequences: Sequences) -> None:
    """It gives finite sequences of the shape and the dtype that it was given."""
    for dtype in (torch.float32, torch.float64):
        x_BT = sequences.values(dtype)
        found = subject(x_BT)
        expect_shape("sequences", found, x_BT.shape)
        expect(found.dtype == dtype, f"{found.dtype} of {dtype}", f"{dtype}")
        expect(found.isfinite().all(), "values that are not finite", "finite numbers")


@property_of(_many, count=3, mend="an augmentation that is always the same is a preprocessing step")
def changes(subject: _Subject, sequences: Sequences) -> None:
    """It changes some of many sequences, and by another seed in another way."""
    x_BT = sequences.values()
    one, other = subject(x_BT), subject(x_BT, seed=1)
    expect(not torch.equal(one, x_BT), "sequences that are as they were", "some that are changed")
    expect(not torch.equal(one, other), "the same of two seeds", "a draw from the generator")


@property_of(_many, count=3, mend="draw for every row: a shape that begins with len(x_BT)")
def rows_differ(subject: _Subject, sequences: Sequences) -> None:
    """Every sequence of a batch gets a draw of its own."""
    x_BT = sequences.values()[:1].expand(_MANY, *[-1] * (1 + len(sequences.frame_shape)))
    found = subject(x_BT.contiguous())
    same = all(torch.equal(found[0], row) for row in found)
    expect(not same, f"one change of {_MANY} equal sequences", "changes of their own")


@property_of(
    _sequences,
    count=4,
    mend="give the generator to every torch.rand, and use no other source of chance",
)
def draws_alone_are_random(subject: _Subject, sequences: Sequences) -> None:
    """The same seed gives the same sequences, whatever torch's own generator does."""
    x_BT = sequences.values()
    found = []
    for other in (1, 2):
        torch.default_generator.manual_seed(other)
        found.append(subject(x_BT))
    expect_same(found[1], found[0], "the second time")


@property_of(
    _sequences,
    count=3,
    mend="torch.rand takes generator=None; ask for its device only if it is one",
)
def without_a_generator(subject: _Subject, sequences: Sequences) -> None:
    """Without a generator it draws from torch's own."""
    x_BT = sequences.values()
    found = []
    for _ in range(2):
        with with_seed(3):
            found.append(subject(x_BT, seed=None))
    expect_same(found[1], found[0], "the second time")


@property_of(_sequences, count=4, mend="work on a copy: no mul_, no x_BT[...] = ...")
def inputs_kept(subject: _Subject, sequences: Sequences) -> None:
    """What it is given is not written into."""
    x_BT = sequences.values()
    kept = x_BT.clone()
    subject(x_BT)
    expect_close(x_BT, kept, "the input afterwards", near=0.0)


@property_of(
    lambda subject: st.builds(
        Sequences, st.sampled_from(subject.frame_shapes), st.integers(2, 4), st.integers(2, 5)
    ),
    count=6,
    mend="NaN stands for a missing value: no nan_to_num, and no mean over a batch with some",
)
def missing(subject: _Subject, sequences: Sequences) -> None:
    """What is missing stays missing, and nothing else goes."""
    x_BT = sequences.values()
    x_BT[0] = torch.nan
    for seed in range(4):
        found = subject(x_BT, seed=seed)
        expect(found[0].isnan().all(), "values where all are missing", "NaN")
        expect(not found[1:].isnan().any(), "NaN in sequences that are whole", "numbers")
    x_BT = sequences.values()
    x_BT[:, 0] = torch.nan
    found = subject(x_BT)
    expect(found.isnan().any(), "no NaN of a step that is missing", "NaN")
    expect(not found.isnan().all(), "nothing but NaN of a step that is missing", "numbers as well")


@property_of(
    _sequences,
    count=6,
    claim=True,
    mend="draw once for a sequence, not for every frame: [B, 1, ...], not [B, T, ...]",
)
def still(subject: _Subject, sequences: Sequences) -> None:
    """What did not move does not move afterwards."""
    x_BT = sequences.values()[:, :1]
    x_BT = x_BT.expand(-1, 4, *[-1] * len(sequences.frame_shape)).contiguous()
    found = subject(x_BT)
    expect_same(found, found[:, :1].expand_as(found), "frames")


AUGMENTATION: Sequence[Property] = (
    form,
    changes,
    rows_differ,
    draws_alone_are_random,
    without_a_generator,
    inputs_kept,
    missing,
    still,
)
