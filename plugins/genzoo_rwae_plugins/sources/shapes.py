"""Antialiased flat shapes, of equal area for one radius.

Shapes: N pictures, P a picture's side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["EXTENT", "SHAPES", "coverage"]

# sides that give every shape the area pi r^2 of the disc, so that size and shape are told apart
_SQUARE = math.sqrt(math.pi) / 2  # half the side, in radii
_TRIANGLE = math.sqrt(math.pi / (3 * math.sqrt(3)))  # radius of the inscribed circle
_CROSS = math.sqrt(math.pi / 20)  # half the width of a bar; a bar is three times as long
EXTENT = 1.35  # farthest along an axis from the centre, in radii: the triangle's lower corners


def _disc(right: np.ndarray, down: np.ndarray, radius: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.hypot(right, down) - radius
    return result


def _square(right: np.ndarray, down: np.ndarray, radius: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.maximum(np.abs(right), np.abs(down)) - _SQUARE * radius
    return result


def _triangle(right: np.ndarray, down: np.ndarray, radius: np.ndarray) -> np.ndarray:
    # moved so that the middle of its height is at the centre: 3/2 inscribed radii up and down
    down = down - _TRIANGLE * radius / 2
    slanted = np.abs(right) * (math.sqrt(3) / 2) - down / 2
    result: np.ndarray = np.maximum(slanted, down) - _TRIANGLE * radius
    return result


def _cross(right: np.ndarray, down: np.ndarray, radius: np.ndarray) -> np.ndarray:
    right, down, width = np.abs(right), np.abs(down), _CROSS * radius
    lying = np.maximum(right - 3 * width, down - width)
    standing = np.maximum(right - width, down - 3 * width)
    return np.minimum(lying, standing)


_DISTANCES: tuple[tuple[str, Callable[..., np.ndarray]], ...] = (
    ("disc", _disc),
    ("square", _square),
    ("triangle", _triangle),
    ("cross", _cross),
)
SHAPES = tuple(name for name, _ in _DISTANCES)


def coverage(
    shape_N: np.ndarray, radius_N: np.ndarray, centres_N2: np.ndarray, *, side: int
) -> np.ndarray:
    """How much of every pixel a shape covers, from its signed distance to the outline.

    min(1, max(0, 1/2 - d)), with d the distance in pixels, negative inside.

    Args:
        shape_N: [N] places in `SHAPES`.
        radius_N: [N] pixels; the area is that of the disc of this radius.
        centres_N2: [N, 2] rows and columns, in pixels from the upper left corner.
        side: P, of the square pictures.

    Returns:
        [N, P, P] float32 in [0, 1].
    """
    middles = np.arange(side, dtype=np.float32) + np.float32(0.5)
    centres_N2 = centres_N2.astype(np.float32)
    radius_N11 = radius_N.astype(np.float32)[:, None, None]
    down = middles[None, :, None] - centres_N2[:, 0, None, None]
    right = middles[None, None, :] - centres_N2[:, 1, None, None]
    covered = np.empty((len(shape_N), side, side), dtype=np.float32)
    for k, (_, distance) in enumerate(_DISTANCES):
        of = shape_N == k
        covered[of] = np.clip(np.float32(0.5) - distance(right[of], down[of], radius_N11[of]), 0, 1)
    return covered
