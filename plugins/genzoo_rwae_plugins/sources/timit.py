"""TIMIT, whole or the sample that NLTK once shipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.sequences import Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.places import data_folder
from genzoo_rwae_plugins.sources.recordings import Recording, sequences_of
from genzoo_rwae_plugins.sources.shares import names_of
from genzoo_rwae_plugins.sources.spectrograms import spectrogram
from genzoo_rwae_plugins.sources.timit_files import (
    DIALECTS,
    PHONES,
    SEXES,
    Corpus,
    Utterance,
    corpus_in,
    read_phones,
)

__all__ = ["timit"]

_SAMPLE_TEST = 0.25  # of the sample's speakers; the whole corpus says which are for testing
_SENTENCES_TEST = 0.2


@source("timit")
def timit(
    split: Split,
    /,
    *,
    root: Path | None = None,
    split_by: Literal["speaker", "recording"] = "speaker",
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    fold: NonNegativeInt = 0,
    chunk: PositiveFloat | None = 0.2,
    longest: PositiveFloat = 5.0,
    representation: Literal["magnitude", "log-magnitude", "log-mel"] = "magnitude",
    mels: PositiveInt = 40,
    rate: PositiveInt = 16_000,
    window: PositiveInt = 320,
    hop: PositiveInt = 165,
    n_fft: PositiveInt = 400,
) -> SequenceData:
    """TIMIT: sentences read by many speakers, in spectrograms of 200 ms.

    The corpus as the Linguistic Data Consortium has it (TRAIN/DR1/FCJF0/SA1.WAV and SA1.PHN beside
    it, small letters or large), or the sample of 16 speakers (dr1-fvmh0/sa1.wav). Factors:
    `speaker`, `sex`, `dialect` (static) and, of pieces whose recordings all have a .PHN, `phone`:
    the one in the piece's middle (dynamic). The defaults are the protocol of speaker verification:
    3,200 samples make 20 steps of 201 magnitudes; of the last piece of a recording the steps
    beyond its end are no part of the sequence.

    Args:
        root: the folder that holds TRAIN and TEST, or the one above it, or the sample; by default
            timit_sample within GENZOO_DATA.
        split_by: speaker takes the speakers of TEST for testing (official), of the sample a quarter
            of the women and of the men, so that no voice is in two parts, and no probe of `speaker`
            can be right; recording takes a fifth of the sentences for testing, whoever reads them,
            so that no sentence is in two parts.
        validation: share of the speakers of TRAIN (of the women and of the men), or of the
            sentences, that is held out for validation, in a fixed random order.
        fold: others are held out for validation with 0, 1, and so on, until all have been that are
            not for testing: to choose settings where there are few.
        chunk: seconds of the consecutive pieces that recordings are cut into; null for whole ones.
        longest: seconds of a whole recording, if chunk is null; longer ones are cut off there and
            shorter ones padded, so say what the longest of yours has.
        representation: what of a spectrum S is seen: magnitude |S|, log-magnitude ln|S|, or log-mel
            ln of bands of |S| on HTK's mel scale; always scaled to mean 0 and sd 1 by band, on
            training recordings.
        mels: bands of log-mel.
        rate: samples a second; the files have 16,000, others are resampled.
        window: samples of the Hann window.
        hop: samples from step to step.
        n_fft: samples of a transform, an even number; its middle holds the window.

    Raises:
        DataError: no such layout, a damaged file, or one that needs the extra `audio` (the corpus
            is NIST SPHERE); or nothing is left to train on.
        OptionError: window, hop, n_fft and mels do not fit each other, or shares do not.

    Source: Garofolo et al., TIMIT Acoustic-Phonetic Continuous Speech Corpus, LDC93S1, 1993.
        Protocol: the chunks of FHVAE and its successors, as R-WAE (arXiv 2101.07496) takes them.
    """
    view = spectrogram(representation, rate, mels=mels, window=window, hop=hop, n_fft=n_fft)
    folder = data_folder(root, source="timit", within="timit_sample")
    corpus = corpus_in(folder)
    speakers = tuple(sorted({one.speaker for one in corpus.utterances}))
    factors = [
        Factor("speaker", speakers, "static"),
        Factor("sex", tuple(SEXES.values()), "static"),
        Factor("dialect", DIALECTS, "static"),
    ]
    phones = chunk is not None and all(one.phones for one in corpus.utterances)
    if phones:
        factors.append(Factor("phone", PHONES, "dynamic"))

    def recordings(part: Split) -> list[Recording]:
        if split_by == "speaker":
            ones = _of_speakers(corpus, part, validation, fold, folder)
        else:
            sentences = {one.sentence for one in corpus.utterances}
            theirs = names_of(
                part, sentences, validation=validation, test=_SENTENCES_TEST,
                place=folder, what="sentences", blame="validation", fold=fold,
            )  # fmt: skip
            ones = [one for one in corpus.utterances if one.sentence in theirs]
        return [_recording(one, speakers, phones=phones) for one in ones]

    return sequences_of(
        "timit", split, recordings, folder, view=view, chunk=chunk, longest=longest,
        factors=tuple(factors), licence=corpus.licence,
    )  # fmt: skip


def _of_speakers(
    corpus: Corpus, part: Split, validation: float, fold: int, folder: Path
) -> list[Utterance]:
    """Women and men are held out in equal shares; the corpus' own test speakers are kept so."""
    theirs: set[str] = set()
    test = 0.0 if corpus.official else _SAMPLE_TEST
    for sex in SEXES:
        free = {one.speaker for one in corpus.utterances if one.sex == sex and not one.test}
        if free:
            theirs |= names_of(
                part, free, validation=validation, test=test,
                place=folder, what=f"{SEXES[sex]} speakers", blame="validation", fold=fold,
            )  # fmt: skip
    if part == "test" and corpus.official:
        theirs = {one.speaker for one in corpus.utterances if one.test}
    return [one for one in corpus.utterances if one.speaker in theirs]


def _recording(one: Utterance, speakers: tuple[str, ...], *, phones: bool) -> Recording:
    labels = {
        "speaker": speakers.index(one.speaker),
        "sex": list(SEXES).index(one.sex),
        "dialect": one.dialect - 1,
    }
    marks = {"phone": read_phones(one.phones)} if phones and one.phones else {}
    return Recording(one.path, labels, marks)


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield timit
