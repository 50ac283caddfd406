"""The user's files as recordings: which columns they are made of, and whose rows are whose.

Shapes: N rows of a file, F values of a step, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae.sequences import Factor
from genzoo_rwae_plugins.sources.clip_labels import factor_of
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.series_grid import (
    Clock,
    Recording,
    Rows,
    binned,
    common_step,
    on_grid,
    seconds_of,
)
from genzoo_rwae_plugins.sources.series_tables import SUFFIXES, Table, is_missing, read_table
from genzoo_rwae_plugins.sources.stamps import Stamp

__all__ = ["Columns", "SeriesFiles", "read_series", "series_files"]

_NOTHING = "(empty)"  # the class of a label's empty cell
_COUNTED: Clock = "numbers"  # rows of files without a column of times


@dataclass(frozen=True)
class Columns:
    """What the columns of the user's files are.

    Attributes:
        time: of times; None counts rows.
        values: of values; None takes those of numbers.
        entity: what tells series apart; None takes a file for one.
        labels: that are factors.
        dynamic: those labels that belong to the dynamic codes.
    """

    time: str | None
    values: tuple[str, ...] | None
    entity: str | None
    labels: tuple[str, ...]
    dynamic: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """Columns that are kept as they are written."""
        named = (self.time, self.entity, *self.labels)
        return list(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True)
class SeriesFiles:
    """All that is kept of the user's files.

    Attributes:
        recordings: of the entities, in natural order.
        names: of the values.
        factors: of the labels, in the order of the recordings' columns.
        seconds: of a step; 0 where times are no dates.
    """

    recordings: tuple[Recording, ...]
    names: tuple[str, ...]
    factors: tuple[Factor, ...]
    seconds: float


def series_files(path: Path) -> list[Path]:
    """A file, or the files of a folder in natural order.

    Raises:
        DataError: there is none.
    """
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
def read_series(files: tuple[Stamp, ...], columns: Columns, step: float | None) -> SeriesFiles:
    """The recordings of all entities of these files.

    Args:
        files: as they are now.
        columns: what is asked of them.
        step: of the grid, whose rows are averaged; None takes the most common difference of times,
            and a row for every step.

    Raises:
        DataError: a file that cannot be read, or times that make no grid.
    """
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
    entities, clock = _entities(tables, columns, labels_NL)
    if step is None:
        grid = common_step(entities) if columns.time else 1.0
        recordings = tuple(on_grid(rows, grid) for rows in entities)
    else:
        grid = step
        recordings = tuple(binned(rows, step) for rows in entities)
    return SeriesFiles(
        recordings, tables[0].names, tuple(factors), 0.0 if clock == _COUNTED else grid
    )


def _entities(
    tables: Sequence[Table], columns: Columns, labels_NL: np.ndarray
) -> tuple[list[Rows], Clock]:
    """The rows of every entity, in natural order, and what their times are."""
    found: dict[str, Rows] = {}
    first_of: dict[Clock, Path] = {}
    begin = 0
    for table in tables:
        count = len(table.lines_N)
        of_table_NL = labels_NL[begin : begin + count]
        begin += count
        times_N, clock = np.arange(count, dtype=np.float64), _COUNTED
        if columns.time:
            words = table.words[columns.time]
            times_N, clock = seconds_of(table.path, columns.time, words, table.lines_N)
        first_of.setdefault(clock, table.path)
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
    if len(first_of) > 1:
        (one, path), (other, there), *_ = first_of.items()
        raise DataError(
            f"{there}: column '{columns.time}': found {other}, and {one} in {path}; wanted one "
            "kind of time in all files; rewrite them"
        )
    return [found[name] for name in sorted(found, key=natural_order)], next(iter(first_of))


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
