"""Recordings as sequences of spectra: what the sources of sound share.

Shapes: R recordings, B batch, N samples, T steps, F values of a step, M marks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genzoo_rwae.errors import DataError
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequences import Batch, DataInfo, Display, Factor, SequenceData, Sound, Split
from genzoo_rwae_plugins.sources.batches import checked_indices
from genzoo_rwae_plugins.sources.draws import uniforms
from genzoo_rwae_plugins.sources.sound_files import read_sound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genzoo_rwae_plugins.sources.spectrograms import Spectrogram

__all__ = ["Marks", "Recording", "Recordings", "sequences_of"]

_MOST_FITTED = 400  # recordings; the scale of a band does not change with more


@dataclass(frozen=True)
class Marks:
    """What is heard when in a recording, such as its phones.

    Attributes:
        ends_M: [M] seconds at which each mark ends, rising.
        labels_M: [M] int64 labels.
    """

    ends_M: np.ndarray
    labels_M: np.ndarray

    def at(self, seconds: float) -> int:
        """The label at a time; beyond the last mark that one's."""
        place = int(np.searchsorted(self.ends_M, seconds, side="right"))
        return int(self.labels_M[min(place, len(self.labels_M) - 1)])


@dataclass(frozen=True)
class Recording:
    """One file and what is known of it.

    Attributes:
        path: of the sound.
        labels: factor -> label, of those that do not change.
        marks: factor -> marks, of those that do.
    """

    path: Path
    labels: Mapping[str, int]
    marks: Mapping[str, Marks] = field(default_factory=dict)


