"""The user's own time series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequences import Display, SequenceData, Split
from genzoo_rwae_plugins.sources.series_files import Columns, read_series, series_files
from genzoo_rwae_plugins.sources.series_grid import Recording
from genzoo_rwae_plugins.sources.series_windows import SPLITS, Segment, WindowedSeries, by_time
from genzoo_rwae_plugins.sources.shares import check_shares, part_of
from genzoo_rwae_plugins.sources.stamps import stamps

__all__ = ["series"]


@source("series")
def series(
    split: Split,
    /,
    *,
    path: Path,
    length: PositiveInt,
    stride: PositiveInt | None = None,
    time: str | None = None,
    step: PositiveFloat | None = None,
    values: tuple[str, ...] | None = None,
    entity: str | None = None,
    labels: tuple[str, ...] = (),
    dynamic: tuple[str, ...] = (),
    split_by: Literal["entity", "time"] | None = None,
    gap: NonNegativeInt | None = None,
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1,
) -> SequenceData:
    """Your own time series: CSV or Parquet with a column of times, cut into windows.

    A row is a step. Empty cells are missing values: the model sees which, and nothing asks it for
    them; a time that the regular grid has and the table has not is a step of missing values.
    Windows in which nothing is there are left out. Values are scaled by the mean and the standard
    deviation of training windows, column by column.

    Args:
        path: a file (.csv, .tsv or .parquet; the last needs the extra `series`), or a folder
            of them.
        length: T, steps of a window. A series shorter than that makes one that is padded, where
            splits are by entity.
        stride: steps from one window to the next; by default `length`, so that none overlap.
        time: column of times: numbers, or dates in ISO 8601. Without it every row is one step, in
            the order of the file.
        step: seconds of a step, or what numbers in `time` count: the rows of a step are averaged,
            whatever their order. By default the most common difference of times, and a time that
            is no whole number of steps after the first is refused.
        values: columns of values; by default all others whose first entry is a number.
        entity: column that tells series apart (a station, a patient). In a folder every file is a
            series of its own where this is not given.
        labels: columns that are factors; a window has the most common class of its steps.
        dynamic: those of `labels` that the dynamic codes should carry; the others are static.
        split_by: `entity` gives all windows of an entity to one split; `time` cuts all series at
            the same two times. By default entity where there are some.
        gap: steps after each cut in time that no split gets; by default `length`.
        validation: share of entities, or of steps, that are held out for validation; 0 for none.
        test: share of entities, or of steps, that are held out for testing.

    Raises:
        DataError: a file is missing, empty or damaged, lacks a column, has a cell that cannot be
            read, or times that stand still, fall, or are off the grid; too little is left for a
            split; Parquet is to be read without pyarrow.
        OptionError: the shares leave nothing to train on, or options do not fit each other.
    """
    check_shares(validation, test)
    if unknown := [name for name in dynamic if name not in labels]:
        raise OptionError(f"'{unknown[0]}' is none of `labels`", option="dynamic")
    if step is not None and time is None:
        raise OptionError("there are no times to average within a step; wanted `time`", "step")
    path = path.expanduser()
    columns = Columns(time, values, entity, labels, dynamic)
    read = read_series(stamps(series_files(path)), columns, step)
    by_entity = split_by == "entity" if split_by else entity is not None or path.is_dir()
    gap = 0 if by_entity else length if gap is None else gap
    segments = (
        _by_entity(path, read.recordings, validation, test)
        if by_entity
        else by_time(read.recordings, validation=validation, test=test, gap=gap)
    )
    return WindowedSeries(
        split,
        read.recordings,
        segments,
        read.factors,
        length=length,
        stride=stride or length,
        display=Display("lines", names=read.names, step=read.seconds),
        source=str(path),
        splits=[name for name in SPLITS if name != "validation" or validation > 0],
        gap=gap,
    )


def _by_entity(
    path: Path, recordings: Sequence[Recording], validation: float, test: float
) -> dict[Split, list[Segment]]:
    count = len(recordings)
    segments = {}
    for split in SPLITS:
        part_N = part_of(
            split, count, validation=validation, test=test, place=path, what="entities"
        )
        segments[split] = [Segment(int(k), 0, len(recordings[k])) for k in part_N]
    return segments


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield series
