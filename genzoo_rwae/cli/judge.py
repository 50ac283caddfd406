"""`genzoo judge`."""

from __future__ import annotations

import typer

from genzoo_rwae.cli.session import AsJson, Session, Settings, SpecPath, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def judge(
        context: typer.Context, spec: SpecPath, settings: Settings = None, as_json: AsJson = False
    ) -> None:
        """Train the judge of a spec's data, or find it: its accuracy on test sequences.

        SPEC may be a run folder. The judge is kept for all runs on the same data, in
        XDG_CACHE_HOME/genzoo-rwae/judges.
        """
        from genzoo_rwae.assemble import located
        from genzoo_rwae.evaluation import as_json as plain_figures
        from genzoo_rwae.evaluation.judge_cache import judge_for, judge_path
        from genzoo_rwae.evaluation.reliability import on_real_data, strange_factors
        from genzoo_rwae.run import open_splits
        from genzoo_rwae.spec import load_spec
        from genzoo_rwae.training.threads import threads_of

        session: Session = context.obj
        loaded = load_spec(spec, zoo=session.zoo, settings=settings or ())
        splits = open_splits(loaded)
        with located(loaded), threads_of(loaded):
            trained = judge_for(loaded, splits, session.console)
        trained = trained.without(strange_factors(splits.train, splits.test))
        figures = on_real_data(trained, splits.test)
        path = judge_path(loaded, splits)
        if as_json:
            print_json({"file": path, **plain_figures({"accuracy": figures})})
        else:
            print(f"{path}\naccuracy on {len(splits.test):,} test sequences:")
            for name, figure in figures.items():
                shown = (
                    figure.note
                    if figure.value is None
                    else f"{figure.value:.4f} (chance {figure.chance:.4f})"
                )
                print(f"  {name}: {shown}")
