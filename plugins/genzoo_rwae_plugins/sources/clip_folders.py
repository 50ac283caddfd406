"""Clips as folders of pictures: each subfolder a clip, its frames in natural order.

Shapes: T time, H W C frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.clip_stores import ClipStore, natural_order
from genzoo_rwae_plugins.sources.picture_files import opened_picture, read_picture

__all__ = ["FolderClips"]

_SUFFIXES = (".png", ".jpg", ".jpeg")
_LAYOUT = "wanted one subfolder per clip, with PNG or JPEG frames in it"
_GREY = frozenset({"1", "L"})
_EIGHT_BITS = _GREY | {"LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}


class FolderClips(ClipStore):
    """The clips of a folder; frames are decoded when they are asked for.

    All frames get the channels of the richest: grey, colour, or colour and opacity.

    Raises:
        DataError: no clips, a clip without frames, or a frame that is damaged, too large, of more
            than eight bits, or of another size than the first.
    """

    def __init__(self, root: Path) -> None:
        self._frames = _frame_paths(root)
        self.names = tuple(self._frames)
        self.lengths = tuple(len(paths) for paths in self._frames.values())
        first = next(iter(self._frames.values()))[0]
        modes, size = set(), (0, 0)
        for path in (path for paths in self._frames.values() for path in paths):
            with opened_picture(path) as picture:
                mode, found = picture.mode, picture.size
                transparent = picture.has_transparency_data  # a palette may hold it, too
            if path == first:
                size = found
            if found != size:
                raise DataError(
                    f"{path}: found {found[0]} x {found[1]} pixels, wanted {size[0]} x {size[1]} "
                    f"as in {first}; frames have to be of one size, scale or crop them"
                )
            if mode not in _EIGHT_BITS:
                raise DataError(
                    f"{path}: found pixels of mode {mode}, wanted 8 bits per channel; convert the "
                    "pictures"
                )
            modes.add("RGBA" if transparent else mode)
        self._mode = "L" if modes <= _GREY else "RGBA" if "RGBA" in modes else "RGB"
        self.frame_shape = (size[1], size[0], len(self._mode))
        self.bounded = True
        self.dtype = np.dtype(np.uint8)

    def read(self, clip: int, start: int, stop: int, /) -> np.ndarray:
        paths = self._frames[self.names[clip]][start:stop]
        frames = [read_picture(path, self._mode) for path in paths]
        for path, frame in zip(paths, frames, strict=True):
            if frame.shape != self.frame_shape:
                raise DataError(
                    f"{path}: found shape {frame.shape}, wanted {self.frame_shape} as when the run "
                    "began; do not change the pictures during a run"
                )
        return np.stack(frames)


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
            raise DataError(
                f"{folder}: found no frames, {_LAYOUT}; fill the folder or take it away"
            )
        frames[folder.name] = sorted(paths, key=lambda path: natural_order(path.name))
    return frames
