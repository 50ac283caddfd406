"""`genzoo compare`."""

from __future__ import annotations

from dataclasses import replace
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
        is better by more than the spread.
        """
        from genzoo_rwae.evaluation.measured_run import read_run
        from genzoo_rwae.evaluation.tables import compare as compare_runs
        from genzoo_rwae.evaluation.tables import markdown_table
        from genzoo_rwae.report.comparison import terminal_tables, write_comparison

        session: Session = context.obj
        read = [
            replace(read_run(run), parameters=_parameters(run, session.plugins)) for run in runs
        ]
        comparison = compare_runs(read)
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


def _parameters(run: Path, plugins: list[str]) -> int | None:
    """Of the run's model; None where it cannot be loaded here, such as without its plugin."""
    from genzoo_rwae.errors import GenzooError
    from genzoo_rwae.run import load
    from genzoo_rwae.zoo import Zoo

    try:
        model = load(run, zoo=Zoo(plugins))  # runs may name different plugins of one name
    except GenzooError:
        return None
    return sum(parameter.numel() for parameter in model.parameters())
