"""What a step frees stays in the process: the next one gets no new pages."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from genzoo_rwae.training import memory

BLOCKS = """
import ctypes
import resource
import sys

from genzoo_rwae.training.memory import keep_freed_memory

kept = sys.argv[1] == "kept" and keep_freed_memory()
free, malloc = ctypes.CDLL(None).free, ctypes.CDLL(None).malloc
free.argtypes, malloc.restype = [ctypes.c_void_p], ctypes.c_void_p


def turn():
    for megabytes in (48, 24, 40):
        at = malloc(megabytes << 20)
        ctypes.memset(at, 1, megabytes << 20)
        free(at)


turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    turn()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def has_mallopt() -> bool:
    try:
        return hasattr(ctypes.CDLL(None), "mallopt")
    except (OSError, TypeError):
        return False


@pytest.mark.skipif(not has_mallopt(), reason="this C library has no mallopt")
def test_freed_blocks_are_used_again() -> None:
    pages = {}
    for how in ("kept", "as it was"):
        said = subprocess.run(
            [sys.executable, "-c", BLOCKS, how], capture_output=True, text=True, check=True
        ).stdout.split()
        assert said[0] == str(how == "kept")
        pages[how] = int(said[1])
    assert pages["kept"] < 1_000 < 10_000 < pages["as it was"]


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_other_c_libraries_are_left_alone(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: None) -> None:
        raise error

    monkeypatch.setattr(memory.ctypes, "CDLL", refuse)
    assert memory.keep_freed_memory.__wrapped__() is False


def test_what_is_refused_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def mallopt(what: int, size: int) -> int:
        asked.append(what)
        return int(what == -3 and size <= 2**25)  # as an old glibc, but one that trims as it likes

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert memory.keep_freed_memory.__wrapped__() is False
    assert asked == [-3, -3, -1]
