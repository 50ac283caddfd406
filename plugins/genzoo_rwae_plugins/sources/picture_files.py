"""Pictures on disc, opened with the user's mistakes in mind.

Shapes: H W C picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from genzoo_rwae.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["opened_picture", "read_picture"]


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """A picture whose header was read; its pixels are not decoded yet.

    Raises:
        DataError: no picture, a damaged one, or one of more pixels than Pillow holds for safe
            (`Image.MAX_IMAGE_PIXELS`).
    """
    too_many = (
        f"{path}: found more pixels than Pillow's limit of {Image.MAX_IMAGE_PIXELS}, wanted frames "
        "of a sequence; shrink the pictures first"
    )
    try:
        with Image.open(path) as picture:
            # between once and twice the limit Pillow only warns
            if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise DataError(too_many)
            yield picture
    except Image.DecompressionBombError as error:
        raise DataError(too_many) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: found no picture that Pillow can read, wanted a PNG or JPEG file; save it "
            "again or take it away"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's PNG reader raises all three
        raise DataError(
            f"{path}: the picture cannot be read ({error}); save it again or take it away"
        ) from error


def read_picture(path: Path, mode: str) -> np.ndarray:
    """The pixels of a picture as [H, W, C] uint8.

    Args:
        path: the file.
        mode: Pillow's name of the wanted pixels: L (C = 1), RGB (3) or RGBA (4).

    Raises:
        DataError: see `opened_picture`.
    """
    with opened_picture(path) as picture:
        pixels = np.array(picture.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels
