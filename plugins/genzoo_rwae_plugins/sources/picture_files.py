"""Pictures on disc, opened with the user's mistakes in mind.

Shapes: H W C picture.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from genzoo_rwae.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fitted", "opened_picture", "read_picture"]

# what Pillow's readers raise of files that are damaged or cut off
_DAMAGED = (OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error)


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
            f"{path}: found no picture that Pillow can read, wanted a PNG, JPEG or GIF file; save "
            "it again or take it away"
        ) from error
    except _DAMAGED as error:
        raise DataError(
            f"{path}: the picture cannot be read ({error}); save it again or take it away"
        ) from error


def read_picture(path: Path, mode: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of a picture as [H, W, C] uint8.

    Args:
        path: the file.
        mode: Pillow's name of the wanted pixels: L (C = 1), RGB (3) or RGBA (4).
        size: (H, W) that the picture is fitted to; None leaves it as it is.

    Raises:
        DataError: see `opened_picture`.
    """
    with opened_picture(path) as picture:
        converted = picture.convert(mode)
    pixels = np.array(fitted(converted, size) if size else converted)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of a picture in the proportions of (H, W), scaled to it, antialiased."""
    height, width = size
    return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
