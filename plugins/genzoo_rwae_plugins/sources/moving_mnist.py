"""Stochastic moving MNIST: digits that change course at random whenever they meet a wall.

Shapes: B batch, K digits of a clip, T time, N images, P a digit's side.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import batch_of_equal_lengths, checked_indices
from genzoo_rwae_plugins.sources.draws import fixed_uniforms, uniforms
from genzoo_rwae_plugins.sources.idx import find_idx, read_idx
from genzoo_rwae_plugins.sources.pasting import enlarge, paste
from genzoo_rwae_plugins.sources.places import data_folder

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["moving_mnist"]

_SIDE = 28  # of an MNIST image
_ENLARGED = 32  # of a digit on the canvas, as in SVG
_FASTEST = 4  # pixels per frame along an axis, as in SVG
_TRAIN_SHARE = 55 / 60  # of the training images; the rest is validation


@source("moving-mnist")
def moving_mnist(
    split: Split,
    /,
    *,
    root: Path | None = None,
    length: PositiveInt = 20,
    digits: Annotated[int, Field(ge=1, le=4)] = 2,
    canvas: Annotated[int, Field(gt=_ENLARGED)] = 64,
    sequences: PositiveInt = 10_000,
    held_out: PositiveInt = 1_000,
) -> SequenceData:
    """Stochastic moving MNIST: digits that leave a wall at a random new velocity.

    Each digit starts anywhere with an integer velocity in [-4, 4]^2. Past a wall it is put back,
    and both components are drawn anew, the one across the wall pointing inwards. Overlapping
    digits add up, clipped at white. train uses the first 55,000 of the training images, validation
    the other 5,000, test the t10k files. Which images a clip shows depends on its index alone;
    every draw gives them other paths.

    Factors: with one digit `digit`; with two `smaller-digit` and `larger-digit`; with more
    `digit-1`, ... in rising order. Digits start alike and move alike, so 'the first' and 'the
    second' cannot be told apart in a clip; the sorted pair can. The courses are redrawn at every
    wall, so there is no dynamic label.

    Args:
        root: folder with the idx files (train-images-idx3-ubyte, .gz or not, and the other
            three); by default the folder mnist within GENZOO_DATA.
        length: T, frames per clip.
        digits: how many digits a clip shows.
        canvas: side of the square frames in pixels.
        sequences: how many clips the training split has.
        held_out: how many clips validation and test have, each.

    Raises:
        DataError: a file is missing, damaged, or does not fit its partner.

    Source: Denton and Fergus, "Stochastic video generation with a learned prior" (SVG), ICML 2018,
        arXiv 1802.07687, data/moving_mnist.py with deterministic=False (its clipped sum, and its
        last place canvas - 33, are kept). MNIST: LeCun and Cortes, CC BY-SA 3.0.
    """
    folder = data_folder(root, source="moving-mnist", within="mnist")
    images_NPP, labels_N = _images_of(split, folder)
    count = sequences if split == "train" else held_out
    return _MovingMnist(
        split, images_NPP, labels_N, length=length, digits=digits, canvas=canvas, count=count
    )


class _MovingMnist(SequenceData):
    """One split: clips of K digits."""

    def __init__(
        self,
        split: Split,
        images_NPP: np.ndarray,
        labels_N: np.ndarray,
        *,
        length: int,
        digits: int,
        canvas: int,
        count: int,
    ) -> None:
        names = {1: ("digit",), 2: ("smaller-digit", "larger-digit")}.get(
            digits, tuple(f"digit-{rank}" for rank in range(1, digits + 1))
        )
        self.info = DataInfo(
            frame_shape=(1, canvas, canvas),
            length=length,
            bounded=True,
            licence="MNIST: Yann LeCun and Corinna Cortes, CC BY-SA 3.0.",
            factors=tuple(Factor(name, tuple("0123456789"), "static") for name in names),
        )
        self._split: Split = split
        self._images_NPP = images_NPP
        self._labels_N = labels_N
        self._canvas = canvas
        u_K = fixed_uniforms("moving-mnist", split, count=count * digits)
        self._chosen_NK = (u_K * len(images_NPP)).astype(np.int64).reshape(count, digits)

    def __len__(self) -> int:
        return len(self._chosen_NK)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        x_BT = self._render(indices_B, *self._paths(indices_B, draw))
        labels_BK = np.sort(self._labels_N[self._chosen_NK[indices_B]], axis=1)
        factors = {f.name: labels_BK[:, k] for k, f in enumerate(self.info.factors)}
        return batch_of_equal_lengths(x_BT, indices_B, factors)

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor | None:
        """The digit of `static_B` on the path of `dynamic_B`.

        None with several digits: which of them takes which path is arbitrary, so that there are K!
        equally true answers.
        """
        if self._chosen_NK.shape[1] > 1:
            return None
        static_B = checked_indices(static_B, len(self))
        return self._render(static_B, *self._paths(checked_indices(dynamic_B, len(self)), 0))

    def _paths(self, indices_B: np.ndarray, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Upper and left edges of the digits: [B, K, T] integers twice."""
        steps, digits = self.info.length, self._chosen_NK.shape[1]
        # four numbers to start with and four for every step, so that longer clips begin alike
        u = uniforms(
            "moving-mnist", self._split, indices_B, draw=draw, count=4 * digits * (1 + steps)
        ).reshape(len(indices_B), 1 + steps, 4, digits)
        room = self._canvas - _ENLARGED
        row, column = (np.floor(u[:, 0, k] * room).astype(np.int64) for k in (0, 1))
        down, right = (_any_velocity(u[:, 0, k]) for k in (2, 3))
        rows, columns = np.empty((2, len(indices_B), digits, steps), dtype=np.int64)
        for t in range(steps):
            v = u[:, 1 + t]
            # the upper and lower walls first, then left and right, which have the last word
            met = (row < 0) | (row >= room)
            down = np.where(met, _inward_velocity(v[:, 0], low=row < 0), down)
            right = np.where(met, _any_velocity(v[:, 1]), right)
            row = np.clip(row, 0, room - 1)
            met = (column < 0) | (column >= room)
            right = np.where(met, _inward_velocity(v[:, 2], low=column < 0), right)
            down = np.where(met, _any_velocity(v[:, 3]), down)
            column = np.clip(column, 0, room - 1)
            rows[..., t], columns[..., t] = row, column
            row, column = row + down, column + right
        return rows, columns

    def _render(
        self, indices_B: np.ndarray, rows_BKT: np.ndarray, columns_BKT: np.ndarray
    ) -> Tensor:
        pictures_BKPP = enlarge(self._images_NPP[self._chosen_NK[indices_B]], _ENLARGED)
        frames_BTHW = paste(pictures_BKPP, rows_BKT, columns_BKT, side=self._canvas)
        return torch.from_numpy(frames_BTHW).unsqueeze(2)


