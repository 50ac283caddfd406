"""Measuring a run by a judge's word, when it is built and again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genzoo_rwae as gz
from genzoo_rwae import run_evaluation
from genzoo_rwae.assemble import open_split
from genzoo_rwae.cli import main
from genzoo_rwae.run_folder import RunFolder

SPEC = """\
genzoo: 1
name: judged
data: {use: moving-shapes, length: 3, sequences: 32, held_out: 20, batch: 16}
model:
  use: rwae
  encoder: {use: frame, frames: {use: conv, channels: 4, width: 16}}
  static: {size: 4, head: {use: pooled, hidden: 8}}
  dynamic: {size: 2, head: {use: lstm, hidden: 8}, prior: {use: lstm, hidden: 8}}
  decoder: {use: frame, hidden: 16, frames: {use: conv, channels: 4}}
objective: {}
train: {steps: 2}
evaluate: [{use: fix-motion, repeats: 2}, reconstruction]
judge: {channels: 2, steps: 2}
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a built run and the cache with its judge."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "spec.yaml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        gz.build(folder / "spec.yaml", run=folder / "run")
    return folder


@pytest.fixture
def run(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it; its cache is that of this process."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "run"


def figures(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evaluation.json").read_text())
    return found


def called(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def test_a_build_measures_by_a_judge_and_says_how_far_it_can_be_trusted(run: Path) -> None:
    found = figures(run)
    assert list(found) == ["fix-motion", "reconstruction", "judge"]
    assert found["fix-motion"]["motion"]["Acc"]["chance"] < 0.5
    assert found["judge"]["real test data"]["colour"]["chance"] < 0.5
    card = (run / "README.md").read_text()
    assert "The judge is a trained network" in card
    assert "blind to identity" in card
    assert "| judge | recurrent (judge) |" in card


def test_a_second_build_keeps_the_figures_and_the_judges_own(run: Path) -> None:
    before = figures(run)
    gz.build(run.parent / "spec.yaml", run=run)
    assert figures(run) == before


def test_another_judge_measures_anew_and_leaves_the_weights(run: Path) -> None:
    before, weights = figures(run), (run / "model.safetensors").read_bytes()
    other = json.dumps({**before, "fix-motion": {}, "reconstruction": {"mse": 7}})
    RunFolder(run).write(run / "evaluation.json", other.encode())
    gz.build(run.parent / "spec.yaml", run=run, settings={"judge.seed": 1})
    assert (run / "model.safetensors").read_bytes() == weights
    assert figures(run)["fix-motion"]["motion"]
    assert figures(run)["reconstruction"] == {"mse": 7}  # asks for no judge
    assert len(list((run.parent / "cache/genzoo-rwae/judges").iterdir())) == 2


def test_named_metrics_are_measured_and_the_others_stay(run: Path) -> None:
    before = figures(run)
    found = gz.evaluate(run, ["judged-swap"])
    assert found == figures(run)
    assert set(found) == {*before, "judged-swap"}
    assert all(found[name] == before[name] for name in before)
    assert "judged swap" in (run / "README.md").read_text()
    assert "static factors kept" in (run / "report.html").read_text()


def test_a_metric_of_the_spec_keeps_its_options_and_a_setting_goes_over_them(run: Path) -> None:
    note = gz.evaluate(run, ["fix-motion"])["fix-motion"]["motion"]["Acc"]["note"]
    assert note.startswith("20 test sequences, 2 draws")
    found = gz.evaluate(run, ["fix-motion"], settings=["fix-motion.sequences=7"])
    assert found["fix-motion"]["motion"]["Acc"]["note"].startswith("7 test sequences, 2 draws")
    assert figures(run)["reconstruction"] == found["reconstruction"]


def test_figures_by_another_judge_go_when_one_is_asked(run: Path) -> None:
    before = figures(run)
    found = gz.evaluate(run, ["judged-swap"], settings=["judge.seed=1"])
    assert list(found) == ["reconstruction", "judge", "judged-swap"]
    assert found["reconstruction"] == before["reconstruction"]
    gz.build(run.parent / "spec.yaml", run=run)
    assert figures(run) == before


def test_a_run_that_asks_for_nothing_says_what_there_is(run: Path) -> None:
    gz.build(run.parent / "spec.yaml", run=run, settings={"evaluate": []})
    with pytest.raises(gz.SpecError, match=r"asks for no metric; name some \(known: .*fix-content"):
        gz.evaluate(run)


def test_figures_of_other_options_are_no_excuse_not_to_measure(run: Path) -> None:
    gz.evaluate(run, settings=["fix-motion.sequences=7", "judge.seed=1"])
    gz.build(run.parent / "spec.yaml", run=run)
    assert figures(run)["fix-motion"]["motion"]["Acc"]["note"].startswith("20 test sequences")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fix-motoin"], "no metric is called 'fix-motoin'"),
        (["fix-motoin"], "did you mean 'fix-motion'?"),
        (["fix-motion", "--set", "fix-motion.sequence=3"], "did you mean 'sequences'?"),
        (["fix-motion", "--set", "swap.pairs=3"], "--set swap: wanted METRIC.OPTION=VALUE"),
        (["fix-motion", "--set", "fix-motion=3"], "--set fix-motion: wanted METRIC.OPTION=VALUE"),
        (["fix-motion", "--all"], "--all and fix-motion: say one of the two"),
    ],
)
def test_a_wrong_call_ends_with_2_and_changes_nothing(
    run: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = figures(run)
    assert called("evaluate", str(run), *words) == 2
    assert message in capsys.readouterr().err
    assert figures(run) == before


def test_evaluate_prints_json_or_lines(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("evaluate", str(run), "reconstruction", "--json") == 0
    assert json.loads(capsys.readouterr().out)["figures"] == figures(run)
    assert called("evaluate", str(run), "reconstruction") == 0
    assert "reconstruction / mse: 0." in capsys.readouterr().out


def test_everything_that_is_registered_can_be_measured(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--set", "probes.fitted=20", "--set", "sample.sequences=10"]
    options += ["--set", "prior-match.permutations=19"]
    assert called("evaluate", str(run), "--all", "--json", *options) == 0
    found = json.loads(capsys.readouterr().out)["figures"]
    names = set(gz.Zoo(use_entry_points=False).names("metric"))
    assert set(found) == names | {"judge"}


def test_the_judge_of_a_run_and_of_its_spec_is_one_and_is_told_beside_chance(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("judge", str(run), "--json") == 0
    of_run = json.loads(capsys.readouterr().out)
    assert Path(of_run["file"]).is_file()
    accuracy = of_run["accuracy"]
    assert set(accuracy) == {"shape", "colour", "size", "motion", "place"}
    assert accuracy == figures(run)["judge"]["real test data"]
    assert called("judge", str(run.parent / "spec.yaml")) == 0
    out = capsys.readouterr().out
    assert of_run["file"] in out
    assert f"colour: {accuracy['colour']['value']:.4f} (chance" in out


def test_on_the_validation_split_figures_are_others_and_nothing_is_written(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert called("evaluate", str(run), "reconstruction", "--on", "validation", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    model, spec = gz.load(run), gz.load_spec(run / "spec.yaml")
    held_out = open_split(spec, "validation")
    batch = held_out.take(np.arange(len(held_out)))
    mse = model.reconstruct(batch.x_BT, batch.lengths_B).mse_B.mean().item()
    assert told["on"] == "validation"
    assert told["figures"]["reconstruction"]["mse"]["value"] == pytest.approx(mse, rel=1e-5)
    assert told["figures"]["reconstruction"] != figures(run)["reconstruction"]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_measuring_that_is_cut_off_goes_on_behind_the_last_metric(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = figures(run)
    shutil.rmtree(run / "checkpoints")
    for name in ("evaluation.json", "model.safetensors"):
        (run / name).unlink()
    measure, asked = run_evaluation.measure, []

    def cut_off(model: Any, splits: Any, metrics: Any, *given: Any) -> Any:
        asked.append([metric.name for metric in metrics])
        found = measure(model, splits, metrics[:1] if len(metrics) > 1 else metrics, *given)
        if len(metrics) > 1:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(run_evaluation, "measure", cut_off)
    with pytest.raises(KeyboardInterrupt):
        gz.build(run.parent / "spec.yaml", run=run)
    assert list(figures(run)) == ["fix-motion", "judge"]
    gz.build(run.parent / "spec.yaml", run=run)
    assert asked == [["fix-motion", "reconstruction"], ["reconstruction"]]
    assert figures(run) == before


def test_what_evaluate_has_measured_stays_when_it_is_cut_off(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, measure = figures(run), run_evaluation.measure

    def cut_off(model: Any, splits: Any, metrics: Any, *given: Any) -> Any:
        measure(model, splits, metrics[:1], *given)
        raise KeyboardInterrupt

    monkeypatch.setattr(run_evaluation, "measure", cut_off)
    with pytest.raises(KeyboardInterrupt):
        gz.evaluate(run, ["judged-swap", "fix-content"])
    assert set(figures(run)) == {*before, "judged-swap"}
    assert set(RunFolder.open(run).measured(2)) == {"fix-motion", "reconstruction", "judged-swap"}
