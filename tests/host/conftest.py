"""What the tests of the host share: a zoo without installed plugins, files, a small spec."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from genzoo_rwae.cli import main
from genzoo_rwae.spec import Spec, load_spec
from genzoo_rwae.zoo import Zoo

TINY = """\
genzoo: 1
name: tiny
data: {use: digits, batch: 8}
model:
  use: rwae
  encoder: {use: frame, frames: {use: mlp, width: 8}}
  static: {size: 3}
  dynamic: {size: 2, prior: {use: lstm, hidden: 5}}
  decoder: {use: frame, frames: mlp}
objective:
  static: {use: mmd, weight: 10, warm_up: 0.5}
  dynamic: {use: mmd, weight: 7, given: none}
train: {steps: 2}
"""


@dataclass(frozen=True)
class Ended:
    """How a call of the command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _no_installed_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens to be installed beside genzoo-rwae is no part of a test."""
    monkeypatch.setenv("GENZOO_PLUGINS", "none")


@pytest.fixture
def zoo() -> Zoo:
    return Zoo(use_entry_points=False)


@pytest.fixture
def tiny() -> str:
    """The text of a valid spec; tests refer to its lines."""
    return TINY


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a file of the test's own folder."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def load(write: Callable[[str, str], Path], zoo: Zoo) -> Callable[..., Spec]:
    """Load a spec from its text, with settings as after `--set`."""

    def load_text(text: str, *settings: str, name: str = "spec.yaml") -> Spec:
        return load_spec(write(name, text), zoo=zoo, settings=settings)

    return load_text


@pytest.fixture
def genzoo(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Call the command in this process."""

    def call(*words: object) -> Ended:
        capsys.readouterr()
        try:
            main([str(word) for word in words])
            code: object = 0
        except SystemExit as left:
            code = left.code
        captured = capsys.readouterr()
        return Ended(code if isinstance(code, int) else int(bool(code)), captured.out, captured.err)

    return call