def _any_velocity(u: np.ndarray) -> np.ndarray:
    """Integers uniform in [-4, 4] from numbers uniform in [0, 1)."""
    result: np.ndarray = np.floor(u * (2 * _FASTEST + 1)).astype(np.int64) - _FASTEST
    return result


def _inward_velocity(u: np.ndarray, *, low: np.ndarray) -> np.ndarray:
    """Integers uniform in [1, 4] at the low wall, in [-4, -1] at the high one."""
    size = np.floor(u * _FASTEST).astype(np.int64) + 1
    result: np.ndarray = np.where(low, size, -size)
    return result


def _images_of(split: Split, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The images of one split and their classes."""
    part = "t10k" if split == "test" else "train"
    images_path = find_idx(folder, f"{part}-images", 3)
    labels_path = find_idx(folder, f"{part}-labels", 1)
    images_NPP, labels_N = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images_NPP.shape[1:] != (_SIDE, _SIDE):
        raise DataError(
            f"{images_path}: found images of {images_NPP.shape[1:]}, wanted {(_SIDE, _SIDE)}; "
            "use MNIST or a set of its shape"
        )
    if len(images_NPP) != len(labels_N):
        raise DataError(
            f"{images_path}: found {len(images_NPP)} images but {len(labels_N)} labels in "
            f"{labels_path.name}, wanted as many; fetch both files from one place"
        )
    if labels_N.max(initial=0) > 9:
        raise DataError(
            f"{labels_path}: found the label {labels_N.max()}, wanted 0 to 9; use a set of ten "
            "classes"
        )
    cut = round(len(images_NPP) * _TRAIN_SHARE)
    part_of = {"train": slice(0, cut), "validation": slice(cut, None), "test": slice(None)}
    images_NPP, labels_N = images_NPP[part_of[split]], labels_N[part_of[split]]
    if len(images_NPP) == 0:
        raise DataError(
            f"{images_path}: found no images for {split}, wanted at least one; fetch the whole set"
        )
    return images_NPP, labels_N.astype(np.int64)


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield moving_mnist
