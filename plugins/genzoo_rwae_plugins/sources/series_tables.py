"""Tables of numbers and words: CSV files with what Python has, Parquet files with pyarrow.

Shapes: N rows, F columns of numbers.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.places import check_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SUFFIXES", "Table", "csv_rows", "is_missing", "read_table"]

SUFFIXES = (".csv", ".tsv", ".parquet")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_SPELT = dict.fromkeys(("", "NA", "NaN"), "nan")  # as most write it: looked up at once
_CHUNK = 50_000  # rows of text that are in memory at a time
_DELIMITERS = (",", ";", "\t")
_MOST_CELLS = 2**28  # of a Parquet file, which keeps millions of equal ones in a few bytes


@dataclass(frozen=True)
class Table:
    """What was asked of a file.

    Attributes:
        path: the file.
        names: [F] of the columns of numbers.
        numbers_NF: float64, NaN where a cell is empty.
        words: name -> [N] cells of the other columns; empty where nothing is there.
        lines_N: [N] where in the file each row stands, counted from 1.
    """

    path: Path
    names: tuple[str, ...]
    numbers_NF: np.ndarray
    words: Mapping[str, Sequence[str]]
    lines_N: np.ndarray


def read_table(path: Path, *, words: Sequence[str], numbers: Sequence[str] | None) -> Table:
    """Columns of a CSV or Parquet file.

    Args:
        path: the file: Parquet where its suffix says so, else CSV.
        words: columns to be kept as they are written.
        numbers: columns of numbers; None takes every other column whose first entry is one.

    Raises:
        DataError: no such column or two of a name, no rows, a row of another length, a cell that
            is no number or not finite, a damaged file, or Parquet without pyarrow.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path, words, numbers)
    header, rows = csv_rows(path)
    _check_names(path, header, [*words, *(numbers or ())])
    places = {name: place for place, name in enumerate(header)}
    names = tuple(numbers) if numbers is not None else None
    lines: list[int] = []
    kept: dict[str, list[str]] = {name: [] for name in words}
    chunks: list[np.ndarray] = []
    while chunk := list(islice(rows, _CHUNK)):
        of_chunk, cells = zip(*chunk, strict=True)
        columns = list(zip(*cells, strict=True))
        if names is None:
            rest = [name for name in header if name not in kept]
            names = tuple(name for name in rest if _holds_numbers(columns[places[name]]))
        _check_some(path, names)
        chunks.append(
            np.stack([_numbers(path, name, columns[places[name]], of_chunk) for name in names], 1)
        )
        lines += of_chunk
        for name, found in kept.items():
            found += columns[places[name]]
    if not lines or names is None:
        raise DataError(f"{path}: found no rows below the header, wanted some; fill the table")
    return Table(path, names, np.concatenate(chunks), kept, np.array(lines))


