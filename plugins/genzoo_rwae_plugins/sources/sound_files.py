"""Sound files of any rate as 16-bit mono waves of one rate.

Shapes: N samples, C channels.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.places import check_regular

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["SUFFIXES", "read_sound"]

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".sph")
"""How names of sound files end, in small letters."""

_RATES = (1_000, 384_000)  # a second; what lies outside is a damaged header
_LONGEST = 4 * 3600  # seconds; FLAC keeps a day of silence in a few kilobytes
_MOST_SAMPLES = 2**29  # of all channels together, as 2 GB of float32
_LOUDEST = 2.0  # lossy decoders pass 1 a little; floats beyond this are no waves in [-1, 1]
_MEND = "save it again as PCM wav"


def read_sound(path: Path, rate: int, /) -> np.ndarray:
    """A file's sound, its channels averaged: [N] int16 at a rate of one's choice, N >= 1.

    RIFF wav is read by scipy; everything else (FLAC, Ogg, MP3, NIST SPHERE) by soundfile, of the
    extra `audio`. What a file holds decides, not its name: TIMIT's SPHERE files are called .WAV.
    Sixteen bits keep an hour at 16 kHz in 115 MB.

    Args:
        path: the file.
        rate: samples a second; a file of another rate is resampled (polyphase, scipy).

    Raises:
        DataError: the file is missing, damaged, cut short, empty, not finite, of an absurd rate,
            longer than four hours, or of a format that needs the extra.
    """
    try:
        check_regular(path)
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); wanted a sound file"
        ) from error
    wave_NC, found = _riff(path, raw) if raw[:4] == b"RIFF" else _other(path, raw)
    if not _RATES[0] <= found <= _RATES[1]:
        raise DataError(
            f"{path}: found {found} samples a second, wanted {_RATES[0]:,} to {_RATES[1]:,}; "
            f"{_MEND}"
        )
    _check_length(path, len(wave_NC), wave_NC.shape[1], found)
    if not wave_NC.size:
        raise DataError(f"{path}: found no samples, wanted at least one; take the file away")
    peak = float(np.abs(wave_NC).max())  # of NaN: NaN
    if not peak <= _LOUDEST:
        raise DataError(
            f"{path}: found samples of size {peak:g}, wanted finite ones in [-1, 1]; "
            f"scale them, or {_MEND}"
        )
    wave_N = wave_NC.mean(axis=1)
    if found != rate:
        shared = math.gcd(found, rate)
        wave_N = resample_poly(wave_N, rate // shared, found // shared)
    whole_N: np.ndarray = np.clip(np.round(wave_N * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    return whole_N


def _check_length(path: Path, samples: int, channels: int, rate: int) -> None:
    if samples * channels > _MOST_SAMPLES or samples > _LONGEST * rate:
        raise DataError(
            f"{path}: found {samples:,} samples of {channels} channels, {rate:,} a second, wanted "
            f"at most {_LONGEST // 3600} hours and {_MOST_SAMPLES:,} samples; cut it into pieces"
        )


def _riff(path: Path, raw: bytes) -> tuple[np.ndarray, int]:
    try:
        with warnings.catch_warnings():
            # chunks of other programs are skipped; a file that ends too early is an error
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
            rate, found = wavfile.read(io.BytesIO(raw))
    except (
        ValueError, TypeError, EOFError, ArithmeticError, MemoryError, struct.error,
        UnboundLocalError, wavfile.WavFileWarning,
    ) as error:  # fmt: skip
        raise DataError(
            f"{path}: cannot be read as wav ({error}); wanted PCM of 8 to 32 bits or floats; "
            f"{_MEND}"
        ) from error
    wave_NC = found[:, None] if found.ndim == 1 else found
    _check_whole(path, raw)
    if wave_NC.dtype == np.uint8:
        return (wave_NC.astype(np.float32) - 128) / 128, int(rate)
    if wave_NC.dtype.kind == "i":
        return wave_NC / np.float32(2 ** (8 * wave_NC.dtype.itemsize - 1)), int(rate)
    with np.errstate(over="ignore"):  # what is beyond float32 becomes inf, and is found
        return wave_NC.astype(np.float32), int(rate)


def _check_whole(path: Path, raw: bytes) -> None:
    """scipy takes what samples there are; the header says how many there ought to be."""
    place = 12
    while place + 8 <= len(raw):
        name, size = raw[place : place + 4], int.from_bytes(raw[place + 4 : place + 8], "little")
        held = len(raw) - place - 8
        if name == b"data" and held < size:
            raise DataError(
                f"{path}: found {held:,} bytes of samples, its header tells of {size:,}; the file "
                "was cut short, copy it again"
            )
        place += 8 + size + size % 2


def _other(path: Path, raw: bytes) -> tuple[np.ndarray, int]:
    soundfile = _soundfile(path)
    try:
        with soundfile.SoundFile(io.BytesIO(raw)) as sound:
            # before memory is set aside for what the header tells of
            _check_length(path, sound.frames, sound.channels, max(1, sound.samplerate))
            wave_NC = sound.read(dtype="float32", always_2d=True)
            rate = sound.samplerate
    except (soundfile.SoundFileError, RuntimeError, ValueError, MemoryError) as error:
        raise DataError(
            f"{path}: cannot be read as sound ({error}); wanted wav, FLAC, Ogg, MP3 or NIST SPHERE"
        ) from error
    return wave_NC, int(rate)


def _soundfile(path: Path) -> ModuleType:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without its library
        raise DataError(
            f"{path} is no RIFF wav, and other formats need soundfile ({error}); "
            "pip install 'genzoo-rwae[audio]'"
        ) from error
    module: ModuleType = soundfile
    return module
