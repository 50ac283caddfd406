"""Measuring a run: what its spec asks for, or some metrics again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from genzoo_rwae.assemble import located
from genzoo_rwae.errors import CheckpointError, GenzooWarning, SpecError
from genzoo_rwae.evaluation.judge_cache import judge_for
from genzoo_rwae.evaluation.measure import JUDGE, measure, wants_judge
from genzoo_rwae.spec import Spec, load_spec, plain, qualified
from genzoo_rwae.spec.located import Located, Place, apply_settings

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo_rwae.evaluation import Splits
    from genzoo_rwae.run_folder import RunFolder
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.spec import Part
    from genzoo_rwae.zoo import Zoo

__all__ = ["measure_again", "measure_apart", "measure_run", "with_metrics"]

_JUDGED_BY = "judged by"  # no option can be called so


def measure_run(
    spec: Spec, model: SequenceModel, splits: Splits, run: RunFolder, step: int, console: Console
) -> None:
    """Measure what was not yet measured in this way at this step; drop what nobody asks for."""
    asked = {metric.name: _how(spec, metric) for metric in spec.evaluate}
    before, done = _measured_before(run, step)
    known = {
        name: before[name]
        for name, how in asked.items()
        if name in before and done.get(name) == how
    }
    missing = [metric for metric in spec.evaluate if metric.name not in known]
    if any(wants_judge(metric) for metric in spec.evaluate if metric.name in known):
        known |= {JUDGE: before[JUDGE]} if JUDGE in before else {}

    def keep(fresh: Mapping[str, Any]) -> None:
        found = {**known, **fresh}
        figures = {name: found[name] for name in (*asked, JUDGE) if name in found}
        how = {name: options for name, options in asked.items() if name in found}
        run.save_evaluation(figures, step=step, metrics=how)

    if missing:
        keep({})  # whatever comes of those that are missing, figures of another model go
        keep(_measured(spec, model, splits, missing, console, keep))
    else:
        keep({})
        if asked:
            console.print("trained and measured already: the report is written again")


def measure_again(
    spec: Spec,
    metrics: Sequence[Part],
    model: SequenceModel,
    splits: Splits,
    run: RunFolder,
    console: Console,
) -> dict[str, Any]:
    """Measure some metrics, lay their figures over those that there are, and return them all.

    Each metric's are written once it is measured, whatever befalls those after it. Figures by the
    word of another judge go: the accuracy that stands beside them is of one.
    """
    step, before = run.measured_step(), run.read_evaluation()
    done = run.measured(step)
    judges = {name: how.get(_JUDGED_BY) for name, how in done.items()}
    others = {name for name, judge in judges.items() if judge not in (None, plain(spec.judge))}

    def keep(fresh: Mapping[str, Any]) -> dict[str, Any]:
        stale = others if JUDGE in fresh else set()
        how = {name: options for name, options in done.items() if name not in stale}
        how |= {metric.name: _how(spec, metric) for metric in metrics if metric.name in fresh}
        found = {name: of for name, of in before.items() if name not in stale} | dict(fresh)
        run.save_evaluation(found, step=step, metrics=how)
        return found

    return keep(_measured(spec, model, splits, metrics, console, keep))


def measure_apart(
    spec: Spec, metrics: Sequence[Part], model: SequenceModel, splits: Splits, console: Console
) -> dict[str, Any]:
    """Figures of the validation split, which settings are chosen by; kept nowhere.

    Raises:
        SpecError: the data have no such split.
    """
    if not len(splits.validation):
        raise SpecError(
            "the run's data have no validation sequences; wanted some to choose settings by: give "
            "data an option that holds some out, and train again"
        )
    return _measured(spec, model, replace(splits, test=splits.validation), metrics, console)


def with_metrics(
    spec: Spec,
    run: RunFolder,
    names: Sequence[str] | Literal["all"],
    settings: Sequence[str],
    zoo: Zoo,
) -> tuple[Spec, tuple[Part, ...]]:
    """A run's spec with further metrics, and those of its metrics that are to be measured.

    Args:
        spec: the run's.
        run: where it lies.
        names: of metrics, or all that there are; none: those that the spec has.
        settings: `metric.option=value` and `judge.option=value`.
        zoo: where metrics are looked up.

    Raises:
        SpecError: there is no such metric or option, or nothing to measure.
    """
    names = zoo.names("metric") if names == "all" else names
    own = {metric.name: plain(metric) for metric in spec.evaluate}
    own |= {qualified(metric): plain(metric) for metric in spec.evaluate}
    asked = names or [metric.name for metric in spec.evaluate]
    if not asked:
        raise SpecError(
            f"{run.spec} asks for no metric; name some (known: "
            f"{', '.join(sorted(zoo.names('metric')))}), or say --all"
        )
    wanted = {name: own.get(name, {"use": name}) for name in asked}
    given: Any = apply_settings(Located({}, Place(), Place()), settings).plain
    known = {*wanted, JUDGE}
    for name, options in given.items():
        if name not in known or not isinstance(options, dict):
            raise SpecError(
                f"--set {name}: wanted METRIC.OPTION=VALUE of a metric that is measured "
                f"({', '.join(wanted) or 'none is'}), or judge.OPTION=VALUE"
            )
    wanted = {name: {**options, **given.get(name, {})} for name, options in wanted.items()}
    said = {options["use"]: options for options in wanted.values()}
    kept = [plain(metric) for metric in spec.evaluate if qualified(metric) not in said]
    over = {JUDGE: given[JUDGE]} if JUDGE in given else {}
    spec = load_spec(run.spec, zoo=zoo, settings={"evaluate": [*said.values(), *kept], **over})
    return spec, tuple(spec.evaluate[: len(said)])


def _measured_before(run: RunFolder, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of an earlier session, and what they were measured with; none if they are damaged."""
    try:
        run.check(run.measurement)
        return run.read_evaluation(), run.measured(step)
    except CheckpointError as error:
        warnings.warn(GenzooWarning(f"{error}\nAll is measured anew"), stacklevel=3)
        return {}, {}


def _measured(
    spec: Spec,
    model: SequenceModel,
    splits: Splits,
    metrics: Sequence[Part],
    console: Console,
    keep: Callable[[Mapping[str, Any]], object] | None = None,
) -> dict[str, Any]:
    judge = partial(judge_for, spec, splits, console)
    with located(spec):
        return measure(model, splits, metrics, console, judge, keep)


def _how(spec: Spec, metric: Part) -> dict[str, Any]:
    """What a metric's figures depend on beside weights and data: its options, and the judge's."""
    how: dict[str, Any] = plain(metric)
    return {**how, _JUDGED_BY: plain(spec.judge)} if wants_judge(metric) else how
