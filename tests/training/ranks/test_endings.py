"""Where a run on two ranks cannot go on, the first one says it and the other leaves in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script finds."""
    folder = tmp_path_factory.mktemp("endings")
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("endings.py")), str(folder)],
        env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


@pytest.mark.parametrize(
    ("case", "said", "left"),
    [
        ("terminated", "InterruptedRunError: stopped by SIGTERM at step 2", 143),
        ("a tracker that cannot be had", "PlacedOptionError: its package is not installed", 1),
        ("damaged metrics", "CheckpointError", 2),
        ("a damaged checkpoint", "CheckpointError", 2),
        ("a checkpoint of another model", "CheckpointError", 2),
    ],
)
def test_an_error_is_said_once(found: dict[str, Any], case: str, said: str, left: int) -> None:
    first, second = found["raised"][case]
    assert first.startswith(said)
    assert second == f"SystemExit {left}"


def test_nobody_leaves_a_run_that_a_signal_ends_before_it_is_saved_and_trackers_are_told(
    found: dict[str, Any],
) -> None:
    assert found["left after"] == [True, True]