class Recordings(SequenceData):
    """One split of recordings, whole or in pieces.

    Every sequence is T steps long, its rest beyond the true length 0. Draws above 0 take other
    pieces of the same recordings, at random.

    Args:
        source: whose random numbers are used.
        split: which part.
        recordings: those of the split.
        training: those of the training split, which the scale is fitted on.
        view: what the model sees, not scaled yet.
        seconds: length of a sequence.
        pieces: consecutive ones, as many as it takes; False: the first one alone.
        factors: in the order in which they are shown.
        licence: of the data.

    Raises:
        DataError: a file cannot be read.
    """

    def __init__(
        self,
        source: str,
        split: Split,
        /,
        *,
        recordings: Sequence[Recording],
        training: Sequence[Recording],
        view: Spectrogram,
        seconds: float,
        pieces: bool,
        factors: tuple[Factor, ...],
        licence: str,
    ) -> None:
        self._source, self._split, self._pieces = source, split, pieces
        self._recordings = tuple(recordings)
        self._waves = [read_sound(one.path, view.rate) for one in self._recordings]
        self._view = view.fitted(self._some_of(training, view.rate))
        self._samples = max(1, round(seconds * view.rate))
        counts_R = [-(-len(wave) // self._samples) if pieces else 1 for wave in self._waves]
        self._recording_of = np.repeat(np.arange(len(self._waves)), counts_R)
        starts = [np.arange(count) * self._samples for count in counts_R]
        self._start_of = np.concatenate([np.zeros(0, np.int64), *starts])
        stft = view.stft
        self.info = DataInfo(
            frame_shape=(view.width,),
            length=stft.steps(self._samples),
            bounded=False,
            factors=factors,
            licence=licence,
            display=Display("spectrogram", step=stft.hop / view.rate, top=view.rate / 2),
        )

    def __len__(self) -> int:
        return len(self._recording_of)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        starts_B = self._starts(indices_B, draw)
        wave_BN = torch.zeros(len(indices_B), self._samples)
        lengths_B = torch.empty(len(indices_B), dtype=torch.int64)
        for row, (index, start) in enumerate(zip(indices_B, starts_B, strict=True)):
            piece_N = self._piece(int(index), int(start))
            wave_BN[row, : len(piece_N)] = piece_N
            lengths_B[row] = self._view.stft.steps(len(piece_N))
        if not len(indices_B):
            x_BT = torch.zeros(0, self.info.length, *self.info.frame_shape)
        else:
            x_BT = self._view(wave_BN)
        x_BT[~true_steps(x_BT.shape[1], lengths_B)] = 0
        middles_B = (starts_B + self._held(indices_B, starts_B) / 2) / self._view.rate
        factors = {
            factor.name: torch.from_numpy(self._labels(factor.name, indices_B, middles_B))
            for factor in self.info.factors
        }
        return Batch(x_BT, lengths_B, torch.from_numpy(indices_B), factors)

    def groups(self, indices_B: np.ndarray, /) -> np.ndarray | None:
        """The recording, counted within the split, that each sequence is a piece of: [B]."""
        if not self._pieces:
            return None
        places_B: np.ndarray = self._recording_of[checked_indices(indices_B, len(self))]
        return places_B

    def sound(self, x_T: Tensor, /, *, like: int | None = None) -> Sound:
        """A sequence as sound, its phase kept or estimated (Griffin-Lim).

        Args:
            x_T: [T, F] of any length, at its true one.
            like: a sequence of this split whose phase is kept, if it is as many steps long; else
                the phase is estimated.
        """
        x_TF, like_N = x_T.detach().cpu().float(), None
        if like is not None:
            (index,) = checked_indices(np.array([like]), len(self))
            like_N = self._piece(int(index), int(self._start_of[index]))
            if self._view.stft.steps(len(like_N)) != len(x_TF):
                like_N = None
        return Sound(self._view.wave(x_TF, like_N=like_N).numpy(), self._view.rate)

    def _some_of(self, training: Sequence[Recording], rate: int) -> Iterator[Tensor]:
        """Training waves, spread evenly, those that are in memory not read again."""
        known = dict(zip((one.path for one in self._recordings), self._waves, strict=True))
        for one in training[:: -(-len(training) // _MOST_FITTED) or 1]:
            found = known.get(one.path)
            yield _floats(read_sound(one.path, rate) if found is None else found)

    def _starts(self, indices_B: np.ndarray, draw: int) -> np.ndarray:
        if draw == 0:
            first_B: np.ndarray = self._start_of[indices_B]
            return first_B
        u_B = uniforms(self._source, self._split, indices_B, draw=draw, count=1)[:, 0]
        spare_B = [len(self._waves[k]) - self._samples for k in self._recording_of[indices_B]]
        starts_B: np.ndarray = np.floor(u_B * (np.maximum(spare_B, 0) + 1)).astype(np.int64)
        return starts_B

    def _held(self, indices_B: np.ndarray, starts_B: np.ndarray) -> np.ndarray:
        """How many samples of its recording each sequence holds."""
        lengths_B = np.array([len(self._waves[k]) for k in self._recording_of[indices_B]], int)
        held_B: np.ndarray = np.minimum(self._samples, lengths_B - starts_B)
        return held_B

    def _piece(self, index: int, start: int) -> Tensor:
        return _floats(self._waves[self._recording_of[index]][start : start + self._samples])

    def _labels(self, name: str, indices_B: np.ndarray, middles_B: np.ndarray) -> np.ndarray:
        ones = [self._recordings[k] for k in self._recording_of[indices_B]]
        labels = [
            one.marks[name].at(middle) if name in one.marks else one.labels[name]
            for one, middle in zip(ones, middles_B, strict=True)
        ]
        return np.array(labels, dtype=np.int64)


def sequences_of(
    source: str,
    split: Split,
    recordings: Callable[[Split], Sequence[Recording]],
    folder: Path,
    /,
    *,
    view: Spectrogram,
    chunk: float | None,
    longest: float,
    factors: tuple[Factor, ...],
    licence: str,
) -> Recordings:
    """One split of a source of sound.

    Args:
        source: its name.
        split: which part.
        recordings: those of a part.
        folder: where they are, for the message.
        view: what the model sees, not scaled yet.
        chunk: seconds of the pieces that recordings are cut into; None for whole ones.
        longest: seconds of whole ones; what is longer is cut off.
        factors: in the order in which they are shown.
        licence: of the data.

    Raises:
        DataError: a file cannot be read, or nothing is left to train on.
    """
    training = recordings("train")
    if not training:
        raise DataError(f"{folder}: found no recordings of the training split; wanted some")
    return Recordings(
        source,
        split,
        recordings=training if split == "train" else recordings(split),
        training=training,
        view=view,
        seconds=longest if chunk is None else chunk,
        pieces=chunk is not None,
        factors=factors,
        licence=licence,
    )


def _floats(wave_N: np.ndarray) -> Tensor:
    return torch.from_numpy(wave_N.astype(np.float32) / 2**15)
