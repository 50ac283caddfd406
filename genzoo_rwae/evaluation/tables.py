"""Runs side by side: their figures, what these compare with, and what differs in their specs.

Runs of one spec that differ in their seed alone are one column: its mean, and its spread over
seeds.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genzoo_rwae.errors import SpecError
from genzoo_rwae.evaluation.measured_run import MeasuredRun
from genzoo_rwae.report.figures import format_number

__all__ = [
    "Cell",
    "Column",
    "Comparison",
    "Row",
    "cell_of",
    "compare",
    "markdown",
    "markdown_table",
]

_PRICES = "objective.information."


@dataclass(frozen=True)
class Column:
    """Runs of one spec, one a seed."""

    label: str
    runs: tuple[MeasuredRun, ...]


@dataclass(frozen=True)
class Cell:
    """One figure of one column.

    Attributes:
        mean: over the column's runs.
        spread: standard deviation over their seeds; None of a single one.
        best: better than every other column by more than the spread of either.
    """

    mean: float
    spread: float | None = None
    best: bool = False

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {format_number(self.spread)}"
        return format_number(self.mean) + spread


@dataclass(frozen=True)
class Row:
    """One figure of all columns.

    Attributes:
        group, name: as in evaluation.json.
        good: "higher", "lower" or "" where nobody said.
        known: what it compares with, where that is the same in all runs: chance, baselines.
        cells: one a column; None where it was not measured.
    """

    group: str
    name: str
    good: str
    known: Mapping[str, float]
    cells: tuple[Cell | None, ...]

    @property
    def title(self) -> str:
        return f"{self.group}: {self.name}" if self.group else self.name

    @property
    def compare_with(self) -> str:
        return "; ".join(f"{what} {format_number(number)}" for what, number in self.known.items())


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        columns: one a spec.
        rows: one a figure.
        facts: name -> one text a column: seeds, time, parameters, prices on information.
        settings: path in the specs -> one text a column, where they differ and one of them says
            something else than a default of its own parts: what follows from another part is none.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    facts: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "columns": [
                {
                    "label": column.label,
                    "runs": [str(run.path) for run in column.runs],
                    "seeds": [run.seed for run in column.runs],
                }
                for column in self.columns
            ],
            "figures": [
                {
                    "group": row.group,
                    "name": row.name,
                    "good": row.good,
                    "known": dict(row.known),
                    "cells": [None if cell is None else vars(cell) for cell in row.cells],
                }
                for row in self.rows
            ],
            "facts": {name: list(texts) for name, texts in self.facts.items()},
            "settings": {path: list(texts) for path, texts in self.settings.items()},
        }


def compare(runs: Sequence[MeasuredRun]) -> Comparison:
    """Runs side by side; those of one spec share a column, in the order of the first of each.

    Raises:
        SpecError: two runs have one spec and one seed: they show no spread.
    """
    groups: list[list[MeasuredRun]] = []
    for run in runs:
        for group in groups:
            if group[0].has_settings_of(run):
                group.append(run)
                break
        else:
            groups.append([run])
    for group in groups:
        seeds = [run.seed for run in group]
        for run in group:
            if seeds.count(run.seed) > 1:
                same = ", ".join(str(other.path) for other in group if other.seed == run.seed)
                raise SpecError(
                    f"{same}: runs of one spec with one seed ({run.seed}) are one run twice and "
                    "show no spread; leave one of them out"
                )
    names = [group[0].name for group in groups]
    columns = tuple(
        Column(_label(group, alone=names.count(group[0].name) == 1), tuple(group))
        for group in groups
    )
    places = dict.fromkeys(place for run in runs for place in run.figures)
    return Comparison(
        columns,
        tuple(_row(columns, place) for place in places),
        _facts(columns),
        _differing([group[0] for group in groups]),
    )


def markdown_table(comparison: Comparison) -> str:
    """Figures, facts and differing settings as Markdown tables; the best is bold."""
    labels = [column.label for column in comparison.columns]
    rows = [
        [row.title, row.compare_with, row.good, *map(_markdown_cell, row.cells)]
        for row in comparison.rows
    ]
    tables = [markdown(["measured", "compare with", "better", *labels], rows)]
    for head, entries in (("run", comparison.facts), ("setting", comparison.settings)):
        if entries:
            tables.append(markdown([head, *labels], [[n, *t] for n, t in entries.items()]))
    return "\n\n".join(tables)


def _label(group: Sequence[MeasuredRun], *, alone: bool) -> str:
    label = group[0].name if alone else f"{group[0].name} ({group[0].path.name})"
    return label if len(group) == 1 else f"{label}, {len(group)} seeds"


def _row(columns: Sequence[Column], place: tuple[str, str]) -> Row:
    found = [[run.figures[place] for run in c.runs if place in run.figures] for c in columns]
    figures = [figure for column in found for figure in column]
    good = str(next((f["good"] for f in figures if f.get("good")), ""))
    cells = [cell_of([f["value"] for f in column]) for column in found]
    return Row(*place, good, _known(figures), _with_best(cells, good))


def cell_of(values: Sequence[object]) -> Cell | None:
    """Mean and spread of what is a finite number among some values; None if nothing is.

    >>> str(cell_of([0.5, 0.7, None]))
    '0.6 ± 0.1414'
    """
    numbers = [
        float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)
    ]
    if not numbers:
        return None
    spread = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Cell(statistics.fmean(numbers), spread)


def _known(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Chance and baselines that all runs agree on: those that are the data's and no model's."""
    known = [{**_chance(figure), **figure.get("baselines", {})} for figure in figures]
    return {
        what: number
        for what, number in known[0].items()
        if all(what in other and math.isclose(other[what], number) for other in known)
    }


