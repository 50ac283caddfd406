"""What a run folder says of itself, read from its files: no model is loaded, no plugin executed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo_rwae.errors import CheckpointError
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.spec.located import read_yaml

__all__ = ["MeasuredRun", "flat_figures", "read_run"]

# what says nothing about what was trained
_ASIDE = ("name", "description", "resolved", "plugins", "evaluate", "trackers")
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
    """

    path: Path
    name: str
    seed: int
    settings: Mapping[str, object]
    figures: Mapping[tuple[str, str], Mapping[str, Any]]
    steps: int = 0
    seconds: float | None = None
    parameters: int | None = None


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
    leaves = dict(_leaves(tree))
    run.check(run.metrics)
    steps, seconds = _trained(run.metrics)
    return MeasuredRun(
        path=path,
        name=str(tree.get("name", path.name)),
        seed=int(str(leaves.get("train.seed", 0))),
        settings={
            name: value
            for name, value in leaves.items()
            if name.partition(".")[0].partition("[")[0] not in _ASIDE
            and name not in _ASIDE_IN_TRAIN
        },
        figures={(group, name): figure for group, name, figure in flat_figures(figures)},
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
            yield group, name, figure if isinstance(figure, Mapping) else {"value": figure}


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of all that is no mapping."""
    if not isinstance(tree, dict):
        yield path, tree
        return
    for name, child in tree.items():
        yield from _leaves(child, f"{path}.{name}" if path else str(name))


def _trained(path: Path) -> tuple[int, float | None]:
    """Steps and seconds of training, as metrics.jsonl has them."""
    steps, seconds = 0, None
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a killed run's last line
        steps, seconds = max(steps, int(row["step"])), row.get("seconds", seconds)
    return steps, seconds
