"""What tests of all rooms share: places, a small spec, the command as a process, a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import genzoo_rwae as gz

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

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
RUNS = "document.title='owned';document.body.dataset.owned='yes'"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """The small spec's text."""
    return TINY_SPEC


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small spec, built once for all tests, which copy it or leave it as it is."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "tiny.yaml").write_text(TINY_SPEC)
    settings = {"train.steps": 2, "evaluate": ["reconstruction"]}
    gz.build(folder / "tiny.yaml", run=folder / "run", settings=settings)
    return folder / "run"


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


# -- browsers, and what they ask for -------------------------------------------------------------


@pytest.fixture
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on PATH: looked for {', '.join(BROWSERS)}")
    return found


class Listener(ThreadingHTTPServer):
    """A server of this machine that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def hostile(self) -> str:
        """A name that would load, run and send whatever a page lets it."""
        here = f"http://127.0.0.1:{self.server_port}"
        return (
            f"\"'></title></style></code></pre></svg><img src={here}/img>"
            f"<script src={here}/js></script><link rel=stylesheet href={here}/css>"
            f"<style>@import url({here}/import);*{{background:url({here}/url)}}</style>"
            f"<iframe src={here}/frame></iframe><object "
            f"data={here}/object></object><video src={here}/video></video><script>{RUNS};"
            f"fetch('{here}/fetch')</script><base href={here}/><svg><image href={here}/svg /></svg>"
        )


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Listener)
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
