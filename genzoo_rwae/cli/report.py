"""`genzoo report`."""

from __future__ import annotations

import typer

from genzoo_rwae.cli.session import Run, Session

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def report(context: typer.Context, run: Run) -> None:
        """Draw pictures and sounds of a run folder again; write its report.html and README.md.

        A released run (zoo:NAME) is copied to runs/zoo-NAME, and the copy is drawn.
        """
        from genzoo_rwae.releases import own_copy
        from genzoo_rwae.report.compose import draw
        from genzoo_rwae.run import load, open_splits
        from genzoo_rwae.run_folder import RunFolder
        from genzoo_rwae.run_lock import locked
        from genzoo_rwae.spec import load_spec

        session: Session = context.obj
        folder = RunFolder.open(own_copy(run))
        spec = load_spec(folder.spec, zoo=session.zoo)
        with locked(folder.path):
            folder.check(folder.evaluation, folder.metrics)
            model = load(folder.path, zoo=session.zoo)
            page = draw(folder, spec, model, open_splits(spec))
        print(page)
