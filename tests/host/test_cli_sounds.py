"""Verbs on a run whose data are sound: which wav files they write, and what is in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from genzoo_rwae import build
from genzoo_rwae.cli import sounds
from genzoo_rwae.sequences import SequenceData

RATE, SAMPLES = 8_000, (1_600, 1_000)
SPEC = """\
genzoo: 1
name: hums
data: {use: audio, path: hums, batch: 6, rate: 8000, window: 200, hop: 100, n_fft: 256, mels: 16,
       chunk: 0.2, test: 0.4}
model:
  use: rwae
  encoder: {use: frame, frames: {use: mlp, width: 8}}
  static: {size: 3}
  dynamic: {size: 2, prior: {use: lstm, hidden: 5}}
  decoder: {use: frame, frames: mlp}
objective:
  static: {use: mmd, weight: 10}
  dynamic: {use: mmd, weight: 10, given: none}
train: {steps: 2}
evaluate: []
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on twelve recordings, every other one shorter than a piece."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "hums").mkdir()
    for k in range(12):
        time = np.arange(SAMPLES[k % 2]) / RATE
        tone = 8_000 * np.sin(2 * np.pi * (200 + 100 * k) * time)
        wavfile.write(folder / "hums" / f"{k}.wav", RATE, tone.astype(np.int16))
    (folder / "spec.yaml").write_text(SPEC)
    build(folder / "spec.yaml", run=folder / "run")
    return folder / "run"


def wavs(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in folder.glob("*.wav"):
        rate, found[path.stem] = wavfile.read(path)
        assert rate == RATE
    return found


def test_a_build_leaves_two_recordings_their_swaps_and_samples_to_be_heard(run):
    found = wavs(run / "sounds")
    originals = sorted(int(name.split("-")[1]) for name in found if name.startswith("original"))
    i, j = originals
    assert set(found) == {
        f"original-{i}", f"original-{j}", f"reconstruction-{i}", f"reconstruction-{j}",
        f"swap-{i}-{j}", f"swap-{j}-{i}", "sample-0", "sample-1",
    }  # fmt: skip
    # a swap is as long as the recording that gives the motion
    assert len(found[f"swap-{i}-{j}"]) == len(found[f"original-{j}"])
    assert len(found[f"swap-{j}-{i}"]) == len(found[f"original-{i}"])
    assert all(np.abs(wave).max() > 0 for wave in found.values())


def test_a_swap_is_heard_beside_its_donors_and_as_long_as_the_motions(genzoo, run, tmp_path):
    words = ["--static", "0,1", "--motion", "1,2,3", "-o", str(tmp_path / "swap"), "--json"]
    ended = genzoo("swap", str(run), *words)
    assert ended.code == 0, ended
    found = wavs(tmp_path / "swap")
    assert set(found) == {
        *(f"original-{i}" for i in range(4)),
        *(f"swap-{i}-{j}" for i in (0, 1) for j in (1, 2, 3)),
    }
    assert {path for path in json.loads(ended.out)["files"] if path.endswith(".wav")} == {
        str(tmp_path / "swap" / f"{name}.wav") for name in found
    }
    for i in (0, 1):
        for j in (1, 2, 3):
            assert len(found[f"swap-{i}-{j}"]) == len(found[f"original-{j}"])
    assert {len(found[f"original-{i}"]) for i in range(4)} == set(SAMPLES)


def test_a_phase_is_kept_or_estimated(genzoo, run, tmp_path):
    found = {}
    for phase in ("keep", "estimate"):
        words = ["--phase", phase, "-o", str(tmp_path / phase)]
        assert genzoo("reconstruct", str(run), *words).code == 0
        found[phase] = wavs(tmp_path / phase)
        assert set(found[phase]) == {
            f"{what}-{i}" for what in ("original", "reconstruction") for i in range(5)
        }
    for name, kept in found["keep"].items():
        if name.startswith("original"):
            assert np.array_equal(kept, found["estimate"][name])
        else:
            assert len(kept) < len(found["estimate"][name])  # a phase has its recording's end
    assert genzoo("reconstruct", str(run), "--phase", "lose").code == 2


def test_samples_are_heard_where_the_data_are_at_hand(genzoo, run, tmp_path):
    assert genzoo("sample", str(run), "-n", "3", "-o", str(tmp_path / "with")).code == 0
    assert set(wavs(tmp_path / "with")) == {"sample-0", "sample-1", "sample-2"}
    data = run.parent / "hums"
    data.rename(run.parent / "gone")
    try:
        ended = genzoo("sample", str(run), "-n", "3", "-o", str(tmp_path / "without"))
    finally:
        (run.parent / "gone").rename(data)
    assert ended.code == 0
    assert "no sound was written" in ended.err
    assert not wavs(tmp_path / "without")
    assert (tmp_path / "without" / "sample.npz").is_file()


def test_of_many_sounds_the_first_are_written(genzoo, run, tmp_path, monkeypatch):
    monkeypatch.setattr(sounds, "_MOST", 2)
    ended = genzoo("reconstruct", str(run), "-o", str(tmp_path / "few"))
    assert ended.code == 0
    assert set(wavs(tmp_path / "few")) == {"original-0", "original-1"}
    assert "the first 2 of 10 sounds were written" in ended.err


def test_data_that_are_no_sound_make_none(tmp_path):
    class Silent(SequenceData):
        def __len__(self):
            return 1

        def take(self, indices_B, /, *, draw=0):
            raise AssertionError

    heard = [sounds.Heard("a", torch.zeros(3, 2), None)]
    assert sounds.save_sounds(Silent(), heard, tmp_path) == []
    assert not list(tmp_path.iterdir())
