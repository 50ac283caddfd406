"""Skeletons as stick figures: seen half from the front and half from the side.

Shapes: J joints, A axes of a joint: 2, or 3 of which the second points up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw
from PIL.Image import Image

from genzoo_rwae.report.paper import PAPER, inks

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stage", "seen", "stage_for"]

_TURN, _TILT = np.deg2rad(40), np.deg2rad(10)  # of the viewer: to the figure's left, and above it
_FINE = 4  # times finer than the picture: Pillow's lines have no soft edges
_BONE, _JOINT = 0.02, 0.018  # half a bone's width and a joint's radius, in sides of the frame
_MARGIN = 0.06  # of a frame, around all figures
_INK = (96, 96, 96)


@dataclass(frozen=True)
class Stage:
    """Where figures stand: one scale and one middle for all frames of a picture.

    Attributes:
        size: (width, height) of a frame in pixels.
        middle: of what is seen, which lies in the middle of a frame.
        scale: pixels for a unit.
        bones: pairs of joints.
    """

    size: tuple[int, int]
    middle: tuple[float, float]
    scale: float
    bones: tuple[tuple[int, int], ...]

    def frame(self, x_JA: NDArray[Any]) -> Image:
        """One figure; a joint that is not finite is missing, and its bones with it."""
        width, height = self.size
        picture = PillowImage.new("RGB", (width * _FINE, height * _FINE), PAPER)
        draw = ImageDraw.Draw(picture)
        shown_J2 = (seen(x_JA) - self.middle) * self.scale * np.array([1, -1])
        shown_J2 = (shown_J2 + np.array(self.size) / 2) * _FINE
        there_J = np.isfinite(shown_J2).all(-1)
        fine = min(self.size) * _FINE
        for (one, other), ink in zip(self.bones, inks(len(self.bones)), strict=True):
            if there_J[one] and there_J[other]:
                ends = [tuple(shown_J2[one].tolist()), tuple(shown_J2[other].tolist())]
                draw.line(ends, ink, round(2 * _BONE * fine))
        radius = _JOINT * fine
        for x, y in shown_J2[there_J].tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), _INK)
        return picture.resize(self.size, PillowImage.Resampling.LANCZOS)


def stage_for(
    figures: Sequence[NDArray[Any]], bones: tuple[tuple[int, int], ...], side: int
) -> Stage:
    """A stage on which all figures have room.

    Args:
        figures: [..., J, A] arrays.
        bones: pairs of joints.
        side: height of a frame, and its least width.
    """
    points = np.concatenate([seen(figure).reshape(-1, 2) for figure in figures])
    points = points[np.isfinite(points).all(-1)]
    low, high = (points.min(0), points.max(0)) if len(points) else (np.zeros(2), np.ones(2))
    extent = max(float((high - low).max()), 1e-9)
    middle = ((low + high) / 2).tolist()
    return Stage((side, side), (middle[0], middle[1]), (1 - 2 * _MARGIN) * side / extent, bones)


def seen(x_JA: NDArray[Any]) -> NDArray[np.float64]:
    """[..., J, 2] to the right and up of what a viewer sees of joints [..., J, A]."""
    x_JA = np.asarray(x_JA, np.float64)
    if x_JA.shape[-1] == 2:
        return x_JA
    left, up, ahead = np.moveaxis(x_JA, -1, 0)
    right = left * np.cos(_TURN) - ahead * np.sin(_TURN)
    near = left * np.sin(_TURN) + ahead * np.cos(_TURN)
    return np.stack([right, up * np.cos(_TILT) - near * np.sin(_TILT)], -1)
