"""Trackers, read back with the packages' own readers; a failing one does not end a run."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from genzoo_rwae_plugins.trackers.rows import numbers_of
from PIL import Image

import genzoo_rwae as gz
from genzoo_rwae.training.trackers import Results, Trackers, results_of

ROWS: list[dict[str, Any]] = [
    {"step": 1, "epoch": 0, "split": "train", "loss": 3.0, "note": "text"},
    {"step": 10, "epoch": 0, "split": "train", "loss": 2.0},
    {"step": 10, "split": "validation", "loss": 2.5},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a spec, two pictures and a sound."""
    (tmp_path / "spec.yaml").write_text("genzoo: 1\nname: mine\ntrain: {seed: 7}\n")
    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    frames[0].save(tmp_path / "swap.png")
    frames[0].save(tmp_path / "swap.gif", save_all=True, append_images=frames[1:])
    with wave.open(str(tmp_path / "swap-0-1.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((np.sin(np.arange(800)) * 30000).astype("<i2").tobytes())
    return tmp_path


@pytest.fixture
def results(run: Path) -> Results:
    pictures = {name: run / name for name in ("swap.gif", "swap.png")}
    return Results(10, {"reconstruction/mse": 0.25}, pictures, {"swap-0-1": run / "swap-0-1.wav"})


def made(name: str, run: Path, **options: object) -> Any:
    build = gz.Zoo(use_entry_points=False).find("tracker", name).component.build
    return build(run, **options)


def tell(tracker: Any, results: Results, rows: list[dict[str, Any]] = ROWS) -> None:
    for row in rows:
        tracker.log(row)
    tracker.show(results)
    tracker.close()


def test_numbers_are_named_by_their_split_and_texts_are_left_out() -> None:
    assert numbers_of(ROWS[0]) == {"train/epoch": 0.0, "train/loss": 3.0}
    assert numbers_of(ROWS[2]) == {"validation/loss": 2.5}


# -- TensorBoard --------------------------------------------------------------------------------


def events(run: Path) -> Any:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="extra tensorboard"
    )
    found = accumulator.EventAccumulator(str(run / "tensorboard"), size_guidance={})
    return found.Reload()


def test_tensorboard_has_rows_figures_pictures_and_sounds(run: Path, results: Results) -> None:
    pytest.importorskip("tensorboard", reason="extra tensorboard")
    tell(made("tensorboard", run), results)
    found = events(run)
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(1, 3.0), (10, 2.0)]
    assert [(e.step, e.value) for e in found.Scalars("validation/loss")] == [(10, 2.5)]
    assert [e.value for e in found.Scalars("evaluation/reconstruction/mse")] == [0.25]
    [picture] = found.Images("pictures/swap")
    assert (picture.step, picture.width, picture.height) == (10, 6, 8)
    [sound] = found.Audio("sounds/swap-0-1")
    assert (sound.sample_rate, sound.length_frames) == (8000, 800)


def test_steps_that_are_taken_again_are_hidden_in_tensorboard(run: Path, results: Results) -> None:
    pytest.importorskip("tensorboard", reason="extra tensorboard")
    tell(made("tensorboard", run), results)
    again = [{"step": 10, "split": "train", "loss": 9.0}]
    tell(made("tensorboard", run), results, again)
    found = events(run)
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(1, 3.0), (10, 9.0)]


def test_results_of_a_run_that_took_no_step_hide_no_row_of_before(
    run: Path, results: Results
) -> None:
    pytest.importorskip("tensorboard", reason="extra tensorboard")
    tell(made("tensorboard", run), results)
    tell(made("tensorboard", run), results, rows=[])
    assert [e.step for e in events(run).Scalars("train/loss")] == [1, 10]


# -- wandb and trackio --------------------------------------------------------------------------


