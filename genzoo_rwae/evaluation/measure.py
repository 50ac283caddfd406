"""Running a spec's metrics on a trained model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genzoo_rwae.components import wired_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.evaluation.figure import Figure, Figures, as_json
from genzoo_rwae.evaluation.reliability import reliability, strange_factors, unnamed

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo_rwae.evaluation.judge import Judge
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import SequenceData
    from genzoo_rwae.spec import Part

__all__ = ["JUDGE", "Splits", "measure", "wants_judge"]

JUDGE = "judge"
"""The group of figures that says how far the judge can be trusted."""


@dataclass(frozen=True)
class Splits:
    """The splits of a data set. Metrics fit on `train` and report on `test`."""

    train: SequenceData
    validation: SequenceData
    test: SequenceData


def wants_judge(metric: Part) -> bool:
    """Whether a metric is wired with a judge: its third positional parameter is called so.

    Raises:
        PluginError: it wants something else, or is called as the judge's own figures are.
    """
    extra = [parameter.name for parameter in wired_of(metric.registered.component.build)[2:]]
    who = f"the metric '{metric.name}' of plugin '{metric.registered.plugin.name}'"
    if extra not in ([], ["judge"]):
        raise PluginError(
            f"{who} has wired parameters {extra} after (model, splits); wanted none, or judge; "
            "options are keyword-only"
        )
    if metric.name == JUDGE:
        raise PluginError(f"{who} has the name of the judge's own figures; give it another")
    return bool(extra)


@torch.no_grad()
def measure(
    model: SequenceModel,
    splits: Splits,
    metrics: Sequence[Part],
    console: Console,
    judge: Callable[[], Judge] | None = None,
    keep: Callable[[Mapping[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """Figures of every metric by its name, as evaluation.json holds them.

    Args:
        model: the trained model.
        splits: the data.
        metrics: what is measured.
        console: where it is said how long it took.
        judge: finds or trains the judge; called once, if a metric asks for one. Its own figures
            then stand beside the others, under `judge`.
        keep: is given all figures so far after each metric, so that hours of measuring are not
            lost with the last minute.

    Raises:
        PluginError: see `wants_judge`; a metric returned no figures.
        Exception: what a metric raised, the first if several did, once all others are measured.
    """
    model.eval()
    judged = {metric.name for metric in metrics if wants_judge(metric)}
    wired: tuple[Judge, ...] = ()
    figures: dict[str, Any] = {}
    if judged and model.info.factors and len(splits.test):
        if judge is None:
            raise ValueError(f"{sorted(judged)} ask for a judge, and measure() was given none")
        strange = strange_factors(splits.train, splits.test)
        if len(strange) < len(model.info.factors):
            wired = (judge().without(strange),)
        # first, since the figures by its word are worth nothing without
        figures[JUDGE] = as_json(
            reliability(wired[0], model, splits.test) if wired else unnamed(splits.test)
        )
    if judged and not wired:
        console.print(
            f"not measured: {', '.join(sorted(judged))}; a judge needs test sequences, and a "
            "factor of which it learnt a class that they have",
            highlight=False,
            markup=False,
        )
        figures |= {name: {} for name in judged}
        metrics = [metric for metric in metrics if metric.name not in judged]
    failed: Exception | None = None
    for metric in metrics:
        began = time.monotonic()
        torch.manual_seed(0)  # metrics take generators of their own; this holds those that do not
        extra = wired if metric.name in judged else ()
        try:
            with _default_dtype_kept():
                found = metric(_for(metric, model), splits, *extra)
            figures[metric.name] = as_json(_figures(metric, found))
        except Exception as error:
            failed = failed or error
            console.print(f"not measured: {metric.name}, which failed", highlight=False)
            continue
        console.print(
            f"measured {metric.name} in {time.monotonic() - began:.1f} s",
            highlight=False,
            markup=False,
        )
        if keep:
            keep(figures)
    if failed:
        raise failed
    return figures


def _for(metric: Part, model: SequenceModel) -> SequenceModel:
    """The model for a metric; one of a plugin gets a copy, which may be changed."""
    if metric.registered.plugin.origin == "built-in":
        return model
    try:
        return deepcopy(model)
    except Exception:  # as of one that holds something computed: it is lent
        return model


@contextmanager
def _default_dtype_kept() -> Iterator[None]:
    before = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _figures(metric: Part, found: Any) -> Figures:
    """What a metric returned, if it is figures by name.

    Raises:
        PluginError: it is something else.
    """
    if isinstance(found, Mapping) and all(map(_is_figure, found.values())):
        return found
    raise PluginError(
        f"the metric '{metric.name}' of plugin '{metric.registered.plugin.name}' returned "
        f"{found!r:.80}; wanted figures by name, as {{'accuracy': Figure(0.9, good='higher')}}, or "
        "groups of them" + (": has it a return?" if found is None else "")
    )


def _is_figure(thing: Any) -> bool:
    """Whether it is a figure, or a group of figures."""
    if isinstance(thing, Mapping):
        return all(map(_is_figure, thing.values()))
    return isinstance(thing, Figure)
