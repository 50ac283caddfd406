"""What a step frees stays in the process: the next one gets no new pages."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from genzoo_rwae import build
from genzoo_rwae.training import loop, memory, threads

# memory that a process still has after it has freed a block, in MB
FREED = """
import ctypes
import resource
import sys
from pathlib import Path

from genzoo_rwae.training.memory import keep_freed_memory, trim_freed_memory

kept = sys.argv[1] == "kept" and keep_freed_memory()
free, malloc = ctypes.CDLL(None).free, ctypes.CDLL(None).malloc
free.argtypes, malloc.restype = [ctypes.c_void_p], ctypes.c_void_p


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


before = resident()
at = malloc(96 << 20)
ctypes.memset(at, 1, 96 << 20)
free(at)
if sys.argv[1:] == ["kept", "then trimmed"]:
    trim_freed_memory()
print(kept, round(resident() - before))
"""


def has_mallopt() -> bool:
    try:
        return hasattr(ctypes.CDLL(None), "mallopt") and Path("/proc/self/statm").exists()
    except (OSError, TypeError):
        return False


def plain_environment() -> dict[str, str]:
    """This one, without what may tell a C library how to deal with memory."""
    names = [name for name in os.environ if not name.startswith(("MALLOC_", "GLIBC_"))]
    return {name: os.environ[name] for name in names}


def said_of_a_freed_block(*how: str, **environment: str) -> tuple[str, int]:
    """Whether memory is kept, and how many MB are left of a block of 96."""
    kept, megabytes = subprocess.run(
        [sys.executable, "-c", FREED, *how],
        capture_output=True,
        text=True,
        check=True,
        env={**plain_environment(), **environment},
    ).stdout.split()
    return kept, int(megabytes)


@pytest.mark.skipif(not has_mallopt(), reason="this C library has no mallopt")
def test_a_freed_block_stays_with_the_process() -> None:
    kept, megabytes = said_of_a_freed_block("kept")
    assert kept == "True"
    assert megabytes > 90
    assert said_of_a_freed_block("as it was")[1] < 10
    assert said_of_a_freed_block("kept", "then trimmed")[1] < 10


@pytest.mark.skipif(not has_mallopt(), reason="this C library has no mallopt")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "1000000"),
        ("MALLOC_MMAP_THRESHOLD_", "1000000"),
        ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1000000"),
    ],
)
def test_what_the_environment_says_of_memory_is_left_as_it_is(name: str, value: str) -> None:
    kept, megabytes = said_of_a_freed_block("kept", **{name: value})
    assert kept == "False"
    assert megabytes < 10


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_other_c_libraries_are_left_alone(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: None) -> None:
        raise error

    monkeypatch.setattr(memory.os, "environ", {})
    monkeypatch.setattr(memory.ctypes, "CDLL", refuse)
    assert memory.keep_freed_memory.__wrapped__() is False
    memory.trim_freed_memory()


def test_what_is_refused_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def mallopt(what: int, size: int) -> int:
        asked.append(what)
        return int(what == -3 and size <= 2**25)  # as an old glibc, but one that trims as it likes

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    monkeypatch.setattr(memory.os, "environ", {})
    assert memory.keep_freed_memory.__wrapped__() is False
    assert asked == [-3, -3, -1]


def test_every_checkpoint_gives_back_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmed, saved, save = [], [], loop.save_state
    monkeypatch.setattr(loop, "trim_freed_memory", lambda: trimmed.append(len(saved)))
    monkeypatch.setattr(loop, "save_state", lambda *given: saved.append(save(*given)))
    settings = {"train.steps": 3, "train.save_every": 0, "evaluate": []}
    build("zoo:moving-shapes", run=tmp_path / "run", settings={**settings, "train.threads": 1})
    assert trimmed == [1, 2, 3]


def test_a_build_keeps_memory_before_it_tries_how_fast_a_batch_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    monkeypatch.setattr(memory, "keep_freed_memory", lambda: order.append("memory"))
    monkeypatch.setattr(threads, "settle_threads", lambda *given: order.append("threads"))
    build(
        "zoo:moving-shapes",
        run=tmp_path / "run",
        settings={"train.steps": 1, "train.threads": 1, "evaluate": []},
    )
    assert order == ["memory", "threads"]
