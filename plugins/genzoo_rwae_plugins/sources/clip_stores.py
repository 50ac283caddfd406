"""Where the user's clips lie: what `clips` asks of a file or a folder."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ClipStore", "natural_order"]

_MOST_DIGITS = 1_000


class ClipStore(ABC):
    """N clips whose frames have one shape.

    Attributes:
        names: [N] what the clips are called in messages and in a table of labels.
        lengths: [N] how many frames each has.
        frame_shape: (H, W, C) for pictures, (F,) for vectors.
        bounded: pictures, with values in 0..255 (uint8) or [0, 1] (float32).
        dtype: of what `read` returns: uint8 or float32.
    """

    names: tuple[str, ...]
    lengths: tuple[int, ...]
    frame_shape: tuple[int, ...]
    bounded: bool
    dtype: np.dtype[np.uint8] | np.dtype[np.float32]

    @abstractmethod
    def read(self, clip: int, start: int, stop: int, /) -> np.ndarray:
        """Frames start to stop of one clip: [stop - start, *frame_shape] of `dtype`."""


def natural_order(name: str) -> tuple[object, ...]:
    """Key that sorts frame-2 before frame-10."""
    # re.split alternates text and digits, so only text meets text and only numbers meet numbers;
    # the name itself decides between 1 and 01. Python reads no number of thousands of digits
    parts = re.split(rf"(\d{{1,{_MOST_DIGITS}}})", name)
    return (*(int(part) if k % 2 else part for k, part in enumerate(parts)), name)
