"""A trained run on other data, by the options of its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import genzoo_rwae as gz
from genzoo_rwae.cli import main

SPEC = """\
genzoo: 1
name: other
data: {{use: clips, path: {path}, batch: 8}}
model:
  use: rwae
  encoder: {{use: frame, frames: {{use: conv, channels: 4, width: 16}}}}
  static: {{size: 4}}
  dynamic: {{size: 2}}
  decoder: {{use: frame, frames: {{use: conv, channels: 4}}}}
objective: {{static: {{use: mmd}}, dynamic: {{use: mmd}}}}
train: {{steps: 2, threads: 1}}
evaluate: []
"""
Call = Callable[..., tuple[int, str]]


def clips(path: Path, seed: int, count: int, side: int = 16) -> Path:
    shape = (count, 3, side, side, 3)
    np.save(path, np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    clips(folder / "mine.npy", 0, 40)
    (folder / "spec.yaml").write_text(SPEC.format(path="mine.npy"))
    gz.build(folder / "spec.yaml", run=folder / "run")
    return folder / "run"


@pytest.fixture
def genzoo(capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: object) -> tuple[int, str]:
        try:
            main([str(word) for word in words])
            code: object = 0
        except SystemExit as left:
            code = left.code or 0
        assert isinstance(code, int)
        return code, capsys.readouterr().err

    return call


def test_all_that_is_said_of_other_clips_counts(run: Path, tmp_path: Path, genzoo: Call) -> None:
    other = clips(tmp_path / "other.npy", 1, 25)
    said = ("--data", f"path={other}", "--data", "length=2", "-o", tmp_path / "out")
    assert genzoo("swap", run, "--split", "train", *said)[0] == 0
    with np.load(tmp_path / "out" / "swap.npz") as arrays:
        assert arrays["x"].shape[2] == 2


@pytest.mark.parametrize("verb", ["swap", "reconstruct", "encode"])
def test_what_is_made_of_other_clips_does_not_go_into_the_run(
    verb: str, run: Path, tmp_path: Path, genzoo: Call
) -> None:
    other = clips(tmp_path / "other.npy", 1, 25)
    before = sorted(run.rglob("*"))
    code, said = genzoo(verb, run, "--split", "train", "--data", f"path={other}")
    assert code == 2
    assert "--data without -o" in said
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize("verb", ["swap", "reconstruct", "encode"])
def test_verbs_take_other_clips(verb: str, run: Path, tmp_path: Path, genzoo: Call) -> None:
    other = clips(tmp_path / "other.npy", 1, 25)
    name, key = {
        "swap": ("swap.npz", "x"),
        "reconstruct": ("reconstruction.npz", "x_hat"),
        "encode": ("", "static"),  # it writes a file, not a folder
    }[verb]
    words = (verb, run, "--split", "train", "-o")
    assert genzoo(*words, tmp_path / "own.npz")[0] == 0
    assert genzoo(*words, tmp_path / "new.npz", "--data", f"path={other}")[0] == 0
    found = []
    for of in ("own.npz", "new.npz"):
        with np.load(tmp_path / of / name if name else tmp_path / of) as arrays:
            found.append(arrays[key][:6])
    assert found[0].shape == found[1].shape
    assert not np.allclose(*found)


def test_other_clips_have_to_fit_the_model(run: Path, tmp_path: Path, genzoo: Call) -> None:
    large = clips(tmp_path / "large.npy", 1, 25, side=24)
    code, said = genzoo("swap", run, "--data", f"path={large}", "-o", tmp_path / "out")
    assert code == 2
    assert f"--data path={large}: frames are (3, 24, 24); the model of {run} was built" in said
    assert not (tmp_path / "out").exists()


def test_an_option_that_the_source_has_not_is_refused(
    run: Path, tmp_path: Path, genzoo: Call
) -> None:
    code, said = genzoo("swap", run, "--data", "pth=x", "-o", tmp_path / "out")
    assert code == 2
    assert "the source 'clips' has no option 'pth'" in said
    assert "did you mean 'path'?" in said
    said = genzoo("swap", run, "--data", "path", "-o", tmp_path / "out")[1]
    assert "--data path: found path; wanted OPTION=VALUE" in said
    said = genzoo("swap", run, "--data", "path=gone.npy", "-o", tmp_path / "out")[1]
    assert said.startswith("genzoo: --data path=gone.npy: ")
