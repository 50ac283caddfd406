"""`genzoo swap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import (
    AsJson,
    Force,
    Phase,
    Run,
    Session,
    SplitName,
    new_folder,
    print_json,
)

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def swap(
        context: typer.Context,
        run: Run,
        static: Annotated[
            str | None,
            typer.Option(metavar="I,J,...", help="Sequences that give the static codes (rows)."),
        ] = None,
        motion: Annotated[
            str | None,
            typer.Option(metavar="I,J,...", help="Sequences that give the motion (columns)."),
        ] = None,
        split: SplitName = "test",
        phase: Phase = "keep",
        output: Annotated[
            Path | None, typer.Option("-o", "--output", help="A folder [RUN/swap].")
        ] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """Every static code with every motion: a grid as PNG and GIF, the arrays, and sound.

        Of data that are sound, swap-I-J.wav has the static code of I and the motion of J.
        """
        from genzoo_rwae.cli.arrays import open_run, pick, save_arrays
        from genzoo_rwae.cli.sounds import Heard, originals, save_sounds
        from genzoo_rwae.report.compose import swap_all
        from genzoo_rwae.report.pictures import save_gif, save_png, swap_grid, swap_sheet

        session: Session = context.obj
        model, data = open_run(run, split, session.zoo)
        rows = data.take(pick(data, static, 6, "--static"))
        columns = data.take(pick(data, motion, 6, "--motion"))
        folder = new_folder(output or run / "swap", force=force)
        swapped_RCT = swap_all(model, rows.x_BT, columns.x_BT, rows.lengths_B, columns.lengths_B)
        clips = model.prepare(rows.x_BT), model.prepare(columns.x_BT), swapped_RCT
        display = data.info.display
        written = [
            save_png(swap_sheet(*clips, display=display), folder / "swap.png"),
            save_gif(swap_grid(*clips, display=display), folder / "swap.gif"),
            save_arrays(folder / "swap.npz", x=swapped_RCT),
        ]
        heard = originals(rows) + originals(columns)
        for i, row_CT in zip(rows.indices_B.tolist(), swapped_RCT, strict=True):
            for j, x_T, steps in zip(columns.indices_B, row_CT, columns.lengths_B, strict=True):
                like = int(j) if phase == "keep" else None
                heard.append(Heard(f"swap-{i}-{int(j)}", x_T[: int(steps)], like))
        written += save_sounds(data, heard, folder)
        if as_json:
            print_json({"files": written})
        else:
            print("\n".join(map(str, written)))
