"""Electricity transformer temperature, hourly.

Shapes: T steps, F channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Display, SequenceData, Split
from genzoo_rwae_plugins.sources.places import data_folder
from genzoo_rwae_plugins.sources.series_grid import Recording, Rows, on_grid, seconds_of
from genzoo_rwae_plugins.sources.series_tables import read_table
from genzoo_rwae_plugins.sources.series_windows import Segment, WindowedSeries
from genzoo_rwae_plugins.sources.stamps import Stamp, stamps

__all__ = ["etth1"]

CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
HOUR = 3600.0
_MONTH = 30 * 24
# the borders of the benchmark: 12, 4 and 4 months of 30 days; what comes after is not used
_BORDERS = {"train": (0, 12), "validation": (12, 16), "test": (16, 20)}
_LICENCE = (
    "ETTh1: Electricity Transformer Dataset by Zhou et al. (AAAI 2021, arXiv 2012.07436), "
    "CC BY-ND 4.0."
)


@source("etth1")
def etth1(
    split: Split,
    /,
    *,
    root: Path | None = None,
    length: PositiveInt = 24,
    stride: PositiveInt | None = None,
) -> SequenceData:
    """ETTh1: six loads and the oil temperature of a transformer, hourly, two years.

    Windows of all seven channels (the oil temperature OT is the last), scaled by training data.
    Splits are by time, as in the benchmark: the first 12 months of 30 days are for training, the
    next 4 for validation, the next 4 for testing; a window lies in one split. What follows a window
    is at hand for tasks that look ahead (`following`).

    Args:
        root: folder with ETTh1.csv; by default etth1 within GENZOO_DATA.
        length: T, hours of a window.
        stride: hours from one window to the next; by default `length`, but 1 in training.

    Raises:
        DataError: the file is missing, damaged, or too short for the splits.

    Source: Zhou et al., AAAI 2021, arXiv 2012.07436. CC BY-ND 4.0.
    """
    folder = data_folder(root, source="etth1", within="etth1")
    file = folder / "ETTh1.csv"
    if not file.is_file():
        raise DataError(
            f"{file}: found nothing, wanted the file of that name of github.com/zhouhaoyi/"
            "ETDataset; correct root"
        )
    recording = _read(*stamps([file]))
    segments = {
        name: [Segment(0, start * _MONTH, stop * _MONTH)]
        for name, (start, stop) in _BORDERS.items()
    }
    return WindowedSeries(
        split,
        [recording],
        segments,  # type: ignore[arg-type]
        (),
        length=length,
        stride=stride or (1 if split == "train" else length),
        display=Display("lines", names=CHANNELS, step=HOUR),
        source=str(file),
        licence=_LICENCE,
    )


@lru_cache(maxsize=1)
def _read(file: Stamp) -> Recording:
    table = read_table(file.path, words=("date",), numbers=CHANNELS)
    times_N, _ = seconds_of(file.path, "date", table.words["date"], table.lines_N)
    no_labels = np.zeros((len(times_N), 0), np.int64)
    rows = Rows("ETTh1", file.path, table.lines_N, times_N, table.numbers_NF, no_labels)
    recording = on_grid(rows, HOUR)
    last = max(stop for _, stop in _BORDERS.values()) * _MONTH
    if len(recording) < last:
        raise DataError(
            f"{file.path}: found {len(recording):,} hours, wanted at least {last:,}; take the "
            "whole file"
        )
    return recording


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield etth1
