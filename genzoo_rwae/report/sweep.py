"""A sweep's trials as a table (terminal, Markdown) and as one self-contained page with plots."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from rich.text import Text

from genzoo_rwae.evaluation.tables import markdown
from genzoo_rwae.files import write_atomic
from genzoo_rwae.report.comparison import terminal_table
from genzoo_rwae.report.curves import GRID, TRAIN, VALIDATION, dress, panel
from genzoo_rwae.sweep.values import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from rich.table import Table

    from genzoo_rwae.sweep.outcome import Outcome, Row

__all__ = ["markdown_sweep", "sweep_plots", "terminal_sweep", "write_sweep"]

_LONGEST = 14  # characters of a choice under an axis


def terminal_sweep(outcome: Outcome) -> Table:
    """The table for a terminal; the best is bold."""
    table = terminal_table(*outcome.heads)
    for row, line in zip(outcome.rows, outcome.lines, strict=True):
        style = "bold" if row is outcome.best else ""
        table.add_row(*(Text(text, style=style) for text in line))
    return table


def markdown_sweep(outcome: Outcome) -> str:
    """The table as Markdown; the best is bold, and a caution stands below it."""
    lines = [
        [f"**{text}**" if row is outcome.best and text else text for text in line]
        for row, line in zip(outcome.rows, outcome.lines, strict=True)
    ]
    table = markdown(outcome.heads, lines)
    return f"{table}\n\n{outcome.caution}" if outcome.caution else table


def write_sweep(outcome: Outcome, folder: Path) -> Path:
    """Write sweep.md and sweep.html, a page that asks for nothing outside itself.

    Raises:
        RunError: they cannot be written.
    """
    write_atomic(folder / "sweep.md", f"# {outcome.name}\n\n{markdown_sweep(outcome)}\n")
    template = resources.files("genzoo_rwae.report").joinpath("sweep.html.j2")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template.read_text(encoding="utf-8")).render(
        outcome=outcome,
        rows=list(zip(outcome.rows, outcome.lines, strict=True)),
        # the SVGs are matplotlib's, which escapes their texts; nothing else is trusted
        plots=[(title, Markup(svg)) for title, svg in sweep_plots(outcome)],
    )
    return write_atomic(folder / "sweep.html", page.encode("utf-8", "replace"))


def sweep_plots(outcome: Outcome) -> list[tuple[str, str]]:
    """(title, svg): the measure over trials, over each value, and measurements while training."""
    rows = [row for row in outcome.rows if row.value is not None]
    plots = []
    if rows:
        title = f"{outcome.measure} over trials; the line is the best so far"
        plots.append((title, panel("trials", lambda axes: _over_trials(axes, rows, outcome))))
    for path in outcome.paths if rows else ():
        svg = panel(path, lambda axes, path=path: _over_values(axes, rows, path))  # type: ignore[misc]
        plots.append((f"{outcome.measure} over {path}", svg))
    if any(row.measured for row in outcome.rows):
        title = (
            f"{outcome.pruned_by} (validation split) over measurements; the best trial in colour"
        )
        plots.append((title, panel("measured", lambda axes: _while_training(axes, outcome))))
    return plots


def _over_trials(axes: Axes, rows: Sequence[Row], outcome: Outcome) -> None:
    ordered = sorted(rows, key=lambda row: row.number)
    numbers, values = _numbers(ordered, [row.number for row in ordered])
    best = (np.minimum if outcome.good == "lower" else np.maximum).accumulate(values)
    axes.plot(numbers, values, "o", color=TRAIN, markersize=3)
    axes.step(numbers, best, where="post", color=VALIDATION, linewidth=1.3)
    dress(axes, values)


def _over_values(axes: Axes, rows: Sequence[Row], path: str) -> None:
    given = [row.values[path] for row in rows]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        places, values = _numbers(rows, given)
        axes.plot(places, values, "o", color=TRAIN, markersize=3)
        dress(axes, values, places)
        return
    texts = [value if isinstance(value, str) else as_text(value) for value in given]
    names = sorted(set(texts))
    places, values = _numbers(rows, [names.index(text) for text in texts])
    axes.plot(places, values, "o", color=TRAIN, markersize=3)
    dress(axes, values)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks(range(len(names)), [_cut(name) for name in names])


def _while_training(axes: Axes, outcome: Outcome) -> None:
    rows = [row for row in reversed(outcome.rows) if row.measured]  # the best on top
    for row in rows:
        is_best = row is outcome.best
        width, mark = (1.3, "o") if is_best or len(row.measured) == 1 else (0.9, None)
        colour = VALIDATION if is_best else TRAIN if row.state == "complete" else GRID
        axes.plot(*zip(*row.measured, strict=True), color=colour, linewidth=width, marker=mark,
                  markersize=3)  # fmt: skip
    dress(axes, np.array([value for row in rows for _, value in row.measured]))


def _numbers(rows: Sequence[Row], places: Sequence[object]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(places, dtype=np.float64), np.array([row.value for row in rows], np.float64)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
