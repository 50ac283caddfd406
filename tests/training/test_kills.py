"""A run that is killed at any moment, again and again, ends as if nobody had touched it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.training.checkpoint import load_state

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("GENZOO_KILLS", "50"))
# a precision of `auto` is measured when a run begins, and two runs need not find the same
SPEC = f"""\
genzoo: 1
name: killed
data: {{use: moving-shapes, length: 3, sequences: 32, held_out: 8, batch: 8}}
model:
  use: rwae
  encoder: {{use: frame, frames: {{use: conv, channels: 4, width: 16}}}}
  static: {{size: 4, head: {{use: pooled, hidden: 8}}}}
  dynamic: {{size: 2, head: {{use: lstm, hidden: 8}}, prior: {{use: lstm, hidden: 8}}}}
  decoder: {{use: frame, hidden: 8, frames: {{use: conv, channels: 4}}}}
objective:
  static: {{use: mmd, weight: 10}}
  dynamic: {{use: mmd, weight: 10}}
train: {{steps: {2 * KILLS}, schedule: cosine, save_every: 0, precision: float32}}
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A folder with the runs `whole` and `killed`, and what the kills struck."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "spec.yaml").write_text(SPEC)
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    script = Path(__file__).with_name("killed_builds.py")
    done = subprocess.run(
        [sys.executable, script, folder / "spec.yaml", folder, str(KILLS), "0"],
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1", "GENZOO_PLUGINS": "none"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout)


def rows(run: Path) -> list[dict[str, Any]]:
    """The metrics of a run but for what a clock says."""
    clocks = ("seconds", "sequences_per_second")
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in row if name not in clocks} for row in read]


def equal(one: Any, other: Any) -> bool:
    """Whether two trees of states are the same, bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


@pytest.mark.slow
def test_every_resume_works_and_the_end_is_bit_equal_to_an_undisturbed_run(
    killed: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, kills = killed
    struck = [str(kill["at"]) for kill in kills]
    assert len(kills) == KILLS
    # that writes were struck, and not only what lies between them
    assert sum(what != "step" for what in struck) >= KILLS // 2
    steps = [kill["step"] for kill in kills]
    assert steps == sorted(steps), "a step that was saved was lost"
    whole, run = folder / "whole", folder / "killed"
    for name in ("model.safetensors", "checkpoints/best.safetensors"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    states = [vars(load_state(path / "checkpoints" / "last.pt")) for path in (run, whole)]
    for state in states:
        del state["seconds"]
    assert equal(*states)
    assert rows(run) == rows(whole)


@pytest.mark.slow
def test_kills_leave_no_damage_and_no_litter(
    killed: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, _ = killed
    RunFolder.open(folder / "killed").check_all()
    names = [
        {str(path.relative_to(folder / run)) for path in (folder / run).rglob("*")}
        for run in ("killed", "whole")
    ]
    assert names[0] == names[1]
    assert not gz.load(folder / "killed").training
