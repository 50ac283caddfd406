"""`genzoo report`."""

from __future__ import annotations

import typer

from genzoo_rwae.cli.session import Run, Session

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def report(context: typer.Context, run: Run) -> None:
        """Draw the pictures of a run folder again and write its report.html and README.md."""
        from genzoo_rwae.report.compose import compose_pictures, compose_report
        from genzoo_rwae.run import load, open_splits
        from genzoo_rwae.run_folder import RunFolder
        from genzoo_rwae.run_lock import locked
        from genzoo_rwae.spec import load_spec

        session: Session = context.obj
        folder = RunFolder.open(run)
        spec = load_spec(folder.spec, zoo=session.zoo)
        with locked(folder.path):
            folder.check(folder.evaluation, folder.metrics)
            model = load(run, zoo=session.zoo)
            splits = open_splits(spec)
            with folder.drawn():
                compose_pictures(model, splits, folder.pictures, seed=spec.train.seed)
                page = compose_report(folder, spec, model, splits, finished=True)
        print(page)
