"""Whether a sweep fits its spec; found out before anything is trained."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genzoo_rwae.assemble import open_split
from genzoo_rwae.errors import Problem, SpecError
from genzoo_rwae.run import check
from genzoo_rwae.run_identity import identity_digest
from genzoo_rwae.spec import load_spec
from genzoo_rwae.spec.located import Located, find_spec
from genzoo_rwae.spec.resolve import in_order
from genzoo_rwae.training.validation import FEWEST_MEASURED

if TYPE_CHECKING:
    from genzoo_rwae.assemble import Assembled
    from genzoo_rwae.spec import Spec
    from genzoo_rwae.sweep.plan import Plan
    from genzoo_rwae.zoo import Zoo

__all__ = ["check_plan", "identity"]


def check_plan(plan: Plan, zoo: Zoo) -> Spec:
    """The spec with the first of all values, once each value was tried on it at its extremes.

    Raises:
        SpecError: a path that the spec does not have, a value that it cannot have there, a figure
            that is not measured, or a validation split that is too small; each at its place.
        DataError, PluginError: as `genzoo check`.
    """
    try:
        find_spec(plan.spec)
    except SpecError as error:
        raise SpecError([plan.problem(("spec",), str(error))]) from error
    found: dict[Problem, list[object]] = {}  # with the values that have it
    for settings in _extremes(plan):
        try:
            load_spec(plan.spec, zoo=zoo, settings=settings)
        except SpecError as error:
            for problem in error.problems:
                value = settings.get(_blamed(problem))
                if value not in found.setdefault(problem, []):
                    found[problem].append(value)
    if found:
        raise SpecError(in_order(_placed(*item, plan) for item in found.items()))
    spec, assembled = check(plan.spec, settings=next(_extremes(plan)), zoo=zoo)
    if problems := [*_unmeasured(plan, spec, assembled)]:
        raise SpecError(problems)
    return spec


def identity(plan: Plan, spec: Spec) -> dict[str, Any]:
    """What may not change while a sweep goes on: all but how many trials there are to be.

    Args:
        spec: what `check_plan` gave.
    """
    said = plan.said
    found = {
        "values": {path: vars(one) for path, one in plan.values.items()},
        "measure": str(said.measure),
        "direction": said.direction,
        "prune": vars(said.prune),
        "sampler": said.sampler,
        "seed": said.seed,
        "spec": identity_digest(spec)[:16],
    }
    told: dict[str, Any] = json.loads(json.dumps(found))  # as the database gives it back
    return told


def _extremes(plan: Plan) -> Iterator[dict[str, object]]:
    """Settings with every value that has to be valid; the others have their first."""
    first = {path: one.tried()[0] for path, one in plan.values.items()}
    name = {"name": plan.trial_name(0)}
    yield {**first, **name}
    for path, one in plan.values.items():
        for value in one.tried()[1:]:
            yield {**first, path: value, **name}


def _blamed(problem: Problem) -> str:
    """The setting that a problem comes from."""
    return problem.file.removeprefix("the setting ")


def _placed(problem: Problem, values: list[object], plan: Plan) -> Problem:
    """A problem of a spec with some values, at its place in the sweep's file."""
    path = _blamed(problem)
    if path not in plan.values:
        return problem
    assert isinstance(plan.tree.value, dict)
    listed = plan.tree.value["values"].value
    assert isinstance(listed, dict)
    node = listed[path]
    # what all values have in common is the path's
    one = len(values) < len(plan.values[path].tried())
    place = _value_in(node, values[0]).place if one else node.key
    return replace(
        problem, file=place.file, line=place.line, column=place.column, source=place.text
    )


def _value_in(node: Located, value: object) -> Located:
    """The choice, or the end of a range, that a value was written as."""
    inside = node.value
    children = inside if isinstance(inside, list) else [*inside.values()] if isinstance(
        inside, dict) else []  # fmt: skip
    return next((child for child in children if child.plain == value), node)


def _unmeasured(plan: Plan, spec: Spec, assembled: Assembled) -> Iterator[Problem]:
    """Figures that are asked for and will not be there."""
    measure = plan.said.measure
    measured = [metric.name for metric in spec.evaluate]
    if measure.test and measure.test.partition("/")[0] not in measured:
        said = f"the spec's evaluate: does not measure '{measure.test.partition('/')[0]}'"
        hint = f"measured are: {', '.join(measured) or 'nothing'}"
        yield plan.problem(("measure", "test"), said, hint)
    wanted = {("measure", "validation"): measure.validation}
    if plan.said.prune.use != "none":
        wanted["prune", "figure"] = plan.said.prune.figure
    known = ["mse", "loss", "cost", *assembled.objective.weights.keys()]
    known += ["labels"] if spec.objective.labels else []
    for where, figure in wanted.items():
        if figure and figure not in known:
            close = difflib.get_close_matches(figure, known, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            said = f"nothing that is measured on the validation split is called '{figure}'"
            yield plan.problem(where, said, f"{hint}known: {', '.join(known)}")
    count = len(open_split(spec, "validation"))
    prunes = plan.said.prune.use != "none"
    if (measure.validation or prunes) and count < FEWEST_MEASURED:
        yield plan.problem(
            ("measure",) if measure.validation else ("prune",),
            f"the spec's validation split has {count} sequences, and measurements want "
            f"{FEWEST_MEASURED} or more",
        )
