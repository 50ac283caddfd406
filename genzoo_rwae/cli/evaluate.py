"""`genzoo evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from genzoo_rwae.cli.session import AsJson, Run, Session, print_json
from genzoo_rwae.errors import SpecError

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def evaluate(
        context: typer.Context,
        run: Run,
        metrics: Annotated[
            list[str] | None,
            typer.Argument(metavar="[METRIC]...", help="What to measure [the spec's metrics]."),
        ] = None,
        every: Annotated[bool, typer.Option("--all", help="Every registered metric.")] = False,
        settings: Annotated[
            list[str] | None,
            typer.Option(
                "--set", metavar="METRIC.OPTION=VALUE",
                help="An option of a metric, or judge.OPTION=VALUE; may be repeated.",
            ),
        ] = None,
        on: Annotated[
            Literal["test", "validation"],
            typer.Option(help="validation: to choose settings by; printed, and written nowhere."),
        ] = "test",
        as_json: AsJson = False,
    ) -> None:  # fmt: skip
        """Measure a finished run again; figures of other metrics stay. Writes report and card.

        A released run (zoo:NAME) is copied to runs/zoo-NAME, and the copy is measured.
        """
        from genzoo_rwae.releases import outputs_of
        from genzoo_rwae.report.figures import figures_of
        from genzoo_rwae.run import evaluate as evaluate_run

        session: Session = context.obj
        if every and metrics:
            raise SpecError(f"--all and {', '.join(metrics)}: say one of the two")
        found = evaluate_run(
            run,
            "all" if every else metrics or (),
            settings=settings or (),
            on=on,
            zoo=session.zoo,
            console=session.console,
        )
        if as_json:
            measured = outputs_of(run) if on == "test" else run
            print_json({"run": measured, "on": on, "figures": found})
            return
        for figure in figures_of(found):
            beside = "".join(f", {what} {value}" for what, value in figure.compared)
            print(f"{figure.group} / {figure.name}: {figure.value}{beside}")
