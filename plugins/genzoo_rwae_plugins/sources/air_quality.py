"""Air quality and weather at twelve stations in Beijing, hourly.

Shapes: N rows of a station's file, T hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Display, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.draws import held_out_split
from genzoo_rwae_plugins.sources.places import data_folder
from genzoo_rwae_plugins.sources.series_grid import Recording, Rows, on_grid
from genzoo_rwae_plugins.sources.series_tables import Table, read_table
from genzoo_rwae_plugins.sources.series_windows import SPLITS, Segment, WindowedSeries
from genzoo_rwae_plugins.sources.stamps import Stamp, stamps

__all__ = ["air_quality"]

# RAIN is none of the ten: it is what a day's factor `rain` is made of
CHANNELS = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "WSPM")
_CLOCK = ("year", "month", "day", "hour")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FILES = "PRSA_Data_*.csv"
_TEST_YEAR = 2016  # of the published protocol: the last whole year
_VALIDATION = 0.15  # share of the other months, of the published protocol
_HELD_STATIONS = 2  # for validation, and for testing
_SPLIT_SEED = 501
_HOUR = 3600.0
_EPOCH = date(1970, 1, 1)
_LICENCE = (
    "Beijing Multi-Site Air Quality (UCI 501) by Song Xi Chen, CC BY 4.0; Zhang et al., "
    "Proc. R. Soc. A 473 (2017)."
)


@source("air-quality")
def air_quality(
    split: Split,
    /,
    *,
    root: Path | None = None,
    length: PositiveInt = 24,
    split_by: Literal["time", "station"] = "time",
) -> SequenceData:
    """Beijing air quality: days of six pollutants and the weather at 12 stations, hourly.

    Windows start with a month's first hour and do not overlap; by default one is a day. Ten
    channels, with gaps, scaled by training data. Factors: `month` and `station` (static), and
    `rain` (dynamic): whether it rained that day, which no channel says.

    Splits by time follow the published protocol in that 2016 is for testing and 15 % of the other
    months for validation; these are drawn for all stations at once here, since neighbouring
    stations breathe the same air (published: for every station by itself). Splits by station give
    2 of 12 stations to validation and 2 to testing.

    Args:
        root: folder with the twelve files PRSA_Data_<station>_*.csv; by default beijing_air within
            GENZOO_DATA.
        length: T, hours of a window; the published sequences have 672, four weeks.
        split_by: `time` holds out months, `station` holds out stations.

    Raises:
        DataError: a file is missing or damaged, or there are too few stations or months to split.

    Source: Zhang et al., Proc. R. Soc. A 473 (2017); protocol: Tonekaboni et al., AISTATS 2022,
        arXiv 2202.02262.
    """
    folder = data_folder(root, source="air-quality", within="beijing_air")
    files = sorted(folder.glob(_FILES))
    if len(files) <= 2 * _HELD_STATIONS:
        raise DataError(
            f"{folder}: found {len(files)} files {_FILES}, wanted one for each of 12 stations; "
            "correct root"
        )
    recordings, factors = _read(stamps(files))
    months = _months(recordings)
    if split_by == "station":
        held = {"validation": _HELD_STATIONS, "test": _HELD_STATIONS}
        of = {s: set(held_out_split(len(files), s, seed=_SPLIT_SEED, **held)) for s in SPLITS}
        segments = {s: [piece for _, piece in months if piece.recording in of[s]] for s in SPLITS}
    else:
        split_of = _splits_of_months(folder, sorted({month for month, _ in months}))
        segments = {s: [piece for month, piece in months if split_of[month] == s] for s in SPLITS}
    return WindowedSeries(
        split,
        recordings,
        segments,
        factors,
        length=length,
        stride=length,
        display=Display("lines", names=CHANNELS, step=_HOUR),
        source=str(folder),
        licence=_LICENCE,
    )


def _months(recordings: tuple[Recording, ...]) -> list[tuple[tuple[int, int], Segment]]:
    """Every calendar month of every station, as ((year, month), steps)."""
    found = []
    for place, recording in enumerate(recordings):
        first = datetime.fromordinal(_EPOCH.toordinal()) + timedelta(hours=recording.start)
        month = first.replace(day=1, hour=0)
        start = 0
        while start < len(recording):
            after = (month + timedelta(days=31)).replace(day=1)
            stop = min(len(recording), round((after - first).total_seconds() / _HOUR))
            found.append(((month.year, month.month), Segment(place, start, stop)))
            month, start = after, stop
    return found


def _splits_of_months(folder: Path, months: list[tuple[int, int]]) -> dict[tuple[int, int], Split]:
    splits: dict[tuple[int, int], Split] = dict.fromkeys(months, "test")
    others = [month for month in months if month[0] != _TEST_YEAR]
    held = round(_VALIDATION * len(others))
    if not held or len(others) == len(months):
        raise DataError(
            f"{folder}: found {len(months)} months, wanted those from March 2013 to February 2017; "
            "take the whole files, or say split_by: station"
        )
    for split in ("train", "validation"):
        part = held_out_split(len(others), split, validation=held, test=0, seed=_SPLIT_SEED)
        splits.update({others[k]: split for k in part})
    return splits


# the three splits are made one after the other, of the same files
@lru_cache(maxsize=1)
def _read(files: tuple[Stamp, ...]) -> tuple[tuple[Recording, ...], tuple[Factor, ...]]:
    recordings, stations = [], []
    for number, file in enumerate(files):
        table = read_table(file.path, words=("station",), numbers=(*_CLOCK, "RAIN", *CHANNELS))
        stations.append(table.words["station"][0])
        recordings.append(on_grid(_rows(table, number), _HOUR))
    return tuple(recordings), (
        Factor("month", _MONTHS, "static"),
        Factor("station", tuple(stations), "static"),
        Factor("rain", ("dry", "rain"), "dynamic"),
    )


def _rows(table: Table, station: int) -> Rows:
    clock_N4 = table.numbers_NF[:, : len(_CLOCK)]
    times_N, months_N, days_N = (np.empty(len(clock_N4), np.int64) for _ in range(3))
    for row, (year, month, day, hour) in enumerate(clock_N4):
        try:
            days_N[row] = (date(int(year), int(month), int(day)) - _EPOCH).days
            months_N[row], times_N[row] = month - 1, days_N[row] * 24 + int(hour)
        except ValueError:
            raise DataError(
                f"{table.path}:{table.lines_N[row]}: found {year:g}, {month:g}, {day:g}, {hour:g} "
                f"for {', '.join(_CLOCK)}, wanted a date and an hour; mend the row"
            ) from None
    rain_N = np.nan_to_num(table.numbers_NF[:, len(_CLOCK)]) > 0
    _, day_N = np.unique(days_N, return_inverse=True)
    wet_N = (np.bincount(day_N, weights=rain_N) > 0)[day_N]
    stations_N = np.full_like(months_N, station)
    return Rows(
        table.words["station"][0],
        table.path,
        table.lines_N,
        times_N * _HOUR,
        table.numbers_NF[:, len(_CLOCK) + 1 :],
        np.stack([months_N, stations_N, wet_N.astype(np.int64)], 1),
    )


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield air_quality
