"""Sequences as they travel from a source to a model: what they are, and one batch of them.

Shapes: B batch, T time, ... the frame: [C, H, W] for images, [F] for vectors.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from genzoo_rwae.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

__all__ = [
    "Batch",
    "DataInfo",
    "Display",
    "EpochOrder",
    "Factor",
    "SequenceData",
    "Sound",
    "Split",
    "check_labels",
]

Split = Literal["train", "validation", "test"]
"""Which part of a data set: to fit, to choose settings, to measure."""
_Form = Literal["lines", "spectrogram", "skeleton"]
_MOST_VALUES = 2**28  # of one sequence, as 1 GB of float32


@dataclass(frozen=True)
class Factor:
    """One labelled factor of variation.

    Attributes:
        name: as in `action`, `hair`.
        classes: the names of its values; label k of a batch means `classes[k]`.
        code: which code should carry it: the static one (it does not change along a sequence) or
            the dynamic ones.
    """

    name: str
    classes: tuple[str, ...]
    code: Literal["static", "dynamic"]


@dataclass(frozen=True)
class Display:
    """How sequences are drawn where their shape does not tell.

    Attributes:
        form: `lines` are values against time, `spectrogram` is time across and frequency upwards,
            `skeleton` joints and bones of [J, 2] or [J, 3] frames.
        names: of the values of a frame, or of the joints.
        bones: pairs of joints that a line joins.
        step: seconds from one step to the next; 0 where nobody knows.
        top: highest frequency in Hz; 0 where nobody knows.
    """

    form: _Form
    names: tuple[str, ...] = ()
    bones: tuple[tuple[int, int], ...] = ()
    step: float = 0.0
    top: float = 0.0


@dataclass(frozen=True)
class DataInfo:
    """What a model has to know about the data before it sees any.

    Attributes:
        frame_shape: (C, H, W) for images, (F,) for vectors, (J, 2) or (J, 3) for skeletons.
        length: T, the number of steps of the longest sequence.
        bounded: True for images, uint8 or floats in [0, 1]: the model makes values in [0, 1].
        factors: the labelled factors, if there are any.
        licence: licence and attribution of the data; goes onto every card and report.
        missing: values may be missing: they are NaN. The encoder then sees which, beside the
            values, and the cost leaves them out.
        display: how sequences are drawn; None goes by the shape: images as they are, vectors as
            lines.
    """

    frame_shape: tuple[int, ...]
    length: int
    bounded: bool
    factors: tuple[Factor, ...] = ()
    licence: str = ""
    missing: bool = False
    display: Display | None = None

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> DataInfo:
        """The inverse of `as_json`.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: it is none.
        """
        factors = tuple(_factor(factor) for factor in raw["factors"])
        shape = tuple(int(side) for side in raw["frame_shape"])
        length = int(raw["length"])
        if not shape or min(*shape, length) < 1 or math.prod(shape) * length > _MOST_VALUES:
            raise ValueError(f"found {length} steps of {list(shape)[:8]}")
        # runs of version 0.1 do not say the last two
        return DataInfo(
            shape,
            length,
            bool(raw["bounded"]),
            factors,
            str(raw["licence"]),
            bool(raw.get("missing", False)),
            _display(raw.get("display")),
        )


def _factor(raw: Mapping[str, Any]) -> Factor:
    if raw["code"] not in ("static", "dynamic"):
        raise ValueError(f"found a factor of the code {raw['code']!r}")
    return Factor(str(raw["name"]), tuple(str(name) for name in raw["classes"]), raw["code"])


def _display(raw: Mapping[str, Any] | None) -> Display | None:
    if raw is None:
        return None
    bones = tuple((int(one), int(other)) for one, other in raw["bones"])
    names = tuple(str(name) for name in raw["names"])
    if raw["form"] not in get_args(_Form):
        raise ValueError(f"found the form {raw['form']!r}")
    return Display(raw["form"], names, bones, float(raw["step"]), float(raw["top"]))


@dataclass(frozen=True)
class Sound:
    """A piece of sound.

    Attributes:
        wave_N: float32, in [-1, 1].
        rate: samples a second.
    """

    wave_N: np.ndarray
    rate: int


@dataclass(frozen=True)
class Batch:
    """Some sequences, padded to one length.

    Attributes:
        x_BT: [B, T, ...] uint8 (images) or float32; zero beyond the true length; NaN where a
            value is missing, of data whose `info.missing` says so.
        lengths_B: [B] int64, the true lengths, 1 <= length <= T.
        indices_B: [B] int64, the sequences' places in their split.
        factors: name -> [B] int64 labels. For measuring only.
    """

    x_BT: Tensor
    lengths_B: Tensor
    indices_B: Tensor
    factors: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.x_BT.shape[0])


def check_labels(batch: Batch, info: DataInfo, *, needed: bool = True) -> None:
    """Of every factor that `info` names: one class of it for each sequence.

    Args:
        batch: the sequences.
        info: of their data.
        needed: they are measured; training does without labels.

    Raises:
        DataError: a label is none; says which, and of which sequence.
    """
    for factor in info.factors:
        labels_B = batch.factors.get(factor.name)
        if labels_B is None and not needed:
            continue
        if labels_B is None:
            raise DataError(
                f"sequences {batch.indices_B.tolist()[:4]}... have no labels of the factor "
                f"'{factor.name}', which the data's info names; wanted them in factors"
            )
        strange_K = ((labels_B < 0) | (labels_B >= len(factor.classes))).nonzero().flatten()
        if len(strange_K):
            row = int(strange_K[0])
            raise DataError(
                f"sequence {int(batch.indices_B[row])} has the label {int(labels_B[row])} of the "
                f"factor '{factor.name}', which has {len(factor.classes)} classes; wanted 0 to "
                f"{len(factor.classes) - 1}: mend what the source gives, or name more classes in "
                "its info"
            )


class EpochOrder(Protocol):
    """The indices of a split in the order of one epoch: an array, or what makes its slices."""

    def __getitem__(self, places: slice, /) -> np.ndarray:
        """The indices at some places: int64."""


class SequenceData(ABC):
    """One split of a data set: a fixed number of sequences that can be taken by their indices.

    What `take` returns depends on its arguments alone: no hidden generator, so that a run that was
    interrupted sees the same data when it goes on. And every row depends on its own index and the
    draw alone, so that ranks that take parts of a batch see that batch.
    """

    info: DataInfo

    @abstractmethod
    def __len__(self) -> int:
        """Number of sequences in this split; 0 is allowed for validation."""

    @abstractmethod
    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        """Sequences by their indices.

        Args:
            indices_B: [B] integers in [0, len(self)); there may be none.
            draw: which realisation of a source that is random (the epoch, in training); sources
                with fixed sequences return the same for all. Measuring uses 0.
        """

    def epoch_order(self, generator: np.random.Generator, /) -> EpochOrder:
        """The order in which training sees the sequences in one epoch.

        By default every order is as likely. A source that is slow to jump about in may keep
        sequences together that lie together.

        Args:
            generator: one for each seed and epoch. Nothing else decides the order, so that ranks
                agree on it and a run that was interrupted goes on in it.

        Returns:
            Every index in [0, len(self)) once.
        """
        order_N: np.ndarray = generator.permutation(len(self))
        return order_N

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor | None:
        """The true sequences with the static factors of one and the dynamic ones of another.

        What a perfect swap would give, for data that are rendered and where it is known (draw 0).

        Args:
            static_B: [B] indices whose static factors are kept.
            dynamic_B: [B] indices whose dynamic factors are kept.

        Returns:
            [B, T, ...] of the dtype of `take`'s x_BT, or None where the truth is not known.
        """
        return None

    def groups(self, indices_B: np.ndarray, /) -> np.ndarray | None:
        """Which recording each sequence is a piece of, for data that were cut into pieces.

        It is no factor: nothing is trained or probed on it. What is measured of a whole recording
        is a mean over its pieces.

        Args:
            indices_B: [B] integers in [0, len(self)).

        Returns:
            [B] int64, equal for pieces of one recording; None where every sequence is whole.
        """
        return None

    def following(self, indices_B: np.ndarray, steps: int, /) -> Tensor | None:
        """What comes after sequences that are windows of longer ones, for tasks that look ahead.

        For measuring only.

        Args:
            indices_B: [B] integers in [0, len(self)).
            steps: how many steps after the last of each.

        Returns:
            [B, steps, ...] float64, in the data's own units; NaN where nothing is known. None where
            sequences are whole.
        """
        return None

    def sound(self, x_T: Tensor, /, *, like: int | None = None) -> Sound | None:
        """A sequence as sound, for data that were made of sound.

        Args:
            x_T: [T, ...], one sequence of this kind of data, real or made by a model.
            like: a sequence of this split whose phase is kept; without one it is estimated.

        Returns:
            The sound; None where the data are none.
        """
        return None
