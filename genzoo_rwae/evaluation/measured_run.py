"""What a run folder says of itself, read from its files: no model is loaded, no plugin executed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genzoo_rwae.errors import CheckpointError
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.spec.defaults import leaves
from genzoo_rwae.spec.located import read_yaml

__all__ = ["MeasuredRun", "flat_figures", "read_run"]

# what says nothing about what was trained
_ASIDE = ("name", "description", "resolved", "plugins", "evaluate", "trackers")
_LARGEST = 2**1000  # of a whole number; beyond it there is no float
_ASIDE_IN_TRAIN = ("train.seed", "train.save_every", "train.validate_every")


@dataclass(frozen=True)
class MeasuredRun:
    """What a run folder says.

    Attributes:
        path: the folder.
        name: the spec's.
        seed: of the training.
        settings: path in the spec -> value, of all that shaped the model but the seed.
        figures: (group, name) -> figure as evaluation.json has it.
        steps: of training.
        seconds: of training.
        parameters: of the model, where somebody counted.
        defaults: path in the spec -> what stands there where nobody says anything, as far as
            somebody looked.
    """

    path: Path
    name: str
    seed: int
    settings: Mapping[str, object]
    figures: Mapping[tuple[str, str], Mapping[str, Any]]
    steps: int = 0
    seconds: float | None = None
    parameters: int | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)

    def says(self, path: str) -> bool:
        """Whether a setting is there, and no default."""
        return path in self.settings and (
            path not in self.defaults or self.defaults[path] != self.settings[path]
        )

    def has_settings_of(self, other: MeasuredRun) -> bool:
        """Whether both are one spec: a setting that one lacks stands at its default in the other.

        A setting that has come up since the one was made is such.
        """
        return all(
            self.settings[path] == other.settings[path]
            if path in self.settings and path in other.settings
            else not (self.says(path) or other.says(path))
            for path in {*self.settings, *other.settings}
        )


def read_run(path: Path) -> MeasuredRun:
    """What a run folder says of itself.

    Raises:
        CheckpointError: it is no run folder, its files are damaged, or nothing was measured yet.
        SpecError: its spec cannot be read.
    """
    run = RunFolder.open(path)
    tree = read_yaml(run.spec).plain
    figures = run.read_evaluation()
    if not isinstance(tree, dict) or not figures:
        raise CheckpointError(
            f"{path}: there are no figures in it (evaluation.json); `genzoo build` with its spec "
            "and folder measures what `evaluate:` asks for"
        )
    try:
        flat = {(group, name): figure for group, name, figure in flat_figures(figures)}
    except RecursionError as error:
        raise CheckpointError(f"{run.evaluation}: found groups in groups without end") from error
    said = dict(leaves(tree))
    seed = said.get("train.seed", 0)
    run.check(run.metrics)
    steps, seconds = _trained(run.metrics)
    return MeasuredRun(
        path=path,
        name=str(tree.get("name", path.name)),
        seed=seed if isinstance(seed, int) else 0,
        settings={
            name: value
            for name, value in said.items()
            if name.partition(".")[0].partition("[")[0] not in _ASIDE
            and name not in _ASIDE_IN_TRAIN
        },
        figures=flat,
        steps=steps,
        seconds=seconds,
    )


def flat_figures(
    figures: Mapping[str, Any], group: str = ""
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(group, name, figure) of all figures of an evaluation.json, in its order.

    >>> list(flat_figures({"probes": {"static code": {"who": {"value": 1.0}}, "n": 3}}))
    [('probes, static code', 'who', {'value': 1.0}), ('probes', 'n', {'value': 3})]
    """
    for name, figure in figures.items():
        if isinstance(figure, Mapping) and "value" not in figure:
            yield from flat_figures(figure, f"{group}, {name}" if group else name)
        else:
            yield group, name, _told(figure if isinstance(figure, Mapping) else {"value": figure})


def _told(figure: Mapping[str, Any]) -> dict[str, Any]:
    """A figure whose numbers are numbers, whatever a stranger's file holds in their place."""
    told = {**figure, "value": _number(figure["value"])}
    if "chance" in figure:
        told["chance"] = _number(figure["chance"])
    if "baselines" in figure:
        known = figure["baselines"] if isinstance(figure["baselines"], Mapping) else {}
        told["baselines"] = {n: v for n, v in known.items() if _number(v) is not None}
    return told


def _number(value: object) -> int | float | None:
    if not isinstance(value, int | float):
        return None
    return value if isinstance(value, float) or abs(value) < _LARGEST else None


def _trained(path: Path) -> tuple[int, float | None]:
    """Steps and seconds of training, as metrics.jsonl has them."""
    steps, seconds = 0, None
    lines = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    )
    for line in lines:
        try:
            row = json.loads(line)
            steps = max(steps, int(row["step"]))
            seconds = _number(row.get("seconds", seconds))
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
            continue  # a killed run's last line
    return steps, seconds
