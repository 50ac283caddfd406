"""Critics in a whole run: trained, in the checkpoint, as good after an interruption."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genzoo_rwae.training.checkpoint import load_state

Command = Callable[..., "subprocess.CompletedProcess[str]"]

OBJECTIVE = """\
objective:
  static: {use: gan, weight: 1, hidden: 8}
  dynamic: {use: mmd, weight: 10}
  independence: {use: hsic, weight: 1}
  information: {static: {weight: 1, target: 5}}
"""


@pytest.fixture
def adversarial_spec(tmp_path: Path, tiny_text: str) -> Path:
    head, _, rest = tiny_text.partition("objective:\n")
    train = rest[rest.index("train:") :]
    path = tmp_path / "gan.yaml"
    path.write_text(head + OBJECTIVE + train)
    return path


def test_a_killed_adversarial_run_ends_bit_equal_to_an_undisturbed_one(
    genzoo: Command, adversarial_spec: Path, killer: Path, tmp_path: Path
) -> None:
    killed = genzoo(
        "build", "gan.yaml", "-o", "killed", "-p", killer.name, KILL_AT="7", KILL_WITH="SIGKILL"
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert genzoo("build", "gan.yaml", "-o", "killed").returncode == 0
    assert genzoo("build", "gan.yaml", "-o", "whole").returncode == 0
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("killed", "whole")]
    assert weights[0] == weights[1]
    states = [load_state(tmp_path / run / "checkpoints" / "last.pt") for run in ("killed", "whole")]
    critics = [
        {n: v for n, v in state.objective.items() if n.startswith("static.")} for state in states
    ]
    assert critics[0].keys() == critics[1].keys() != set()
    assert all(bool((critics[0][name] == critics[1][name]).all()) for name in critics[0])
    prices = [state.objective["weights.information-static.log_factor"] for state in states]
    assert prices[0] == prices[1] != 0


def test_the_metrics_name_the_critics_loss_and_the_weight_that_moved(
    genzoo: Command, adversarial_spec: Path, tmp_path: Path
) -> None:
    assert genzoo("build", "gan.yaml", "-o", "run").returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    wanted = {"static", "static.critic", "dynamic", "independence", "information-static"}
    assert wanted <= train[0].keys()
    assert train[0]["information-static.weight"] == 1
    assert train[-1]["information-static.weight"] != 1
