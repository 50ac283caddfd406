"""`genzoo explore`."""

from __future__ import annotations

from typing import Annotated

import typer

from genzoo_rwae.cli.session import Run, Session, SplitName

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def explore(
        context: typer.Context,
        run: Run,
        split: SplitName = "test",
        port: Annotated[
            int, typer.Option(min=0, max=65535, help="Of this machine; 0: any that is free.")
        ] = 7860,
    ) -> None:
        """A local page on which one swaps, moves codes and samples, and sees or hears it at once.

        It is served to this machine alone, on 127.0.0.1, until Ctrl-C; it loads nothing from
        elsewhere. Directions are the principal ones of the codes of training sequences.
        """
        from genzoo_rwae.cli.arrays import open_data, open_run
        from genzoo_rwae.explore.exploration import Exploration
        from genzoo_rwae.explore.page import import_gradio, page
        from genzoo_rwae.explore.server import address_of, listen, own_folder, server
        from genzoo_rwae.report.page import run_figures, run_name
        from genzoo_rwae.run_folder import RunFolder

        session: Session = context.obj
        folder = RunFolder.open(run)
        with own_folder(), listen(port) as listener:
            import_gradio()  # if that cannot be had, it is said before anything takes long
            folder.check(folder.evaluation)
            model, data = open_run(run, split, session.zoo)
            figures, problem = run_figures(folder.path)
            parameters = sum(parameter.numel() for parameter in model.parameters())
            with session.console.status("encoding training sequences"):
                blocks = page(
                    Exploration(model, data, open_data(run, "train", session.zoo)),
                    name=run_name(folder.path),
                    about=f"{parameters:,} parameters; {len(data):,} {split} sequences to try",
                    figures=figures,
                    problem=problem,
                )
            here = server(blocks)
            print(f"{address_of(listener)}  (Ctrl-C ends it)", flush=True)
            try:
                here.run(sockets=[listener])
            except KeyboardInterrupt:
                print()  # how one leaves it: no failure
