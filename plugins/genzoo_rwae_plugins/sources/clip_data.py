"""One split of clips that lie in a store.

Shapes: B batch, T time, N clips of the store.
"""

from __future__ import annotations

import numpy as np
import torch

from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Batch, DataInfo, Display, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import checked_indices, frames_first_channels
from genzoo_rwae_plugins.sources.clip_stores import ClipStore
from genzoo_rwae_plugins.sources.draws import uniforms

__all__ = ["StoredClips"]


class StoredClips(SequenceData):
    """Some clips of a store: whole and padded to the longest, or cropped to one length.

    Args:
        source: whose numbers choose where clips are cropped.
        place: where the clips come from, for messages.
        split: whose clips they are.
        store: all clips.
        part_N: the clips of this split.
        factors: labels of all clips.
        length: frames that are kept of every clip: the first ones for draw 0, others at random for
            further draws; None keeps all.
        missing: frames may hold NaN.
        display: how clips are drawn.

    Raises:
        DataError: clips that are shorter than `length`.
    """

    def __init__(
        self,
        source: str,
        place: object,
        split: Split,
        store: ClipStore,
        part_N: np.ndarray,
        factors: dict[Factor, np.ndarray],
        length: int | None,
        *,
        missing: bool = False,
        display: Display | None = None,
    ) -> None:
        _check_length(place, store, length)
        *sides, last = store.frame_shape
        self.info = DataInfo(
            frame_shape=(last, *sides) if store.bounded else store.frame_shape,
            length=length or max(store.lengths),
            bounded=store.bounded,
            factors=tuple(factors),
            missing=missing,
            display=display,
        )
        self._source = source
        self._split: Split = split
        self._store = store
        self._part_N = part_N
        self._lengths_N = np.array(store.lengths)
        self._labels_N = {factor.name: labels_N for factor, labels_N in factors.items()}

    def __len__(self) -> int:
        return len(self._part_N)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        clips_B = self._part_N[indices_B]
        lengths_B = np.minimum(self._lengths_N[clips_B], self.info.length)
        start_B = np.zeros_like(clips_B)
        if draw > 0:
            u_B = uniforms(self._source, self._split, indices_B, draw=draw, count=1)[:, 0]
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


def _check_length(place: object, store: ClipStore, length: int | None) -> None:
    short = [k for k, frames in enumerate(store.lengths) if length and frames < length]
    if short:
        raise DataError(
            f"{place}: {len(short)} clips are shorter than `length: {length}`; the first is "
            f"'{store.names[short[0]]}' with {store.lengths[short[0]]} frames; wanted at least "
            f"{length}; take them out, or say length: {min(store.lengths)}"
        )
