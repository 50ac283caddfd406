"""Kills, signals, values that are not finite, full devices, damaged checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import genzoo_rwae as gz
from genzoo_rwae.errors import DivergedError
from genzoo_rwae.evaluation import Splits
from genzoo_rwae.run import open_splits
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.training.batches import Batches
from genzoo_rwae.training.checkpoint import last_state, load_state
from genzoo_rwae.training.signals import noted_signals

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SAVED_ONCE = {"train.steps": 2, "train.save_every": 1000}


def test_a_run_killed_in_mid_epoch_ends_bit_equal_to_an_undisturbed_one(
    genzoo: Command, tiny_spec: Path, killer: Path, tmp_path: Path
) -> None:
    # 89 batches an epoch: the steps around the end of one are the interesting ones
    options = ("--set", "train.steps=100", "--set", "data.batch=16")
    killed = genzoo(
        "build", "tiny.yaml", "-o", "killed", "-p", killer.name, *options,
        KILL_AT="93", KILL_WITH="SIGKILL",
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert load_state(tmp_path / "killed" / "checkpoints" / "last.pt").step == 92
    again = genzoo("build", "tiny.yaml", "-o", "killed", *options)
    assert again.returncode == 0, again.stderr
    assert "going on from step 92" in " ".join(again.stderr.split())
    assert genzoo("build", "tiny.yaml", "-o", "whole", *options).returncode == 0
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("killed", "whole")]
    assert weights[0] == weights[1]
    states = [load_state(tmp_path / run / "checkpoints" / "last.pt") for run in ("killed", "whole")]
    moments = [state.optimizer["state"][0]["exp_avg"] for state in states]
    assert torch.equal(*moments)
    rows = [
        json.loads(line) for line in (tmp_path / "killed/metrics.jsonl").read_text().splitlines()
    ]
    steps = [row["step"] for row in rows if row["split"] == "train"]
    assert steps == sorted(set(steps))


GOES_ON = r".*the same command goes on from it, or this one: genzoo build \S+run -o \S+run"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_and_says_how_to_go_on(
    tiny_spec: Path, killer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("KILL_AT", "5")
    monkeypatch.setenv("KILL_WITH", name)
    before = signal.getsignal(getattr(signal, name))
    zoo = gz.Zoo([str(killer)], use_entry_points=False)
    with pytest.raises(gz.GenzooError, match=f"stopped by {name} at step 5; {GOES_ON}") as caught:
        gz.build(tiny_spec, run=tmp_path / "run", settings={"train.save_every": 1000}, zoo=zoo)
    assert caught.value.exit_code == 128 + getattr(signal, name)
    assert load_state(tmp_path / "run" / "checkpoints" / "last.pt").step == 5
    assert signal.getsignal(getattr(signal, name)) is before


@pytest.fixture
def ends_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Signals that came through to whoever was there before."""
    told: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    yield told
    signal.signal(signal.SIGINT, before)


