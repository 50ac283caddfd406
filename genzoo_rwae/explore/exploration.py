"""What one does with a run on the page, without the page: each deed gives clips to be shown.

Shapes: N sequences on offer, R directions, D code width, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from genzoo_rwae.errors import SpecError
from genzoo_rwae.evaluation.codes import encode_split, spread_indices
from genzoo_rwae.evaluation.directions import Directions
from genzoo_rwae.evaluation.traversal import Code, directions_of, move
from genzoo_rwae.report.compose import swap_all
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, SequenceData

__all__ = ["Clip", "Exploration"]

_OFFERED = 24  # sequences
_ENCODED = 2_000  # sequences of training, spread evenly
_DIRECTIONS = 6
_MOST_SAMPLES, _LONGEST = 24, 8  # sequences, and how many times the data's length


@dataclass(frozen=True)
class Clip:
    """One sequence on the page.

    Attributes:
        title: what it is.
        about: its place in the split and its labels, or how it was made.
        x_T: [T, ...], as the model has it: images in [0, 1].
        length: its true length.
        like: the sequence whose phase it is heard in; None: it is estimated.
    """

    title: str
    about: str
    x_T: Tensor
    length: int
    like: int | None = None


class Exploration:
    """A model and its data, to be tried.

    Args:
        model: in evaluation mode.
        data: the split whose sequences are on offer; not empty.
        train: the split whose codes tell the directions.
    """

    def __init__(self, model: SequenceModel, data: SequenceData, train: SequenceData) -> None:
        self.model, self.data, self._train = model, data, train
        self.offered_N: tuple[int, ...] = tuple(spread_indices(len(data), _OFFERED).tolist())
        self.lengths = 1, _LONGEST * model.info.length
        self.counts = 1, _MOST_SAMPLES

    @cached_property
    def directions(self) -> Mapping[Code, Directions]:
        """The first principal directions of both codes of training sequences."""
        codes = encode_split(self.model, self._train, _ENCODED)
        both: tuple[Code, ...] = ("static", "dynamic")
        return {code: directions_of(codes, code, _DIRECTIONS) for code in both}

    def originals(self, indices: Sequence[int]) -> tuple[Clip, ...]:
        """Sequences of the split as they are.

        Raises:
            SpecError: the split does not have one of them.
        """
        batch = self._take(*indices)
        return tuple(self._original(batch, row, "original") for row in range(len(batch)))

    def swap(self, static: int, motion: int, action: int | None = None) -> tuple[Clip, ...]:
        """The static code of one sequence with the dynamic codes of another.

        Returns:
            Both sequences, what the model makes of them, and what it should have been where the
            source knows it.

        Raises:
            SpecError: the split does not have one of them, or the model no such action.
        """
        batch = self._take(static, motion)
        self._check_action(action)
        x_BT, lengths_B = self.model.prepare(batch.x_BT), batch.lengths_B
        swapped_T = swap_all(
            self.model, x_BT[:1], x_BT[1:], lengths_B[:1], lengths_B[1:], action=action
        )[0, 0]
        length = int(lengths_B[1])
        about = f"{static}, as {motion} moves"
        if action is not None:
            about += f", action {action}"
        clips = [
            self._original(batch, 0, "static code of"),
            self._original(batch, 1, "motion of"),
            Clip("together", about, swapped_T, length, motion),
        ]
        truth_BT = self.data.recombine(np.array([static]), np.array([motion]))
        if truth_BT is not None and action is None:
            truth_T = self.model.prepare(truth_BT)[0]
            clips.append(Clip("true rendering", "what a perfect swap gives", truth_T, length))
        return tuple(clips)

    def move(
        self, index: int, static_places: Sequence[float], dynamic_places: Sequence[float]
    ) -> tuple[Clip, ...]:
        """A sequence with its codes moved along principal directions from where they are.

        Args:
            index: of the sequence.
            static_places: one for each direction of the static code, in standard deviations.
            dynamic_places: likewise, of the dynamic codes.

        Returns:
            The sequence, its reconstruction, and what moving makes of it.

        Raises:
            SpecError: the split does not have it.
        """
        batch = self._take(index)
        x_T, length = self.model.prepare(batch.x_BT)[0], int(batch.lengths_B[0])
        shifts = [
            self.directions["static"].shift(torch.tensor(static_places)),
            self.directions["dynamic"].shift(torch.tensor(dynamic_places)),
        ]
        still = [torch.zeros_like(shift_D) for shift_D in shifts]
        return (
            self._original(batch, 0, "original"),
            Clip("reconstruction", "from its own codes",
                 move(self.model, x_T, length, *still), length, index),
            Clip("moved", _said(static_places, dynamic_places),
                 move(self.model, x_T, length, *shifts), length, index),
        )  # fmt: skip

    def sample(
        self, count: int, length: int, seed: int, action: int | None = None
    ) -> tuple[Clip, ...]:
        """Draws from the priors; those of one seed share their noise, whichever action is given.

        Raises:
            SpecError: more or longer than the page has room for, or no such action.
        """
        for name, value, (least, most) in (
            ("samples", count, self.counts),
            ("steps", length, self.lengths),
        ):
            if not least <= value <= most:
                raise SpecError(f"{value} {name}: wanted {least} to {most}")
        if seed < 0:
            raise SpecError(f"the seed {seed}: wanted a whole number from 0")
        self._check_action(action)
        generator = torch.Generator().manual_seed(seed)
        drawn = self.model.sample(count, length, generator, action=action)
        actions = drawn.latents.action_BA
        abouts = (
            [""] * count
            if actions is None
            else [f"action {chosen}" for chosen in actions.argmax(-1).tolist()]
        )
        return tuple(
            Clip(f"sample {n + 1}", about, x_T, length)
            for n, (about, x_T) in enumerate(zip(abouts, drawn.x_BT, strict=True))
        )

    def _take(self, *indices: int) -> Batch:
        for index in indices:
            if not 0 <= index < len(self.data):
                raise SpecError(
                    f"sequence {index}: this split has the sequences 0 to {len(self.data) - 1}"
                )
        return self.data.take(np.array(indices))

    def _check_action(self, action: int | None) -> None:
        if action is not None and not 0 <= action < self.model.actions:
            raise SpecError(f"action {action}: this model has {self.model.actions} actions")

    def _original(self, batch: Batch, row: int, title: str) -> Clip:
        index = int(batch.indices_B[row])
        labels = [
            f"{factor.name} {factor.classes[int(batch.factors[factor.name][row])]}"
            for factor in self.model.info.factors
            if factor.name in batch.factors
        ]
        x_T = self.model.prepare(batch.x_BT[row : row + 1])[0]
        about = f"{index}: {', '.join(labels)}" if labels else str(index)
        return Clip(title, about, x_T, int(batch.lengths_B[row]), index)


def _said(static_places: Sequence[float], dynamic_places: Sequence[float]) -> str:
    """Which directions were moved along, and how far."""
    named = (("static", static_places), ("dynamic", dynamic_places))
    parts = [
        f"{code} {number + 1}: {place:+g} sd"
        for code, places in named
        for number, place in enumerate(places)
        if place
    ]
    return ", ".join(parts) or "by nothing yet"
