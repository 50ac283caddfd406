"""The MUG Facial Expression Database: faces that go from neutral to an expression and back.

Shapes: B batch, T time, N takes of a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import (
    batch_of_equal_lengths,
    checked_indices,
    frames_first_channels,
)
from genzoo_rwae_plugins.sources.draws import held_out_split
from genzoo_rwae_plugins.sources.kept_clips import KeptClips
from genzoo_rwae_plugins.sources.mug_takes import EXPRESSIONS, Take, read_boxes, takes_of
from genzoo_rwae_plugins.sources.places import cache_folder, data_folder
from genzoo_rwae_plugins.sources.shares import count_of

__all__ = ["mug"]

_SPLIT_SEED = 2010
_TEST_SHARE = 1 / 4
_LICENCE = (
    "MUG Facial Expression Database, Aristotle University of Thessaloniki: under a licence of its "
    "own, on request, for research; no part of it may be passed on."
)


@source("mug")
def mug(
    split: Split,
    /,
    *,
    root: Path | None = None,
    cache: Path | None = None,
    length: Annotated[int, Field(ge=2)] = 15,
    size: tuple[PositiveInt, PositiveInt] = (64, 64),
    boxes: Path | None = None,
    partition: Literal["by-subject", "published"] = "by-subject",
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1,
) -> SequenceData:
    """MUG faces: the takes of six expressions, a quarter of the subjects held out (licensed).

    A take goes from a neutral face to the expression and back; it becomes one clip of `length`
    frames spread evenly over it, so that every clip holds the whole course. Factors: `subject`
    (static) and `expression` (dynamic). Neutral and mixed recordings are left out. Faces are
    decoded once, into `cache`. Every draw is the same.

    Assumed of the layout, from what public code that reads it expects: a folder for each subject,
    named by its number, with or without folders session0, session1, ... in it, then a folder for
    each expression, then take000, take001, ... with JPEG pictures.

    Published results use crops of the face by a detector, which is no part of this package: give
    its `boxes`, or a tree of pictures that are cropped already.

    Args:
        root: the folder subjects3 of the database; by default mug/subjects3 within GENZOO_DATA.
        cache: folder of decoded frames, which may be cleared between runs; by default genzoo-rwae
            in XDG_CACHE_HOME or ~/.cache.
        length: T, frames per clip.
        size: [height, width] that faces are scaled to.
        boxes: CSV file with the header take,left,top,right,bottom and a row per take (as
            001/session0/anger/take000): the face in pixels. Without it, the middle of the picture.
        partition: by-subject shows no face of the test split in training. published takes a
            quarter of all takes at random, as the papers do (their own draw is not known): the
            faces of its test split are seen in training.
        validation: share of what is left for training that validation gets; 0 for none.

    Raises:
        DataError: the folder, a picture or a box is missing or damaged, a take is shorter than
            `length`, or there is too little to share out.

    Source: Aifanti, Papachristou and Delopoulos, "The MUG facial expression database", WIAMIS
        2010. Clips of 15 frames of 64x64, a quarter of them for testing: as in S3VAE, arXiv
        2005.11437, and C-DSVAE, arXiv 2110.12091.
    """
    folder = data_folder(root, source="mug", within="mug/subjects3")
    takes = takes_of(folder)
    known = read_boxes(boxes.expanduser(), takes) if boxes else {}
    kept = _part_of(split, takes, folder, partition, validation)
    recordings = [take.recording(length, size, known.get(take.name)) for take in kept]
    subjects = tuple(dict.fromkeys(take.subject for take in takes))
    return _Faces(kept, KeptClips(recordings, cache_folder(cache)), subjects, (length, *size))


class _Faces(SequenceData):
    """One split: its takes, all of one length."""

    def __init__(
        self,
        takes: list[Take],
        clips: KeptClips,
        subjects: tuple[str, ...],
        shape: tuple[int, int, int],
    ) -> None:
        length, height, width = shape
        self._clips = clips
        self._labels_N = {
            "subject": np.array([subjects.index(take.subject) for take in takes], np.int64),
            "expression": np.array(
                [EXPRESSIONS.index(take.expression) for take in takes], np.int64
            ),
        }
        self.info = DataInfo(
            frame_shape=(3, height, width),
            length=length,
            bounded=True,
            licence=_LICENCE,
            factors=(
                Factor("subject", subjects, "static"),
                Factor("expression", EXPRESSIONS, "dynamic"),
            ),
        )

    def __len__(self) -> int:
        return len(self._labels_N["subject"])

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        channels, height, width = self.info.frame_shape
        x_BT = np.empty((len(indices_B), self.info.length, height, width, channels), np.uint8)
        for x_T, clip in zip(x_BT, indices_B, strict=True):
            x_T[:] = self._clips.read(int(clip), 0, self.info.length)
        factors = {name: labels_N[indices_B] for name, labels_N in self._labels_N.items()}
        return batch_of_equal_lengths(frames_first_channels(x_BT), indices_B, factors)


def _part_of(
    split: Split, takes: list[Take], folder: Path, partition: str, validation: float
) -> list[Take]:
    """The takes of one split; subjects or takes are shared out, whichever the partition says."""
    by_subject = partition == "by-subject"
    units = list(dict.fromkeys(take.subject if by_subject else take.name for take in takes))
    test = count_of(_TEST_SHARE, len(units))
    held = count_of(validation, len(units) - test)
    if test + held >= len(units):
        what = "subjects" if by_subject else "takes"
        raise DataError(
            f"{folder}: found {len(units)} {what}, of which test takes {test} and validation takes "
            f"{held}; wanted at least one more, for training"
        )
    part = held_out_split(len(units), split, validation=held, test=test, seed=_SPLIT_SEED)
    mine = {units[unit] for unit in part}
    return [take for take in takes if (take.subject if by_subject else take.name) in mine]


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield mug
