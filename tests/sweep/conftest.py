"""What the tests of sweeps share: a spec that trains in a second, and the text of a sweep of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from genzoo_rwae.sweep import Outcome, Plan, read_plan, work
from genzoo_rwae.zoo import Zoo

# four steps an epoch, so that every trial is measured three times
SPEC = """\
genzoo: 1
name: tiny
data: {use: moving-shapes, length: 3, sequences: 32, held_out: 8, batch: 8}
model:
  use: rwae
  encoder: {use: frame, frames: {use: mlp, width: 8}}
  static: {size: 3}
  dynamic: {size: 2, prior: {use: lstm, hidden: 5}}
  decoder: {use: frame, frames: mlp}
objective:
  static: {use: mmd, weight: 10}
  dynamic: {use: mmd, weight: 10}
train: {steps: 12, save_every: 0, precision: float32}
evaluate: [reconstruction]
"""

SWEEP = """\
genzoo: 1
sweep: rates
spec: tiny.yaml
values:
  train.optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  objective.static.weight: [1, 10]
trials: 3
prune: none
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The spec's file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def sweep_text() -> str:
    """A valid sweep; tests refer to its lines."""
    return SWEEP


@pytest.fixture
def plan(spec: Path) -> Callable[[str], Plan]:
    """Read a sweep from its text."""

    def read(text: str) -> Plan:
        path = spec.with_name("sweep.yaml")
        path.write_text(text)
        return read_plan(path, Zoo(use_entry_points=False))

    return read


@pytest.fixture
def swept(plan: Callable[[str], Plan], tmp_path: Path) -> Callable[..., Outcome]:
    """Work on a sweep in this process, in tmp_path/sweep."""

    def run(text: str, zoo: Zoo | None = None) -> Outcome:
        zoo = zoo or Zoo(use_entry_points=False)
        return work(plan(text), tmp_path / "sweep", zoo, Console(quiet=True))

    return run
