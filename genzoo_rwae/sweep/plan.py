"""What a sweep's file says, read with the place of every value.

genzoo: 1
sweep: digits-rates
spec: zoo:quickstart
values:
  train.optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
  objective.static.weight: [1, 3, 10, 30]
measure: mse
trials: 30
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from genzoo_rwae.errors import SpecError
from genzoo_rwae.paths import home
from genzoo_rwae.spec.located import Located, Place, read_yaml
from genzoo_rwae.spec.resolve import INVALID, Resolver, in_order
from genzoo_rwae.spec.sections import Seed
from genzoo_rwae.sweep.values import Choices, Range, Values

if TYPE_CHECKING:
    from genzoo_rwae.errors import Problem
    from genzoo_rwae.zoo import Zoo

__all__ = ["Measure", "Plan", "Pruning", "Sweep", "read_plan"]

_OURS = ("genzoo", "name", "extends", "resolved")  # of the spec: a sweep names its runs itself


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a trial is judged by: one of two. `measure: mse` is `measure: {validation: mse}`.

    Attributes:
        validation: a figure of the last row of the validation split in metrics.jsonl.
        test: a figure of evaluation.json, as `swap/nearest to the truth`. Values that are chosen by
            it make all figures of the test split optimistic.
    """

    validation: str | None = None
    test: str | None = None

    @property
    def split(self) -> str:
        return "test" if self.test else "validation"

    @property
    def figure(self) -> str:
        return str(self.test or self.validation)

    def __str__(self) -> str:
        return f"{self.figure} ({self.split} split)"


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """When a trial is given up before its end. `prune: none` is `prune: {use: none}`.

    Attributes:
        use: `median` gives up a trial whose best measurement so far is worse than the median of
            the others' at the same measurement.
        trials: trials that have to be complete before any is given up.
        measurements: measurements of a trial before it can be given up.
        figure: of the validation split; default: what the sweep measures, if that is one of the
            validation split, or else `mse`. Lower is taken for better where it is not the measure.
    """

    use: Literal["median", "none"] = "median"
    trials: NonNegativeInt = 5
    measurements: PositiveInt = 1
    figure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A whole sweep.

    Attributes:
        genzoo: version of the spec language.
        sweep: the sweep's name, and its folder's unless `-o` says another.
        description: for people.
        spec: a YAML file (relative to this one), or zoo:NAME.
        values: path in the spec -> a list of choices, or {low, high, log, step}.
        measure: what a trial is judged by; default: the validation split's mse.
        direction: whether less of it is better, or more.
        trials: how many there are to be; given up and failed ones count.
        prune: when a trial is given up before its end.
        sampler: how values are chosen: by what came of those before (`tpe`), at `random`, or all
            of them in turn (`grid`).
        seed: of the sampler; that of the runs is the spec's train.seed.
    """

    genzoo: Literal[1]
    sweep: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,89}$")]
    description: str = ""
    spec: str
    values: Annotated[dict[str, Any], Field(min_length=1)]
    measure: Measure
    direction: Literal["minimize", "maximize"] = "minimize"
    trials: PositiveInt
    prune: Pruning = Pruning()
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    seed: Seed = 0


@dataclass(frozen=True)
class Plan:
    """A sweep that was read.

    Attributes:
        said: its values, one by one valid.
        spec: the file of the spec, or zoo:NAME.
        values: path in the spec -> what it may be given.
        tree: the file as a located tree.
    """

    said: Sweep
    spec: str
    values: Mapping[str, Values]
    tree: Located = field(repr=False)

    @property
    def pruned_by(self) -> str:
        """The figure of the validation split that trials are given up by."""
        return self.said.prune.figure or self.said.measure.validation or "mse"

    @property
    def sense(self) -> float:
        """Factor that makes that figure one whose better side is the sweep's."""
        is_measured = self.pruned_by == self.said.measure.validation
        return -1.0 if self.said.direction == "maximize" and not is_measured else 1.0

    def trial_name(self, number: int) -> str:
        return f"{self.said.sweep}-{number:04}"

    def settings(self, drawn: Mapping[str, Any], number: int = 0) -> dict[str, object]:
        """What is laid over the spec for a trial of these draws."""
        values = {path: self.values[path].value(drawn[path]) for path in self.values}
        return {**values, "name": self.trial_name(number)}

    def place(self, *keys: str) -> Place:
        """Where a value stands in the file; where it is left out, that of what holds it."""
        node = self.tree
        for key in keys:
            if not isinstance(node.value, dict) or key not in node.value:
                return node.key
            node = node.value[key]
        return node.place

    def problem(self, path: tuple[str, ...], message: str, hint: str = "") -> Problem:
        """A problem at the place of a value."""
        return self.place(*path).problem(".".join(path), message, hint)


