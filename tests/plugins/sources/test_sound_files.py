"""Sound files: what they hold comes out as 16-bit mono of one rate, and damage is named."""

from __future__ import annotations

import builtins
import struct
import wave

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.sound_files import read_sound
from scipy.io import wavfile

from genzoo_rwae.errors import DataError

RATE = 8_000
WAVE = (10_000 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)).astype(np.int16)


def sphere(wave_N: np.ndarray, rate: int) -> bytes:
    """NIST SPHERE as TIMIT has it: a text header of 1,024 bytes, then 16-bit samples."""
    lines = [
        "NIST_1A", "   1024", "channel_count -i 1", f"sample_count -i {len(wave_N)}",
        f"sample_rate -i {rate}", "sample_n_bytes -i 2", "sample_byte_format -s2 01",
        "sample_sig_bits -i 16", "sample_coding -s3 pcm", "end_head", "",
    ]  # fmt: skip
    return "\n".join(lines).encode().ljust(1024) + wave_N.astype("<i2").tobytes()


def test_sixteen_bits_come_out_as_they_are(tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(WAVE.tobytes())
    found = read_sound(path, RATE)
    assert found.dtype == np.int16
    assert np.array_equal(found, WAVE)


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        ((WAVE // 256 + 128).astype(np.uint8), 256),
        (WAVE.astype(np.int32) << 16, 0),
        ((WAVE / 2**15).astype(np.float32), 0),
        (WAVE / 2**15, 0),
        (np.stack([WAVE, WAVE // 2], 1), WAVE.max() // 4 + 1),  # stereo: the mean
    ],
)
def test_other_samples_are_the_same_sound(tmp_path, stored, error):
    wavfile.write(tmp_path / "a.wav", RATE, stored)
    found = read_sound(tmp_path / "a.wav", RATE).astype(int)
    assert found.shape == WAVE.shape
    assert np.abs(found - WAVE).max() <= error


def test_resampling_keeps_the_sound_below_half_the_new_rate(tmp_path):
    time = np.arange(44_100) / 44_100
    low, high = np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 15_000 * time)
    wavfile.write(tmp_path / "a.wav", 44_100, ((low + high) * 10_000).astype(np.int16))
    found = read_sound(tmp_path / "a.wav", RATE).astype(int)
    assert len(found) == RATE
    middle = slice(200, -200)
    assert np.abs(found[middle] - WAVE[middle]).max() < 100  # one percent


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF"])
def test_other_formats_are_read_by_what_they_hold(tmp_path, kind):
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed (audio)")
    path = tmp_path / "called.wav"
    with path.open("wb") as file:
        soundfile.write(file, WAVE, RATE, format=kind)
    found = read_sound(path, RATE).astype(int)
    assert len(found) == len(WAVE)
    assert np.abs(found - WAVE).mean() < (300 if kind == "OGG" else 1)


def test_sphere_is_read_although_it_is_called_wav(tmp_path):
    pytest.importorskip("soundfile", reason="soundfile is not installed (audio)")
    path = tmp_path / "SA1.WAV"
    path.write_bytes(sphere(WAVE, RATE))
    assert np.array_equal(read_sound(path, RATE), WAVE)


def test_without_soundfile_the_extra_is_named_and_wav_needs_none(tmp_path, monkeypatch):
    load = builtins.__import__

    def without(name, *rest, **options):
        if name == "soundfile":
            raise ImportError("No module named 'soundfile'")
        return load(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    path = tmp_path / "SA1.WAV"
    path.write_bytes(sphere(WAVE, RATE))
    with pytest.raises(DataError, match=r"SA1\.WAV .*pip install 'genzoo-rwae\[audio\]'"):
        read_sound(path, RATE)
    wavfile.write(path, RATE, WAVE)
    assert np.array_equal(read_sound(path, RATE), WAVE)


def riff(data: bytes, *, rate: int = RATE, size: int | None = None, kind: int = 1) -> bytes:
    """A wav file as a header of 44 bytes says it."""
    size = len(data) if size is None else size
    head = struct.pack("<HHIIHH", kind, 1, rate, 2 * rate & 0xFFFFFFFF, 2, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", size) + data
    )  # fmt: skip


PCM = WAVE.tobytes()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "cannot be read"),
        (b"RIFF", "cannot be read as wav"),
        (riff(PCM)[:30], "cannot be read as wav"),
        (b"not a sound at all" * 9, "cannot be read"),
        (riff(b""), "found no samples"),
        (riff(PCM[:500], size=len(PCM)), "was cut short"),
        (riff(PCM[:501], size=501), "cannot be read as wav"),  # half a sample
        (riff(PCM, size=0xFFFFFFF0), "was cut short"),
        (riff(PCM, rate=0), "found 0 samples a second"),
        (riff(PCM, rate=500_000), "samples a second, wanted 1,000 to 384,000"),
        (riff(PCM, kind=77), "cannot be read as wav"),
        (riff(PCM).replace(b"data", b"atad"), "cannot be read as wav"),
        (riff(PCM).replace(b"fmt ", b"tmf "), "cannot be read as wav"),
        (riff(PCM)[:16] + b"\xff" * 28 + PCM, "cannot be read as wav"),
    ],
)
def test_hostile_files_are_named(tmp_path, raw, said):
    path = tmp_path / "bad.wav"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"bad\.wav: .*{said}"):
        read_sound(path, RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e4, 1e300])
def test_floats_that_are_no_wave_are_named(tmp_path, value):
    samples = WAVE / 2**15
    samples[17] = value
    wavfile.write(tmp_path / "bad.wav", RATE, samples)
    with pytest.raises(DataError, match=r"bad\.wav: found samples of size .*wanted finite ones"):
        read_sound(tmp_path / "bad.wav", RATE)


def test_floats_a_little_beyond_one_are_clipped(tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, np.array([1.2, -1.2, 0.5], np.float32))
    assert read_sound(tmp_path / "a.wav", RATE).tolist() == [2**15 - 1, -(2**15), 2**14]


def test_a_folder_and_nothing_are_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_sound(tmp_path, RATE)
    with pytest.raises(DataError, match=r"gone\.wav: cannot be read"):
        read_sound(tmp_path / "gone.wav", RATE)
