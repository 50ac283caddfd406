"""The Free Spoken Digit Dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.places import data_folder
from genzoo_rwae_plugins.sources.recordings import Recording, sequences_of
from genzoo_rwae_plugins.sources.shares import names_of
from genzoo_rwae_plugins.sources.spectrograms import spectrogram

__all__ = ["fsdd"]

_LICENCE = "Free Spoken Digit Dataset (Z. Jackson et al.), CC BY-SA 4.0"
_DIGITS = tuple("0123456789")
_NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")
_SIXTH = 1 / 6
_TEST, _VALIDATION = range(5), range(5, 10)  # the indices of recordings; the first is official


@source("fsdd")
def fsdd(
    split: Split,
    /,
    *,
    root: Path | None = None,
    split_by: Literal["recording", "speaker"] = "recording",
    longest: PositiveFloat = 1.0,
    representation: Literal["magnitude", "log-magnitude", "log-mel"] = "log-mel",
    mels: PositiveInt = 40,
    rate: PositiveInt = 8_000,
    window: PositiveInt = 256,
    hop: PositiveInt = 128,
    n_fft: PositiveInt = 256,
) -> SequenceData:
    """Free Spoken Digit Dataset: ten digits spoken by six people, as spectrograms.

    Files recordings/{digit}_{speaker}_{index}.wav. Factors: `speaker` (static) and `digit`, which
    is called dynamic although a recording has only one: it is what is said, which sounds follow
    each other, and that the dynamic codes should carry. The mean spectrum tells it too (a linear
    probe is right in .89 of the test recordings), so a static code leaks unless that has a price.

    Args:
        root: the folder that holds `recordings`, or that folder; by default fsdd within
            GENZOO_DATA.
        split_by: recording takes indices 0 to 4 of every speaker and digit for testing (official),
            5 to 9 for validation, all others for training; speaker takes one of six speakers for
            testing and another for validation, in a fixed random order.
        longest: seconds of a sequence; of longer recordings (7 in 1,000 are longer than 1 s) the
            end is cut off, in further draws either side at random.
        representation: what of a spectrum S is seen: magnitude |S|, log-magnitude ln|S|, or log-mel
            ln of bands of |S| on HTK's mel scale; always scaled to mean 0 and sd 1 by band, on
            training recordings.
        mels: bands of log-mel.
        rate: samples a second; the files have 8,000, others are resampled.
        window: samples of the Hann window.
        hop: samples from step to step.
        n_fft: samples of a transform, an even number; its middle holds the window.

    Raises:
        DataError: there are no recordings, one is damaged or has another name, or nothing is left
            to train on.
        OptionError: window, hop, n_fft and mels do not fit each other.

    Source: github.com/Jakobovski/free-spoken-digit-dataset, its README for the official split.
    """
    view = spectrogram(representation, rate, mels=mels, window=window, hop=hop, n_fft=n_fft)
    folder = data_folder(root, source="fsdd", within="fsdd")
    found = _found(folder)
    speakers = tuple(sorted({one.speaker for one in found}))

    def recordings(part: Split) -> list[Recording]:
        if split_by == "speaker":
            theirs = names_of(
                part, speakers, validation=_SIXTH, test=_SIXTH, place=folder, what="speakers"
            )
            ones = [one for one in found if one.speaker in theirs]
        else:
            ones = [one for one in found if _part_of(one.index) == part]
        return [
            Recording(one.path, {"speaker": speakers.index(one.speaker), "digit": one.digit})
            for one in ones
        ]

    return sequences_of(
        "fsdd", split, recordings, folder, view=view, chunk=None, longest=longest,
        factors=(Factor("speaker", speakers, "static"), Factor("digit", _DIGITS, "dynamic")),
        licence=_LICENCE,
    )  # fmt: skip


@dataclass(frozen=True)
class _File:
    path: Path
    digit: int
    speaker: str
    index: int


def _found(folder: Path) -> list[_File]:
    inner = folder / "recordings"
    found = []
    for path in sorted((inner if inner.is_dir() else folder).glob("*.wav")):
        parts = _NAME.fullmatch(path.name)
        if parts is None:
            raise DataError(
                f"{path}: found this name, wanted digit_speaker_index.wav, as 7_jackson_32.wav; "
                "rename the file or take it away"
            )
        found.append(_File(path, int(parts[1]), parts[2], int(parts[3])))
    if not found:
        raise DataError(
            f"{folder}: found no .wav files, wanted recordings/digit_speaker_index.wav; correct "
            "root, or get the data set anew"
        )
    return found


def _part_of(index: int) -> Split:
    return "test" if index in _TEST else "validation" if index in _VALIDATION else "train"


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield fsdd
