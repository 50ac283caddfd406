"""Clips as pictures: reconstructions, samples and swaps, saved as PNG and GIF.

Every function takes arrays or tensors and returns Pillow images; nothing is read or written but by
`save_png` and `save_gif`. Frames are [C, H, W] (C 1 or 3; uint8, or float in [0, 1]), skeletons
[J, 2] or [J, 3], or vectors [F], which are drawn against time: as the `display` of their data says,
by default as lines, or as a heat map where F is above 12.

Shapes: B clips, R rows (static codes), C columns (motions), T time, ... the frame.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image as PillowImage
from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from genzoo_rwae.files import write_atomic
from genzoo_rwae.report.frames import PAPER, Clips, draws_lines, film_for, to_array
from genzoo_rwae.report.lines import legend, series_panels
from genzoo_rwae.report.tiles import GAP, Cells, blank, label, on_paper, step_numbers, text, tile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from genzoo_rwae.sequences import Display

__all__ = [
    "SWAPPED",
    "clip_film",
    "clip_rows",
    "gif_bytes",
    "png_bytes",
    "reconstruction_rows",
    "save_gif",
    "save_png",
    "swap_grid",
    "swap_sheet",
]

SWAPPED = ("static code of", "motion of")
"""Headings of a swap grid's rows and columns."""

_APART, _BAND = 3, 18  # pixels: extra between blocks of cells, and for a heading beside them
_BETWEEN_STRIPS = 9  # pixels: a strip's own frames are closer to each other


def reconstruction_rows(
    x_BT: Clips,
    x_hat_BT: Clips,
    *,
    lengths_B: Clips | None = None,
    columns: int = 16,
    display: Display | None = None,
    band_2BT: Clips | None = None,
) -> Image:
    """Each clip above its reconstruction, time along the columns.

    Clips that are lines have a panel for every channel instead: the data as dots, the model as a
    line over them.

    Args:
        x_BT: [B, T, ...] the data.
        x_hat_BT: [B, T, ...] what the model made of them.
        lengths_B: [B] true lengths; frames beyond them stay blank.
        columns: steps to show at most; longer clips are thinned evenly, ends kept.
        display: how the data say that they are drawn.
        band_2BT: [2, B, T, F] lower and upper ends of what the model takes for possible, drawn
            with lines.

    Raises:
        ValueError: the two differ in shape, or cannot be drawn.

    >>> import numpy as np
    >>> x_BT = np.zeros((2, 8, 3, 32, 32))
    >>> reconstruction_rows(x_BT, x_BT).size
    (592, 305)
    """
    x, x_hat = to_array(x_BT), to_array(x_hat_BT)
    if x.shape != x_hat.shape:
        raise ValueError(f"got originals {x.shape} and reconstructions {x_hat.shape}, wanted equal")
    film = film_for([x, x_hat], most=columns, room=700, display=display)
    lengths = _lengths(lengths_B, len(x))
    if draws_lines(x.shape[2:], display):
        names = display.names if display else ()
        band = None if band_2BT is None else to_array(band_2BT)
        return on_paper(series_panels(x, x_hat, lengths=lengths, names=names, band_2BTF=band))
    cells: Cells = [[None, step_numbers(film, x.shape[1])]]
    for clip, made, length in zip(x, x_hat, lengths, strict=True):
        strips = film.strip(clip, length), film.strip(made, length)
        cells.append([label("original", strips[0].height), strips[0]])
        cells.append([label("model", strips[1].height), strips[1]])
        cells.append([blank(1, _APART)])
    return on_paper(tile(cells[:-1]))


def clip_rows(
    x_BT: Clips,
    *,
    labels: Sequence[str] = (),
    lengths_B: Clips | None = None,
    columns: int = 16,
    display: Display | None = None,
) -> Image:
    """One clip a row, time along the columns: samples, and long roll-outs of a prior.

    Args:
        x_BT: [B, T, ...].
        labels: a heading for each row, or none.
        lengths_B: [B] true lengths; frames beyond them stay blank.
        columns: steps to show at most; longer clips are thinned evenly, ends kept, and the
            numbers above the columns say which steps these are.
        display: how the data say that they are drawn.

    Raises:
        ValueError: a number of labels other than B or 0, or clips that cannot be drawn.
    """
    x = to_array(x_BT)
    film = film_for([x], most=columns, display=display)
    if labels and len(labels) != len(x):
        raise ValueError(f"got {len(labels)} labels, wanted one for each of {len(x)} clips")
    cells: Cells = [[None, step_numbers(film, x.shape[1])]]
    if (
        display
        and draws_lines(x.shape[2:], display)
        and (said := legend(display.names, film.width))
    ):
        cells.insert(0, [None, said])
    for row, (clip, length) in enumerate(zip(x, _lengths(lengths_B, len(x)), strict=True)):
        strip = film.strip(clip, length)
        cells.append([label(labels[row], strip.height) if labels else None, strip])
    return on_paper(tile(cells))


