"""What a build leaves behind, and how it goes on."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import genzoo_rwae as gz
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.training.loop import Outcome, Trainer

SETTINGS = {"evaluate": ["reconstruction", "probes", "swap", "sample"]}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    folder = tmp_path_factory.mktemp("built")
    spec = folder / "tiny.yaml"
    spec.write_text(tiny_text)
    gz.build(spec, run=folder / "run", settings=SETTINGS)
    return folder / "run"


def test_a_run_folder_holds_all_that_the_readme_promises(built: Path) -> None:
    wanted = {
        "spec.yaml", "model.safetensors", "metrics.jsonl", "evaluation.json", "report.html",
        "README.md", "digests.json", "checkpoints/last.pt", "checkpoints/previous.pt",
        "checkpoints/best.safetensors", "checkpoints/measured.json",
        "pictures/reconstruction.png", "pictures/swap.png", "pictures/swap.gif",
        "pictures/sample.png", "pictures/sample.gif",
        "pictures/rollout.png", "pictures/rollout.gif",
    }  # fmt: skip
    found = {str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()}
    assert wanted == found


def test_metrics_name_every_term_of_the_objective(built: Path) -> None:
    rows = [json.loads(line) for line in (built / "metrics.jsonl").read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    assert [row["step"] for row in train] == [1, 10]
    assert {"loss", "cost", "static", "dynamic", "sequences_per_second"} <= set(train[0])
    assert any(row["split"] == "validation" and row["mse"] > 0 for row in rows)


def test_every_step_of_training_is_taken_in_training_mode(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes, step, fit = [], Trainer._train_step, Trainer.fit

    def begun(trainer: Trainer) -> Outcome:
        trainer.step_module.eval()  # as whoever looked at the model before may leave it
        return fit(trainer)

    def seen(trainer: Trainer, *given: Any) -> dict[str, Any]:
        modes.append({module.training for module in trainer.step_module.modules()})
        return step(trainer, *given)

    monkeypatch.setattr(Trainer, "fit", begun)
    monkeypatch.setattr(Trainer, "_train_step", seen)
    settings = ["data.batch=700", "data.length=2", "train.steps=5", "train.validate_every=1"]
    gz.build(tiny_spec, run=tmp_path / "run", settings=[*settings, "evaluate=[]"])
    rows = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert rows.count('"validation"') > 1  # in evaluation mode, in between
    assert modes == [{True}] * 5


def test_the_loss_is_the_cost_plus_the_weighted_penalties(built: Path) -> None:
    row = json.loads((built / "metrics.jsonl").read_text().splitlines()[0])
    assert row["loss"] == pytest.approx(row["cost"] + 10 * row["static"] + 10 * row["dynamic"])


def test_every_figure_of_the_evaluation_is_a_number_beside_what_it_compares_with(
    built: Path,
) -> None:
    figures = json.loads((built / "evaluation.json").read_text())
    assert set(figures) == set(SETTINGS["evaluate"])
    assert figures["reconstruction"]["mse"]["baselines"]["mean frame"] > 0
    assert figures["probes"]["static code"]["digit"]["chance"] == pytest.approx(0.1, abs=0.02)


def test_the_animated_swap_grid_has_a_picture_for_every_step(built: Path) -> None:
    with Image.open(built / "pictures" / "swap.gif") as image:
        assert image.n_frames == 4


def test_the_loaded_model_is_the_built_one_and_needs_no_data(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the data were opened")

    monkeypatch.setattr("genzoo_rwae.assemble.open_split", refuse)
    model = gz.load(built)
    first, again = (
        gz.load(built).sample(3, generator=torch.Generator().manual_seed(5)).x_BT for _ in range(2)
    )
    assert torch.equal(first, again)
    assert not model.training
    assert first.shape == (3, 4, 1, 32, 32)
    best = gz.load(built, weights="best")
    assert best.info == model.info


def test_a_second_build_trains_nothing_and_keeps_the_weights(built: Path) -> None:
    before = (built / "model.safetensors").read_bytes()
    gz.build(built / "spec.yaml", run=built)
    assert (built / "model.safetensors").read_bytes() == before


def test_the_resolved_spec_says_where_every_value_came_from(built: Path) -> None:
    text = (built / "spec.yaml").read_text()
    assert re.search(r"weight: 10\.0 +# .*tiny\.yaml:11:30", text)
    assert re.search(r"use: genzoo:reconstruction +# the setting evaluate", text)
    assert re.search(r"weight_decay: 0\.0001 +# default", text)
    assert "torch: 2" in text


def test_the_model_card_names_parts_and_papers(built: Path) -> None:
    card = (built / "README.md").read_text()
    assert card.startswith("---\n")
    assert "2101.07496" in card
    assert "mmd" in card


def test_a_build_of_another_spec_says_what_differs_and_leaves_the_folder(built: Path) -> None:
    before = {path: path.read_bytes() for path in built.rglob("*") if path.is_file()}
    with pytest.raises(gz.SpecError, match=r"objective\.static\.weight: 10\.0 there, 3\.0 here"):
        gz.build(built / "spec.yaml", run=built, settings={"objective.static.weight": 3.0})
    assert {path: path.read_bytes() for path in built.rglob("*") if path.is_file()} == before


def test_figures_are_measured_anew_when_their_options_change_and_dropped_when_nobody_asks(
    built: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(built, copy)
    asked = {"evaluate": [{"use": "reconstruction", "sequences": 3}]}
    gz.build(copy / "spec.yaml", run=copy, settings=asked)
    figures = json.loads((copy / "evaluation.json").read_text())
    assert list(figures) == ["reconstruction"]
    assert figures["reconstruction"]["mse"]["note"].startswith("3 test sequences")


def test_figures_of_other_weights_are_not_kept(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(built, copy)
    noted = copy / "checkpoints" / "measured.json"
    noted.write_text(noted.read_text().replace('"step": 12', '"step": 11'))
    (copy / "evaluation.json").write_text('{"reconstruction": {"mse": 4641.96}}')
    gz.build(copy / "spec.yaml", run=copy)
    figures = json.loads((copy / "evaluation.json").read_text())
    assert figures == json.loads((built / "evaluation.json").read_text())


def test_what_a_killed_write_left_behind_is_cleared_away(tiny_spec: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".spec.yaml.abc123.tmp").write_text("half a sp")
    gz.build(tiny_spec, run=run, settings={"train.steps": 1})
    assert not list(run.glob(".*.tmp"))


def test_a_folder_with_other_files_is_never_built_into(tiny_spec: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("precious")
    with pytest.raises(gz.SpecError, match="holds files and is no run folder"):
        gz.build(tiny_spec, run=mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("wrong", ["not there", "no run folder"])
def test_loading_what_is_no_run_says_so(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "absent" if wrong == "not there" else tmp_path
    with pytest.raises(gz.CheckpointError, match="is no run folder"):
        gz.load(path)


def test_best_weights_of_a_run_without_validation_are_not_there_and_it_says_why(
    tiny_spec: Path, tmp_path: Path
) -> None:
    gz.build(tiny_spec, run=tmp_path / "run", settings={"train.steps": 1})
    (tmp_path / "run" / "checkpoints" / "best.safetensors").unlink()
    with pytest.raises(gz.CheckpointError, match="no validation split"):
        gz.load(tmp_path / "run", weights="best")
    with pytest.raises(gz.CheckpointError, match=r"weights='bets': wanted one of last, best"):
        gz.load(tmp_path / "run", weights="bets")  # type: ignore[arg-type]


def test_a_batch_larger_than_the_split_is_a_problem_of_the_batch(
    tiny_spec: Path, tmp_path: Path
) -> None:
    with pytest.raises(gz.SpecError, match=r"data\.batch: a batch of 5000 from a training split"):
        gz.build(tiny_spec, run=tmp_path / "run", settings={"data.batch": 5000})
    assert not (tmp_path / "run").exists()


def test_truncated_weights_are_an_error_that_names_the_file(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "spec.yaml").write_bytes((built / "spec.yaml").read_bytes())
    (copy / "model.safetensors").write_bytes((built / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(gz.CheckpointError, match=r"model\.safetensors cannot be read"):
        gz.load(copy)


def test_weights_of_another_model_are_refused_by_name_and_shape(
    built: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    spec = (built / "spec.yaml").read_text().replace("size: 4 ", "size: 5 ", 1)
    (copy / "spec.yaml").write_text(spec)
    (copy / "model.safetensors").write_bytes((built / "model.safetensors").read_bytes())
    with pytest.raises(gz.CheckpointError, match=r"\[4, 8\] in the file, \[5, 8\] in the model"):
        gz.load(copy)


def test_metrics_after_the_checkpoint_are_dropped_when_a_run_goes_on(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    rows = [{"step": step, "loss": 1.0} for step in (10, 20, 30)]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4')
    run.truncate_metrics(20)
    kept = [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()]
    assert kept == [10, 20]
