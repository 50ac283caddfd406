"""The arithmetic of benchmarks/memory_growth.py; the hour itself is not a test."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not part of a source distribution")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("memory_growth")


def samples(script: ModuleType, megabytes: np.ndarray) -> list[object]:
    return [
        script.Sample(float(second), dict.fromkeys(script.KINDS, float(value)))
        for second, value in enumerate(megabytes)
    ]


def test_memory_that_rises_in_the_warm_up_alone_does_not_grow(script: ModuleType) -> None:
    megabytes = np.where(np.arange(1000) < 100, np.arange(1000) * 5.0, 500.0)
    assert script.growth(samples(script, megabytes), "resident").percent == 0


def test_a_steady_leak_is_what_it_adds_between_warm_up_and_end(script: ModuleType) -> None:
    """1001 samples of 400 MB + 0.01 MB a second: 401 MB at 100 s, 410 MB at 1000 s."""
    found = script.growth(samples(script, 400 + 0.01 * np.arange(1001)), "resident")
    assert (found.first, found.last) == (pytest.approx(401), pytest.approx(410))
    assert found.percent == pytest.approx(100 * 9 / 401)
    assert found.spread == pytest.approx(0, abs=1e-9)


def test_the_line_is_that_of_least_squares(script: ModuleType) -> None:
    megabytes = 400 + np.random.default_rng(0).normal(0, 3, 500).cumsum()
    kept = np.arange(500) >= 0.1 * 499
    seconds = np.arange(500)[kept]
    line = np.polynomial.Polynomial.fit(seconds, megabytes[kept], 1)
    found = script.growth(samples(script, megabytes), "anonymous")
    assert (found.first, found.last) == (
        pytest.approx(line(seconds[0])),
        pytest.approx(line(seconds[-1])),
    )


def test_the_verdict_tells_a_leak_from_none(script: ModuleType) -> None:
    assert "NOT below" not in script.verdict(samples(script, np.full(100, 400.0)))
    assert "NOT below 1 %" in script.verdict(samples(script, 400 + 0.1 * np.arange(100)))


def test_too_short_a_time_is_refused(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="give more --minutes"):
        script.growth(samples(script, np.full(2, 400.0)), "resident")


def test_memory_of_a_process_is_what_the_system_says(script: ModuleType) -> None:
    found = script.memory_of(os.getpid())
    assert 0 < found["anonymous"] < found["resident"]