def read_plan(path: Path, zoo: Zoo) -> Plan:
    """Read a sweep; nothing is known of its spec yet.

    Raises:
        SpecError: all problems, each at its place.
    """
    try:
        is_file = path.is_file()
    except OSError:
        is_file = False  # a name that no file can have
    if not is_file:
        raise SpecError(f"{path}: there is no such file; wanted a sweep, as `sweep.yaml`")
    tree = _with_long_forms(read_yaml(path))
    resolver = Resolver(zoo, "the sweep")
    said = resolver.group(Sweep, tree, "")
    values = _values(tree, resolver)
    if not resolver.problems:
        resolver.problems += _whole(said, values, tree)
    if resolver.problems:
        raise SpecError(in_order(resolver.problems))
    assert said is not INVALID
    reference = said.spec
    if not reference.startswith("zoo:"):
        reference = str(path.resolve().parent / home(Path(reference)))
    return Plan(said, reference, values, tree)


def _with_long_forms(tree: Located) -> Located:
    """`measure: mse` and `prune: median` as the mappings that they stand for."""
    if not isinstance(tree.value, dict):
        return tree
    default = Located("mse", Place(), tree.key)
    children = {"measure": default, **tree.value}
    for name, key in (("measure", "validation"), ("prune", "use")):
        node = children.get(name)
        if node and isinstance(node.value, str):
            children[name] = replace(node, value={key: replace(node, key=node.place)})
    return replace(tree, value=children)


def _values(tree: Located, resolver: Resolver) -> dict[str, Values]:
    """What `values:` says, path by path; problems go to the resolver."""
    listed = tree.value.get("values") if isinstance(tree.value, dict) else None
    if listed is None or not isinstance(listed.value, dict):
        return {}  # which the section has reported
    found: dict[str, Values] = {}
    for path, node in listed.value.items():
        where = f"values.{path}"
        if not all(path.split(".")):
            said = f"found '{path}', wanted a path in the spec"
            resolver.problems.append(node.key.problem(where, said, "as train.optimizer.lr"))
        elif path.partition(".")[0] in _OURS:
            said = "no value to choose; a sweep leaves it as it is"
            resolver.problems.append(node.key.problem(where, said))
        elif isinstance(node.value, list):
            found[path] = Choices(tuple(item.plain for item in node.value))
        elif isinstance(node.value, dict):
            given = resolver.group(Range, node, where)
            found |= {} if given is INVALID else {path: given}
        else:
            said = f"found {node.plain!r}; wanted a list of choices, or {{low: ..., high: ...}}"
            hint = "a value that stays the same belongs in the spec"
            resolver.problems.append(node.place.problem(where, said, hint))
        if path in found and (fault := found[path].fault()):
            resolver.problems.append(node.place.problem(where, fault))
    return found


def _whole(said: Sweep, values: Mapping[str, Values], tree: Located) -> list[Problem]:
    """Rules that hold between values."""
    plan, problems = Plan(said, said.spec, values, tree), []
    measure = said.measure
    if (measure.validation is None) == (measure.test is None):
        problems.append(
            plan.problem(("measure",), "wanted one figure: {validation: FIGURE} or {test: FIGURE}")
        )
    elif "/" in (measure.validation or ""):
        problems.append(
            plan.problem(
                ("measure",),
                f"'{measure.validation}' is a figure of evaluation.json, which is of the test "
                "split: values that are chosen by it make that split's figures optimistic",
                f"choose by a figure of the validation split, as mse, or say so: "
                f'measure: {{test: "{measure.validation}"}}',
            )
        )
    if measure.validation == "loss":
        problems += [
            plan.problem(
                ("values", path),
                "other values here make the loss another function, which cannot be compared",
                "choose by a part of it, as measure: mse",
            )
            for path in values
            if path.split(".")[0] == "objective"
        ]
    if said.sampler == "grid":
        problems += [
            plan.problem(
                ("values", path), "a grid wants an end of values", "give choices, or a step"
            )
            for path, one in values.items()
            if not one.grid()
        ]
    return problems
