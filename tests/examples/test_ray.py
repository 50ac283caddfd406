"""A run on ranks that Ray starts."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import genzoo_rwae as gz

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: the extra [ray]")
def test_ray_starts_two_ranks_that_build_one_run(tiny_spec: Path, tmp_path: Path) -> None:
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    script = str(ROOT / "examples" / "ray_build.py")
    done = subprocess.run(
        [sys.executable, script, str(tiny_spec), "run", "2", "train.steps=2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": roots, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 0, said
    assert "on 2 ranks" in said
    assert "rank 1 of 2 left with code 0" in said
    assert isinstance(gz.load(tmp_path / "run"), gz.SequenceModel)
