"""The user's own clips.

Shapes: N clips of the file or folder, T time, F features, H W C frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae.sequences import SequenceData, Split
from genzoo_rwae_plugins.sources.clip_arrays import ArrayClips
from genzoo_rwae_plugins.sources.clip_data import StoredClips
from genzoo_rwae_plugins.sources.clip_folders import clips_of_folder
from genzoo_rwae_plugins.sources.clip_labels import labels_of
from genzoo_rwae_plugins.sources.clip_stores import ClipStore
from genzoo_rwae_plugins.sources.places import cache_folder
from genzoo_rwae_plugins.sources.shares import part_of

__all__ = ["clips"]


@source("clips")
def clips(
    split: Split,
    /,
    *,
    path: Path,
    key: str | None = None,
    length: PositiveInt | None = None,
    every: PositiveInt = 1,
    size: tuple[PositiveInt, PositiveInt] | None = None,
    cache: Path | None = None,
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1,
    labels: Path | None = None,
    dynamic: tuple[str, ...] = (),
) -> SequenceData:
    """Your own clips: a .npy or .npz array, or a folder of videos or of subfolders of frames.

    An array is [N, T, F] (float vectors), [N, T, H, W] (grey) or [N, T, H, W, C] with C in 1, 3, 4
    (uint8, or float in [0, 1]); a .npy file is memory-mapped, pickles are never loaded. Float
    pictures stay float32. A folder holds one subfolder per clip with PNG or JPEG frames in natural
    order (frame-2 before frame-10), or one video file per clip: GIF, or what PyAV reads (MP4, WebM,
    MOV, AVI; extra `video`), in colour and turned as its recorder says. Frames are of one size, or
    get one by `size`. Videos and scaled pictures are decoded once, into `cache`; what is kept there
    is a clip's as long as the files' places, sizes and times of change stay the same.

    Args:
        path: the .npy or .npz file, or the folder.
        key: which array of a .npz file; needed only if there are several.
        length: T, every clip is cropped to so many frames: the first ones for draw 0, others at
            random for further draws. By default whole clips, padded to the longest.
        every: only every so many-th frame is there: of a video with 30 frames a second, `every: 3`
            leaves 10.
        size: [height, width] that frames of a folder are scaled to, cropped to its proportions
            around the middle.
        cache: folder of decoded frames, which may be cleared between runs; by default genzoo-rwae
            in XDG_CACHE_HOME or ~/.cache.
        validation: share of the clips held out for validation; 0 for none.
        test: share of the clips held out for testing.
        labels: CSV file with the header clip,<factor>,... and a row per clip; clips are named by
            their subfolder or file (without .mp4), or numbered from 0 in an array.
        dynamic: those factors of `labels` that the dynamic codes should carry; the others are
            static.

    Raises:
        DataError: the data are missing, empty, damaged, of another shape or type, not finite,
            shorter than `length`, or fewer than the splits need.
        OptionError: validation and test leave nothing to train on, or `dynamic`, `key` or `size`
            does not fit.
    """
    path = path.expanduser()
    store = _opened(path, key, every, size, cache)
    part_N = part_of(
        split, len(store.names), validation=validation, test=test, place=path, what="clips"
    )
    return StoredClips(
        "clips", path, split, store, part_N, labels_of(labels, store.names, dynamic), length
    )


def _opened(
    path: Path, key: str | None, every: int, size: tuple[int, int] | None, cache: Path | None
) -> ClipStore:
    if path.is_dir():
        if key is not None:
            raise OptionError("a folder has no keys; wanted none", option="key")
        return clips_of_folder(path, cache_folder(cache), every=every, size=size)
    if path.suffix in (".npy", ".npz") and path.is_file():
        if size is not None:
            raise OptionError("pictures of an array keep their size; wanted none", option="size")
        return ArrayClips(path, key, every=every)
    found = f"a file of type '{path.suffix}'" if path.exists() else "nothing"
    raise DataError(
        f"{path}: found {found}, wanted a .npy or .npz file, or a folder with one video file, or "
        "one subfolder of PNG or JPEG frames, per clip; correct `path`"
    )


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield clips