def _chance(figure: Mapping[str, Any]) -> dict[str, float]:
    return {"chance": figure["chance"]} if figure.get("chance") is not None else {}


def _with_best(cells: Sequence[Cell | None], good: str) -> tuple[Cell | None, ...]:
    measured = [cell for cell in cells if cell is not None]
    if good not in ("higher", "lower") or len(measured) < 2:
        return tuple(cells)
    best = (max if good == "higher" else min)(measured, key=lambda cell: cell.mean)
    clear = all(_apart(best, other) for other in measured if other is not best)
    return tuple(replace(cell, best=True) if clear and cell is best else cell for cell in cells)


def _apart(one: Cell, other: Cell) -> bool:
    """Farther than the spread of either; of a single run nobody knows it."""
    if one.spread is None or other.spread is None:
        return False
    return abs(one.mean - other.mean) > max(one.spread, other.spread)


def _facts(columns: Sequence[Column]) -> dict[str, tuple[str, ...]]:
    def each(text: Any) -> tuple[str, ...]:
        return tuple(text(column.runs) for column in columns)

    facts = {
        "seeds": each(lambda runs: ", ".join(str(run.seed) for run in runs)),
        "training, minutes": each(
            lambda runs: _mean([run.seconds / 60 for run in runs if run.seconds is not None])
        ),
        "training, steps": each(lambda runs: _mean([run.steps for run in runs if run.steps])),
        "parameters": each(lambda runs: _mean([r.parameters for r in runs if r.parameters])),
        "price on information": each(lambda runs: _prices(runs[0].settings)),
        "folder": each(lambda runs: ", ".join(str(run.path) for run in runs)),
    }
    return {name: texts for name, texts in facts.items() if any(texts)}


def _mean(numbers: Sequence[float]) -> str:
    if not numbers:
        return ""
    mean = statistics.fmean(numbers)
    return format_number(int(mean) if mean == int(mean) else mean)


def _prices(settings: Mapping[str, object]) -> str:
    """What `objective.information` says: what tells the published objective from more than that."""
    shown = []
    for name, weight in settings.items():
        term = name.removesuffix(".weight")
        if not name.startswith(_PRICES) or term == name or not weight:
            continue
        times = " times its schedule" if settings.get(f"{term}.schedule.use") else ""
        shown.append(f"{term.removeprefix(_PRICES)} {_text(weight)} a nat{times}")
    return ", ".join(shown) or "none"


def _differing(runs: Sequence[MeasuredRun]) -> dict[str, tuple[str, ...]]:
    found = {}
    for path in dict.fromkeys(path for run in runs for path in run.settings):
        texts = tuple(_setting(run.settings, path) for run in runs)
        if len(set(texts)) > 1 and any(run.says(path) for run in runs):
            found[path] = texts
    return found


def _setting(settings: Mapping[str, object], path: str) -> str:
    """A setting's text; empty where the parts have none of this name."""
    whole = path.removesuffix(".use")
    if path != whole and settings.get(whole, "") is None:
        return "none"  # there is no part in this place
    return _text(settings[path]) if path in settings else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"**{cell}**" if cell.best else str(cell)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, rows)])
