"""One writer to a run folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genzoo_rwae.errors import CheckpointError, GenzooWarning, RunError, SpecError
from genzoo_rwae.run_lock import locked

HOLDER = """\
import sys, time
from pathlib import Path
from genzoo_rwae.run_lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds tmp_path/run."""
    roots = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(roots)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_that_is_held_is_refused_and_the_message_says_by_whom(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    said = rf"in use by process {holder.pid} on .+, since {time.strftime('%Y')}-.*; wait until"
    with pytest.raises(CheckpointError, match=said), locked(tmp_path / "run"):
        pass


def test_the_lock_of_an_owner_that_was_killed_holds_nobody_up(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / ".lock").is_file()
    with locked(tmp_path / "run"):
        assert str(os.getpid()) in (tmp_path / "run" / ".lock").read_text()


def test_a_lock_leaves_nothing_behind_and_can_be_had_again(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "run"):
            pass
        assert list((tmp_path / "run").iterdir()) == []


def test_one_process_does_not_get_it_twice(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(CheckpointError, match=str(os.getpid())), locked(tmp_path):
        pass


def test_a_lock_whose_file_was_taken_away_meanwhile_is_not_held_by_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner goes between the opening and the locking of its file."""
    opened = os.open
    stale: list[int] = []

    def opening(path: Path, *options: int) -> int:
        handle = opened(path, *options)
        if not stale:
            stale.append(handle)
            path.unlink()
        return handle

    monkeypatch.setattr("genzoo_rwae.run_lock.os.open", opening)
    with locked(tmp_path), pytest.raises(CheckpointError, match="in use"), locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda folder: folder / "file", SpecError, "is a file; -o wants a folder"),
        (lambda folder: folder / "file" / "run", RunError, "cannot be written: Not a directory"),
        (lambda folder: Path("/proc/genzoo"), RunError, "/proc/genzoo cannot be written"),
    ],
    ids=["a file", "below a file", "where no folder can be made"],
)
def test_a_place_that_cannot_be_a_run_folder_is_said_to_be_none(
    tmp_path: Path, wrong: Callable[[Path], Path], error: type[Exception], said: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(error, match=said), locked(wrong(tmp_path)):
        pass


def test_a_lock_that_is_a_link_does_not_write_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(RunError, match="cannot be written"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_where_there_are_no_locks_that_is_said_and_nobody_is_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(GenzooWarning, match="cannot be locked here"), locked(tmp_path):
        pass
