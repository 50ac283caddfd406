"""`genzoo compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Session, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def compare(
        context: typer.Context,
        runs: Annotated[
            list[Path],
            typer.Argument(metavar="RUN...", help="Folders that `genzoo build` made, or zoo:NAME."),
        ],
        markdown: Annotated[
            bool, typer.Option("--markdown", help="Print Markdown tables.")
        ] = False,
        html: Annotated[
            Path | None, typer.Option("--html", metavar="FILE", help="Write a page as well.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Figures of several runs in one table, with time, parameters and what differs.

        Runs of one spec with different seeds share a column: mean ± spread over seeds. Bold is what
        is better by more than the spread. Settings are shown where they differ and one is no
        default of its part.
        """
        from genzoo_rwae.evaluation.measured_run import read_run
        from genzoo_rwae.evaluation.parts_of_run import with_parts
        from genzoo_rwae.evaluation.tables import compare as compare_runs
        from genzoo_rwae.evaluation.tables import markdown_table
        from genzoo_rwae.report.comparison import terminal_tables, write_comparison

        session: Session = context.obj
        comparison = compare_runs([with_parts(read_run(run), session.plugins) for run in runs])
        if html:
            write_comparison(comparison, html)
        if as_json:
            print_json(comparison.as_json())
        elif markdown:
            print(markdown_table(comparison))
        else:
            from rich.console import Console

            console = Console()
            for number, table in enumerate(terminal_tables(comparison)):
                if number:
                    console.print()
                console.print(table, highlight=False)
