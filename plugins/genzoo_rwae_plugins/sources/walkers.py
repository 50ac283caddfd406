"""Stick figures that move: procedural skeletons whose every factor is known.

Shapes: B batch, T time, J joints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.sequences import Batch, DataInfo, Display, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import batch_of_equal_lengths, checked_indices
from genzoo_rwae_plugins.sources.draws import held_out_split, uniforms
from genzoo_rwae_plugins.sources.walking import BONES, GAITS, JOINTS, Body, joints_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["walkers"]

_HEIGHTS = {"short": 1.4, "medium": 1.65, "tall": 1.9}  # metres
_LEGS = {"short": 0.42, "medium": 0.48, "long": 0.54}  # shares of the height
_SHOULDERS = {"narrow": 0.18, "medium": 0.23, "broad": 0.28}  # shares of the height
_TEMPI = {"slow": 1, "fast": 2}  # cycles in a sequence
_PHASES = ("first", "second", "third", "fourth")  # quarter of the cycle that it starts in
_FACTORS = (
    Factor("height", tuple(_HEIGHTS), "static"),
    Factor("legs", tuple(_LEGS), "static"),
    Factor("shoulders", tuple(_SHOULDERS), "static"),
    Factor("gait", GAITS, "dynamic"),
    Factor("tempo", tuple(_TEMPI), "dynamic"),
    Factor("phase", _PHASES, "dynamic"),
)
_COUNTS = tuple(len(factor.classes) for factor in _FACTORS)
_JITTER = 0.7  # share of a quarter in which a sequence may start, so that no border is in doubt
_SPLIT_SEED = 1883
_SECOND = 1.0  # of a slow cycle
_SHORTEST = 8  # frames: below it a fast cycle has too few to tell forth from back


@source("walkers")
def walkers(
    split: Split,
    /,
    *,
    length: Annotated[int, Field(ge=_SHORTEST)] = 16,
    sequences: PositiveInt = 10_000,
    held_out: PositiveInt = 1_000,
) -> SequenceData:
    """Stick figures that walk, run, jump and wave (procedural, every factor known).

    Sixteen joints [J, 3] in metres: to the body's left, up, ahead; figures stay in place. Static
    factors: `height`, length of `legs` and width of `shoulders` (3 each, the last two as shares of
    the height). Dynamic factors: `gait` (6), `tempo` (one cycle, or two) and `phase` (4: the
    quarter of the cycle that it starts in). The 1,296 combinations of all factors are shared out to
    train, validation and test, 80 / 10 / 10, and each split goes through its own again and again.
    Where in its quarter it starts differs from sequence to sequence and from draw to draw; the
    factors depend on the index alone.

    Args:
        length: T, frames per sequence.
        sequences: how many sequences the training split has.
        held_out: how many sequences validation and test have, each.

    Source: made for this package.
    """
    return _Walkers(split, length, sequences if split == "train" else held_out)


class _Walkers(SequenceData):
    """One split: its combinations of factors, again and again."""

    def __init__(self, split: Split, length: int, count: int) -> None:
        self.info = DataInfo(
            frame_shape=(len(JOINTS), 3),
            length=length,
            bounded=False,
            factors=_FACTORS,
            display=Display("skeleton", names=JOINTS, bones=BONES, step=_SECOND / length),
        )
        self._split: Split = split
        self._count = count
        held = math.prod(_COUNTS) // 10
        self._combinations = held_out_split(
            math.prod(_COUNTS), split, validation=held, test=held, seed=_SPLIT_SEED
        )

    def __len__(self) -> int:
        return self._count

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        labels = self._labels(indices_B)
        x_BT = self._drawn(labels, labels, self._start(indices_B, draw))
        return batch_of_equal_lengths(x_BT, indices_B, labels)

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor:
        """The bodies of `static_B` that move as `dynamic_B` do."""
        static_B = checked_indices(static_B, len(self))
        dynamic_B = checked_indices(dynamic_B, len(self))
        start_B = self._start(dynamic_B, 0)
        return self._drawn(self._labels(static_B), self._labels(dynamic_B), start_B)

    def _labels(self, indices_B: np.ndarray) -> dict[str, np.ndarray]:
        numbers_B = self._combinations[indices_B % len(self._combinations)]
        labels = np.unravel_index(numbers_B, _COUNTS)
        return {f.name: label_B for f, label_B in zip(_FACTORS, labels, strict=True)}

    def _start(self, indices_B: np.ndarray, draw: int) -> np.ndarray:
        """Where in its quarter each starts: [B] in [0, 1)."""
        u_B = uniforms("walkers", self._split, indices_B, draw=draw, count=1)[:, 0]
        start_B: np.ndarray = 0.5 + _JITTER * (u_B - 0.5)
        return start_B

    def _drawn(
        self, who: dict[str, np.ndarray], how: dict[str, np.ndarray], start_B: np.ndarray
    ) -> Tensor:
        body = Body(
            np.array(list(_HEIGHTS.values()))[who["height"]],
            np.array(list(_LEGS.values()))[who["legs"]],
            np.array(list(_SHOULDERS.values()))[who["shoulders"]],
        )
        first_B = (how["phase"] + start_B) / len(_PHASES)
        cycles_B = np.array(list(_TEMPI.values()))[how["tempo"]]
        steps_T = np.arange(self.info.length) / self.info.length
        turns_BT = first_B[:, None] + cycles_B[:, None] * steps_T
        return torch.from_numpy(joints_of(body, how["gait"], turns_BT).astype(np.float32))


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield walkers
