"""metrics.jsonl as training curves: one small SVG a quantity, to be laid out by the page.

One SVG each, and not one large one, so that the page can set them in as many columns as the
reader's window holds. Colours are CSS variables with a fallback, so that they follow a page's light
and dark schemes and are still right in a file of their own.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from numpy.typing import NDArray

__all__ = [
    "GRID",
    "TRAIN",
    "VALIDATION",
    "Curve",
    "History",
    "dress",
    "panel",
    "read_history",
    "training_curves",
]

_NOT_CURVES = frozenset({"step", "epoch", "split", "time", "seconds", "elapsed"})
_FIRST = ("loss", "cost")
_LAST = ("gradient_norm", "sequences_per_second", "learning_rate")
_MOST_POINTS = 240  # longer curves are drawn as the mean and range of this many bins
_LOG_RANGE = 20  # largest / smallest value from which a log axis helps
_FEW_DECADES = 200  # below this ratio, powers of ten alone would label one line or two
_LARGEST_INT = 2**63  # larger ones may not become floats
_INCHES, _DOTS = (3.4, 2.0), 72
# matplotlib's colours, replaced by what the page's style sheet may set
_COLOURS = {
    "#010203": "var(--curve-ink, #6b6b6b)",
    "#010204": "var(--curve-grid, #dcdcdc)",
    "#010205": "var(--curve-train, #2a6f97)",
    "#010206": "var(--curve-validation, #c1582b)",
}
_INK, GRID, TRAIN, VALIDATION = _COLOURS


@dataclass(frozen=True)
class History:
    """The rows of a metrics.jsonl.

    Attributes:
        rows: the objects of the file, in its order.
        unreadable: lines that are no JSON object; 1 is usual where a run was killed.
    """

    rows: tuple[Mapping[str, object], ...]
    unreadable: int = 0

    @property
    def last_step(self) -> int:
        """The largest step of any row; 0 where there is none."""
        steps = (row.get("step") for row in self.rows)
        return max((step for step in steps if _is_step(step)), default=0)


@dataclass(frozen=True)
class Curve:
    """One panel.

    Attributes:
        name: the key in metrics.jsonl.
        title: the key as words (not yet escaped).
        svg: an `<svg>` element without prologue; its texts are escaped.
        note: what the picture does not show, as values that were not finite.
    """

    name: str
    title: str
    svg: str
    note: str = ""


def read_history(path: Path) -> History:
    """Read a metrics.jsonl as far as it can be read.

    Args:
        path: the file; one that is not there is an empty history.
    """
    if not path.is_file():
        return History(())
    rows: list[Mapping[str, object]] = []
    unreadable = 0
    for line in path.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            unreadable += 1
    return History(tuple(rows), unreadable)


def training_curves(history: History) -> tuple[Curve, ...]:
    """One panel for each numeric quantity, training and validation together.

    Loss and cost come first, speed and learning rate last, the rest as the file has them. Where a
    step comes twice (a run that went on from an earlier checkpoint), the later row holds.

    Args:
        history: rows with a `step`; rows without one are left out.

    >>> rows = tuple({"step": step, "loss": 1.0 / step} for step in range(1, 9))
    >>> [curve.title for curve in training_curves(History(rows))]
    ['loss']
    """
    names = dict.fromkeys(
        key
        for row in history.rows
        for key, value in row.items()
        if key not in _NOT_CURVES and _is_number(value)
    )
    middle = [name for name in names if name not in _FIRST + _LAST]
    order = [name for name in (*_FIRST, *middle, *_LAST) if name in names]
    return tuple(_curve(history.rows, name) for name in order)


def _curve(rows: Sequence[Mapping[str, object]], name: str) -> Curve:
    train, lost_train = _series(rows, name, validation=False)
    validation, lost_validation = _series(rows, name, validation=True)
    lost = lost_train + lost_validation
    note = f"{lost:,} values that are not finite are not drawn" if lost else ""
    title = name.replace("_", " ").replace("-", " ")
    return Curve(name, title, _draw(name, train, validation), note)


def _series(
    rows: Sequence[Mapping[str, object]], name: str, *, validation: bool
) -> tuple[NDArray[np.float64], int]:
    """[N, 2] steps and finite values in the order of the steps, and how many were not finite."""
    values: dict[int, float] = {}
    for row in rows:
        step, value = row.get("step"), row.get(name)
        of_training = row.get("split", "train") == "train"
        if of_training is not validation and _is_step(step) and _is_number(value):
            values[step] = float(value)  # type: ignore[arg-type]
    finite = sorted((step, value) for step, value in values.items() if math.isfinite(value))
    return np.array(finite, dtype=np.float64).reshape(-1, 2), len(values) - len(finite)


def _is_step(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and _is_number(value)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < _LARGEST_INT


def _draw(name: str, train: NDArray[np.float64], validation: NDArray[np.float64]) -> str:
    def paint(axes: Axes) -> None:
        _line(axes, train, TRAIN)
        if len(validation):
            mark = "o" if len(validation) <= 40 else None
            axes.plot(*validation.T, color=VALIDATION, linewidth=1.3, marker=mark, markersize=3)
        dress(axes, np.concatenate([train[:, 1], validation[:, 1]]))

    return panel(name, paint)


def panel(name: str, paint: Callable[[Axes], None]) -> str:
    """An `<svg>` element of the size and the style of all curves.

    Args:
        name: tells it from the others of a page.
        paint: draws into it, and calls `dress` at last.
    """
    # the salt keeps the identifiers of several SVGs in one page apart, and equal from run to run
    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9.0}
    with rc_context(style):
        figure = Figure(figsize=_INCHES, dpi=_DOTS)
        figure.patch.set_alpha(0)
        axes = figure.add_axes((0.17, 0.13, 0.76, 0.8))
        paint(axes)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _for_a_page(buffer.getvalue())


def _line(axes: Axes, series: NDArray[np.float64], colour: str) -> None:
    """The values, or the bins' means over their range where there are too many to tell apart."""
    if len(series) > _MOST_POINTS:
        bins = np.array_split(series, _MOST_POINTS)
        low = [part[:, 1].min() for part in bins]
        high = [part[:, 1].max() for part in bins]
        series = np.stack([part.mean(axis=0) for part in bins])
        axes.fill_between(series[:, 0], low, high, color=colour, alpha=0.18, linewidth=0)
    mark = "o" if len(series) == 1 else None
    axes.plot(*series.T, color=colour, linewidth=1.3, marker=mark, markersize=3)


