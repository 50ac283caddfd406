"""Sound as files: 16-bit PCM wav."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import numpy as np

from genzoo_rwae.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from genzoo_rwae.sequences import Sound

__all__ = ["save_wav", "wav_bytes"]


def save_wav(sound: Sound, path: Path) -> Path:
    """Save a piece of sound whole or not at all; what is beyond [-1, 1] is clipped.

    Raises:
        RunError: the folder cannot be written.
    """
    return write_atomic(path, wav_bytes(sound))


def wav_bytes(sound: Sound) -> bytes:
    """What `save_wav` writes."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        whole_N = np.clip(np.round(sound.wave_N * 2.0**15), -(2**15), 2**15 - 1)
        file.writeframes(whole_N.astype("<i2").tobytes())
    return buffer.getvalue()
