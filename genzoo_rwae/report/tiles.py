"""Laying out a picture: cells in rows and columns, and short headings in a small font.

A cell is a Pillow image or None (empty); a spacer is a blank cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

from genzoo_rwae.report.frames import PAPER

if TYPE_CHECKING:
    from genzoo_rwae.report.frames import Film

__all__ = ["GAP", "Cells", "blank", "label", "on_paper", "step_numbers", "text", "tile"]

Cells: TypeAlias = "list[list[Image | None]]"

GAP = 3  # pixels between cells
_MARGIN = 8
_INK = (96, 96, 96)
_FONT_SIZE = 12
_LONGEST_LABEL = 28


def tile(cells: Sequence[Sequence[Image | None]], *, between: int = GAP) -> Image:
    """Rows of cells, each column as wide and each row as high as its largest cell.

    Args:
        cells: rows of cells; a short row leaves its last columns empty.
        between: pixels between columns; between rows there are always GAP.
    """
    count = max(len(row) for row in cells)
    widths = [0] * count
    for row in cells:
        for c, cell in enumerate(row):
            widths[c] = max(widths[c], cell.width if cell is not None else 0)
    heights = [max((cell.height for cell in row if cell is not None), default=0) for row in cells]
    size = sum(widths) + between * (count - 1), sum(heights) + GAP * (len(heights) - 1)
    picture = PillowImage.new("RGB", size, PAPER)
    for r, row in enumerate(cells):
        for c, cell in enumerate(row):
            if cell is not None:
                picture.paste(cell, (sum(widths[:c]) + between * c, sum(heights[:r]) + GAP * r))
    return picture


def on_paper(picture: Image) -> Image:
    """The picture with a margin all around."""
    paper = blank(picture.width + 2 * _MARGIN, picture.height + 2 * _MARGIN)
    paper.paste(picture, (_MARGIN, _MARGIN))
    return paper


def step_numbers(film: Film, time: int) -> Image:
    """Which step each column shows, counted from 1 as people do."""
    strip = blank(film.width, _FONT_SIZE + 3)
    draw = ImageDraw.Draw(strip)
    if film.image:
        pitch = film.size[0] + film.gap
        places = [
            (place * pitch + film.size[0] // 2, step) for place, step in enumerate(film.steps)
        ]
        for x, step in places:
            draw.text((x, 0), str(step + 1), _INK, _font(), anchor="ma")
    else:
        draw.text((0, 0), "step 1", _INK, _font(), anchor="la")
        draw.text((film.width, 0), str(time), _INK, _font(), anchor="ra")
    return strip


def label(words: str, height: int) -> Image:
    """A row's heading, centred on a row of this height."""
    line = text(words)
    cell = blank(line.width + 5, max(height, line.height))
    cell.paste(line, (0, (cell.height - line.height) // 2))
    return cell


def text(words: str) -> Image:
    """One line of text on its own; line breaks become spaces, long texts are cut."""
    line = " ".join(words.split())
    if len(line) > _LONGEST_LABEL:
        line = line[: _LONGEST_LABEL - 3] + "..."
    _, _, right, bottom = _font().getbbox(line)
    image = blank(max(1, round(right)), max(1, round(bottom)) + 1)
    ImageDraw.Draw(image).text((0, 0), line, _INK, _font())
    return image


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)


def blank(width: int, height: int) -> Image:
    """Nothing, of this size."""
    return PillowImage.new("RGB", (width, height), PAPER)
