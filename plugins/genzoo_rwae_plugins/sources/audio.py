"""The user's own sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae.sequences import Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.clip_labels import read_labels
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.recordings import Recording, sequences_of
from genzoo_rwae_plugins.sources.shares import names_of
from genzoo_rwae_plugins.sources.sound_files import SUFFIXES
from genzoo_rwae_plugins.sources.spectrograms import spectrogram

__all__ = ["audio"]

_SPEAKER = "speaker"


@source("audio")
def audio(
    split: Split,
    /,
    *,
    path: Path,
    labels: Path | None = None,
    dynamic: tuple[str, ...] = (),
    split_by: Literal["recording", "speaker"] = "recording",
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1,
    chunk: PositiveFloat | None = 1.0,
    longest: PositiveFloat = 10.0,
    representation: Literal["magnitude", "log-magnitude", "log-mel"] = "log-mel",
    mels: PositiveInt = 64,
    rate: PositiveInt = 16_000,
    window: PositiveInt = 400,
    hop: PositiveInt = 160,
    n_fft: PositiveInt = 512,
) -> SequenceData:
    """Your own sound: a folder of files, with a subfolder per speaker or a table of labels.

    Files end in .wav, .flac, .ogg, .mp3, .aif, .aiff, .au or .sph; all but RIFF wav need the extra
    `audio`. With subfolders and without `labels` the factor `speaker` is the subfolder's name.

    Args:
        path: the folder.
        labels: CSV file with the header clip,<factor>,... and a row per file; files are named by
            their path within the folder, as anna/one.wav.
        dynamic: those factors of `labels` that the dynamic codes should carry; the others are
            static.
        split_by: what must not be in two parts: a recording, or a speaker (who is named by a
            subfolder, or by a factor `speaker` of `labels`).
        validation: share of the recordings or speakers held out for validation; 0 for none.
        test: share held out for testing.
        chunk: seconds of the consecutive pieces that recordings are cut into; null for whole ones.
        longest: seconds of a whole recording, if chunk is null; longer ones are cut off there and
            shorter ones padded, so say what the longest of yours has.
        representation: what of a spectrum S is seen: magnitude |S|, log-magnitude ln|S|, or log-mel
            ln of bands of |S| on HTK's mel scale; always scaled to mean 0 and sd 1 by band, on
            training recordings.
        mels: bands of log-mel.
        rate: samples a second; files of other rates are resampled, channels are averaged.
        window: samples of the Hann window.
        hop: samples from step to step.
        n_fft: samples of a transform, an even number; its middle holds the window.

    Raises:
        DataError: there is no sound, a file is damaged or needs the extra, a label is missing, or
            there are fewer recordings or speakers than the splits need.
        OptionError: window, hop, n_fft and mels do not fit each other, shares do not, `dynamic`
            names no label, or there are no speakers to split by.
    """
    view = spectrogram(representation, rate, mels=mels, window=window, hop=hop, n_fft=n_fft)
    folder = path.expanduser()
    files = _files(folder)
    names = tuple(files)
    if dynamic and not labels:
        raise OptionError("there are no labels; wanted `labels: <CSV file>`", option="dynamic")
    table = read_labels(labels.expanduser(), names, dynamic) if labels else _by_folder(names)
    units = names if split_by == "recording" else _speakers(table)

    def recordings(part: Split) -> list[Recording]:
        theirs = names_of(
            part, units, validation=validation, test=test, place=folder, what=f"{split_by}s"
        )
        return [
            Recording(files[name], {factor.name: int(of[k]) for factor, of in table.items()})
            for k, name in enumerate(names)
            if units[k] in theirs
        ]

    return sequences_of(
        "audio", split, recordings, folder, view=view, chunk=chunk, longest=longest,
        factors=tuple(table), licence="",
    )  # fmt: skip


def _files(folder: Path) -> dict[str, Path]:
    """Sound files by their path within the folder, in natural order."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DataError(f"{folder}: found {found}, wanted a folder of sound files; correct `path`")
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    }
    shown = [name for name in files if not any(part.startswith(".") for part in name.split("/"))]
    if not shown:
        raise DataError(
            f"{folder}: found no sound, wanted files that end in {', '.join(SUFFIXES)}; correct "
            "`path`"
        )
    return {name: files[name] for name in sorted(shown, key=natural_order)}


def _by_folder(names: tuple[str, ...]) -> dict[Factor, np.ndarray]:
    """Who speaks, where every file is in a subfolder."""
    loose = [name for name in names if "/" not in name]
    if len(loose) == len(names):
        return {}
    if loose:
        raise DataError(
            f"{loose[0]}: found this file beside subfolders, wanted every file in the subfolder of "
            "its speaker; move it, or give a table `labels`"
        )
    of = [name.split("/")[0] for name in names]
    speakers = tuple(sorted(set(of), key=natural_order))
    labels_N = np.array([speakers.index(speaker) for speaker in of], dtype=np.int64)
    return {Factor(_SPEAKER, speakers, "static"): labels_N}


def _speakers(table: dict[Factor, np.ndarray]) -> tuple[str, ...]:
    """Who speaks in every file."""
    for factor, labels_N in table.items():
        if factor.name == _SPEAKER:
            return tuple(factor.classes[label] for label in labels_N)
    raise OptionError(
        "nothing says who speaks; wanted a subfolder for every speaker, or a column `speaker` in "
        "`labels`; or say split_by: recording",
        option="split_by",
    )


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield audio
