"""Stays in intensive care: what was measured of a patient in the first two days.

Shapes: N measurements of a stay, T hours, F channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Display, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.places import data_folder
from genzoo_rwae_plugins.sources.series_grid import Recording
from genzoo_rwae_plugins.sources.series_tables import csv_rows, read_table
from genzoo_rwae_plugins.sources.series_windows import SPLITS, Segment, WindowedSeries
from genzoo_rwae_plugins.sources.shares import part_of
from genzoo_rwae_plugins.sources.stamps import Stamp, stamps

__all__ = ["physionet"]

HOURS = 48
# those that are measured often enough, as the published protocol has them
_FREQUENT = (
    "DiasABP", "GCS", "HCT", "MAP", "NIDiasABP", "NIMAP", "NISysABP", "RespRate", "SysABP", "Temp",
)  # fmt: skip
_ALL = (
    "ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "DiasABP",
    "FiO2", "GCS", "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "MechVent", "Mg",
    "NIDiasABP", "NIMAP", "NISysABP", "Na", "PaCO2", "PaO2", "Platelets", "RespRate", "SaO2",
    "SysABP", "Temp", "TroponinI", "TroponinT", "Urine", "WBC", "Weight", "pH",
)  # fmt: skip
_MAY_BE_ZERO = frozenset({"Urine", "TroponinI", "TroponinT"})
_MOST_ACID = 14.0  # pH above it was typed without its point
_GENDERS = ("female", "male", "unknown")
_HELD = 0.15  # of the patients, for validation and for testing
_LICENCE = (
    "PhysioNet/Computing in Cardiology Challenge 2012 by Silva et al. (CinC 2012), Goldberger et "
    "al. (Circulation 2000), ODC-BY 1.0."
)


@source("physionet")
def physionet(
    split: Split,
    /,
    *,
    root: Path | None = None,
    channels: Literal["frequent", "all"] = "frequent",
) -> SequenceData:
    """PhysioNet 2012: 48 hours of a stay in intensive care, most of them missing values.

    One sequence a stay: the mean of what was measured in an hour, scaled by training data. Static
    factors: `death` in hospital and `gender`. What cannot be is missing: values below 0, 0 but of
    urine and troponin, and pH above 14. A stay without any measurement of these channels is left
    out. Splits are by patient, 70 / 15 / 15, from a fixed permutation.

    Args:
        root: folder with set-a/ and Outcomes-a.txt; by default physionet2012 within GENZOO_DATA.
        channels: `frequent` are the ten that the published protocol keeps (pressures, GCS,
            haematocrit, respiration, temperature); `all` are 37.

    Raises:
        DataError: files are missing or damaged, or a stay has no outcome.

    Source: Silva et al., Computing in Cardiology 39 (2012); protocol: Tonekaboni et al., AISTATS
        2022, arXiv 2202.02262.
    """
    folder = data_folder(root, source="physionet", within="physionet2012")
    outcomes, stays = folder / "Outcomes-a.txt", sorted((folder / "set-a").glob("*.txt"))
    if not outcomes.is_file() or not stays:
        raise DataError(
            f"{folder}: found {len(stays)} stays in set-a and "
            f"{'an' if outcomes.is_file() else 'no'} Outcomes-a.txt, wanted both; correct root"
        )
    recordings, factors = _read(stamps([outcomes, *stays]))
    names = _FREQUENT if channels == "frequent" else _ALL
    if channels == "frequent":
        kept_F = [_ALL.index(name) for name in _FREQUENT]
        recordings = tuple(
            Recording(stay.name, stay.start, stay.values_TF[:, kept_F], stay.labels_TL)
            for stay in recordings
        )
    segments: dict[Split, list[Segment]] = {}
    for name in SPLITS:
        part_N = part_of(
            name, len(recordings), validation=_HELD, test=_HELD, place=folder, what="stays"
        )
        segments[name] = [Segment(int(stay), 0, HOURS) for stay in part_N]
    return WindowedSeries(
        split,
        recordings,
        segments,
        factors,
        length=HOURS,
        stride=HOURS,
        display=Display("lines", names=names, step=3600.0),
        source=str(folder),
        licence=_LICENCE,
    )


# the three splits are made one after the other, of the same files
@lru_cache(maxsize=1)
def _read(files: tuple[Stamp, ...]) -> tuple[tuple[Recording, ...], tuple[Factor, ...]]:
    outcomes, *stays = files
    table = read_table(outcomes.path, words=("RecordID",), numbers=("In-hospital_death",))
    died = dict(zip(table.words["RecordID"], table.numbers_NF[:, 0], strict=True))
    recordings = []
    for file in stays:
        name = file.path.stem
        if died.get(name) not in (0, 1):
            raise DataError(
                f"{outcomes.path}: found no outcome of {name}, wanted In-hospital_death 0 or 1 for "
                "every stay in set-a; take the whole file"
            )
        values_TF, gender = _stay(file.path)
        labels_TL = np.tile(np.array([int(died[name]), gender]), (HOURS, 1))
        recordings.append(Recording(name, 0, values_TF, labels_TL))
    return tuple(recordings), (
        Factor("death", ("survived", "died"), "static"),
        Factor("gender", _GENDERS, "static"),
    )


def _stay(path: Path) -> tuple[np.ndarray, int]:
    """Hourly means [T, F] of all channels, and the gender's class."""
    header, rows = csv_rows(path)
    if header != ["Time", "Parameter", "Value"]:
        raise DataError(
            f"{path}:1: found the header {','.join(header)}, wanted Time,Parameter,Value; take the "
            "files of set-a as they are"
        )
    gender = _GENDERS.index("unknown")
    places = {name: place for place, name in enumerate(_ALL)}
    # lists: single values of an array are slow to change
    total, count = [0.0] * (HOURS * len(_ALL)), [0] * (HOURS * len(_ALL))
    for line, (time, name, cell) in rows:
        try:
            hours, minutes = time.split(":")
            hour, value = int(hours) + int(minutes) / 60, float(cell)
            if not (0 <= hour <= HOURS and np.isfinite(value)):
                raise ValueError(time)
        except ValueError:
            raise DataError(
                f"{path}:{line}: found {time},{name},{cell}, wanted hh:mm up to {HOURS}:00, a name "
                "and a number; mend the row"
            ) from None
        if name == "Gender" and value in (0, 1):
            gender = int(value)
        elif name in places and _can_be(name, value):
            # what was measured as the last hour ends belongs to it
            at = min(int(hour), HOURS - 1) * len(_ALL) + places[name]
            total[at] += value
            count[at] += 1
    means = np.array(
        [of / found if found else np.nan for of, found in zip(total, count, strict=True)]
    )
    return means.reshape(HOURS, len(_ALL)), gender


def _can_be(name: str, value: float) -> bool:
    if name == "pH" and value > _MOST_ACID:
        return False
    return value > 0 or (value == 0 and name in _MAY_BE_ZERO)


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield physionet
