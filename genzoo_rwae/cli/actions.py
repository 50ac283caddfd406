"""`genzoo actions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Force, Run, Session, SplitName, new_folder, print_json
from genzoo_rwae.releases import outputs_of

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def actions(
        context: typer.Context,
        run: Run,
        split: SplitName = "test",
        most: Annotated[
            int, typer.Option("-n", min=1, help="Sequences to look at, spread evenly.")
        ] = 2_000,
        seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
        output: Annotated[
            Path | None, typer.Option("-o", "--output", help="A folder [RUN/actions].")
        ] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """The actions that a model tells apart: a gallery, and how many sequences have each."""
        from genzoo_rwae.cli.arrays import open_run
        from genzoo_rwae.errors import SpecError
        from genzoo_rwae.report.compose import save_actions
        from genzoo_rwae.report.gallery import found_actions

        session: Session = context.obj
        model, data = open_run(run, split, session.zoo)
        if not model.actions:
            raise SpecError(
                f"{run}: this model has no actions; give its spec some, as "
                "`model: {action: {count: 9}}`"
            )
        found = found_actions(model, data, sequences=most, seed=seed)
        folder = new_folder(output or outputs_of(run) / "actions", force=force)
        written = save_actions(found, folder)
        if as_json:
            rows = [
                {"action": one.action, "sequences": one.count, "certainty": one.certainty,
                 "indices": list(one.indices)}
                for one in found
            ]  # fmt: skip
            print_json({"files": written, "actions": rows})
            return
        print("\n".join(map(str, written)))
        print("action  sequences  certainty")
        for one in found:
            certainty = f"{one.certainty:.2f}" if one.count else ""
            print(f"{one.action:>6}  {one.count:>9,}  {certainty:>9}".rstrip())