def test_a_signal_told_twice_within_a_second_is_one(
    ends_told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("genzoo_rwae.training.signals.time.monotonic", lambda: clock[0])
    with noted_signals() as signals:
        assert signals.received == 0
        signal.raise_signal(signal.SIGINT)
        clock[0] += 0.9
        signal.raise_signal(signal.SIGINT)
        assert signals.received == signal.SIGINT
        assert ends_told == []
        clock[0] += 0.2
        signal.raise_signal(signal.SIGINT)  # somebody does not want to wait
        assert ends_told == [signal.SIGINT]
    signal.raise_signal(signal.SIGINT)
    assert ends_told == [signal.SIGINT] * 2


POISON = """\
from genzoo_rwae import hookimpl, penalty

calls = 0

@penalty("poison")
def poison(q_ND, p_ND, /, *, after: int = 8):
    "A penalty that is not a number after some calls."
    global calls
    calls += 1
    return q_ND.square().mean() * (float("nan") if calls > after else 1.0)

@hookimpl
def genzoo_penalties():
    yield poison
"""


def test_a_loss_that_is_not_finite_stops_with_step_term_and_indices(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "poison.py").write_text(POISON)
    settings = ["plugins=[./poison.py]", "objective.static={use: poison}"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(gz.RunError) as caught:
        gz.build(tiny_spec, run=tmp_path / "run", settings=settings)
    message = str(caught.value)
    # one call is the trial at assembly
    assert "step 8: 'static' is not finite" in message
    assert message.count(",") >= 15  # the indices of the batch of 16
    state = load_state(tmp_path / "run" / "checkpoints" / "last.pt")
    assert state.step == 7
    assert all(bool(value.isfinite().all()) for value in state.model.values())


def test_a_measurement_that_is_not_finite_is_a_run_that_diverged(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "poison.py").write_text(POISON)
    # a call at assembly, twelve steps, and then the validation split
    settings = ["plugins=[./poison.py]", "objective.static={use: poison, after: 13}"]
    monkeypatch.chdir(tmp_path)
    said = r"after step 12: 'static' is not finite on the validation split; the checkpoint in .* is"
    with pytest.raises(DivergedError, match=said):
        gz.build(tiny_spec, run=tmp_path / "run", settings=settings)
    assert load_state(tmp_path / "run" / "checkpoints" / "last.pt").step == 11


def test_an_exploding_run_stops_with_step_term_and_indices(tiny_spec: Path, tmp_path: Path) -> None:
    settings = {"train.optimizer": {"use": "adamw", "lr": 1e12}, "train.schedule": "constant"}
    said = (
        r"step \d: '\w+' is not finite; the batch had the sequences \[\d.*\] of the training split"
    )
    with pytest.raises(gz.RunError, match=said):
        gz.build(tiny_spec, run=tmp_path / "run", settings=settings)


def test_a_plugin_file_that_has_changed_does_not_go_on_with_the_old_run(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / "poison.py"
    plugin.write_text(POISON)
    settings = ["plugins=[./poison.py]", "objective.static={use: poison, after: 1000}"]
    gz.build(tiny_spec, run=tmp_path / "run", settings=settings)
    plugin.write_text(POISON.replace("1.0", "1000.0"))
    with pytest.raises(gz.SpecError, match=r"plugin 'poison': .*has changed since"):
        gz.build(tiny_spec, run=tmp_path / "run", settings=settings)


LIMITED = """\
import os, resource
from genzoo_rwae import hookimpl

@hookimpl
def genzoo_step_done(step):
    if step == 6:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
"""


def test_a_checkpoint_that_does_not_fit_stops_the_run_and_leaves_the_one_before(
    genzoo: Command, tiny_spec: Path, tmp_path: Path
) -> None:
    (tmp_path / "limited.py").write_text(LIMITED)
    stopped = genzoo("build", "tiny.yaml", "-o", "run", "-p", "limited.py")
    assert stopped.returncode == 1
    assert "last.pt could not be written" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert load_state(tmp_path / "run" / "checkpoints" / "last.pt").step == 5
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["last.pt", "previous.pt"]
    assert genzoo("build", "tiny.yaml", "-o", "run").returncode == 0


UNWRITABLE = """\
import os
from genzoo_rwae import hookimpl

@hookimpl
def genzoo_step_done(step, run):
    if step == 6:
        for folder in (run / "checkpoints", run):
            folder.chmod(0o555)
        if os.geteuid() == 0:  # whom no permission stops
            os.seteuid(65534)
"""


def test_a_folder_that_becomes_read_only_stops_the_run_and_leaves_the_checkpoint(
    genzoo: Command, tiny_spec: Path, tmp_path: Path
) -> None:
    (tmp_path / "unwritable.py").write_text(UNWRITABLE)
    tmp_path.chmod(0o755)  # it is to be read
    run = tmp_path / "run"
    stopped = genzoo("build", "tiny.yaml", "-o", "run", "-p", "unwritable.py")
    for folder in (run, run / "checkpoints"):
        folder.chmod(0o755)
    assert stopped.returncode == 1
    said = " ".join(stopped.stderr.split())
    assert "could not be written: Permission denied: the folder has to be writable" in said
    assert "Traceback" not in stopped.stderr
    assert load_state(run / "checkpoints" / "last.pt").step == 5
    RunFolder(run).check_all()


@pytest.fixture
def small_device(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB, where one can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_run_goes_on_when_a_full_device_has_room_again(
    tiny_spec: Path, small_device: Path
) -> None:
    run = small_device / "run"
    with pytest.raises(gz.RunError, match="no space left on the device: make room, and the same"):
        gz.build(tiny_spec, run=run)
    RunFolder(run).check_all()
    state = last_state(RunFolder(run))
    assert state is not None
    assert not list(run.rglob(".*"))
    more = ["mount", "-o", "remount,size=8m", str(small_device)]
    subprocess.run(more, check=True)
    gz.build(tiny_spec, run=run)
    assert load_state(run / "checkpoints" / "last.pt").step == 12
    RunFolder(run).check_all()


THIEF = """\
from genzoo_rwae import hookimpl

@hookimpl
def genzoo_step_done(step, run):
    if step == 3:
        (run.parent / "clips").rename(run.parent / "stolen")
"""


def test_data_that_vanish_in_mid_run_are_named_and_the_run_goes_on_when_they_are_back(
    tiny_spec: Path, tmp_path: Path
) -> None:
    for clip in range(24):
        (tmp_path / "clips" / str(clip)).mkdir(parents=True)
        for frame in range(4):
            picture = Image.new("L", (32, 32), 10 * clip + frame)
            picture.save(tmp_path / "clips" / str(clip) / f"{frame}.png")
    (tmp_path / "thief.py").write_text(THIEF)
    settings = {"data": {"use": "clips", "path": str(tmp_path / "clips"), "batch": 4}}
    zoo = gz.Zoo([str(tmp_path / "thief.py")], use_entry_points=False)
    with pytest.raises(
        gz.DataError, match=r"(?s)step \d+: .*clips/\d+/\d.png: .*goes on"
    ) as caught:
        gz.build(tiny_spec, run=tmp_path / "run", settings=settings, zoo=zoo)
    assert caught.value.exit_code == 2
    RunFolder(tmp_path / "run").check_all()
    assert load_state(tmp_path / "run" / "checkpoints" / "last.pt").step >= 3
    (tmp_path / "stolen").rename(tmp_path / "clips")
    gz.build(tiny_spec, run=tmp_path / "run", settings=settings)
    assert load_state(tmp_path / "run" / "checkpoints" / "last.pt").step == 12


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "No such file or directory", "clip-7.npy"), gz.DataError("clip-7.npy")],
)
def test_what_a_source_says_of_data_that_are_gone_gets_step_and_advice(error: Exception) -> None:
    class Gone(gz.SequenceData):
        def __len__(self) -> int:
            return 8

        def take(self, indices_B: object, /, *, draw: int = 0) -> gz.Batch:
            raise error

    with pytest.raises(gz.DataError, match=r"step 4: the data cannot .*clip-7\.npy.*goes on from"):
        Batches(Gone(), 2, seed=0).at(3)


def test_data_that_are_gone_when_they_are_to_be_measured_are_answered_for_as_well(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> gz.Batch:
        raise gz.DataError("clip-7.npy")

    def splits_of(spec: gz.Spec) -> Splits:
        splits = open_splits(spec)
        monkeypatch.setattr(splits.validation, "take", gone)
        return splits

    monkeypatch.setattr("genzoo_rwae.run.open_splits", splits_of)
    with pytest.raises(gz.DataError, match=r"step 1: the data cannot .*clip-7\.npy.*goes on from"):
        gz.build(tiny_spec, run=tmp_path / "run", settings={"train.steps": 1})


def test_no_space_left_on_the_device_is_said_in_words(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genzoo_rwae.files.os.fsync", full)
    with pytest.raises(gz.RunError, match="no space left on the device"):
        gz.build(tiny_spec, run=tmp_path / "run")
    assert not any(path.suffix == ".tmp" for path in (tmp_path / "run").rglob("*"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[: len(raw) // 2], "truncated, or not a checkpoint"),
        (lambda raw: b"", "truncated, or not a checkpoint"),
        (lambda raw: b"not a checkpoint at all", "truncated, or not a checkpoint"),
    ],
    ids=["half", "empty", "foreign bytes"],
)
def test_a_damaged_checkpoint_without_a_digest_is_named_and_left(
    tiny_spec: Path, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    run = tmp_path / "run"
    gz.build(tiny_spec, run=run, settings=SAVED_ONCE)
    (run / "digests.json").unlink()
    state = run / "checkpoints" / "last.pt"
    damaged = damage(state.read_bytes())
    state.write_bytes(damaged)
    with pytest.raises(gz.CheckpointError, match=said) as caught:
        gz.build(tiny_spec, run=run, settings=SAVED_ONCE)
    assert str(state) in str(caught.value)
    assert state.read_bytes() == damaged


class _Mischief:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_foreign_checkpoint_is_refused_and_executes_nothing(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    gz.build(tiny_spec, run=run, settings=SAVED_ONCE)
    (run / "digests.json").unlink()
    torch.save({"format": 1, "model": _Mischief()}, run / "checkpoints" / "last.pt")
    with pytest.raises(gz.CheckpointError, match=r"last\.pt"):
        gz.build(tiny_spec, run=run, settings=SAVED_ONCE)
    assert not (tmp_path / "pwned").exists()
    torch.save({"state_dict": {}}, run / "checkpoints" / "last.pt")
    with pytest.raises(gz.CheckpointError, match=r"it holds \['state_dict'\]"):
        gz.build(tiny_spec, run=run, settings=SAVED_ONCE)
