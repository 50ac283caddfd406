"""Series as lines: channel by channel beside what a model makes of them, and the channels' names.

Shapes: B sequences, T time, F channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from PIL import ImageDraw
from PIL.Image import Image

from genzoo_rwae.report.paper import DOTS, as_pixels, inks
from genzoo_rwae.report.tiles import blank, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["legend", "series_panels"]

_WIDEST, _NARROWEST, _HIGH = 700, 96, 66  # pixels: a panel
_ROOM = 1000  # pixels across all panels
_HEAD = 16  # pixels for the channels' names
_DATA, _FRAME = "#505050", "#c8c8c8"
_SWATCH, _BETWEEN = 14, 12  # pixels: a legend's line, and between its entries


def legend(names: Sequence[str], width: int) -> Image | None:
    """The channels' names on one line, each beside its colour; None where there is no room."""
    entries = []
    for name, ink in zip(names, inks(len(names)), strict=True):
        said = text(name)
        entry = blank(_SWATCH + 3 + said.width, said.height)
        middle = entry.height // 2
        ImageDraw.Draw(entry).line((0, middle, _SWATCH - 1, middle), ink, 2)
        entry.paste(said, (_SWATCH + 3, 0))
        entries.append(entry)
    needed = sum(entry.width + _BETWEEN for entry in entries) - _BETWEEN
    if not entries or needed > width:
        return None
    line = blank(width, max(entry.height for entry in entries))
    left = 0
    for entry in entries:
        line.paste(entry, (left, 0))
        left += entry.width + _BETWEEN
    return line


def series_panels(
    x_BTF: NDArray[Any],
    x_hat_BTF: NDArray[Any],
    *,
    lengths: Sequence[int | None],
    names: Sequence[str] = (),
    band_2BTF: NDArray[Any] | None = None,
) -> Image:
    """A row for every sequence, a panel for every channel: data as dots, the model as a line.

    The panels of a channel share their axis.

    Args:
        x_BTF: the data; what is missing (NaN) has no dot.
        x_hat_BTF: what the model made of them.
        lengths: true lengths; nothing is drawn beyond them.
        names: of the channels, or none.
        band_2BTF: between what the model's decodes lie: lower and upper ends.
    """
    count, time, features = x_BTF.shape
    wide = min(_WIDEST, max(_NARROWEST, _ROOM // features))
    head = _HEAD if names else 0
    size = features * wide, count * _HIGH + head
    figure = Figure(figsize=(size[0] / DOTS, size[1] / DOTS), dpi=DOTS)
    colours = [tuple(part / 255 for part in ink) for ink in inks(features)]
    shown = [x_BTF, x_hat_BTF] if band_2BTF is None else [x_BTF, x_hat_BTF, band_2BTF]
    for channel in range(features):
        limits = _limits(*(clip[..., channel] for clip in shown))
        for row, length in enumerate(lengths):
            left, bottom = channel * wide + 2, (count - 1 - row) * _HIGH + 2
            axes = figure.add_axes(
                (left / size[0], bottom / size[1], (wide - 4) / size[0], (_HIGH - 4) / size[1])
            )
            ends = None if band_2BTF is None else band_2BTF[:, row, :length, channel]
            _panel(axes, x_BTF[row, :length, channel], x_hat_BTF[row, :length, channel], ends,
                   colours[channel])  # fmt: skip
            axes.set_xlim(-0.5, time - 0.5)
            axes.set_ylim(*limits)
        if names:
            figure.text((channel + 0.5) * wide / size[0], 1 - head / size[1], names[channel][:18],
                        ha="center", va="bottom", fontsize=8, color=_DATA)  # fmt: skip
    return as_pixels(figure)


def _panel(
    axes: Axes,
    x_T: NDArray[Any],
    x_hat_T: NDArray[Any],
    ends_2T: NDArray[Any] | None,
    ink: tuple[float, ...],
) -> None:
    steps_T = np.arange(len(x_T))
    if ends_2T is not None:
        axes.fill_between(steps_T, *ends_2T, color=ink, alpha=0.25, linewidth=0)
    mark = "_" if len(x_T) == 1 else None  # one step makes no line
    axes.plot(steps_T, x_hat_T, color=ink, linewidth=1.3, marker=mark)
    axes.plot(steps_T, x_T, color=_DATA, linewidth=0, marker=".", markersize=2.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(_FRAME)


def _limits(*values: NDArray[Any]) -> tuple[float, float]:
    finite = np.concatenate([value[np.isfinite(value)] for value in values])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin
