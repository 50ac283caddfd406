"""Flipped bits and lost bytes in a run folder: named, or mended, never a model that is wrong."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import genzoo_rwae as gz
from genzoo_rwae.cli import main
from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.evaluation.measured_run import read_run
from genzoo_rwae.files import write_atomic
from genzoo_rwae.report import compose
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.run_lock import locked
from genzoo_rwae.training.checkpoint import last_state, load_state

DAMAGES = 1000
SETTINGS = {"evaluate": ["reconstruction"], "train.steps": 6}
# file -> who reads it; all others are read by `check_all` alone
READERS: dict[str, Callable[[Path], object]] = {
    "spec.yaml": gz.load,
    "model.safetensors": gz.load,
    "checkpoints/best.safetensors": lambda run: gz.load(run, weights="best"),
    "evaluation.json": read_run,
    "metrics.jsonl": read_run,
    "checkpoints/measured.json": gz.evaluate,
    "pictures/swap.png": gz.evaluate,
    "pictures/rollout.gif": gz.evaluate,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    folder = tmp_path_factory.mktemp("built")
    (folder / "tiny.yaml").write_text(tiny_text)
    gz.build(folder / "tiny.yaml", run=folder / "run", settings=SETTINGS)
    return folder / "run"


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    """A copy, beside the spec that it was made from."""
    shutil.copytree(built.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def damaged(raw: bytes, draw: random.Random) -> bytes:
    """Bits flipped in one to five bytes, or the end cut off."""
    if draw.random() < 0.3:
        return raw[: draw.randrange(len(raw))]
    changed = bytearray(raw)
    for place in {draw.randrange(len(raw)) for _ in range(draw.choice((1, 1, 1, 5)))}:
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def names_itself(run: RunFolder, noted: object) -> bool:
    """Whether damage to digests.json is found; what leaves its meaning, as in white space, is none.

    The caller notes what it said before.
    """
    try:
        return run.digests._read() == noted
    except gz.CheckpointError as error:
        return str(error).startswith(f"{run.digests.file} is damaged")


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 16
    path.write_bytes(raw)


@pytest.mark.slow
def test_a_thousand_damages_are_found_and_laid_on_the_right_file(built: Path) -> None:
    draw = random.Random(7)
    run = RunFolder.open(built)
    names = sorted(str(p.relative_to(built)) for p in built.rglob("*") if p.is_file())
    assert set(READERS) <= set(names)
    contents = {name: (built / name).read_bytes() for name in names}
    step = load_state(run.state_before).step
    noted = run.digests._read()
    for number in range(DAMAGES):
        name = names[number % len(names)]
        path = built / name
        path.write_bytes(damaged(contents[name], draw))
        try:
            if name == "digests.json":
                assert names_itself(run, noted)
                continue
            with pytest.raises(gz.CheckpointError) as caught:
                run.check_all()
            assert str(caught.value).startswith(f"{path} is not what genzoo wrote")
            assert str(caught.value).count("is not what genzoo wrote") == 1
            if name in READERS and number % 5 == 0:  # most of them read a spec first
                with pytest.raises(gz.CheckpointError, match="is not what genzoo wrote") as caught:
                    READERS[name](built)
                assert str(path) in str(caught.value)
            if name == "checkpoints/last.pt":
                with pytest.warns(GenzooWarning, match=r"last\.pt is not what genzoo wrote"):
                    state = last_state(run)
                assert state is not None
                assert state.step == step == 5
        finally:
            path.write_bytes(contents[name])
    run.check_all()


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before_and_the_end_is_the_same(
    run: Path, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(run / "checkpoints" / "last.pt")
    flip(run / "model.safetensors")
    flip(run / "pictures" / "swap.png")
    words = ["build", str(run / "spec.yaml"), "-o", str(run)]
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0
    said = capsys.readouterr().err
    assert f"warning: {run / 'checkpoints' / 'last.pt'} is not what genzoo wrote" in said
    assert f"goes on from the checkpoint before, {run}/checkpoints/previous.pt of step 5" in said
    assert (run / "model.safetensors").read_bytes() == (built / "model.safetensors").read_bytes()
    RunFolder.open(run).check_all()
    # the damaged one was not kept in place of the one that was whole
    assert load_state(run / "checkpoints" / "previous.pt").step == 5


def test_two_damaged_checkpoints_stop_the_build_and_are_left(run: Path) -> None:
    states = [run / "checkpoints" / name for name in ("last.pt", "previous.pt")]
    for state in states:
        flip(state)
    before = [state.read_bytes() for state in states]
    with pytest.raises(gz.CheckpointError, match=r"last\.pt is not.*move checkpoints/ away"):
        gz.build(run / "spec.yaml", run=run)
    assert [state.read_bytes() for state in states] == before


def test_a_kill_between_the_two_renames_of_a_save_loses_nothing(run: Path) -> None:
    folder = RunFolder.open(run)
    step = load_state(folder.state).step
    folder.digests.expect(
        {
            folder.state_before: folder.digests.current(folder.state),
            folder.state: folder.digests.current(folder.state_before),
        }
    )
    folder.state.replace(folder.state_before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = last_state(folder)
        folder.check_all()
    assert state is not None
    assert state.step == step


def test_damaged_figures_are_measured_anew_by_a_build_and_not_kept_by_evaluate(
    run: Path, built: Path
) -> None:
    figures = run / "evaluation.json"
    figures.write_text(figures.read_text().replace('"value": 0', '"value": 9'))
    before = figures.read_bytes()
    with pytest.raises(gz.CheckpointError, match=r"evaluation\.json is not.*measures anew"):
        gz.evaluate(run, ["sample"])
    assert figures.read_bytes() == before
    with pytest.warns(GenzooWarning, match="All is measured anew"):
        gz.build(run / "spec.yaml", run=run)
    assert figures.read_bytes() == (built / "evaluation.json").read_bytes()


def test_a_damaged_spec_is_written_again_from_the_one_that_the_run_was_made_from(
    run: Path, built: Path
) -> None:
    damage = (run / "spec.yaml").read_text().replace("weight: 10.0", "weight: 50.0", 1)
    (run / "spec.yaml").write_text(damage)
    other = {**SETTINGS, "train.seed": 5}
    with pytest.raises(gz.CheckpointError, match=r"spec\.yaml is not.*give the spec that it was"):
        gz.build(run.parent / "tiny.yaml", run=run, settings=other)
    with pytest.raises(gz.CheckpointError, match=r"spec\.yaml is not what genzoo wrote"):
        gz.load_spec(run)
    assert (run / "spec.yaml").read_text() == damage
    with pytest.warns(GenzooWarning, match="written again from this spec"):
        gz.build(run.parent / "tiny.yaml", run=run, settings=SETTINGS)
    assert (run / "model.safetensors").read_bytes() == (built / "model.safetensors").read_bytes()
    assert "weight: 10.0" in (run / "spec.yaml").read_text()


def test_a_folder_without_digests_is_loaded_and_it_is_said_that_nothing_was_checked(
    run: Path,
) -> None:
    (run / "digests.json").unlink()
    flip(run / "model.safetensors")
    with pytest.warns(GenzooWarning, match=r"has no digests\.json.*is not checked"):
        gz.load(run)


def test_a_folder_without_digests_stays_unchecked_when_it_was_measured_again(run: Path) -> None:
    (run / "digests.json").unlink()
    for _ in range(2):
        with pytest.warns(GenzooWarning, match="is not checked"):
            gz.evaluate(run)


def test_metrics_that_were_moved_away_are_not_missed_after_a_kill(run: Path) -> None:
    folder = RunFolder(run)
    folder.metrics.unlink()
    folder.truncate_metrics(6)
    folder.append_metrics({"step": 7})
    folder.check(folder.metrics)
    folder.truncate_metrics(6)


def test_check_names_every_damaged_file_of_a_run_at_once(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(run / "report.html")
    flip(run / "pictures" / "sample.png")
    with pytest.raises(SystemExit) as left:
        main(["check", str(run)])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert f"{run / 'report.html'} is not what genzoo wrote" in said
    assert f"{run / 'pictures' / 'sample.png'} is not what genzoo wrote" in said
    assert "`genzoo report` with the run's folder writes it again" in said


def test_damaged_sounds_are_written_again_by_report(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(model: object, splits: object, folder: Path, *, seed: int) -> list[Path]:
        return [write_atomic(folder / "swap.wav", b"sound")]

    monkeypatch.setattr(compose, "compose_sounds", heard)
    for content in (b"sound", b"sOund"):
        (run / "sounds").mkdir(exist_ok=True)
        (run / "sounds" / "swap.wav").write_bytes(content)
        with pytest.raises(SystemExit) as left:
            main(["report", str(run)])
        assert left.value.code == 0
        assert (run / "sounds" / "swap.wav").read_bytes() == b"sound"
    flip(run / "sounds" / "swap.wav")
    with pytest.raises(gz.CheckpointError, match=r"swap\.wav is not what genzoo wrote"):
        RunFolder.open(run).check_shown()


def test_a_run_that_is_being_built_can_be_read_and_nothing_else(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with locked(run):
        gz.load(run)
        for write in (lambda: gz.build(run / "spec.yaml", run=run), lambda: gz.evaluate(run)):
            with pytest.raises(gz.CheckpointError, match="in use by process"):
                write()
        with pytest.raises(SystemExit) as left:
            main(["report", str(run)])
        assert left.value.code == 2
        assert "in use by process" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_metrics_are_vouched_for_to_the_last_row_of_a_finished_run(built: Path) -> None:
    noted = json.loads((built / "digests.json").read_text())["files"]["metrics.jsonl"][-1]
    assert noted["bytes"] == (built / "metrics.jsonl").stat().st_size
    assert noted["grows"]
