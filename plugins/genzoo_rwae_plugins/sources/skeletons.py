"""The user's own skeletons: joints that move.

Shapes: N clips, T time, J joints, A axes of a joint (2 or 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae.sequences import Display, SequenceData, Split
from genzoo_rwae_plugins.sources.array_files import loaded_array
from genzoo_rwae_plugins.sources.clip_arrays import check_values
from genzoo_rwae_plugins.sources.clip_data import StoredClips
from genzoo_rwae_plugins.sources.clip_labels import labels_of
from genzoo_rwae_plugins.sources.clip_stores import ClipStore
from genzoo_rwae_plugins.sources.scaling import Scaling
from genzoo_rwae_plugins.sources.shares import part_of

__all__ = ["skeletons"]

Bone = tuple[NonNegativeInt, NonNegativeInt]
Up = Literal["y", "-y", "z", "-z"]


@source("skeletons")
def skeletons(
    split: Split,
    /,
    *,
    path: Path,
    key: str | None = None,
    bones: tuple[Bone, ...] = (),
    names: tuple[str, ...] = (),
    up: Up = "y",
    step: NonNegativeFloat = 0.0,
    length: PositiveInt | None = None,
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1,
    labels: Path | None = None,
    dynamic: tuple[str, ...] = (),
) -> SequenceData:
    """Your own skeletons: a .npy or .npz array [N, T, J, 2 or 3] of floats.

    A joint that was not seen is NaN: a missing value. Coordinates are scaled alike on all axes,
    around the mean joint of the training clips, so that bodies keep their proportions.

    Args:
        path: the .npy or .npz file.
        key: which array of a .npz file; needed only if there are several.
        bones: pairs of joints that are drawn as a line, counted from 0.
        names: of the joints.
        up: which axis points up, or down (`-y`, as in pictures); the sequences have it as their
            second axis, upwards.
        step: seconds from one frame to the next.
        length: T, every clip is cropped to so many frames: the first ones for draw 0, others at
            random for further draws. By default whole clips.
        validation: share of the clips held out for validation; 0 for none.
        test: share of the clips held out for testing.
        labels: CSV file with the header clip,<factor>,... and a row per clip, which are numbered
            from 0.
        dynamic: those factors of `labels` that the dynamic codes should carry; the others are
            static.

    Raises:
        DataError: the data are missing, empty, damaged, of another shape or type, infinite,
            shorter than `length`, or fewer than the splits need.
        OptionError: bones or names do not fit the joints, `up` not the axes, `dynamic` not the
            labels; or validation and test leave nothing to train on.
    """
    path = path.expanduser()
    if not path.is_file() or path.suffix not in (".npy", ".npz"):
        found = f"a file of type '{path.suffix}'" if path.is_file() else "no file"
        raise DataError(f"{path}: found {found}, wanted a .npy or .npz file; correct `path`")
    array = loaded_array(path, key)
    _check_shape(path, array)
    _check_options(array.shape[2], array.shape[3], bones, names, up)
    missing = check_values(path, array, bounded=False, gaps=True)
    parts = {
        name: part_of(name, len(array), validation=validation, test=test, place=path, what="clips")
        for name in ("train", split)
    }
    store = _SkeletonClips(array, parts["train"], up)
    return StoredClips(
        "skeletons",
        path,
        split,
        store,
        parts[split],
        labels_of(labels, store.names, dynamic),
        length,
        missing=missing,
        display=Display("skeleton", names=names, bones=bones, step=step),
    )


class _SkeletonClips(ClipStore):
    """Clips of an array, turned upright and scaled."""

    def __init__(self, array: np.ndarray, train_N: np.ndarray, up: Up) -> None:
        self._array = array
        self._up: Up = up
        self.names = tuple(str(clip) for clip in range(len(array)))
        self.lengths = (array.shape[1],) * len(array)
        self.frame_shape = array.shape[2:]
        self.bounded = False
        self.dtype = np.dtype(np.float32)
        self._scaling = self._fitted(train_N)

    def _fitted(self, train_N: np.ndarray) -> Scaling:
        """Of training clips, one at a time: a memory map may be larger than memory."""
        axes = self.frame_shape[1]
        count_A, total_A, squares = np.zeros(axes), np.zeros(axes), 0.0
        for clip in train_N:
            x_TJA = self._upright(self._array[clip])
            count_A += (~np.isnan(x_TJA)).sum((0, 1))
            total_A += np.nansum(x_TJA, axis=(0, 1))
        mean_A = total_A / np.maximum(count_A, 1)
        for clip in train_N:
            squares += float(np.nansum(np.square(self._upright(self._array[clip]) - mean_A)))
        sd = np.sqrt(squares / max(1, count_A.sum())) or 1.0
        return Scaling(mean_A, np.full(axes, sd))

    def read(self, clip: int, start: int, stop: int, /) -> np.ndarray:
        return self._scaling.scaled(self._upright(self._array[clip, start:stop]))

    def _upright(self, x_TJA: np.ndarray) -> np.ndarray:
        """float64, with the second axis up: a turn of what is solid, never its mirror image."""
        x_TJA = np.asarray(x_TJA, np.float64)
        sign = -1.0 if self._up.startswith("-") else 1.0
        if self._up.endswith("z"):
            x, y, z = np.moveaxis(x_TJA, -1, 0)
            return np.stack([x, sign * z, -sign * y], -1)
        turned = np.array([1.0, sign, sign])[: x_TJA.shape[-1]]
        upright: np.ndarray = x_TJA * turned
        return upright


def _check_shape(path: Path, array: np.ndarray) -> None:
    if array.ndim != 4 or array.shape[3] not in (2, 3) or not array.size or array.dtype.kind != "f":
        raise DataError(
            f"{path}: found shape {list(array.shape)} of {array.dtype}, wanted [N, T, J, 2] or "
            "[N, T, J, 3] floats; for one clip save x[None], for flat frames x.reshape(N, T, J, 3)"
        )


def _check_options(
    joints: int, axes: int, bones: tuple[Bone, ...], names: tuple[str, ...], up: Up
) -> None:
    if names and len(names) != joints:
        raise OptionError(f"found {len(names)} names for {joints} joints", option="names")
    if wrong := [bone for bone in bones if max(bone) >= joints]:
        raise OptionError(
            f"found the bone {list(wrong[0])}; the joints are 0 to {joints - 1}", option="bones"
        )
    if axes == 2 and up.endswith("z"):
        raise OptionError("frames are [J, 2], whose second axis is y; wanted y or -y", option="up")


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield skeletons
