"""The user's own clips.

Shapes: B batch, T time, N clips of the file or folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import checked_indices, frames_first_channels
from genzoo_rwae_plugins.sources.clip_arrays import ArrayClips
from genzoo_rwae_plugins.sources.clip_folders import clips_of_folder
from genzoo_rwae_plugins.sources.clip_labels import read_labels
from genzoo_rwae_plugins.sources.clip_stores import ClipStore
from genzoo_rwae_plugins.sources.draws import held_out_split, uniforms
from genzoo_rwae_plugins.sources.places import cache_folder

__all__ = ["clips"]

_SPLIT_SEED = 2021


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
    part = _clips_of(split, path, len(store.names), validation, test)
    if length is not None:
        short = [k for k, frames in enumerate(store.lengths) if frames < length]
        if short:
            raise DataError(
                f"{path}: {len(short)} clips are shorter than `length: {length}`; the first is "
                f"'{store.names[short[0]]}' with {store.lengths[short[0]]} frames; wanted at least "
                f"{length}; take them out, or say length: {min(store.lengths)}"
            )
    factors = read_labels(labels.expanduser(), store.names, dynamic) if labels else {}
    if dynamic and not labels:
        raise OptionError("there are no labels; wanted `labels: <CSV file>`", option="dynamic")
    return _Clips(split, store, part, factors, length)


class _Clips(SequenceData):
    """One split of a store."""

    def __init__(
        self,
        split: Split,
        store: ClipStore,
        part: np.ndarray,
        factors: dict[Factor, np.ndarray],
        length: int | None,
    ) -> None:
        *sides, last = store.frame_shape
        self.info = DataInfo(
            frame_shape=(last, *sides),
            length=length or max(store.lengths),
            bounded=store.bounded,
            factors=tuple(factors),
        )
        self._split: Split = split
        self._store = store
        self._part = part
        self._lengths_N = np.array(store.lengths)
        self._labels_N = {factor.name: labels_N for factor, labels_N in factors.items()}

    def __len__(self) -> int:
        return len(self._part)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        clips_B = self._part[indices_B]
        lengths_B = np.minimum(self._lengths_N[clips_B], self.info.length)
        start_B = np.zeros_like(clips_B)
        if draw > 0:
            u_B = uniforms("clips", self._split, indices_B, draw=draw, count=1)[:, 0]
            start_B = np.floor(u_B * (self._lengths_N[clips_B] - lengths_B + 1)).astype(np.int64)
        shape = (len(indices_B), self.info.length, *self._store.frame_shape)
        x_BT = np.zeros(shape, dtype=self._store.dtype)
        for x_T, clip, start, steps in zip(x_BT, clips_B, start_B, lengths_B, strict=True):
            x_T[:steps] = self._store.read(int(clip), int(start), int(start + steps))
        return Batch(
            x_BT=frames_first_channels(x_BT) if self._store.bounded else torch.from_numpy(x_BT),
            lengths_B=torch.from_numpy(lengths_B.astype(np.int64)),
            indices_B=torch.from_numpy(indices_B),
            factors={
                name: torch.from_numpy(labels_N[clips_B])
                for name, labels_N in self._labels_N.items()
            },
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


def _clips_of(split: Split, path: Path, count: int, validation: float, test: float) -> np.ndarray:
    """The clips of one split; a share that is not 0 gets at least one clip."""
    if validation + test >= 1:
        raise OptionError(
            f"{validation} for validation and {test} for testing leave nothing to train on; "
            "wanted less than 1 in sum",
            option="test",
        )
    held = {
        name: max(1, round(share * count)) if share > 0 else 0
        for name, share in (("validation", validation), ("test", test))
    }
    if sum(held.values()) >= count:
        shares = " and ".join(f"{name} takes {clips}" for name, clips in held.items())
        raise DataError(
            f"{path}: found {count} clips, of which {shares}; wanted at least one more, for "
            "training; add clips, or lower the shares"
        )
    return held_out_split(count, split, seed=_SPLIT_SEED, **held)


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield clips