def clip_film(x_BT: Clips, *, display: Display | None = None) -> list[Image]:
    """All clips side by side, moving: one picture a step, to be saved as a GIF.

    Args:
        x_BT: [B, T, ...]; vector clips do not move and give one picture.
        display: how the data say that they are drawn.

    >>> import numpy as np
    >>> len(clip_film(np.zeros((6, 8, 1, 28, 28))))
    8
    """
    x = to_array(x_BT)
    film = film_for([x], most=1, across=len(x), room=900, display=display)
    times = range(x.shape[1]) if film.image else range(1)
    return [on_paper(tile([[film.frame(clip, time) for clip in x]])) for time in times]


def swap_grid(
    static_RT: Clips,
    dynamic_CT: Clips,
    swapped_RCT: Clips,
    static_lengths_R: Clips | None = None,
    dynamic_lengths_C: Clips | None = None,
    *,
    display: Display | None = None,
    headings: tuple[str, str] = SWAPPED,
) -> list[Image]:
    """Who moves how: row r has the static code of static[r], column c the motion of dynamic[c].

    The first column shows the rows' donors, the first row the columns' donors; the corner is empty.

    Args:
        static_RT: [R, T, ...] clips that give the static codes.
        dynamic_CT: [C, T, ...] clips that give the motions.
        swapped_RCT: [R, C, T, ...] what the model made of each pair.
        static_lengths_R: [R] true lengths; what lies beyond them stays blank.
        dynamic_lengths_C: [C] likewise, those of the motions and of what was made of them.
        display: how the data say that they are drawn.
        headings: what the rows' donors give, and what the columns' give.

    Returns:
        One picture a step, to be saved as a GIF; vector clips do not move: one picture.

    Raises:
        ValueError: shapes that do not fit each other.

    >>> import numpy as np
    >>> a_RT, b_CT = np.zeros((2, 8, 1, 28, 28)), np.zeros((3, 8, 1, 28, 28))
    >>> len(swap_grid(a_RT, b_CT, np.zeros((2, 3, 8, 1, 28, 28))))
    8
    """
    clips = _swap_arrays(static_RT, dynamic_CT, swapped_RCT)
    lengths = _lengths(static_lengths_R, len(clips[0])), _lengths(dynamic_lengths_C, len(clips[1]))
    across = clips[2].shape[1] + 1
    film = film_for(clips, most=1, across=across, room=900, display=display)
    return [
        _swap_picture(partial(film.frame, step=time), clips, lengths, headings, between=GAP)
        for time in (range(clips[0].shape[1]) if film.image else range(1))
    ]


