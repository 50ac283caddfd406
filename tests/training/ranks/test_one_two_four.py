"""Runs on two and four ranks have the numbers of one: every penalty, every critic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import genzoo_rwae as gz

ROOT = Path(__file__).parents[3]
# Relative to the largest entry of a tensor: sums over rows in another order differ by roundings.
LOSSES, GRADIENTS, PARTS = 1e-4, 1e-5, 1e-5
# Adam divides a gradient by its own size: where it is nearly 0 its roundings move a weight by whole
# steps of the learning rate.
WEIGHTS = 5e-3


def found_on_ranks(folder: Path, steps: int) -> dict[str, Any]:
    """What the script finds in runs of so many steps."""
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("on_ranks.py")), str(folder)],
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1", "RANKS_STEPS": str(steps)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return found_on_ranks(tmp_path_factory.mktemp("ranks"), 10)


def check_runs(found: dict[str, Any]) -> None:
    """Losses of every logged step, gradients of the first one, weights of the last one."""
    for name, of_counts in found["cases"].items():
        assert set(of_counts) == {"2", "4"}
        for count, apart in of_counts.items():
            case = f"{name} on {count} ranks: {apart}"
            assert apart["losses"] < LOSSES, case
            assert apart["gradients"] < GRADIENTS, case
            assert apart["weights"] < WEIGHTS, case


def test_losses_gradients_and_weights_are_those_of_one_rank(found: dict[str, Any]) -> None:
    check_runs(found)


@pytest.mark.slow
def test_over_fifty_steps_too(tmp_path: Path) -> None:
    check_runs(found_on_ranks(tmp_path, 50))


def test_every_penalty_of_the_registry_is_in_a_run(found: dict[str, Any]) -> None:
    names = gz.Zoo(use_entry_points=False).names("penalty")
    assert set(names) <= {name for case in found["cases"] for name in case.split(", ")}


def test_all_ranks_end_with_the_same_weights_bit_for_bit(found: dict[str, Any]) -> None:
    assert all(apart["alike"] for case in found["cases"].values() for apart in case.values())


def test_a_run_that_began_on_four_ranks_goes_on_on_two(found: dict[str, Any]) -> None:
    assert found["resumed"] < WEIGHTS


@pytest.mark.parametrize("part", ["batch norm", "mmd"])
def test_a_part_that_ranks_share_is_that_of_one(found: dict[str, Any], part: str) -> None:
    assert found["parts"]["2"][part] < PARTS
    assert found["parts"]["4"][part] < PARTS
