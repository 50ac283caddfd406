"""What all drawings share: the paper's colour, the channels' inks, and a figure as pixels."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from PIL import Image as PillowImage
from PIL.Image import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DOTS", "PAPER", "as_pixels", "inks"]

PAPER = (255, 255, 255)
DOTS = 100  # an inch, of matplotlib's figures


def inks(count: int) -> list[tuple[int, int, int]]:
    """Colours that are told apart and on paper, the same ones for the same count."""
    shades = colormaps["viridis"](np.linspace(0, 0.85, count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b, _ in shades.tolist()]


def as_pixels(figure: Figure) -> Image:
    """A matplotlib figure of DOTS an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS)
    return PillowImage.open(buffer).convert("RGB")
