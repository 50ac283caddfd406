"""`genzoo sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Session, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def sweep(
        context: typer.Context,
        file: Annotated[Path, typer.Argument(metavar="SWEEP", help="A YAML file.")],
        output: Annotated[
            Path | None,
            typer.Option("-o", "--output", metavar="FOLDER", help="The sweep's [runs/NAME]."),
        ] = None,
        markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Build a spec with many values, chosen by what came of those before; goes on.

        The same command in several terminals is as many workers on one sweep. Every trial is a run
        folder. At the end, a table is printed and written, with plots, into the sweep's folder.
        """
        from genzoo_rwae.report.sweep import markdown_sweep, terminal_sweep, write_sweep
        from genzoo_rwae.sweep import read_plan, work

        session: Session = context.obj
        plan = read_plan(file, session.zoo)
        folder = output or Path("runs") / plan.said.sweep
        outcome = work(plan, folder, session.zoo, session.console)
        page = write_sweep(outcome, folder)
        if as_json:
            print_json(outcome.as_json())
        elif markdown:
            print(markdown_sweep(outcome))
        else:
            from rich.console import Console

            Console().print(terminal_sweep(outcome), highlight=False)
            if outcome.caution:
                print(f"\n{outcome.caution}")
        session.console.print(f"open [bold]{page}[/]", highlight=False)
