"""Sound that verbs write, where a run's data are sound."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genzoo_rwae.errors import DataError
from genzoo_rwae.report.sounds import save_wav

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import Batch, SequenceData
    from genzoo_rwae.zoo import Zoo

__all__ = ["Heard", "data_of_sound", "originals", "save_sounds"]

_MOST = 48  # a swap grid of six by six and its donors


@dataclass(frozen=True)
class Heard:
    """A sequence that is to be heard.

    Attributes:
        name: of its file, without .wav.
        x_T: [T, ...] at its true length.
        like: the sequence whose phase is kept; None: the phase is estimated.
    """

    name: str
    x_T: Tensor
    like: int | None


def originals(batch: Batch) -> list[Heard]:
    """The sequences of a batch as they are, in their own phase."""
    places = zip(batch.indices_B.tolist(), batch.x_BT, batch.lengths_B.tolist(), strict=True)
    return [Heard(f"original-{index}", x_T[:length], index) for index, x_T, length in places]


def save_sounds(data: SequenceData, heard: list[Heard], folder: Path) -> list[Path]:
    """Write .wav files, and none where the data are no sound; the first 48 of many."""
    written: list[Path] = []
    for one in {one.name: one for one in heard[:_MOST]}.values():
        sound = data.sound(one.x_T, like=one.like)
        if sound is None:
            return []
        written.append(save_wav(sound, folder / f"{one.name}.wav"))
    if len(heard) > _MOST:
        print(f"the first {_MOST} of {len(heard)} sounds were written", file=sys.stderr)
    return written


def data_of_sound(run: Path, model: SequenceModel, zoo: Zoo) -> SequenceData | None:
    """The data of a run that may be sound, if they are at hand: they know how it is scaled."""
    from genzoo_rwae.assemble import open_split
    from genzoo_rwae.run_folder import RunFolder
    from genzoo_rwae.spec import load_spec

    if model.info.display is None or model.info.display.form != "spectrogram":
        return None
    try:
        return open_split(load_spec(RunFolder.open(run).spec, zoo=zoo), "test")
    except DataError as error:
        print(f"no sound was written, which takes the run's data: {error}", file=sys.stderr)
        return None
