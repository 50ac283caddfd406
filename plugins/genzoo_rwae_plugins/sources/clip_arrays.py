"""Clips in one array.

Shapes: N clips, T time, F features, H W C frame.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.array_files import loaded_array
from genzoo_rwae_plugins.sources.clip_stores import ClipStore

__all__ = ["ArrayClips", "check_values"]

_CHANNELS = (1, 3, 4)
_WANTED = (
    "[N, T, F] vectors (float), [N, T, H, W] grey or [N, T, H, W, C] pictures with C in 1, 3, 4 "
    "(uint8, or float in [0, 1])"
)
_CHUNK_BYTES = 64 * 2**20  # how much of a float array is looked over at a time


class ArrayClips(ClipStore):
    """The clips of an array, all of one length; their names are their numbers.

    Args:
        path: the .npy or .npz file.
        key: which array of a .npz file.
        every: only every so many-th frame is there.

    Raises:
        DataError: no such array, one of another shape or type, values that are not finite, or
            pictures with values outside [0, 1].
    """

    def __init__(self, path: Path, key: str | None, *, every: int = 1) -> None:
        array = loaded_array(path, key)
        _check_shape(path, array)
        array = array[:, ::every]
        self.bounded = array.ndim > 3
        # a trailing axis is a view: a memory map stays one
        self._array = array[..., None] if array.ndim == 4 else array
        self.names = tuple(str(clip) for clip in range(len(array)))
        self.lengths = (array.shape[1],) * len(array)
        self.frame_shape = self._array.shape[2:]
        self.dtype = np.dtype(np.uint8) if array.dtype == np.uint8 else np.dtype(np.float32)
        if self.dtype == np.float32:
            check_values(path, array, bounded=self.bounded)

    def read(self, clip: int, start: int, stop: int, /) -> np.ndarray:
        frames: np.ndarray = self._array[clip, start:stop]
        return frames.astype(self.dtype, copy=False)


def _check_shape(path: Path, array: np.ndarray) -> None:
    shape = list(array.shape)
    found = f"{path}: found shape {shape} of {array.dtype}, wanted {_WANTED}"
    if array.ndim not in (3, 4, 5):
        raise DataError(f"{found}; add or merge axes")
    if math.prod(shape) == 0:
        raise DataError(f"{found}; there is nothing in it")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise DataError(f"{found}; convert it, for example with x.astype('float32')")
    if array.ndim == 3 and array.dtype == np.uint8:
        raise DataError(f"{found}; for one clip of grey pictures save x[None]")
    if array.ndim == 5 and shape[-1] not in _CHANNELS:
        mend = "np.moveaxis(x, 2, -1) puts channels last; " if shape[2] in _CHANNELS else ""
        raise DataError(f"{found}; {mend}save it again")


def check_values(path: Path, array: np.ndarray, *, bounded: bool, gaps: bool = False) -> bool:
    """Look at every value as the model will see it: as float32.

    Args:
        path: where the array comes from, for messages.
        array: [N, ...] floats.
        bounded: they have to lie in [0, 1].
        gaps: they may be NaN.

    Returns:
        Whether there are any gaps.

    Raises:
        DataError: a value that may not be.
    """
    rows = max(1, _CHUNK_BYTES // max(1, array[0].size * 4))
    bad, outside, some_gaps = 0, 0, False
    first_bad: list[int] = []
    first_outside: list[int] = []
    for start in range(0, len(array), rows):
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes inf, and is found
            chunk = array[start : start + rows].astype(np.float32)
        lost = np.isnan(chunk)
        some_gaps |= bool(lost.any())
        wrong = ~np.isfinite(chunk) & ~(lost & gaps)
        if wrong.any():
            bad += int(wrong.sum())
            first_bad = first_bad or _first(wrong, start)
        if bounded:
            wrong = (chunk < 0) | (chunk > 1)
            outside += int(wrong.sum())
            if wrong.any():
                first_outside = first_outside or _first(wrong, start)
    if bad:
        found = "infinite" if gaps else "NaN or infinite"
        raise DataError(
            f"{path}: found {bad} values that are {found} in float32, the first at index "
            f"{first_bad}; wanted finite ones; fill them in or leave those clips out"
        )
    if outside:
        raise DataError(
            f"{path}: found {outside} values outside [0, 1], the first at index {first_outside}; "
            "wanted pictures as float in [0, 1]; rescale them or save them as uint8"
        )
    return some_gaps


def _first(wrong: np.ndarray, start: int) -> list[int]:
    place = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return [int(place[0]) + start, *(int(k) for k in place[1:])]
