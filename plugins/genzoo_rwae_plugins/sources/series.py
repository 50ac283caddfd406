"""The user's own time series.

Shapes: N rows of a file, F values of a step, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from genzoo_rwae.components import hookimpl, source
from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae.sequences import Display, Factor, SequenceData, Split
from genzoo_rwae_plugins.sources.clip_labels import factor_of
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.series_grid import (
    Recording,
    Rows,
    binned,
    common_step,
    on_grid,
    seconds_of,
)
from genzoo_rwae_plugins.sources.series_tables import SUFFIXES, Table, is_missing, read_table
from genzoo_rwae_plugins.sources.series_windows import (
    SPLITS,
    Segment,
    WindowedSeries,
    by_time,
)
from genzoo_rwae_plugins.sources.shares import check_shares, part_of
from genzoo_rwae_plugins.sources.stamps import Stamp, stamps

__all__ = ["series"]

_NOTHING = "(empty)"  # the class of a label's empty cell


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
    columns = _Columns(time, values, entity, labels, dynamic)
    read = _read(stamps(_files(path)), columns, step)
    by_entity = split_by == "entity" if split_by else entity is not None or path.is_dir()
    segments = (
        _by_entity(path, read.recordings, validation, test)
        if by_entity
        else by_time(
            read.recordings, validation=validation, test=test, gap=length if gap is None else gap
        )
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
    )


@dataclass(frozen=True)
class _Columns:
    """What the columns of the user's files are."""

    time: str | None
    values: tuple[str, ...] | None
    entity: str | None
    labels: tuple[str, ...]
    dynamic: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        named = (self.time, self.entity, *self.labels)
        return list(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True)
class _Read:
    """All that is kept of the user's files."""

    recordings: tuple[Recording, ...]
    names: tuple[str, ...]
    factors: tuple[Factor, ...]
    seconds: float


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix in SUFFIXES and not p.name.startswith(".")]
        if not found:
            raise DataError(
                f"{path}: found no file that ends in {', '.join(SUFFIXES)}; wanted one for every "
                "series; correct `path`"
            )
        return sorted(found, key=lambda file: natural_order(file.name))
    if not path.is_file() or path.suffix not in SUFFIXES:
        found_here = f"a file of type '{path.suffix}'" if path.exists() else "nothing"
        raise DataError(
            f"{path}: found {found_here}, wanted a file that ends in {', '.join(SUFFIXES)}, or a "
            "folder of them; correct `path`"
        )
    return [path]


# the three splits are made one after the other, of the same files
@lru_cache(maxsize=1)
def _read(files: tuple[Stamp, ...], columns: _Columns, step: float | None) -> _Read:
    tables = [read_table(files[0].path, words=columns.words, numbers=columns.values)]
    for file in files[1:]:
        tables.append(read_table(file.path, words=columns.words, numbers=tables[0].names))
    factors, labels = [], []
    for name in columns.labels:
        words = [
            _NOTHING if is_missing(word) else word.strip()
            for table in tables
            for word in table.words[name]
        ]
        factor, labels_N = factor_of(files[0].path, name, words, columns.dynamic)
        factors.append(factor)
        labels.append(labels_N)
    count = sum(len(table.lines_N) for table in tables)
    labels_NL = np.stack(labels, 1) if labels else np.zeros((count, 0), np.int64)
    entities, dated = _entities(tables, columns, labels_NL)
    if step is None:
        grid = common_step(entities) if columns.time else 1.0
        recordings = tuple(on_grid(rows, grid) for rows in entities)
    else:
        grid = step
        recordings = tuple(binned(rows, step) for rows in entities)
    return _Read(recordings, tables[0].names, tuple(factors), grid if dated else 0.0)


def _entities(
    tables: Sequence[Table], columns: _Columns, labels_NL: np.ndarray
) -> tuple[list[Rows], bool]:
    """The rows of every entity, in natural order, and whether their times are dates."""
    found: dict[str, Rows] = {}
    kinds = set()
    begin = 0
    for table in tables:
        count = len(table.lines_N)
        of_table_NL = labels_NL[begin : begin + count]
        begin += count
        times_N, dated = np.arange(count, dtype=np.float64), False
        if columns.time:
            words = table.words[columns.time]
            times_N, dated = seconds_of(table.path, columns.time, words, table.lines_N)
        kinds.add(dated)
        for name, rows in _rows_of_entities(table, columns.entity):
            if name in found:
                raise DataError(
                    f"{table.path}: found '{name}', which {found[name].path} has, too; wanted "
                    "each in one file; merge them"
                )
            found[name] = Rows(
                name,
                table.path,
                table.lines_N[rows],
                times_N[rows] if columns.time else np.arange(len(rows), dtype=np.float64),
                table.numbers_NF[rows],
                of_table_NL[rows],
            )
    if len(kinds) > 1:
        raise DataError(
            f"{tables[0].path}: found times that are dates in some files and numbers in others, in "
            f"column '{columns.time}'; wanted one kind; rewrite them"
        )
    return [found[name] for name in sorted(found, key=natural_order)], kinds.pop()


def _rows_of_entities(table: Table, entity: str | None) -> Iterator[tuple[str, np.ndarray]]:
    if entity is None:
        yield table.path.stem, np.arange(len(table.lines_N))
        return
    names, entities_N = np.unique(np.array(table.words[entity]), return_inverse=True)
    order_N = np.argsort(entities_N, kind="stable")
    starts = np.searchsorted(entities_N[order_N], np.arange(len(names) + 1))
    for number, name in enumerate(names):
        rows = order_N[starts[number] : starts[number + 1]]
        if not name.strip():
            raise DataError(
                f"{table.path}:{table.lines_N[rows[0]]}: column '{entity}': found nothing, wanted "
                "a name; fill it in"
            )
        yield str(name), rows


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
