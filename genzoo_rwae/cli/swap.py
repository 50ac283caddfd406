"""`genzoo swap`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genzoo_rwae.cli.session import (
    Action,
    AsJson,
    Force,
    OtherData,
    Phase,
    Run,
    Session,
    SplitName,
    new_folder,
    print_json,
)
from genzoo_rwae.errors import SpecError

if TYPE_CHECKING:
    from genzoo_rwae.evaluation.directions import Subspace
    from genzoo_rwae.sequence_model import SequenceModel

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
        action: Action = None,
        only: Annotated[
            str | None,
            typer.Option(metavar="FACTOR", help="Exchange this static factor and nothing else."),
        ] = None,
        split: SplitName = "test",
        other: OtherData = None,
        phase: Phase = "keep",
        output: Annotated[
            Path | None,
            typer.Option("-o", "--output", help="A folder [RUN/swap, RUN/swap-FACTOR]."),
        ] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """Every static code with every motion: a grid as PNG and GIF, the arrays, and sound.

        With --only, rows give one static factor and columns all else; it lies along directions of
        the static code that the labels of training sequences tell (directions.json of `genzoo
        traverse`). Of data that are sound, swap-I-J.wav has what I gives and what J gives.
        """
        from genzoo_rwae.cli.arrays import check_action, open_run, pick, place_of, save_arrays
        from genzoo_rwae.cli.sounds import Heard, originals, save_sounds
        from genzoo_rwae.evaluation.traversal import exchange_all
        from genzoo_rwae.report.compose import swap_all
        from genzoo_rwae.report.pictures import SWAPPED, save_gif, save_png, swap_grid, swap_sheet

        session: Session = context.obj
        model, data = open_run(run, split, session.zoo, other)
        check_action(model, action)
        if only and action is not None:
            raise SpecError("--only exchanges one factor and keeps all else; leave --action out")
        rows = data.take(pick(data, static, 6, "--static"))
        columns = data.take(pick(data, motion, 6, "--motion"))
        donors = rows.x_BT, columns.x_BT, rows.lengths_B, columns.lengths_B
        subspace = _subspace(run, session, model, only) if only else None
        name = f"swap-{only}" if only else "swap"
        folder = new_folder(place_of(run, name, output, other), force=force)
        if subspace:
            swapped_RCT = exchange_all(model, subspace, *donors)
        else:
            swapped_RCT = swap_all(model, *donors, action=action)
        headings = (f"{only} of", "all else of") if only else SWAPPED
        clips = model.prepare(rows.x_BT), model.prepare(columns.x_BT), swapped_RCT
        drawn = *clips, rows.lengths_B, columns.lengths_B
        display = data.info.display
        written = [
            save_png(swap_sheet(*drawn, display=display, headings=headings), folder / "swap.png"),
            save_gif(swap_grid(*drawn, display=display, headings=headings), folder / "swap.gif"),
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


def _subspace(run: Path, session: Session, model: SequenceModel, only: str) -> Subspace:
    """Where a factor lies in the static code of a run's model.

    Raises:
        SpecError: the data have no such static factor, or the code does not move with it.
    """
    from genzoo_rwae.cli.arrays import open_data
    from genzoo_rwae.evaluation.directions import factor_subspaces

    known = [factor.name for factor in model.info.factors if factor.code == "static"]
    if only not in known:
        raise SpecError(
            f"--only {only}: wanted a static factor of the data; there is "
            f"{', '.join(known) or 'none'}"
        )
    subspace = factor_subspaces(model, open_data(run, "train", session.zoo))[only]
    if not len(subspace.told_R):
        raise SpecError(
            f"--only {only}: along no direction does the static code tell it better than permuted "
            "labels; take another factor, or swap whole codes"
        )
    return subspace
