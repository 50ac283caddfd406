"""Flat shapes that move: procedural clips whose every factor is known and can be told apart.

Shapes: B batch, T time, N frames of a batch, S a frame's side, P a drawn window's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import (
    batch_of_equal_lengths,
    checked_indices,
    frames_first_channels,
)
from genzoo_rwae_plugins.sources.draws import held_out_split, uniforms
from genzoo_rwae_plugins.sources.shapes import EXTENT, SHAPES, coverage

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["moving_shapes"]

_COLOURS = {
    "red": (230, 60, 50),
    "green": (60, 200, 80),
    "blue": (70, 110, 250),
    "yellow": (240, 220, 60),
    "magenta": (220, 70, 220),
    "white": (245, 245, 245),
}
_BACKGROUNDS = {
    "black": (0, 0, 0),
    "brown": (70, 40, 10),
    "pine": (0, 60, 50),
    "navy": (20, 20, 90),
}
_RADII = {"small": 0.075, "medium": 0.1, "large": 0.135}  # in sides of a frame
_MOTIONS = ("left", "right", "up", "down", "clockwise", "anticlockwise")
_PLACES = ("upper-left", "upper-right", "lower-left", "lower-right")
_REACH = 0.16  # half the length of a straight path, or the radius of a circle, in sides
_SOFT = 0.5  # pixels by which antialiasing widens a shape
_SMALLEST = 32  # frames below this have too few pixels to tell the shapes apart
# from an edge to the nearest middle of a path: nothing is ever cut off
_MARGIN = _REACH + EXTENT * max(_RADII.values()) + _SOFT / _SMALLEST
_JITTER = 0.7  # share of a place's square in which paths may lie, so that no border is in doubt
_SPLIT_SEED = 1728


@source("moving-shapes")
def moving_shapes(
    split: Split,
    /,
    *,
    length: Annotated[int, Field(ge=3)] = 8,
    size: Annotated[int, Field(ge=_SMALLEST)] = 32,
    background: Literal["black", "coloured"] = "black",
    sequences: PositiveInt = 10_000,
    held_out: PositiveInt = 1_000,
) -> SequenceData:
    """Flat shapes moving on known paths (procedural, every factor known and identifiable).

    Static factors: `shape` (4, of equal area), `colour` (6), `size` (3), and `background` (4) if
    it is coloured. Dynamic factors: `motion` (6: four straight, two round) and `place` (4: the
    quadrant in which the path's middle lies, of the region where it may). The combinations of all
    factors (1,728, or 6,912) are shared out to train, validation and test, 80 / 10 / 10, and each
    split goes through its own again and again. The place's exact spot differs from sequence to
    sequence and from draw to draw; the factors depend on the index alone. A round path starts at
    its top and makes one turn.

    Args:
        length: T, frames per sequence; below 3 a round path has no sense of rotation.
        size: side of the square frames in pixels.
        background: black, or coloured for a fourth static factor.
        sequences: how many sequences the training split has.
        held_out: how many sequences validation and test have, each.

    Source: made for this package, after the manner of dSprites (Matthey et al. 2017).
    """
    count = sequences if split == "train" else held_out
    return _MovingShapes(
        split, length=length, side=size, coloured=background == "coloured", count=count
    )


class _MovingShapes(SequenceData):
    """One split: its combinations of factors, again and again."""

    def __init__(self, split: Split, *, length: int, side: int, coloured: bool, count: int) -> None:
        backgrounds = tuple(_BACKGROUNDS) if coloured else ("black",)
        # all of them, in the order of a combination's number
        self._factors = (
            Factor("shape", SHAPES, "static"),
            Factor("colour", tuple(_COLOURS), "static"),
            Factor("size", tuple(_RADII), "static"),
            Factor("background", backgrounds, "static"),
            Factor("motion", _MOTIONS, "dynamic"),
            Factor("place", _PLACES, "dynamic"),
        )
        self.info = DataInfo(
            frame_shape=(3, side, side),
            length=length,
            bounded=True,
            factors=tuple(factor for factor in self._factors if len(factor.classes) > 1),
        )
        self._split: Split = split
        self._side = side
        self._count = count
        every = math.prod(len(factor.classes) for factor in self._factors)
        self._combinations = held_out_split(
            every, split, validation=every // 10, test=every // 10, seed=_SPLIT_SEED
        )

    def __len__(self) -> int:
        return self._count

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        labels = self._labels(indices_B)
        x_BT = self._render(labels, self._paths(labels, indices_B, draw))
        shown = {factor.name: labels[factor.name] for factor in self.info.factors}
        return batch_of_equal_lengths(x_BT, indices_B, shown)

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor:
        """The shapes of `static_B` on the paths of `dynamic_B`."""
        static_B = checked_indices(static_B, len(self))
        dynamic_B = checked_indices(dynamic_B, len(self))
        paths_BT2 = self._paths(self._labels(dynamic_B), dynamic_B, 0)
        return self._render(self._labels(static_B), paths_BT2)

    def _labels(self, indices_B: np.ndarray) -> dict[str, np.ndarray]:
        numbers_B = self._combinations[indices_B % len(self._combinations)]
        counts = tuple(len(factor.classes) for factor in self._factors)
        labels = np.unravel_index(numbers_B, counts)
        return {f.name: label_B for f, label_B in zip(self._factors, labels, strict=True)}

    def _paths(self, labels: dict[str, np.ndarray], indices_B: np.ndarray, draw: int) -> np.ndarray:
        """Centres [B, T, 2], row and column, in sides of a frame."""
        u_B2 = uniforms("moving-shapes", self._split, indices_B, draw=draw, count=2)
        quadrant_B2 = np.stack(np.divmod(labels["place"], 2), axis=1)
        spot_B2 = quadrant_B2 + 0.5 + _JITTER * (u_B2 - 0.5)
        middle_B2 = _MARGIN + spot_B2 * (1 - 2 * _MARGIN) / 2
        offsets_MT2 = _offsets(self.info.length)
        paths_BT2: np.ndarray = middle_B2[:, None] + offsets_MT2[labels["motion"]]
        return paths_BT2

    def _render(self, labels: dict[str, np.ndarray], paths_BT2: np.ndarray) -> Tensor:
        batch, steps, _ = paths_BT2.shape
        side = self._side
        # only the shape's own window is drawn, of a size that holds the largest
        patch = 2 * math.ceil(EXTENT * max(_RADII.values()) * side + _SOFT) + 1
        centres_N2 = paths_BT2.reshape(-1, 2) * side
        corners_N2 = np.clip(np.rint(centres_N2 - patch / 2).astype(np.int64), 0, side - patch)
        covered_NPP = coverage(
            np.repeat(labels["shape"], steps),
            np.repeat(np.array(list(_RADII.values()))[labels["size"]], steps) * side,
            centres_N2 - corners_N2,
            side=patch,
        )
        front_B3 = np.array(list(_COLOURS.values()), dtype=np.float32)[labels["colour"]]
        back_B3 = np.array(list(_BACKGROUNDS.values()), dtype=np.float32)[labels["background"]]
        front_N113, back_N113 = (
            np.repeat(colour_B3, steps, axis=0)[:, None, None] for colour_B3 in (front_B3, back_B3)
        )
        # half a level, because the conversion cuts off
        patches_NPP3 = back_N113 + covered_NPP[..., None] * (front_N113 - back_N113) + 0.5
        frames_NSS3 = np.empty((batch * steps, side, side, 3), dtype=np.uint8)
        frames_NSS3[:] = back_N113
        windows = np.lib.stride_tricks.sliding_window_view(
            frames_NSS3, (patch, patch), axis=(1, 2), writeable=True
        )
        rows_N, columns_N = corners_N2.T
        # a window has its channels first
        windows[np.arange(len(rows_N)), rows_N, columns_N] = np.moveaxis(patches_NPP3, 3, 1)
        return frames_first_channels(frames_NSS3.reshape(batch, steps, side, side, 3))


def _offsets(steps: int) -> np.ndarray:
    """Every motion's way from the middle of its path: [6, T, 2], row and column, in sides."""
    forth_T = np.linspace(-1, 1, steps)
    still_T = np.zeros(steps)
    # one turn without coming back to the first frame
    angle_T = 2 * np.pi * np.arange(steps) / steps
    top_down_T, sideways_T = -np.cos(angle_T), np.sin(angle_T)
    motions = {
        "left": (still_T, -forth_T),
        "right": (still_T, forth_T),
        "up": (-forth_T, still_T),
        "down": (forth_T, still_T),
        "clockwise": (top_down_T, sideways_T),
        "anticlockwise": (top_down_T, -sideways_T),
    }
    return _REACH * np.stack([np.stack(motions[name], axis=1) for name in _MOTIONS])


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield moving_shapes
