"""benchmarks/release.py: what of a run is released, and that it tells of nobody's machine."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.run_identity import identity_digest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
HOLDS = ["README.md", "digests.json", "evaluation.json", "metrics.jsonl", "model.safetensors",
         "spec.yaml"]  # fmt: skip


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not part of a source distribution")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("release")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    """A run that was built by a command of absolute paths."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "tiny.yaml").write_text(tiny_text)
    words = ["/opt/bin/genzoo", "build", str(folder / "tiny.yaml"), f"--output={folder / 'run'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        settings = {"train.steps": 2, "evaluate": ["reconstruction"]}
        gz.build(folder / "tiny.yaml", run=folder / "run", settings=settings)
    return folder / "run"


def test_a_release_is_a_run_folder_of_the_same_model(script, run, tmp_path) -> None:
    folder = script.release(run, "cc-by-4.0", tmp_path)
    assert folder == tmp_path / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == HOLDS
    released = RunFolder.open(folder)
    assert {path.name for path in released.digests.noted()} == set(HOLDS) - {"digests.json"}
    assert released.digests.spec == identity_digest(gz.load_spec(folder))
    before, after = gz.load(run).state_dict(), gz.load(folder).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before | after)


def test_its_card_has_the_licence_the_data_and_the_name_that_commands_take(
    script, run, tmp_path
) -> None:
    card = (script.release(run, "cc-by-4.0", tmp_path) / "README.md").read_text()
    assert 'license: "cc-by-4.0"' in card
    assert gz.load(run).info.licence in card
    assert "- sequences: train 1,439, validation 179, test 179" in card
    assert "genzoo swap zoo:tiny" in card
    assert "| reconstruction / mse |" in card


def test_no_path_of_the_machine_is_released(script, run, tmp_path) -> None:
    folder = script.release(run, "cc-by-4.0", tmp_path)
    assert str(run.parent) in (run / "spec.yaml").read_text()
    for path in folder.iterdir():
        assert str(run.parent).encode() not in path.read_bytes()
    assert (gz.load_spec(folder).resolved or {})["command"] == "genzoo build tiny.yaml --output=run"


def test_data_are_looked_for_where_they_are_by_default(script) -> None:
    spec = gz.load_spec(
        "zoo:sprites-priced-mmd", settings={"data.root": "/home/me/a", "data.cache": "/home/me/b"}
    )
    options = script.without_places(spec).data.options
    assert (options["root"], options["cache"]) == (None, None)
    assert options | {"root": None} == spec.data.options | {"root": None, "cache": None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("path: /home/me/data.npy", "/home/me"),
        ('"/srv/x/y"', "/srv/x"),
        ("~/data/x", "~/data"),
        ("-o=/mnt/a/b", "/mnt/a"),
        ("[arXiv:2101.07496](https://arxiv.org/abs/2101.07496)", ""),
        ("reconstruction / mse, 3/4 and runs/mine/swap", ""),
        ("KL(q(z|x) / p)", ""),
    ],
)
def test_paths_are_told_from_addresses_and_fractions(script, text, found) -> None:
    match = script.MACHINE.search(text)
    assert (match[0] if match else "") == found


def test_what_cannot_be_released_is_refused_and_leaves_nothing(
    script, run, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(script, "MOST_BYTES", 1000)
    with pytest.raises(SystemExit, match="wanted 1,000 or less"):
        script.release(run, "cc-by-4.0", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_the_data_need_is_found(script, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(script, "without_places", lambda spec: spec)
    with pytest.raises(SystemExit, match=r"spec.yaml would tell of a path .*, /"):
        script.release(run, "cc-by-4.0", tmp_path / "releases")
    assert list(tmp_path.iterdir()) == []


def test_a_release_is_not_written_over(script, run, tmp_path) -> None:
    (tmp_path / "tiny").mkdir()
    with pytest.raises(SystemExit, match="is there already; take it away"):
        script.release(run, "cc-by-4.0", tmp_path)


def test_a_damaged_run_is_not_released(script, run, tmp_path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-1])
    with pytest.raises(gz.CheckpointError, match="is not what genzoo wrote"):
        script.release(copy, "cc-by-4.0", tmp_path / "releases")
