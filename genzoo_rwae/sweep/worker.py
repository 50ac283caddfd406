"""One worker of a sweep: takes trials until there are enough, and trains them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from genzoo_rwae.errors import DivergedError, SpecError
from genzoo_rwae.report.curves import read_history
from genzoo_rwae.report.figures import format_number
from genzoo_rwae.run import build_spec
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.spec import load_spec
from genzoo_rwae.sweep.check import check_plan, identity
from genzoo_rwae.sweep.outcome import Outcome, outcome_of, trial_folder
from genzoo_rwae.sweep.study import Study, Trial
from genzoo_rwae.training.signals import GivenUpError, InterruptedRunError
from genzoo_rwae.training.trackers import results_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from genzoo_rwae.sweep.plan import Plan
    from genzoo_rwae.zoo import Zoo

__all__ = ["work"]


def work(plan: Plan, folder: Path, zoo: Zoo, console: Console) -> Outcome:
    """Train trials until there are as many as the sweep wants; go on from where it is.

    A trial whose training diverges, or whose values do not fit each other, has failed, and the next
    one is taken. Anything else that stops a run (a full disk, a signal) stops the worker: the trial
    is gone on with by whoever comes next.

    Args:
        plan: the sweep.
        folder: its folder.
        zoo: where components are looked up.
        console: where progress is shown.

    Raises:
        SpecError, DataError, PluginError: before anything is trained.
        CheckpointError: the folder's database cannot be read.
        RunError, InterruptedRunError: as `genzoo build`.
    """
    study = Study(plan, folder, identity(plan, check_plan(plan, zoo)))
    while trial := study.ask():
        try:
            _say_begin(trial, plan, folder, console)
            _train(trial, study, plan, folder, zoo, console)
        finally:
            trial.claim.give_back()  # of one that was not told, for whoever goes on with it
    return outcome_of(plan, folder, study.trials())


def _train(
    trial: Trial, study: Study, plan: Plan, folder: Path, zoo: Zoo, console: Console
) -> None:
    run = RunFolder(trial_folder(folder, trial.number))

    def goes_on(step: int, figures: Mapping[str, float]) -> bool:
        value = figures.get(plan.pruned_by, math.nan)
        if not math.isfinite(value):
            return True
        return study.measured(trial, len(_validations(run)), value * plan.sense)

    try:
        settings = plan.settings(trial.drawn, trial.number)
        spec = load_spec(plan.spec, zoo=zoo, settings=settings)
        build_spec(spec, run.path, zoo, console, goes_on=goes_on)
    except InterruptedRunError:
        console.print("the same `genzoo sweep` goes on with the trial", highlight=False)
        raise
    except GivenUpError as error:
        study.give_up(trial, str(error))
        console.print(f"trial {trial.number}: {error}", highlight=False)
        return
    except (DivergedError, SpecError) as error:
        study.fail(trial, str(error))
        console.print(f"[yellow]trial {trial.number} failed:[/] {escape(str(error))}")
        return
    value = _measured(run, plan)
    if math.isfinite(value):
        study.complete(trial, value)
    else:
        study.fail(trial, f"{plan.said.measure} is not finite")
    said = f"trial {trial.number}: {plan.said.measure} {format_number(value)}"
    console.print(said, highlight=False)


def _measured(run: RunFolder, plan: Plan) -> float:
    """What a finished trial is judged by.

    Raises:
        SpecError: it was not measured.
    """
    measure = plan.said.measure
    if measure.test:
        known: Mapping[str, object] = results_of(run, 0).figures
    else:
        known = _validations(run)[-1]
    value = known.get(measure.figure)
    if isinstance(value, int | float):
        return float(value)
    listing = ", ".join(name for name, one in known.items() if isinstance(one, int | float))
    said = f"'{measure.figure}' is not what {run.path} measured"
    raise SpecError([plan.problem(("measure", measure.split), said, f"known: {listing}")])


def _validations(run: RunFolder) -> list[Mapping[str, object]]:
    return [row for row in read_history(run.metrics).rows if row.get("split") == "validation"]


def _say_begin(trial: Trial, plan: Plan, folder: Path, console: Console) -> None:
    drawn = ", ".join(
        f"{path} {plan.values[path].value(trial.drawn[path])}" for path in plan.values
    )
    how = "goes on" if trial.resumed else "begins"
    console.rule(style="dim")
    console.print(
        f"trial [bold]{trial.number}[/] of {plan.said.trials} {how}: {escape(drawn)}",
        highlight=False,
    )
