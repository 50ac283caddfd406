"""What each part of R-WAE does, on real handwritten digits: zoo:quickstart with one thing changed.

    python benchmarks/ablations.py docs/results/ablations.md --runs FOLDER --seeds 0 1 2 \
        --notes benchmarks/ablations.notes.md

Every variant is trained from each seed into a run folder of its own; a second call goes on where
the first one ended. A cell is the mean over the seeds, and ± their standard deviation. Settings
were not tuned for any variant: they say what a part does here, not how good it can be made. Priors
stay those of the training: fitted ones would mend in samples what a penalty left undone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from measuring import machine, versions
from rich.console import Console

import genzoo_rwae as gz

SPEC = "zoo:quickstart"
PRIORS: dict[str, object] = {
    "model.static.prior": "gaussian",
    "model.dynamic.prior": {"use": "lstm", "hidden": 128},
}

VARIANTS: dict[str, dict[str, object]] = {
    "MMD, `given: none`": {},
    "penalty: GAN": {
        "objective.static": {"use": "gan", "weight": 3, "r1": 1},
        "objective.dynamic": {"use": "gan", "weight": 3, "r1": 1, "given": "none"},
    },
    "penalty: KL a sequence (DSVAE)": {
        "objective.static": {"use": "kl"},
        "objective.dynamic": {"use": "kl", "given": "state"},
    },
    "penalty: none": {"objective.static": None, "objective.dynamic": None},
    "`given: state`": {"objective.dynamic.given": "state"},
    "`given: path`": {"objective.dynamic.given": "path"},
    "static code 4 wide": {"model.static.size": 4},
    "static code 64 wide": {"model.static.size": 64},
    "dynamic codes 1 wide": {"model.dynamic.size": 1},
    "dynamic codes 8 wide": {"model.dynamic.size": 8},
    "no floor under the dynamic variance": {"model.dynamic.head": {"use": "lstm", "floor": -12}},
    "price of 1 a nat in the static code": {"objective.information.static": {"weight": 1}},
    "independence: HSIC, weight 10": {"objective.independence": {"use": "hsic", "weight": 10}},
    "static head sees one frame": {"model.static": {"size": 16, "frames": "subset", "keep": 1}},
    "decoder: LSTM": {
        "model.decoder": {
            "use": "lstm",
            "frames": {"use": "conv", "channels": 16, "largest": 4},
        },
        "model.decoded": None,
    },
}

FIGURES: dict[str, tuple[str, ...]] = {
    "mse": ("reconstruction", "mse"),
    "swap: to the truth": ("swap", "nearest to the truth"),
    "to the static donor": ("swap", "nearest to the static donor"),
    "to the motion donor": ("swap", "nearest to the motion donor"),
    "digit from z^c": ("probes", "static code", "digit"),
    "digit from z^m": ("probes", "dynamic codes", "digit"),
    "samples' MMD²": ("sample", "mmd2 to test sequences"),
}


def said_of(settings: dict[str, object]) -> str:
    """Settings as after `--set`."""
    return "; ".join(f"`{path}={json.dumps(value)}`" for path, value in settings.items())


def figure(evaluation: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """One figure of evaluation.json."""
    found: Any = evaluation
    for key in path:
        found = found[key]
    assert isinstance(found, dict)
    return found


def cell(values: list[float]) -> str:
    """Mean ± standard deviation over the seeds."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{statistics.fmean(values):.3g} ± {statistics.stdev(values):.1g}"


def measured(runs: Path, seeds: list[int]) -> dict[str, list[dict[str, Any]]]:
    """The evaluations of every variant, one a seed."""
    evaluations: dict[str, list[dict[str, Any]]] = {}
    for number, (name, settings) in enumerate(VARIANTS.items()):
        for seed in seeds:
            run = runs / f"{number:02}-{seed}"
            given = {**settings, **PRIORS, "train.seed": seed, "train.threads": 1}
            gz.build(SPEC, run=run, settings=given, console=Console())
            evaluation = json.loads((run / "evaluation.json").read_text())
            evaluations.setdefault(name, []).append(evaluation)
    return evaluations


def page(evaluations: dict[str, list[dict[str, Any]]], seeds: list[int], notes: Path | None) -> str:
    first = next(iter(evaluations.values()))[0]
    chance = figure(first, FIGURES["digit from z^c"])["chance"]
    lines = [
        "# Ablations on digits",
        "",
        __doc__.strip().split("\n\n", 2)[-1],
        "",
        f"- command: `python {shlex.join(sys.argv)}`",
        f"- spec: `{SPEC}` with {said_of(PRIORS)}, and the settings below over it; seeds "
        f"{', '.join(map(str, seeds))}",
        f"- machine: {machine()}, one thread",
        f"- versions: {versions('torch', 'genzoo-rwae')}",
        f"- chance: digit {chance:.3g}, a swap 1 of 3; test digits are of writers never seen",
        "",
        f"| variant | {' | '.join(FIGURES)} |",
        f"|---|{'---|' * len(FIGURES)}",
    ]
    for name, runs in evaluations.items():
        cells = [cell([figure(of, path)["value"] for of in runs]) for path in FIGURES.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| variant | settings |", "|---|---|"]
    for name, settings in VARIANTS.items():
        lines.append(f"| {name} | {said_of(settings)} |")
    if notes:
        lines += ["", "## Reading them", "", notes.read_text().strip()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--notes", type=Path, help="Markdown, copied below the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(arguments.runs, arguments.seeds)
    arguments.page.write_text(page(found, arguments.seeds, arguments.notes))
