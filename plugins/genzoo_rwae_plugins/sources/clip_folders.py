"""Clips as folders of pictures: each subfolder a clip, its frames in natural order.

Shapes: T time, H W C frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.clip_stores import ClipStore, natural_order
from genzoo_rwae_plugins.sources.kept_clips import MOST_BYTES, KeptClips, Recording
from genzoo_rwae_plugins.sources.picture_files import opened_picture, read_picture
from genzoo_rwae_plugins.sources.video_files import VIDEO_SUFFIXES, video_recordings

__all__ = ["FolderClips", "clips_of_folder"]

_SUFFIXES = (".png", ".jpg", ".jpeg")
_LAYOUT = "wanted one subfolder per clip, with PNG or JPEG frames in it, or one video file per clip"
_GREY = frozenset({"1", "L"})
_EIGHT_BITS = _GREY | {"LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}


def clips_of_folder(
    root: Path, cache: Path, *, every: int, size: tuple[int, int] | None
) -> ClipStore:
    """The clips of a folder of videos, or of subfolders of pictures.

    Videos, and pictures that are scaled, are decoded once and kept; other pictures are decoded when
    they are asked for.

    Args:
        root: the folder.
        cache: where decoded frames are kept.
        every: keep every so many-th frame.
        size: (H, W) that frames are fitted to; None leaves them as they are.

    Raises:
        DataError: both kinds side by side, or as `FolderClips`, `KeptClips` and `video_frames`.
    """
    entries = [path for path in root.iterdir() if not path.name.startswith(".")]
    videos = [p for p in entries if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    folders = [path for path in entries if path.is_dir()]
    if videos and folders:
        raise DataError(
            f"{root}: found {len(videos)} videos beside {len(folders)} subfolders, {_LAYOUT}; keep "
            "one of the two"
        )
    if videos:
        return KeptClips(video_recordings(videos, every=every, size=size), cache)
    pictures = FolderClips(root, every=every, size=size)
    return KeptClips(pictures.recordings(), cache) if size else pictures


class FolderClips(ClipStore):
    """Subfolders of pictures; frames are decoded when they are asked for.

    All frames get the channels of the richest: grey, colour, or colour and opacity.

    Args:
        root: the folder.
        every: keep every so many-th frame.
        size: (H, W) that frames are fitted to; without it they have to be of one size.

    Raises:
        DataError: no clips, a clip without frames, or a frame that is damaged, too large, of more
            than eight bits, or of another size than the first.
    """

    def __init__(self, root: Path, *, every: int = 1, size: tuple[int, int] | None = None) -> None:
        self._frames = {name: paths[::every] for name, paths in _frame_paths(root).items()}
        self._size = size
        self.names = tuple(self._frames)
        self.lengths = tuple(len(paths) for paths in self._frames.values())
        first = next(iter(self._frames.values()))[0]
        modes, first_size = set(), (0, 0)
        for path in (path for paths in self._frames.values() for path in paths):
            with opened_picture(path) as picture:
                mode, found = picture.mode, picture.size
                transparent = picture.has_transparency_data  # a palette may hold it, too
            if path == first:
                first_size = found
            if found != first_size and size is None:
                raise DataError(
                    f"{path}: found {found[0]} x {found[1]} pixels, wanted {first_size[0]} x "
                    f"{first_size[1]} as in {first}; frames have to be of one size: give `size: "
                    "[height, width]`, which all are scaled to"
                )
            if mode not in _EIGHT_BITS:
                raise DataError(
                    f"{path}: found pixels of mode {mode}, wanted 8 bits per channel; convert the "
                    "pictures"
                )
            modes.add("RGBA" if transparent else mode)
        self._mode = "L" if modes <= _GREY else "RGBA" if "RGBA" in modes else "RGB"
        height, width = size or (first_size[1], first_size[0])
        self.frame_shape = (height, width, len(self._mode))
        longest = max(self._frames, key=lambda name: len(self._frames[name]))
        if len(self._frames[longest]) * math.prod(self.frame_shape) > MOST_BYTES:
            raise DataError(
                f"{root / longest}: found {len(self._frames[longest]):,} frames of {width} x "
                f"{height} pixels, wanted a clip of at most {MOST_BYTES:,} bytes; give a smaller "
                "`size`, or keep fewer frames with `every`"
            )
        self.bounded = True
        self.dtype = np.dtype(np.uint8)

    def read(self, clip: int, start: int, stop: int, /) -> np.ndarray:
        paths = self._frames[self.names[clip]][start:stop]
        frames = [read_picture(path, self._mode, self._size) for path in paths]
        for path, frame in zip(paths, frames, strict=True):
            if frame.shape != self.frame_shape:
                raise DataError(
                    f"{path}: found shape {frame.shape}, wanted {self.frame_shape} as when the run "
                    "began; do not change the pictures during a run"
                )
        return np.stack(frames)

    def recordings(self) -> list[Recording]:
        """The clips, still to be decoded."""
        recipe = f"pictures, {self._mode}, size {self._size}"

        def decode(clip: int) -> Iterator[np.ndarray]:
            return (self.read(clip, t, t + 1)[0] for t in range(self.lengths[clip]))

        return [
            Recording(name, tuple(paths), recipe, partial(decode, clip))
            for clip, (name, paths) in enumerate(self._frames.items())
        ]


def _frame_paths(root: Path) -> dict[str, list[Path]]:
    entries = [path for path in root.iterdir() if not path.name.startswith(".")]
    folders = sorted((p for p in entries if p.is_dir()), key=lambda path: natural_order(path.name))
    if not folders:
        loose = sum(path.suffix.lower() in _SUFFIXES for path in entries)
        found = f"{loose} pictures but no subfolder" if loose else "no subfolder"
        raise DataError(f"{root}: found {found}, {_LAYOUT}; sort the frames into subfolders")
    frames = {}
    for folder in folders:
        paths = [p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()]
        paths = [path for path in paths if not path.name.startswith(".")]
        if not paths:
            videos = sum(path.suffix.lower() in VIDEO_SUFFIXES for path in folder.iterdir())
            found = f"{videos} videos in a subfolder" if videos else "no frames"
            mend = "move them up, classes go into `labels`" if videos else "fill the folder"
            raise DataError(f"{folder}: found {found}, {_LAYOUT}; {mend} or take it away")
        frames[folder.name] = sorted(paths, key=lambda path: natural_order(path.name))
    return frames