def swap_sheet(
    static_RT: Clips,
    dynamic_CT: Clips,
    swapped_RCT: Clips,
    static_lengths_R: Clips | None = None,
    dynamic_lengths_C: Clips | None = None,
    *,
    steps: int = 3,
    display: Display | None = None,
    headings: tuple[str, str] = SWAPPED,
) -> Image:
    """The swap grid on paper: each cell is a film strip of a few steps, evenly spaced, ends kept.

    Args:
        static_RT: [R, T, ...] clips that give the static codes.
        dynamic_CT: [C, T, ...] clips that give the motions.
        swapped_RCT: [R, C, T, ...] what the model made of each pair.
        static_lengths_R: [R] true lengths; what lies beyond them stays blank.
        dynamic_lengths_C: [C] likewise, those of the motions and of what was made of them.
        steps: frames in each cell.
        display: how the data say that they are drawn.
        headings: what the rows' donors give, and what the columns' give.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    clips = _swap_arrays(static_RT, dynamic_CT, swapped_RCT)
    lengths = _lengths(static_lengths_R, len(clips[0])), _lengths(dynamic_lengths_C, len(clips[1]))
    across = clips[2].shape[1] + 1
    film = film_for(clips, most=steps, across=across, room=1400, display=display)
    return _swap_picture(film.strip, clips, lengths, headings, between=_BETWEEN_STRIPS)


def save_png(image: Image, path: Path, *, caption: str = "") -> Path:
    """Save whole or not at all; the caption travels in the file (PNG `Description`).

    Raises:
        RunError: the folder cannot be written.
    """
    return write_atomic(path, png_bytes(image, caption=caption))


def png_bytes(image: Image, *, caption: str = "") -> bytes:
    """What `save_png` writes."""
    notes = PngInfo()
    if caption:
        notes.add_itxt("Description", caption)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, pnginfo=notes)
    return buffer.getvalue()


def save_gif(frames: Sequence[Image], path: Path, fps: float = 8, *, caption: str = "") -> Path:
    """Save an endless animation, whole or not at all; the caption travels as the GIF's comment.

    All frames share one palette, so that nothing flickers. Equal neighbours are stored once, for
    longer.

    Raises:
        ValueError: no frames, or a rate that is not above 0.
        RunError: the folder cannot be written.
    """
    return write_atomic(path, gif_bytes(frames, fps, caption=caption))


def gif_bytes(frames: Sequence[Image], fps: float = 8, *, caption: str = "") -> bytes:
    """What `save_gif` writes.

    Raises:
        ValueError: as `save_gif`.
    """
    if not frames or fps <= 0:
        raise ValueError(f"got {len(frames)} frames at {fps} a second, wanted at least 1, above 0")
    # the colours of some frames, stacked, stand for all: a clip's colours hardly change. Median cut
    # is exact for few colours; of many, the octree keeps the rare ones (a donor's shoes) too.
    some = tile([[frame] for frame in frames[:: -(-len(frames) // 8)]])
    few = some.getcolors(256) is not None
    method = PillowImage.Quantize.MEDIANCUT if few else PillowImage.Quantize.FASTOCTREE
    palette = some.quantize(256, method)
    still = [frame.quantize(palette=palette, dither=PillowImage.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    still[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=still[1:],
        duration=round(1000 / fps),
        loop=0,
        disposal=1,
        comment=caption.encode(),
    )
    return buffer.getvalue()


def _swap_arrays(
    static_RT: Clips, dynamic_CT: Clips, swapped_RCT: Clips
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    static, dynamic, swapped = to_array(static_RT), to_array(dynamic_CT), to_array(swapped_RCT)
    wanted = (len(static), len(dynamic), *static.shape[1:])
    if dynamic.shape[1:] != static.shape[1:] or swapped.shape != wanted:
        raise ValueError(
            f"got static {static.shape}, dynamic {dynamic.shape}, swapped {swapped.shape}; "
            "wanted [R, T, ...], [C, T, ...], [R, C, T, ...]"
        )
    return static, dynamic, swapped


def _swap_picture(
    draw: Callable[..., Image],
    clips: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    lengths: tuple[list[int | None], list[int | None]],
    headings: tuple[str, str],
    *,
    between: int,
) -> Image:
    """Tile donors and swaps, with both headings in bands of their own.

    `draw` makes a cell of a clip and its `length`; clips and lengths are those of the static
    donors, of the motions and (as long as these) of the swaps.
    """

    def cells_of(x_BT: NDArray[Any], lengths_B: list[int | None]) -> list[Image]:
        return [draw(x_T, length=length) for x_T, length in zip(x_BT, lengths_B, strict=True)]

    static, dynamic = cells_of(clips[0], lengths[0]), cells_of(clips[1], lengths[1])
    swapped = [cells_of(row, lengths[1]) for row in clips[2]]
    apart = blank(_APART, _APART)
    cells: Cells = [[None, apart, *dynamic], [apart]]
    cells += [[donor, apart, *row] for donor, row in zip(static, swapped, strict=True)]
    grid = tile(cells, between=between)
    start = (
        _BAND + static[0].width + _APART + 2 * between,
        _BAND + static[0].height + _APART + 2 * GAP,
    )
    across = text(headings[1])
    down = text(headings[0]).transpose(PillowImage.Transpose.ROTATE_90)
    size = (
        max(grid.width + _BAND, start[0] + across.width),
        max(grid.height + _BAND, start[1] + down.height),
    )
    picture = PillowImage.new("RGB", size, PAPER)
    picture.paste(grid, (_BAND, _BAND))
    picture.paste(across, (start[0], (_BAND - across.height) // 2))
    picture.paste(down, ((_BAND - down.width) // 2, start[1]))
    return on_paper(picture)


def _lengths(lengths_B: Clips | None, count: int) -> list[int | None]:
    if lengths_B is None:
        return [None] * count
    lengths = [int(length) for length in to_array(lengths_B)]
    if len(lengths) != count:
        raise ValueError(f"got {len(lengths)} lengths, wanted one for each of {count} clips")
    return list(lengths)
