"""Codes moved along directions, as pictures: a direction a row, a place a column.

Shapes: R directions, V places, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from genzoo_rwae.report.frames import Clips, Film, film_for, to_array
from genzoo_rwae.report.tiles import Cells, label, on_paper, text, tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genzoo_rwae.sequences import Display

__all__ = ["traversal_film", "traversal_sheet"]

_BETWEEN_STRIPS = 9  # pixels: a strip's own frames are closer to each other


def traversal_film(
    x_RVT: Clips, rows: Sequence[str], columns: Sequence[str], *, display: Display | None = None
) -> list[Image]:
    """The grid, moving: one picture a step, to be saved as a GIF; vector clips do not move.

    Args:
        x_RVT: [R, V, T, ...].
        rows: a heading for each direction.
        columns: a heading for each place.
        display: how the data say that they are drawn.

    Raises:
        ValueError: headings that are not as many, or clips that cannot be drawn.

    >>> import numpy as np
    >>> len(traversal_film(np.zeros((2, 3, 8, 1, 28, 28)), ["1", "2"], ["-1", "0", "1"]))
    8
    """
    film, clips = _film(x_RVT, rows, columns, steps=1, room=900, display=display)
    times = range(clips[0].shape[1]) if film.image else range(1)
    return [
        _picture([[film.frame(clip, time) for clip in row] for row in clips], rows, columns)
        for time in times
    ]


def traversal_sheet(
    x_RVT: Clips,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    steps: int = 3,
    display: Display | None = None,
) -> Image:
    """The grid on paper: each cell is a film strip of a few steps, evenly spaced, ends kept.

    Args:
        x_RVT: [R, V, T, ...].
        rows: a heading for each direction.
        columns: a heading for each place.
        steps: frames in each cell.
        display: how the data say that they are drawn.

    Raises:
        ValueError: headings that are not as many, or clips that cannot be drawn.
    """
    film, clips = _film(x_RVT, rows, columns, steps=steps, room=1400, display=display)
    return _picture([[film.strip(clip) for clip in row] for row in clips], rows, columns)


def _film(
    x_RVT: Clips,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    steps: int,
    room: int,
    display: Display | None,
) -> tuple[Film, NDArray[Any]]:
    clips = to_array(x_RVT)
    if clips.shape[:2] != (len(rows), len(columns)):
        raise ValueError(
            f"got clips {clips.shape}, {len(rows)} headings of rows and {len(columns)} of columns; "
            "wanted [R, V, T, ...], R and V"
        )
    film = film_for(list(clips), most=steps, across=len(columns), room=room, display=display)
    return film, clips


def _picture(cells: list[list[Image]], rows: Sequence[str], columns: Sequence[str]) -> Image:
    grid: Cells = [[None, *map(text, columns)]]
    grid += [
        [label(heading, row[0].height), *row] for heading, row in zip(rows, cells, strict=True)
    ]
    return on_paper(tile(grid, between=_BETWEEN_STRIPS))
