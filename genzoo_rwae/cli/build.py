"""`genzoo build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Session, Settings, SpecPath, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def build(
        context: typer.Context,
        spec: SpecPath,
        output: Annotated[
            Path | None,
            typer.Option("-o", "--output", metavar="RUN", help="Run folder [runs/NAME]."),
        ] = None,
        devices: Annotated[
            int | None,
            typer.Option(
                min=1, metavar="N", help="Processes that train together on this machine [1]."
            ),
        ] = None,
        shard_weights: Annotated[
            bool,
            typer.Option(
                "--shard-weights",
                help="Each of several processes keeps a shard of weights and optimiser (FSDP2).",
            ),
        ] = False,
        settings: Settings = None,
        as_json: AsJson = False,
    ) -> None:
        """Check, assemble, train, measure and report; goes on from where the run folder is."""
        from genzoo_rwae.run import build_spec
        from genzoo_rwae.spec import load_spec

        session: Session = context.obj
        loaded = load_spec(spec, zoo=session.zoo, settings=settings or ())
        folder = output or Path("runs") / loaded.name
        build_spec(
            loaded, folder, session.zoo, session.console, devices, shard_weights=shard_weights
        )
        if as_json:
            from genzoo_rwae.run_folder import RunFolder

            print_json({"run": folder, "figures": RunFolder.open(folder).read_evaluation()})
