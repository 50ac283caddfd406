"""Pictures on disc, opened with the user's mistakes in mind.

Shapes: H W C picture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.places import check_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MOST_PIXELS", "fitted", "opened_picture", "read_picture"]

MOST_PIXELS = 7680 * 4320
"""Of a frame, whether of a picture or of a video."""

# not all that Pillow reads: it hands EPS, for one, to Ghostscript, which is a program
_FORMATS = ("PNG", "JPEG", "GIF")
# what Pillow's readers raise of files that are damaged or cut off
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    EOFError,
    MemoryError,
    struct.error,
    TypeError,  # of Pillow before 11, for a GIF without its palette
)


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """A picture whose header was read; its pixels are not decoded yet.

    Raises:
        DataError: no picture, a damaged one, or one of more pixels than a frame has.
    """
    too_many = (
        f"{path}: found more than {MOST_PIXELS:,} pixels, wanted frames of a sequence; shrink the "
        "pictures first"
    )
    try:
        check_regular(path)
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
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