@pytest.fixture
def offline(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": str(run / "trackio"),
        "WANDB_CONFIG_DIR": str(run / "config"), "WANDB_CACHE_DIR": str(run / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def wandb_records(run: Path) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    for file in sorted(run.glob("wandb/offline-run-*/run-*.wandb")):
        found: list[Any] = []
        began = time.monotonic()
        # a process of wandb's own writes the file, and is still at it when the run has ended
        while not any(r.WhichOneof("record_type") == "exit" for r in found):
            assert time.monotonic() - began < 60, f"{file} has no end"
            time.sleep(0.1)
            parse = wandb_internal_pb2.Record.FromString
            found = [parse(data) for data in leveldb_records(file.read_bytes(), header=7)]
        yield from found


def leveldb_records(file: bytes, *, header: int) -> Iterator[bytes]:
    """Records of LevelDB's log format: blocks of 32 KiB, fragments with crc, length and type."""
    place, record = header, b""
    while place + 7 <= len(file):
        left = 2**15 - place % 2**15
        if left < 7:  # padding
            place += left
            continue
        length, kind = int.from_bytes(file[place + 4 : place + 6], "little"), file[place + 6]
        record += file[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # full, last
            yield record
            record = b""


def test_wandb_has_rows_figures_pictures_films_and_sounds(
    run: Path, results: Results, offline: None
) -> None:
    pytest.importorskip("wandb", reason="extra wandb")
    tell(made("wandb", run, project="ours"), results)
    steps: dict[int, dict[str, Any]] = {}
    for record in wandb_records(run):
        if record.WhichOneof("record_type") == "history":
            items = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            steps.setdefault(record.history.step.num, {}).update(items)
    assert steps[1]["train/loss"] == 3.0
    assert steps[10]["train/loss"] == 2.0
    assert steps[10]["validation/loss"] == 2.5
    assert steps[10]["evaluation/reconstruction/mse"] == 0.25
    kept = {path.parent.parent.name: path for path in run.glob("wandb/*/files/media/*/*/*")}
    assert {kind: path.suffix for kind, path in kept.items()} == {
        "images": ".png", "videos": ".gif", "audio": ".wav",
    }  # fmt: skip
    [started] = [r.run for r in wandb_records(run) if r.WhichOneof("record_type") == "run"]
    assert (started.project, started.display_name) == ("ours", run.name)
    config = {item.key: json.loads(item.value_json) for item in started.config.update}
    assert config["train"] == {"seed": 7}


def test_a_run_that_goes_on_is_the_same_run_for_wandb(
    run: Path, results: Results, offline: None
) -> None:
    pytest.importorskip("wandb", reason="extra wandb")
    for _ in range(2):
        tell(made("wandb", run), results)
    starts = [r.run.run_id for r in wandb_records(run) if r.WhichOneof("record_type") == "run"]
    assert len(starts) >= 1
    assert len(set(starts)) == 1


def test_what_tells_a_run_from_others_is_written_through_no_link(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = SimpleNamespace(init=lambda **options: None)
    monkeypatch.setitem(sys.modules, "trackio", package)
    (run / "tracked-as.txt").symlink_to(run / "mine.txt")
    made("trackio", run)
    assert not (run / "mine.txt").exists()
    assert len((run / "tracked-as.txt").read_text()) == 8


def test_trackio_has_rows_figures_pictures_films_and_sounds(
    run: Path, results: Results, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackio", reason="extra trackio")
    tell(made("trackio", run, project="ours"), results)
    assert capsys.readouterr().out == ""
    [database] = (run / "trackio").glob("*.db")
    with sqlite3.connect(database) as connection:
        found = connection.execute("select step, metrics from metrics order by id").fetchall()
    told = [(step, json.loads(metrics)) for step, metrics in found]
    assert (1, 3.0) in [(step, row.get("train/loss")) for step, row in told]
    assert (10, 2.5) in [(step, row.get("validation/loss")) for step, row in told]
    assert told[-1][1]["evaluation/reconstruction/mse"] == 0.25
    kept = sorted(path.suffix for path in (run / "trackio" / "media").rglob("*.*"))
    assert kept == [".gif", ".png", ".wav"]


# -- in a run -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module"),
    [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb"), ("trackio", "trackio")],
)
def test_a_package_that_is_not_there_is_said_with_its_extra(
    name: str, module: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(gz.OptionError, match=rf"pip install 'genzoo-rwae\[{name}\]'"):
        made(name, run)


def test_a_tracker_that_cannot_be_had_is_a_problem_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(gz.SpecError, match="genzoo-rwae") as caught:
        gz.build("zoo:quickstart", run=tmp_path / "run", settings=short(["wandb"]))
    assert caught.value.problems[0].path.startswith("trackers")


SPY = """\
from genzoo_rwae import hookimpl, tracker


@tracker("spy")
class Spy:
    '''Notes what it is told; raises where it should.'''

    def __init__(self, run, /, *, fails: str = ""):
        self.path, self.fails = run / "spied.txt", fails
        if fails == "made":
            self.note("made")

    def note(self, word):
        with self.path.open("a") as file:
            print(word, file=file)
        if word == self.fails:
            raise OSError("no more room")

    def log(self, row):
        self.note("log")

    def show(self, results):
        self.note("show")
        self.note(" ".join(sorted(results.pictures)))
        self.note(f"{results.figures['reconstruction/mse']:.1f}"[:2])

    def close(self):
        self.note("close")


@hookimpl
def genzoo_trackers():
    yield Spy
"""


def short(trackers: object) -> Mapping[str, object]:
    return {
        "train.epochs": None, "train.steps": 2, "evaluate": ["reconstruction"],
        "trackers": trackers,
    }  # fmt: skip


@pytest.fixture
def spied(tmp_path: Path) -> Callable[..., tuple[list[str], str]]:
    """What a spy was told in a build, and what the build said."""
    from rich.console import Console

    def build(**options: object) -> tuple[list[str], str]:
        (tmp_path / "spy.py").write_text(SPY)
        zoo = gz.Zoo([str(tmp_path / "spy.py")], use_entry_points=False)
        console = Console(record=True, quiet=False, file=(tmp_path / "said.txt").open("w"))
        settings = short([{"use": "spy", **options}])
        gz.build(
            "zoo:quickstart", run=tmp_path / "run", settings=settings, zoo=zoo, console=console
        )
        return (tmp_path / "run" / "spied.txt").read_text().split("\n")[:-1], console.export_text()

    return build


def test_trackers_that_are_open_are_closed_where_a_later_one_cannot_be_had(tmp_path: Path) -> None:
    def lacking(run: Path) -> None:
        raise gz.OptionError("needs pip install")

    told: list[str] = []
    first = SimpleNamespace(close=lambda: told.append("close"))
    parts: Any = [lambda run: first, lacking]
    with pytest.raises(gz.OptionError):
        Trackers(parts, tmp_path, told.append)
    assert told == ["close"]


def test_a_tracker_is_told_rows_then_results_then_the_end(spied: Any) -> None:
    told, _ = spied()
    pictures = "reconstruction.png rollout.gif rollout.png sample.gif sample.png swap.gif swap.png"
    assert told == ["log", "log", "show", pictures, "0.", "close"]


def test_a_tracker_is_told_the_end_of_a_run_that_failed(
    spied: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise gz.RunError("not finite")

    monkeypatch.setattr("genzoo_rwae.training.loop.Trainer._train", fail)
    with pytest.raises(gz.RunError):
        spied()
    assert (tmp_path / "run" / "spied.txt").read_text() == "close\n"


@pytest.mark.parametrize("fails", ["made", "log", "show", "close"])
def test_a_tracker_that_fails_is_named_and_dropped_and_the_run_ends(
    fails: str, spied: Any, tmp_path: Path
) -> None:
    told, said = spied(fails=fails)
    assert told[-1] == fails
    said = " ".join(said.split())
    assert "the tracker 'spy' of plugin 'spy'" in said
    assert "failed and is told nothing more: OSError: no more room" in said
    assert (tmp_path / "run" / "report.html").is_file()


def test_results_are_the_numbers_and_files_of_a_run_folder(tmp_path: Path) -> None:
    from genzoo_rwae.run_folder import RunFolder

    folder = RunFolder(tmp_path)
    folder.evaluation.write_text(
        json.dumps({"a": {"b": {"value": 1, "chance": 0.5}, "c": {"d": {"value": None}}}, "e": 2})
    )
    for place in ("pictures/x.png", "pictures/x.gif", "pictures/x.txt", "sounds/y.wav"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    results = results_of(folder, 5)
    assert results.figures == {"a/b": 1.0, "e": 2.0}
    assert sorted(results.pictures) == ["x.gif", "x.png"]
    assert sorted(results.sounds) == ["y"]
