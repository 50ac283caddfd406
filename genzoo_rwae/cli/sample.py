"""`genzoo sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import Action, AsJson, Force, Run, Session, new_folder, print_json
from genzoo_rwae.releases import outputs_of

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def sample(
        context: typer.Context,
        run: Run,
        count: Annotated[int, typer.Option("-n", min=1, help="How many sequences.")] = 8,
        length: Annotated[
            int | None, typer.Option(min=1, help="Steps of each [those of the data].")
        ] = None,
        action: Action = None,
        seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
        output: Annotated[
            Path | None,
            typer.Option("-o", "--output", help="A folder [RUN/sample-SEED or -SEED-action-K]."),
        ] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """Draw sequences from the priors: pictures, the arrays themselves, and sound."""
        import torch

        from genzoo_rwae.cli.arrays import check_action, save_arrays
        from genzoo_rwae.cli.sounds import Heard, data_of_sound, save_sounds
        from genzoo_rwae.report.pictures import clip_film, clip_rows, save_gif, save_png
        from genzoo_rwae.run import load

        session: Session = context.obj
        model = load(run, zoo=session.zoo)
        check_action(model, action)
        name = f"sample-{seed}" if action is None else f"sample-{seed}-action-{action}"
        folder = new_folder(output or outputs_of(run) / name, force=force)
        drawn = model.sample(count, length, torch.Generator().manual_seed(seed), action=action)
        actions = drawn.latents.action_BA
        more = {} if actions is None else {"action": actions.argmax(-1)}
        display = model.info.display
        written = [
            save_png(clip_rows(drawn.x_BT, display=display), folder / "sample.png"),
            save_gif(clip_film(drawn.x_BT, display=display), folder / "sample.gif"),
            save_arrays(
                folder / "sample.npz",
                x=drawn.x_BT, static=drawn.latents.static_BD, dynamic=drawn.latents.dynamic_BTD,
                **more,
            ),
        ]  # fmt: skip
        if data := data_of_sound(run, model, session.zoo):
            heard = [Heard(f"sample-{i}", x_T, None) for i, x_T in enumerate(drawn.x_BT)]
            written += save_sounds(data, heard, folder)
        if as_json:
            print_json({"files": written})
        else:
            print("\n".join(map(str, written)))
