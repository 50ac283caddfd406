"""Real handwritten digits that move over a canvas: data that every installation has.

Shapes: B batch, T time, N images, P a digit's side.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import batch_of_equal_lengths, checked_indices
from genzoo_rwae_plugins.sources.draws import held_out_split, uniforms
from genzoo_rwae_plugins.sources.pasting import bounce, enlarge, paste

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["digits"]

_SIDE = 8  # of the images of scikit-learn
_GREATEST = 16  # their highest grey level
_SPLIT_SEED = 1797
_DIRECTIONS = ("right", "up-right", "up", "up-left", "left", "down-left", "down", "down-right")


@source("digits")
def digits(
    split: Split,
    /,
    *,
    length: PositiveInt = 8,
    canvas: PositiveInt = 32,
    scale: PositiveInt = 2,
    speed: Annotated[float, Field(gt=0)] = 4.0,
) -> SequenceData:
    """Handwritten 8x8 digits moving on a canvas (real images, from scikit-learn's wheel).

    One sequence per image: 1,797 in all, split by image, 80 / 10 / 10 in every class. A digit
    starts anywhere, moves at a constant velocity and bounces off the walls. Every draw gives it
    another path. Factors: `digit` (static) and `direction`, the octant of the initial velocity
    (dynamic).

    Args:
        length: T, frames per sequence.
        canvas: side of the square frames in pixels.
        scale: how many times the 8x8 images are enlarged (bilinearly).
        speed: greatest velocity along each axis, in pixels per frame; each component is uniform
            in [-speed, speed].

    Raises:
        OptionError: the digit is larger than the canvas.

    Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning
        Repository, 1998 (CC BY 4.0); the copy in scikit-learn is that set's test part.
    """
    side = _SIDE * scale
    if canvas < side:
        raise OptionError(
            f"a canvas of {canvas} cannot hold a digit of {side} pixels (8 x scale {scale}); "
            f"wanted canvas >= {side}",
            option="canvas",
        )
    images_NPP, labels_N = _images_of(split)
    return _MovingDigits(
        split, enlarge(images_NPP, side), labels_N, length=length, canvas=canvas, speed=speed
    )


class _MovingDigits(SequenceData):
    """One split: image k, moving."""

    def __init__(
        self,
        split: Split,
        images_NPP: np.ndarray,
        labels_N: np.ndarray,
        *,
        length: int,
        canvas: int,
        speed: float,
    ) -> None:
        self.info = DataInfo(
            frame_shape=(1, canvas, canvas),
            length=length,
            bounded=True,
            licence="Optical Recognition of Handwritten Digits: E. Alpaydin and C. Kaynak, UCI "
            "repository, CC BY 4.0.",
            factors=(
                Factor("digit", tuple("0123456789"), "static"),
                Factor("direction", _DIRECTIONS, "dynamic"),
            ),
        )
        self._split: Split = split
        self._images_NPP = images_NPP
        self._labels_N = labels_N
        self._canvas = canvas
        self._speed = speed

    def __len__(self) -> int:
        return len(self._images_NPP)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        start_B2, velocity_B2 = self._motion(indices_B, draw)
        # the vertical axis of a frame points down
        angle_B = np.arctan2(-velocity_B2[:, 0], velocity_B2[:, 1])
        factors = {
            "digit": self._labels_N[indices_B],
            "direction": np.rint(angle_B / (np.pi / 4)).astype(np.int64) % 8,
        }
        x_BT = self._render(indices_B, start_B2, velocity_B2)
        return batch_of_equal_lengths(x_BT, indices_B, factors)

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor:
        """The digits of `static_B` on the paths of `dynamic_B`."""
        static_B = checked_indices(static_B, len(self))
        return self._render(static_B, *self._motion(checked_indices(dynamic_B, len(self)), 0))

    def _motion(self, indices_B: np.ndarray, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Start and velocity, (row, column) each: [B, 2] twice."""
        u_B4 = uniforms("digits", self._split, indices_B, draw=draw, count=4)
        return u_B4[:, :2] * self._span, (2 * u_B4[:, 2:] - 1) * self._speed

    def _render(
        self, indices_B: np.ndarray, start_B2: np.ndarray, velocity_B2: np.ndarray
    ) -> Tensor:
        places_B2T = bounce(start_B2, velocity_B2, steps=self.info.length, span=self._span)
        corners_B2T = np.rint(places_B2T).astype(np.int64)
        frames_BTHW = paste(
            self._images_NPP[indices_B, None],
            corners_B2T[:, None, 0],
            corners_B2T[:, None, 1],
            side=self._canvas,
        )
        return torch.from_numpy(frames_BTHW).unsqueeze(2)

    @property
    def _span(self) -> int:
        return self._canvas - int(self._images_NPP.shape[-1])


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """All images, [N, P, P] of grey levels 0..16, and their classes: as `load_digits` has them."""
    package = find_spec("sklearn")
    places = (package and package.submodule_search_locations) or ()
    for place in places:
        table = Path(place, "datasets", "data", "digits.csv.gz")
        if table.is_file():  # read without importing scikit-learn, which takes a second
            with gzip.open(table) as rows:
                values_NF = np.loadtxt(rows, delimiter=",")
            return values_NF[:, :-1].reshape(-1, _SIDE, _SIDE), values_NF[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    return load_digits().images, load_digits().target


def _images_of(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The images of one split, grey levels in 0..255, and their classes."""
    images_NPP, labels_N = _digits()
    chosen = []
    for label in range(10):
        members = np.flatnonzero(labels_N == label)
        tenth = round(len(members) / 10)
        part = held_out_split(
            len(members), split, validation=tenth, test=tenth, seed=_SPLIT_SEED + label
        )
        chosen.append(members[part])
    # in the order of the original file, so that neighbouring indices are not all of one class
    order = np.sort(np.concatenate(chosen))
    return images_NPP[order] * (255 / _GREATEST), labels_N[order]


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield digits
