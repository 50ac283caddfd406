"""Windows of recordings: which split has which steps, and what a sequence of a split is.

Shapes: B batch, W windows, T steps, F values of a step, L labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Batch, DataInfo, Display, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.batches import checked_indices
from genzoo_rwae_plugins.sources.scaling import Scaling
from genzoo_rwae_plugins.sources.series_grid import Recording

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SPLITS", "Segment", "WindowedSeries", "by_time"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Segment(NamedTuple):
    """Steps [start, stop) of a recording that belong to one split."""

    recording: int
    start: int
    stop: int


class Window(NamedTuple):
    """A sequence: steps [start, stop) of a recording, in a segment that ends at `end`."""

    recording: int
    start: int
    stop: int
    end: int


def by_time(
    recordings: Sequence[Recording], *, validation: float, test: float, gap: int
) -> dict[Split, list[Segment]]:
    """Every recording cut at the same two times: train, then validation, then test.

    Args:
        recordings: of all entities.
        validation: share of all steps that lie between the cuts.
        test: share of all steps that lie after the second.
        gap: steps after each cut that no split gets: what is measured is no neighbour of what was
            fitted.
    """
    numbers = np.concatenate([np.arange(r.start, r.start + len(r)) for r in recordings])
    numbers.sort()
    cuts = [
        numbers[min(len(numbers) - 1, round(len(numbers) * (1 - share)))]
        for share in (validation + test, test)
    ]
    segments: dict[Split, list[Segment]] = {split: [] for split in SPLITS}
    for place, recording in enumerate(recordings):
        first, second = (int(cut) - recording.start for cut in cuts)
        bounds: dict[Split, tuple[int, int]] = {
            "train": (0, first),
            "validation": (first + gap, second),
            "test": (second + gap, len(recording)),
        }
        for split, (start, stop) in bounds.items():
            start, stop = max(0, start), min(len(recording), stop)
            if start < stop:
                segments[split].append(Segment(place, start, stop))
    return segments


class WindowedSeries(SequenceData):
    """One split: windows that lie wholly in its segments, scaled as training data are.

    Windows in which nothing is there are left out. A recording that belongs to a split as a whole
    and is shorter than a window makes one that is padded.

    Attributes:
        scaling: of every value of a step; `scaling.in_units` takes what a model makes back.

    Args:
        split: the one.
        recordings: of all entities.
        segments: which steps of them each split has.
        factors: what their labels are.
        length: T, steps of a window.
        stride: steps from one window to the next.
        display: how a sequence is shown.
        source: where the data come from, for messages.
        licence: of the data.
        splits: those that were asked for, which have to have a window.
        gap: steps that `by_time` left out after each cut.

    Raises:
        DataError: a split that was asked for has no window, or a column's values are too large.
    """

    def __init__(
        self,
        split: Split,
        recordings: Sequence[Recording],
        segments: Mapping[Split, Sequence[Segment]],
        factors: Sequence[Factor],
        *,
        length: int,
        stride: int,
        display: Display,
        source: str,
        licence: str = "",
        splits: Collection[Split] = SPLITS,
        gap: int = 0,
    ) -> None:
        of_splits = {name: _windows(recordings, segments[name], length, stride) for name in SPLITS}
        for name in splits:
            if not of_splits[name]:
                steps = sum(stop - start for _, start, stop in segments[name])
                smaller = f"a `gap` below {gap}, " if gap and name != "train" else ""
                raise DataError(
                    f"{source}: found no {name} sequence of {length} steps in {steps:,} steps that "
                    f"has a value; wanted at least one; take shorter ones, {smaller}larger shares "
                    "or more"
                )
        # of whole segments: splits may differ in stride, and have to agree on the scale
        fitted = [recordings[k].values_TF[start:stop] for k, start, stop in segments["train"]]
        self.scaling = Scaling.fitted(np.concatenate(fitted), names=display.names, place=source)
        self._recordings = recordings
        self._windows_W = of_splits[split]
        self._labels = {
            factor.name: _labels(recordings, self._windows_W, place, len(factor.classes))
            for place, factor in enumerate(factors)
        }
        scale_known = not bool(np.isnan(self.scaling.mean_F).any())
        self.info = DataInfo(
            frame_shape=(recordings[0].values_TF.shape[1],),
            length=length,
            bounded=False,
            factors=tuple(factors),
            licence=licence,
            missing=not scale_known or any(np.isnan(r.values_TF).any() for r in recordings),
            display=display,
        )

    def __len__(self) -> int:
        return len(self._windows_W)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        indices_B = checked_indices(indices_B, len(self))
        x_BTF = np.zeros((len(indices_B), self.info.length, *self.info.frame_shape), np.float32)
        lengths_B = np.empty(len(indices_B), np.int64)
        for row, index in enumerate(indices_B):
            window = self._windows_W[index]
            values_TF = self._recordings[window.recording].values_TF[window.start : window.stop]
            x_BTF[row, : len(values_TF)] = self.scaling.scaled(values_TF)
            lengths_B[row] = len(values_TF)
        return Batch(
            x_BT=torch.from_numpy(x_BTF),
            lengths_B=torch.from_numpy(lengths_B),
            indices_B=torch.from_numpy(indices_B),
            factors={
                name: torch.from_numpy(of_W[indices_B]) for name, of_W in self._labels.items()
            },
        )

    def following(self, indices_B: np.ndarray, steps: int, /) -> Tensor:
        """What comes after windows, for tasks that look ahead: [B, steps, F] float64, in units.

        NaN where a value is missing and beyond the split's own steps.
        """
        indices_B = checked_indices(indices_B, len(self))
        after_BTF = np.full((len(indices_B), steps, *self.info.frame_shape), np.nan)
        for row, index in enumerate(indices_B):
            window = self._windows_W[index]
            stop = min(window.stop + steps, window.end)
            values_TF = self._recordings[window.recording].values_TF[window.stop : stop]
            after_BTF[row, : len(values_TF)] = values_TF
        return torch.from_numpy(after_BTF)


def _windows(
    recordings: Sequence[Recording], segments: Sequence[Segment], length: int, stride: int
) -> list[Window]:
    found = []
    for place, start, stop in segments:
        whole = stop - start == len(recordings[place])
        if stop - start < length and not whole:
            continue
        # counts of values before each step: a window is empty where they do not rise
        there_T = (~np.isnan(recordings[place].values_TF[start:stop])).any(1)
        before_T = np.concatenate([[0], there_T.cumsum()])
        for first in range(0, max(1, stop - start - length + 1), stride):
            last = min(first + length, stop - start)
            if before_T[last] > before_T[first]:
                found.append(Window(place, start + first, start + last, stop))
    return found


def _labels(
    recordings: Sequence[Recording], windows_W: Sequence[Window], place: int, classes: int
) -> np.ndarray:
    """[W] the most common class of every window; the first one of two that are as common."""
    labels_W = np.empty(len(windows_W), np.int64)
    for index, (recording, start, stop, _) in enumerate(windows_W):
        labels_T = recordings[recording].labels_TL[start:stop, place]
        labels_W[index] = np.bincount(labels_T, minlength=classes).argmax()
    return labels_W
