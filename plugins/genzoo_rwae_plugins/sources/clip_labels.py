"""Labels of the user's clips, from a table.

Shapes: N clips.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from genzoo_rwae.errors import DataError, OptionError
from genzoo_rwae.sequences import Factor
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.places import check_regular

__all__ = ["factor_of", "labels_of", "read_labels"]

_MOST_CLASSES = 1_000


def labels_of(
    path: Path | None, names: tuple[str, ...], dynamic: tuple[str, ...]
) -> dict[Factor, np.ndarray]:
    """Factors of the user's table, none where there is no table.

    Raises:
        DataError, OptionError: as `read_labels` does; `dynamic` without a table.
    """
    if path is not None:
        return read_labels(path.expanduser(), names, dynamic)
    if dynamic:
        raise OptionError("there are no labels; wanted `labels: <CSV file>`", option="dynamic")
    return {}


def read_labels(
    path: Path, names: tuple[str, ...], dynamic: tuple[str, ...]
) -> dict[Factor, np.ndarray]:
    """Factors of a table with a row for every clip.

    Args:
        path: CSV file in UTF-8 with the header `clip,<factor>,...`; a factor's classes are the
            values that occur, in natural order.
        names: [N] the clips that need labels.
        dynamic: those factors that belong to the dynamic codes.

    Returns:
        Factor -> [N] int64 labels.

    Raises:
        DataError: no such table, a header without clip, a clip without or with two rows, a row
            of another length, or an empty value.
        OptionError: `dynamic` names a factor that the table lacks.
    """
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: the labels cannot be read ({error}); wanted a CSV file"
        ) from error
    if header[:1] != ["clip"] or len(set(header)) < len(header) or len(header) < 2:
        raise DataError(
            f"{path}:1: found the header {','.join(header) or '(empty)'}, wanted "
            "clip,<factor>,... with different names; mend the first line"
        )
    if unknown := [name for name in dynamic if name not in header[1:]]:
        raise OptionError(
            f"{path} has no factor '{unknown[0]}'; known: {', '.join(header[1:])}",
            option="dynamic",
        )
    values = _values_of_clips(path, header, rows)
    missing = [name for name in names if name not in values]
    if missing:
        raise DataError(
            f"{path}: found no row for {len(missing)} of {len(names)} clips, the first is "
            f"'{missing[0]}'{_found_instead(missing[0], values)}; wanted one for each; add them"
        )
    of_columns = (
        factor_of(path, name, [values[clip][column] for clip in names], dynamic)
        for column, name in enumerate(header[1:])
    )
    return dict(of_columns)


def _found_instead(clip: str, values: Mapping[str, object]) -> str:
    """What there is where a clip has no row: the name of its file, or other names."""
    files = [name for name in values if Path(name).stem == clip]
    if files:
        return f": '{files[0]}' is its file, whose ending a clip's name does not have"
    return f"; the first row is of '{next(iter(values))}'" if values else ""


def factor_of(
    path: Path, name: str, words_N: Sequence[str], dynamic: tuple[str, ...]
) -> tuple[Factor, np.ndarray]:
    """A factor whose classes are the words that occur, in natural order, and the labels [N] int64.

    Raises:
        DataError: so many words that they are no classes.
    """
    classes = tuple(sorted(set(words_N), key=natural_order))
    if len(classes) > _MOST_CLASSES:
        raise DataError(
            f"{path}: the factor '{name}' has {len(classes):,} different values, wanted at most "
            f"{_MOST_CLASSES:,}: a name or a measurement is no class; drop the column or bin it"
        )
    numbers = {word: number for number, word in enumerate(classes)}
    labels_N = np.array([numbers[word] for word in words_N], dtype=np.int64)
    return Factor(name, classes, "dynamic" if name in dynamic else "static"), labels_N


def _values_of_clips(path: Path, header: list[str], rows: list[list[str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(header) or not all(row):
            raise DataError(
                f"{path}:{line}: found {sum(map(bool, row))} values, wanted {len(header)} "
                f"({','.join(header)}); fill the row in"
            )
        if row[0] in values:
            raise DataError(
                f"{path}:{line}: found clip '{row[0]}' again, wanted one row for each; take one out"
            )
        values[row[0]] = row[1:]
    return values
