"""Wav files that any player reads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import wavfile

from genzoo_rwae.errors import RunError
from genzoo_rwae.report.sounds import save_wav
from genzoo_rwae.sequences import Sound


def test_a_wav_is_sixteen_bits_of_one_channel_at_its_rate(tmp_path):
    wave = np.linspace(-1, 1, 2_001).astype(np.float32)
    path = save_wav(Sound(wave, 11_025), tmp_path / "new" / "a.wav")
    rate, found = wavfile.read(path)
    assert (rate, found.dtype, found.shape) == (11_025, np.int16, (2_001,))
    assert np.abs(found / 2**15 - wave).max() <= 2**-15
    assert [file.name for file in path.parent.iterdir()] == ["a.wav"]


def test_what_is_beyond_one_is_clipped_and_does_not_wrap(tmp_path):
    wave = np.array([1.5, -1.5, 0.0], np.float32)
    _, found = wavfile.read(save_wav(Sound(wave, 8_000), tmp_path / "a.wav"))
    assert found.tolist() == [2**15 - 1, -(2**15), 0]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"a\.wav could not be written"):
        save_wav(Sound(np.zeros(3, np.float32), 8_000), tmp_path / "file" / "a.wav")
