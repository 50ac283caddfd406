"""What tests of all rooms share: places, a small spec, the command as a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent

TINY_SPEC = """\
genzoo: 1
name: tiny
data: {use: digits, batch: 16, length: 4}
model:
  use: rwae
  encoder: {use: frame, frames: {use: conv, channels: 4, width: 16}}
  static: {size: 4, head: {use: pooled, hidden: 8}}
  dynamic: {size: 2, head: {use: lstm, hidden: 8}, prior: {use: lstm, hidden: 8}}
  decoder: {use: frame, hidden: 16, frames: {use: conv, channels: 4}}
objective:
  static: {use: mmd, weight: 10}
  dynamic: {use: mmd, weight: 10}
train: {steps: 12, schedule: cosine, save_every: 0}
"""

KILLER = """\
import os, signal
from genzoo_rwae import hookimpl

@hookimpl
def genzoo_step_done(step):
    if step == int(os.environ.get("KILL_AT", 0)):
        os.kill(os.getpid(), getattr(signal, os.environ["KILL_WITH"]))
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """The small spec's text."""
    return TINY_SPEC


@pytest.fixture
def tiny_spec(tmp_path: Path) -> Path:
    """A spec that trains in a second or two, in a folder of its own."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_SPEC)
    return path


@pytest.fixture
def killer(tmp_path: Path) -> Path:
    """A plugin file that sends the run the signal KILL_WITH in the step KILL_AT."""
    path = tmp_path / "killer.py"
    path.write_text(KILLER)
    return path


@pytest.fixture
def genzoo(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in another process, in tmp_path; `python` chooses the interpreter."""

    def run(*words: str, timeout: float = 120, **environ: str) -> subprocess.CompletedProcess[str]:
        roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
        return subprocess.run(
            [sys.executable, "-c", "from genzoo_rwae.cli import main; main()", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1", **environ},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
