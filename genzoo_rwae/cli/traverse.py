"""`genzoo traverse`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from genzoo_rwae.cli.session import AsJson, Force, Run, Session, SplitName, new_folder, print_json
from genzoo_rwae.releases import outputs_of

if TYPE_CHECKING:
    from genzoo_rwae.evaluation.directions import Directions, Subspace

__all__ = ["add_to"]

_PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)  # in standard deviations


def add_to(app: typer.Typer) -> None:
    @app.command()
    def traverse(
        context: typer.Context,
        run: Run,
        code: Annotated[
            Literal["static", "dynamic"], typer.Option(help="Which code is moved.")
        ] = "static",
        directions: Annotated[
            int, typer.Option(min=1, metavar="N", help="Principal directions, the largest first.")
        ] = 6,
        index: Annotated[
            int, typer.Option(min=0, metavar="I", help="The sequence, by its place in the split.")
        ] = 0,
        split: SplitName = "test",
        output: Annotated[
            Path | None, typer.Option("-o", "--output", help="A folder [RUN/traverse-CODE].")
        ] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """One code moved along one direction at a time: grids as PNG and GIF, and the arrays.

        Directions are the principal ones of the codes of training sequences; directions.json has
        them, and those of the static code along which each static factor lies: what `genzoo swap
        --only FACTOR` exchanges.
        """
        import torch

        from genzoo_rwae.cli.arrays import open_data, open_run, pick, save_arrays
        from genzoo_rwae.evaluation.directions import factor_subspaces
        from genzoo_rwae.evaluation.traversal import code_directions
        from genzoo_rwae.evaluation.traversal import traverse as move
        from genzoo_rwae.files import write_atomic
        from genzoo_rwae.report.pictures import save_gif, save_png
        from genzoo_rwae.report.traversals import traversal_film, traversal_sheet

        session: Session = context.obj
        model, data = open_run(run, split, session.zoo)
        batch = data.take(pick(data, str(index), 1, "--index"))
        train = open_data(run, "train", session.zoo)
        folder = new_folder(output or outputs_of(run) / f"traverse-{code}", force=force)
        found = code_directions(model, train, code, directions)
        length = int(batch.lengths_B[0])
        moved_RVT = move(model, batch.x_BT[0], length, found, code, torch.tensor(_PLACES))
        rows = [f"{n + 1}: {share:.0%}" for n, share in enumerate(found.share_R.tolist())]
        columns = [f"{place:+g} sd" if place else "0" for place in _PLACES]
        said = (
            f"The {code} code of sequence {index} moved along principal directions, each with its "
            "share of the variance."
        )
        display = data.info.display
        picture = traversal_sheet(moved_RVT, rows, columns, display=display)
        film = traversal_film(moved_RVT, rows, columns, display=display)
        about = _about(code, index, found, factor_subspaces(model, train))
        written = [
            save_png(picture, folder / "traverse.png", caption=said),
            save_gif(film, folder / "traverse.gif", caption=said),
            save_arrays(folder / "traverse.npz", x=moved_RVT),
            write_atomic(folder / "directions.json", json.dumps(about) + "\n"),
        ]
        if as_json:
            print_json({"files": written})
        else:
            print("\n".join(map(str, written)))


def _about(
    code: str, index: int, found: Directions, factors: Mapping[str, Subspace]
) -> dict[str, Any]:
    """What directions.json says: directions [R, D], and for each factor what reads and moves it."""
    return {
        "code": code,
        "sequence": index,
        "places": list(_PLACES),
        "mean": found.mean_D.tolist(),
        "directions": [
            {"axis": axis, "sd": sd, "share": share}
            for axis, sd, share in zip(
                found.axes_RD.tolist(), found.sd_R.tolist(), found.share_R.tolist(), strict=True
            )
        ],
        "factors": {name: _subspace(subspace) for name, subspace in factors.items()},
    }


def _subspace(subspace: Subspace) -> list[dict[str, Any]]:
    return [
        {"moves along": onto, "read by": read, "explained": told}
        for onto, read, told in zip(
            subspace.onto_DR.T.tolist(),
            subspace.read_RD.tolist(),
            subspace.told_R.tolist(),
            strict=True,
        )
    ]
