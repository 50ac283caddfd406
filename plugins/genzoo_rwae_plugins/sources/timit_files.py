"""What lies where in TIMIT: its two layouts and its transcriptions of phones.

Shapes: M marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.places import check_regular
from genzoo_rwae_plugins.sources.recordings import Marks

__all__ = [
    "DIALECTS",
    "PHONES",
    "SEXES",
    "Corpus",
    "Utterance",
    "corpus_in",
    "read_phones",
]

SEXES = {"f": "female", "m": "male"}
"""By the first letter of a speaker's name."""

DIALECTS = (
    "New England", "Northern", "North Midland", "South Midland", "Southern", "New York City",
    "Western", "Army Brat",
)  # fmt: skip
"""The regions DR1 to DR8."""

PHONES = (
    "b", "d", "g", "p", "t", "k", "dx", "q", "bcl", "dcl", "gcl", "pcl", "tcl", "kcl",
    "jh", "ch", "s", "sh", "z", "zh", "f", "th", "v", "dh",
    "m", "n", "ng", "em", "en", "eng", "nx", "l", "r", "w", "y", "hh", "hv", "el",
    "iy", "ih", "eh", "ey", "ae", "aa", "aw", "ay", "ah", "ao", "oy", "ow", "uh", "uw", "ux",
    "er", "ax", "ix", "axr", "ax-h", "pau", "epi", "h#",
)  # fmt: skip
"""The 61 symbols of its transcriptions: stops, affricates and fricatives, nasals and glides,
vowels, silence."""

_RATE = 16_000  # .PHN files count samples
_LICENCES = {
    True: "TIMIT (LDC93S1), © 1993 Linguistic Data Consortium, under the user agreement of LDC",
    False: "TIMIT sample, © 1993 Linguistic Data Consortium, CC BY-NC-SA: not for commercial use",
}
_LAYOUTS = "wanted TRAIN and TEST as TRAIN/DR1/FCJF0/SA1.WAV, or the sample as dr1-fvmh0/sa1.wav"
_REGION = re.compile(r"dr([1-8])")
_SPEAKER = re.compile(r"[fm][a-z]{3}\d")
_SAMPLES = re.compile(r"[0-9]{1,9}")
_SAMPLE = re.compile(r"dr([1-8])-([fm][a-z]{3}\d)")


@dataclass(frozen=True)
class Utterance:
    """One recording.

    Attributes:
        path: its sound.
        phones: its transcription, if it has one.
        speaker: as `fcjf0`.
        dialect: 1 to 8.
        sentence: as `sa1`; who reads it is another matter.
        test: the corpus says that its speaker is for testing.
    """

    path: Path
    phones: Path | None
    speaker: str
    dialect: int
    sentence: str
    test: bool

    @property
    def sex(self) -> str:
        """A key of `SEXES`."""
        return self.speaker[0]


@dataclass(frozen=True)
class Corpus:
    """All utterances, by speaker and sentence, and whether these tell test speakers apart."""

    utterances: tuple[Utterance, ...]
    official: bool

    @property
    def licence(self) -> str:
        """For cards and reports."""
        return _LICENCES[self.official]


def corpus_in(folder: Path) -> Corpus:
    """The corpus or its sample in a folder.

    Raises:
        DataError: the folder holds neither, or no recordings.
    """
    folders = _folders(folder)
    if "train" not in folders and "test" not in folders and "timit" in folders:
        folders = _folders(folders["timit"])
    official = {"train", "test"} <= set(folders)
    found = list(_whole(folders) if official else _sample(folders))
    if not found:
        raise DataError(f"{folder}: found no recordings of TIMIT, {_LAYOUTS}; correct root")
    found.sort(key=lambda one: (one.speaker, one.sentence))
    return Corpus(tuple(found), official)


def read_phones(path: Path) -> Marks:
    """The phones of a .PHN file, whose lines are: first sample, sample after the last, phone.

    Raises:
        DataError: a line is another, or there is none.
    """
    ends: list[int] = []
    labels: list[int] = []
    try:
        check_regular(path)
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); wanted TIMIT's phones") from error
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != 3 or not _SAMPLES.fullmatch(words[1]) or words[2] not in PHONES:
            raise DataError(
                f"{path}:{number}: found '{line[:60]}', wanted first sample, last sample and one "
                f"of TIMIT's {len(PHONES)} phones, as 0 7812 h#; mend the line"
            )
        if ends and int(words[1]) <= ends[-1]:
            raise DataError(
                f"{path}:{number}: found the end {words[1]} after {ends[-1]}, wanted phones in the "
                "order of time; sort the lines"
            )
        ends.append(int(words[1]))
        labels.append(PHONES.index(words[2]))
    if not ends:
        raise DataError(f"{path}: found no phones, wanted lines as 0 7812 h#; copy it again")
    return Marks(np.array(ends) / _RATE, np.array(labels, dtype=np.int64))


def _whole(folders: dict[str, Path]) -> Iterator[Utterance]:
    for part in ("train", "test"):
        for region, path in _folders(folders[part]).items():
            if found := _REGION.fullmatch(region):
                for speaker, theirs in _folders(path).items():
                    if _SPEAKER.fullmatch(speaker):
                        yield from _utterances(theirs, speaker, int(found[1]), part == "test")


def _sample(folders: dict[str, Path]) -> Iterator[Utterance]:
    for name, path in folders.items():
        if found := _SAMPLE.fullmatch(name):
            yield from _utterances(path, found[2], int(found[1]), False)


def _utterances(folder: Path, speaker: str, dialect: int, test: bool) -> Iterator[Utterance]:
    """One a sentence: where copies were converted (SA1.WAV.wav), the shortest name is taken."""
    files = sorted((path for path in folder.iterdir() if path.is_file()), key=_by_length)
    seen: dict[str, dict[str, Path]] = {}
    for path in files:
        sentence, _, rest = path.name.lower().partition(".")
        suffix = rest.rpartition(".")[2]
        seen.setdefault(sentence, {}).setdefault(suffix, path)
    for sentence, of in seen.items():
        if sentence and "wav" in of:
            yield Utterance(of["wav"], of.get("phn"), speaker, dialect, sentence, test)


def _by_length(path: Path) -> tuple[int, str]:
    return len(path.name), path.name


def _folders(folder: Path) -> dict[str, Path]:
    return {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