def csv_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header of a CSV file, and its rows with their line numbers; blank lines are passed over.

    The delimiter (comma, semicolon or tab) is the one that the header has most of.

    Raises:
        DataError: the file cannot be read, has no header or one that names a column twice, or,
            while rows are taken, a row has another number of cells.
    """
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
        delimiter = max(_DELIMITERS, key=first.count)
        header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    if not header or not all(header) or len(set(header)) < len(header):
        raise DataError(
            f"{path}:1: found the header {first.strip()[:200] or '(empty)'!r}, wanted a different "
            "name for every column; mend the first line"
        )
    return header, _rows(path, delimiter, len(header))


def is_missing(cell: str) -> bool:
    """Whether a cell says that nothing is there: empty, NA, N/A, NaN, null or None."""
    return cell.strip().lower() in _MISSING


def _rows(path: Path, delimiter: str, count: int) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter)
            next(reader)
            for row in reader:
                if len(row) == count:
                    yield reader.line_num, row
                elif row:
                    raise DataError(
                        f"{path}:{reader.line_num}: found {len(row)} cells, wanted {count} as in "
                        "the header; mend the row"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: cannot be read as a table ({error}); wanted CSV in UTF-8 with a header, or "
        "Parquet; save it again"
    )


def _holds_numbers(cells: Sequence[str]) -> bool:
    """Whether the first entry is a number; a column without entries is one of numbers."""
    for cell in cells:
        if not is_missing(cell):
            try:
                float(cell)
            except ValueError:
                return False
            return True
    return True


def _numbers(path: Path, name: str, cells: Sequence[str], lines: Sequence[int]) -> np.ndarray:
    try:
        spelt = (_SPELT.get(cell, cell) for cell in cells)
        numbers = np.fromiter(map(float, spelt), np.float64, len(cells))
    except ValueError:
        numbers = np.array([_number(path, name, *at) for at in zip(cells, lines, strict=True)])
    # Python reads 1_000 as a number; nobody who writes it into a table means it so
    if np.isinf(numbers).any() or "_" in "".join(cells):
        wrong = next(k for k, cell in enumerate(cells) if "_" in cell or np.isinf(numbers[k]))
        raise _no_number(path, name, cells[wrong], lines[wrong])
    return numbers


def _number(path: Path, name: str, cell: str, line: int) -> float:
    if is_missing(cell):
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        raise _no_number(path, name, cell, line) from None


def _no_number(path: Path, name: str, cell: str, line: int) -> DataError:
    mend = "write decimals with a point" if "," in cell else "mend it, or leave it empty"
    return DataError(
        f"{path}:{line}: column '{name}': found {cell[:40]!r}, wanted a finite number; {mend}, or "
        "leave the column out of `values`"
    )


def _check_names(path: Path, known: Sequence[str], wanted: Sequence[str]) -> None:
    if unknown := [name for name in wanted if name not in known]:
        raise DataError(
            f"{path}: found no column '{unknown[0]}'; its columns are "
            f"{', '.join(list(known)[:40])}; correct the name"
        )


def _check_some(path: Path, names: Sequence[str]) -> None:
    if not names:
        raise DataError(
            f"{path}: found no column of numbers, wanted at least one; a column counts where its "
            "first entry is a number; say which with `values`"
        )


def _read_parquet(path: Path, words: Sequence[str], numbers: Sequence[str] | None) -> Table:
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet is read with pyarrow, which is not here; "
            "pip install 'genzoo-rwae[series]', or save the table as CSV"
        ) from error
    try:
        check_regular(path)
        known = parquet.read_schema(path)
        if twice := [name for name in known.names if known.names.count(name) > 1]:
            raise DataError(
                f"{path}: found several columns '{twice[0]}', wanted a different name for every "
                "column; rename them"
            )
        _check_names(path, known.names, [*words, *(numbers or ())])
        if numbers is None:
            kinds = {name: known.field(name).type for name in known.names}
            numbers = [n for n, kind in kinds.items() if n not in words and _is_number(arrow, kind)]
        _check_some(path, numbers)
        cells = parquet.read_metadata(path).num_rows * (len(words) + len(numbers))
        if cells > _MOST_CELLS:
            raise DataError(
                f"{path}: found {cells:,} cells in the columns that are asked for, wanted at most "
                f"{_MOST_CELLS:,}; ask for fewer, or save the table in pieces"
            )
        table = parquet.read_table(path, columns=[*words, *numbers])
        columns = [table[name].cast(arrow.float64()).to_numpy() for name in numbers]
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's errors are these
        raise _unreadable(path, error) from error
    if not len(table):
        raise DataError(f"{path}: found no rows, wanted some; fill the table")
    lines_N = np.arange(1, len(table) + 1)
    for name, column in zip(numbers, columns, strict=True):
        if np.isinf(column).any():
            row = int(np.isinf(column).argmax())
            raise _no_number(path, name, str(column[row]), int(lines_N[row]))
    kept = {name: _as_written(arrow, table[name]) for name in words}
    return Table(path, tuple(numbers), np.stack(columns, 1), kept, lines_N)


def _is_number(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _as_written(arrow: Any, column: Any) -> list[str]:
    if arrow.types.is_timestamp(column.type):
        # Python's own dates end at microseconds
        column = column.cast(arrow.timestamp("us", column.type.tz), safe=False)
    return ["" if value is None else str(value) for value in column.to_pylist()]
