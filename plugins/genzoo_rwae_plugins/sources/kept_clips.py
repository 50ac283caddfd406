"""Clips that are decoded once and kept: videos, and pictures that were scaled down.

Shapes: T time, H W C frame.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genzoo_rwae.errors import DataError, RunError
from genzoo_rwae.files import write_atomic_with
from genzoo_rwae_plugins.sources.clip_stores import ClipStore

__all__ = ["MOST_BYTES", "KeptClips", "Recording"]

_FORMAT = 1  # of the kept files: another number decodes everything again
MOST_BYTES = 2 * 2**30  # of one decoded clip, which has to be in memory once
_MOST_THREADS = 8


@dataclass(frozen=True)
class Recording:
    """A clip as it lies on disc, still to be decoded.

    Attributes:
        name: what the clip is called.
        files: what it is made of. Kept frames are theirs while their places, sizes and times of
            change stay the same.
        recipe: what else decides the frames: how they are chosen, cropped and scaled.
        decode: its frames, [H, W, C] uint8 and all of one shape, one after the other.
    """

    name: str
    files: tuple[Path, ...]
    recipe: str
    decode: Callable[[], Iterator[np.ndarray]]


class KeptClips(ClipStore):
    """Decoded clips, a .npy file each in a folder that may be cleared between runs.

    What is not there yet is decoded, several clips at a time; reading is memory-mapped.

    Args:
        recordings: [N] the clips; there may be none.
        cache: the folder; made if there is none.

    Raises:
        DataError: a clip is damaged, empty, too large or of another size than the first, or the
            folder cannot be written.
    """

    def __init__(self, recordings: Sequence[Recording], cache: Path) -> None:
        self.names = tuple(recording.name for recording in recordings)
        self._paths = [cache / f"clip-{_key(recording)}.npy" for recording in recordings]
        missing = [
            (recording, path)
            for recording, path in zip(recordings, self._paths, strict=True)
            if _kept(path) is None
        ]
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
            list(pool.map(_keep, *zip(*missing, strict=True)) if missing else ())
        shapes = [_mapped(path).shape for path in self._paths]
        self.lengths = tuple(shape[0] for shape in shapes)
        self.frame_shape = shapes[0][1:] if shapes else ()
        for recording, shape in zip(recordings, shapes, strict=True):
            if shape[1:] != self.frame_shape:
                raise DataError(
                    f"{recording.files[0]}: found frames of {shape[2]} x {shape[1]} pixels, wanted "
                    f"{self.frame_shape[1]} x {self.frame_shape[0]} as in "
                    f"{recordings[0].files[0]}; give `size: [height, width]`, which all are "
                    "scaled to"
                )
        self.bounded = True
        self.dtype = np.dtype(np.uint8)

    def read(self, clip: int, start: int, stop: int, /) -> np.ndarray:
        return _mapped(self._paths[clip])[start:stop]


def _key(recording: Recording) -> str:
    told = [str(_FORMAT), recording.recipe]
    for path in recording.files:
        about = path.stat()
        told.append(f"{path.resolve()} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _keep(recording: Recording, path: Path) -> None:
    frames, size = [], 0
    for frame in recording.decode():
        frames.append(frame)
        size += frame.nbytes
        if size > MOST_BYTES:
            raise DataError(
                f"{recording.files[0]}: found a clip of more than {MOST_BYTES / 2**30:.0f} GB of "
                "pixels, wanted less; give a smaller `size`, keep fewer frames with `every`, or "
                "cut the clip into pieces"
            )
    if not frames:
        raise DataError(f"{recording.files[0]}: found no frames, wanted some; take the file away")
    array = np.stack(frames)
    try:
        write_atomic_with(path, lambda file: np.save(file, array))
    except RunError as error:
        raise DataError(
            f"decoded frames cannot be kept: {error}; give `cache: <a folder with room>`"
        ) from error


def _kept(path: Path) -> np.memmap | None:
    """A whole file of decoded frames, or None."""
    try:
        frames = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    whole = (
        isinstance(frames, np.memmap)
        and frames.dtype == np.uint8
        and frames.ndim == 4
        and path.stat().st_size == frames.offset + frames.nbytes
    )
    return frames if whole else None


def _mapped(path: Path) -> np.memmap:
    frames = _kept(path)
    if frames is None:
        raise DataError(
            f"{path}: the decoded frames are gone, which were there when the run began; do not "
            "clear the cache during a run; the same command goes on"
        )
    return frames
