"""Runs side by side as one self-contained page, and as a table on the terminal."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from rich.table import Table
from rich.text import Text

from genzoo_rwae.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genzoo_rwae.evaluation.tables import Cell, Comparison

__all__ = ["terminal_table", "terminal_tables", "write_comparison"]


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write one page that asks for nothing outside itself.

    Raises:
        RunError: it cannot be written.
    """
    template = resources.files("genzoo_rwae.report").joinpath("comparison.html.j2")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template.read_text(encoding="utf-8")).render(
        comparison=comparison, labels=[column.label for column in comparison.columns]
    )
    return write_atomic(path, page.encode("utf-8", "replace"))


def terminal_tables(comparison: Comparison) -> Iterator[Table]:
    """Figures, facts and the settings that differ."""
    labels = [column.label for column in comparison.columns]
    figures = terminal_table("measured", "compare with", "better", *labels)
    for row in comparison.rows:
        cells = [_shown(cell) for cell in row.cells]
        figures.add_row(Text(row.title), Text(row.compare_with), row.good, *cells)
    yield figures
    for head, entries in (("run", comparison.facts), ("setting", comparison.settings)):
        if entries:
            table = terminal_table(head, *labels)
            for name, texts in entries.items():
                table.add_row(Text(name), *map(Text, texts))
            yield table


def terminal_table(*heads: str) -> Table:
    """An empty table of the house's looks."""
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    return table


def _shown(cell: Cell | None) -> Text:
    if cell is None:
        return Text("")
    return Text(str(cell), style="bold" if cell.best else "")
