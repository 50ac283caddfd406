"""Rows with times onto a regular grid: one step for every row, or the mean of all rows of a step.

Shapes: N rows, T steps, F values of a step, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from genzoo_rwae.errors import DataError

__all__ = ["Clock", "Recording", "Rows", "binned", "common_step", "on_grid", "seconds_of"]

Clock = Literal["numbers", "dates without a time zone", "dates with a time zone"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFF_GRID = 1e-3  # of a step: what times may be off, by rounding
_MOST_GAPS = 1_000  # steps for every row: above it, the times are wrong or the step is
_MOST_STEPS = 2.0**53  # beyond it float64 does not tell neighbouring steps apart


@dataclass(frozen=True)
class Rows:
    """What a table says of one entity, in the table's order.

    Attributes:
        name: of the entity.
        path: the file.
        lines_N: [N] where in the file each row stands.
        times_N: [N] float64, in seconds or in units of one's own.
        values_NF: [N, F] float64, NaN where nothing is there.
        labels_NL: [N, L] int64 classes.
    """

    name: str
    path: Path
    lines_N: np.ndarray
    times_N: np.ndarray
    values_NF: np.ndarray
    labels_NL: np.ndarray


@dataclass(frozen=True)
class Recording:
    """One entity on a regular grid.

    Attributes:
        name: of the entity.
        start: number of its first step; all recordings of a data set count alike.
        values_TF: [T, F] float64, NaN where nothing is there.
        labels_TL: [T, L] int64 classes; a step without rows has those of the step before.
    """

    name: str
    start: int
    values_TF: np.ndarray
    labels_TL: np.ndarray

    def __len__(self) -> int:
        return len(self.values_TF)


def seconds_of(
    path: Path, column: str, words: Sequence[str], lines_N: np.ndarray
) -> tuple[np.ndarray, Clock]:
    """Times as numbers.

    Args:
        path, column, lines_N: where they stand, for messages.
        words: [N] numbers, or dates in ISO 8601, without a time zone or each with one.

    Returns:
        [N] float64, and what they were; of dates seconds since 1970.

    Raises:
        DataError: a cell that is neither, or not what the first one is: number, date, or date with
            a time zone.
    """
    dated = not _is_number(words[0])
    times_N, zoned_N = np.empty(len(words)), np.zeros(len(words), bool)
    for row, word in enumerate(words):
        try:
            if dated:
                times_N[row], zoned_N[row] = _since_epoch(word)
            else:
                times_N[row] = float(word)
        except ValueError:
            times_N[row] = np.nan
    if not np.isfinite(times_N).all():
        row = int((~np.isfinite(times_N)).argmax())
        wanted = "a date as 2016-07-01 13:00" if dated else "a finite number like the first one"
        raise DataError(
            f"{path}:{lines_N[row]}: column '{column}': found {words[row][:40]!r}, wanted "
            f"{wanted}; write times as numbers or in ISO 8601"
        )
    if (other_N := zoned_N != zoned_N[0]).any():
        row = int(other_N.argmax())
        wanted = "a date with a time zone" if zoned_N[0] else "a date without a time zone"
        raise DataError(
            f"{path}:{lines_N[row]}: column '{column}': found {words[row][:40]!r}, wanted "
            f"{wanted} like the first one; give a time zone everywhere, or nowhere"
        )
    if not dated:
        return times_N, "numbers"
    return times_N, "dates with a time zone" if zoned_N[0] else "dates without a time zone"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _since_epoch(word: str) -> tuple[float, bool]:
    """Seconds since 1970, and whether the date has a time zone; else UTC is taken."""
    found = datetime.fromisoformat(word.strip())
    zoned = found.tzinfo is not None
    return ((found if zoned else found.replace(tzinfo=UTC)) - _EPOCH).total_seconds(), zoned


def common_step(entities: Sequence[Rows]) -> float:
    """The most common difference of neighbouring times, the smaller one of two that are as common.

    Raises:
        DataError: times that fall or stand still, or no entity with two rows.
    """
    for rows in entities:
        later_N = np.diff(rows.times_N) > 0
        if not later_N.all():
            row = int((~later_N).argmax()) + 1
            same = rows.times_N[row] == rows.times_N[row - 1]
            what = "the time of the row before again" if same else "an earlier time than before"
            mend = "keep one row of each time, or say `step` to average" if same else "sort by time"
            whose = f" of '{rows.name}'" if len(entities) > 1 else ""
            # rows of several stations in one file look like this as well
            apart = (
                ""
                if len(entities) > 1
                else (
                    ", or, if rows are of several series, name the column that tells them apart in "
                    "`entity`"
                )
            )
            raise DataError(
                f"{rows.path}:{rows.lines_N[row]}: found {what}{whose}, wanted times that rise; "
                f"{mend}{apart}"
            )
    gaps = np.concatenate([np.diff(rows.times_N) for rows in entities])
    if not len(gaps):
        raise DataError(
            f"{entities[0].path}: found a single row for every entity, wanted several; correct "
            "`entity`"
        )
    # times in floating point: differences that are equal but for rounding count as one
    steps, counts = np.unique(gaps.round(6) if gaps.min() > 1e-3 else gaps, return_counts=True)
    return float(steps[counts.argmax()])


def on_grid(rows: Rows, step: float) -> Recording:
    """One step for every row; steps that no row is of have nothing but missing values.

    Args:
        rows: of one entity, their times rising.
        step: of the grid, which begins with the first row.

    Raises:
        DataError: a time between two steps, gaps that no regular series has, or times too many
            steps from 0.
    """
    _check_reach(rows, step)
    places = (rows.times_N - rows.times_N[0]) / step
    steps_N = places.round().astype(np.int64)
    off_N = np.abs(places - steps_N) > _OFF_GRID
    off_N[1:] |= np.diff(steps_N) < 1
    if off_N.any():
        row = int(off_N.argmax())
        raise DataError(
            f"{rows.path}:{rows.lines_N[row]}: found a time {places[row]:.6g} steps after the "
            f"first row, wanted a whole number of steps of {step:g} (the most common difference); "
            "say `step` to average the rows of a step, or leave `time` out to count rows as steps"
        )
    _check_gaps(rows, steps_N)
    start = round(rows.times_N[0] / step)
    values_TF = np.full((int(steps_N[-1]) + 1, rows.values_NF.shape[1]), np.nan)
    values_TF[steps_N] = rows.values_NF
    return Recording(rows.name, start, values_TF, _carried(rows.labels_NL, steps_N))


def binned(rows: Rows, step: float) -> Recording:
    """The mean of all values of a step, whatever the order of rows; a step's last row labels it.

    Args:
        rows: of one entity.
        step: of the grid, whose steps begin at its multiples.

    Raises:
        DataError: gaps that no regular series has, or times too many steps from 0.
    """
    _check_reach(rows, step)
    order_N = np.argsort(rows.times_N, kind="stable")
    rows = replace(
        rows,
        lines_N=rows.lines_N[order_N],
        times_N=rows.times_N[order_N],
        values_NF=rows.values_NF[order_N],
        labels_NL=rows.labels_NL[order_N],
    )
    # a time that is a step's beginning but for rounding belongs to it
    numbers_N = np.floor(rows.times_N / step + 1e-9).astype(np.int64)
    start = int(numbers_N[0])
    steps_N = numbers_N - start
    _check_gaps(rows, steps_N)
    values_NF = rows.values_NF
    there_NF = ~np.isnan(values_NF)
    shape = int(steps_N[-1]) + 1, values_NF.shape[1]
    total_TF, count_TF = np.zeros(shape), np.zeros(shape)
    np.add.at(total_TF, steps_N, np.where(there_NF, values_NF, 0.0))
    np.add.at(count_TF, steps_N, there_NF)
    values_TF = np.where(count_TF > 0, total_TF / np.maximum(count_TF, 1), np.nan)
    return Recording(rows.name, start, values_TF, _carried(rows.labels_NL, steps_N))


def _check_reach(rows: Rows, step: float) -> None:
    with np.errstate(over="ignore"):
        far_N = np.abs(rows.times_N / step) > _MOST_STEPS
    if far_N.any():
        row = int(far_N.argmax())
        raise DataError(
            f"{rows.path}:{rows.lines_N[row]}: found a time of {rows.times_N[row]:.6g}, wanted at "
            f"most 2^53 steps of {step:g} from 0; correct the time, or say a larger `step`"
        )


def _check_gaps(rows: Rows, steps_N: np.ndarray) -> None:
    if steps_N[-1] >= _MOST_GAPS * len(steps_N):
        after = int(np.diff(steps_N).argmax())
        raise DataError(
            f"{rows.path}:{rows.lines_N[after + 1]}: found {steps_N[-1] + 1:,} steps for "
            f"{len(steps_N):,} rows, the largest gap before this one; wanted at most "
            f"{_MOST_GAPS:,} a row; correct the times, or say a larger `step`"
        )


def _carried(labels_NL: np.ndarray, steps_N: np.ndarray) -> np.ndarray:
    """[T, L]: of each step the labels of its last row, or of the last row before it."""
    latest_T = np.searchsorted(steps_N, np.arange(int(steps_N[-1]) + 1), side="right") - 1
    carried: np.ndarray = labels_NL[latest_T]
    return carried