def dress(
    axes: Axes, values: NDArray[np.float64], places: NDArray[np.float64] | None = None
) -> None:
    """Ticks, grid and spines of a panel; log axes where what they show ranges wide.

    Args:
        axes: with all that is drawn.
        values: what is on the vertical axis.
        places: what is on the horizontal one; None: steps, which are whole and evenly spaced.
    """
    if _ranges_wide(values):
        axes.set_yscale("log")
        _mark_decades(axes.yaxis, values)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    places = np.zeros(0) if places is None else places
    if _ranges_wide(places):
        axes.set_xscale("log")
        _mark_decades(axes.xaxis, places)
    else:
        whole = bool((places == places.round()).all())
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=whole))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(color=GRID, labelcolor=_INK, which="both", length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def _ranges_wide(values: NDArray[np.float64]) -> bool:
    """Whether values are positive, and range so wide that a log axis helps."""
    positive = len(values) > 0 and bool((values > 0).all())
    return positive and bool(values.max() / values.min() > _LOG_RANGE)


def _mark_decades(axis: Axis, values: NDArray[np.float64]) -> None:
    few = values.max() / values.min() < _FEW_DECADES
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _for_a_page(svg: str) -> str:
    """The element alone, sized by the page, in the page's colours, without ids that would clash."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", svg)  # figure_1, axes_1; what is referred to stays
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'^<svg([^>]*?) width="[^"]*"', r"<svg\1", svg)
    svg = re.sub(r'^<svg([^>]*?) height="[^"]*"', r"<svg\1", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
