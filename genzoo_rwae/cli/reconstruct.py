"""`genzoo reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import (
    AsJson,
    Force,
    Indices,
    OtherData,
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
    def reconstruct(
        context: typer.Context,
        run: Run,
        split: SplitName = "test",
        other: OtherData = None,
        indices: Indices = None,
        phase: Phase = "keep",
        output: Annotated[
            Path | None, typer.Option("-o", "--output", help="A folder [RUN/reconstruct].")
        ] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """Encode and decode sequences of the run's data: pictures, arrays, errors and sound."""
        import torch

        from genzoo_rwae.cli.arrays import open_run, pick, place_of, save_arrays
        from genzoo_rwae.cli.sounds import Heard, originals, save_sounds
        from genzoo_rwae.report.compose import reconstruction_picture
        from genzoo_rwae.report.pictures import save_png

        session: Session = context.obj
        model, data = open_run(run, split, session.zoo, other)
        batch = data.take(pick(data, indices, 8, "--indices"))
        folder = new_folder(place_of(run, "reconstruct", output, other), force=force)
        made = model.reconstruct(batch.x_BT, batch.lengths_B)
        generator = torch.Generator().manual_seed(0)
        picture = reconstruction_picture(model, batch.x_BT, batch.lengths_B, generator)
        written = [
            save_png(picture, folder / "reconstruction.png"),
            save_arrays(
                folder / "reconstruction.npz", x_hat=made.x_hat_BT, mse=made.mse_B,
                indices=batch.indices_B,
            ),
        ]  # fmt: skip
        heard = originals(batch)
        for i, x_T, steps in zip(batch.indices_B, made.x_hat_BT, batch.lengths_B, strict=True):
            like = int(i) if phase == "keep" else None
            heard.append(Heard(f"reconstruction-{int(i)}", x_T[: int(steps)], like))
        written += save_sounds(data, heard, folder)
        if as_json:
            errors = dict(zip(batch.indices_B.tolist(), made.mse_B.tolist(), strict=True))
            print_json({"files": written, "mse": errors})
        else:
            print("\n".join(map(str, written)))
            print(f"mean squared error per value: {made.mse_B.mean().item():.6f}")
