"""What the command does with the actions of a model, on a run that is trained for a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import genzoo_rwae as gz
from genzoo_rwae.assemble import open_split
from genzoo_rwae.cli import main

ACTIONS = {"model.action": {"count": 3}, "objective.action.use": "mmd", "train.steps": 3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    """A folder with the runs `some`, whose model has three actions, and `none`."""
    folder = tmp_path_factory.mktemp("actions")
    (folder / "tiny.yaml").write_text(tiny_text)
    gz.build(
        folder / "tiny.yaml", run=folder / "some", settings={**ACTIONS, "evaluate": ["clusters"]}
    )
    gz.build(folder / "tiny.yaml", run=folder / "none", settings={"train.steps": 1})
    return folder


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str]) -> Any:
    """Call the command; (code, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as left:
            code = int(left.code or 0)
        return (code, *capsys.readouterr())

    return call


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return dict(found)


def test_report_has_a_gallery_of_actions_and_their_figures(runs: Path) -> None:
    with Image.open(runs / "some" / "pictures" / "actions.gif") as film:
        assert film.n_frames == 4
    page = (runs / "some" / "report.html").read_text()
    assert "<h2>Actions</h2>" in page
    assert not list((runs / "none" / "pictures").glob("actions*"))
    figures = json.loads((runs / "some" / "evaluation.json").read_text())["clusters"]
    assert figures["accuracy"]["note"].startswith("direction: 8 classes")


def test_samples_have_the_action_that_is_asked_for(runs: Path, ended: Any) -> None:
    for action in range(3):
        code, out, _ = ended("sample", runs / "some", "-n", 4, "--action", action, "--json")
        assert code == 0
        folder = runs / "some" / f"sample-0-action-{action}"
        assert str(folder) in json.loads(out)["files"][0]
        assert arrays(folder / "sample.npz")["action"].tolist() == [action] * 4
    assert ended("sample", runs / "some", "-n", 30)[0] == 0
    assert set(arrays(runs / "some" / "sample-0" / "sample.npz")["action"].tolist()) == {0, 1, 2}
    assert ended("sample", runs / "none", "-n", 1)[0] == 0
    assert "action" not in arrays(runs / "none" / "sample-0" / "sample.npz")


def test_swaps_have_the_action_that_is_asked_for(runs: Path, ended: Any) -> None:
    made = []
    for action in (0, 2):
        where = runs / f"swap-{action}"
        words = ("--static", "0,1", "--motion", "2,3,4", "--action", action, "-o", where)
        assert ended("swap", runs / "some", *words)[0] == 0
        made.append(arrays(where / "swap.npz")["x"])
    assert made[0].shape == (2, 3, 4, 1, 32, 32)
    assert np.abs(made[0] - made[1]).max() > 0
    model, data = gz.load(runs / "some"), open_split(gz.load_spec(runs / "some"), "test")
    wanted = model.swap(data.take(np.array([1])).x_BT, data.take(np.array([3])).x_BT, action=2).x_BT
    assert made[1][1, 1] == pytest.approx(wanted[0].numpy(), abs=1e-5)


@pytest.mark.parametrize("verb", ["sample", "swap"])
@pytest.mark.parametrize(
    ("run", "action", "said"),
    [
        ("some", 3, "--action 3: this model has the actions 0 to 2"),
        ("some", -1, "--action -1: this model has the actions 0 to 2"),
        ("none", 0, "--action 0: this model has no actions"),
    ],
)
def test_action_that_a_model_lacks_is_refused_before_anything_is_written(
    runs: Path, ended: Any, tmp_path: Path, verb: str, run: str, action: int, said: str
) -> None:
    code, _, err = ended(verb, runs / run, "--action", action, "-o", tmp_path / "out")
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


def test_codes_come_with_the_probabilities_of_actions(runs: Path, ended: Any) -> None:
    code, out, _ = ended("encode", runs / "some", "-n", 20, "--json")
    assert code == 0
    assert json.loads(out)["action"] == [20, 3]
    found = arrays(runs / "some" / "codes-test.npz")
    assert found["action"].sum(1) == pytest.approx(np.ones(20), abs=1e-5)
    assert ended("encode", runs / "none", "-n", 5)[0] == 0
    assert "action" not in arrays(runs / "none" / "codes-test.npz")


def test_actions_are_counted_and_drawn(runs: Path, ended: Any) -> None:
    code, out, _ = ended("actions", runs / "some", "-n", 50, "--json")
    assert code == 0
    said = json.loads(out)
    assert [row["action"] for row in said["actions"]] == [0, 1, 2]
    assert sum(row["sequences"] for row in said["actions"]) == 50
    assert [Path(file).name for file in said["files"]] == ["actions.png", "actions.gif"]
    assert all(Path(file).is_file() for file in said["files"])
    code, out, _ = ended("actions", runs / "some", "--force")
    assert "action  sequences  certainty" in out
    assert ended("actions", runs / "some")[0] == 2  # there is a folder already
    code, _, err = ended("actions", runs / "none")
    assert code == 2
    assert "this model has no actions; give its spec some" in err
