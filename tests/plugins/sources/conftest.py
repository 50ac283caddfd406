"""Made-up sound for the sources of sound."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

BESIDE = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="session")
def write_hum() -> Callable[..., Path]:
    """Writes a wav file with a tone; folders are made."""

    def write(path: Path, hertz: float, *, seconds: float = 0.3, rate: int = 8_000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(round(seconds * rate)) / rate
        wavfile.write(path, rate, (8_000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16))
        return path

    return write


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Finds the folder of a real data set, or skips the test."""

    def folder(name: str) -> Path:
        base = os.environ.get("GENZOO_DATA")
        found = (Path(base) if base else BESIDE) / name
        if not found.is_dir():
            pytest.skip(f"{found} is not there: set GENZOO_DATA to a folder with {name}")
        return found

    return folder
