"""One measured figure, and what it has to be compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Union

__all__ = ["Figure", "Figures", "as_json"]


@dataclass(frozen=True)
class Figure:
    """A number that can be judged.

    Attributes:
        value: what was measured; None where it could not be, which the note explains.
        chance: what knowing nothing gives.
        baselines: what simple methods give on the same data.
        good: which way is better; None where neither is, as where chance is the ideal.
        note: how it was measured, what it does not show.
        spread: the ± beside the value; the note says of what.
    """

    value: float | None
    chance: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    good: Literal["higher", "lower"] | None = None
    note: str = ""
    spread: float | None = None

    def __post_init__(self) -> None:
        if self.good not in ("higher", "lower", None):
            raise ValueError(f"good is {self.good!r}; wanted 'higher', 'lower' or None")
        for name in ("value", "chance", "spread"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        baselines = {of: _number(f"baselines[{of!r}]", x) for of, x in self.baselines.items()}
        object.__setattr__(self, "baselines", baselines)


def _number(name: str, given: Any) -> Any:
    """A number that JSON has; those of torch and NumPy are made one."""
    if given is None or type(given) in (int, float, bool):
        return given
    try:
        plain = given.item()
    except (AttributeError, ValueError, RuntimeError):
        plain = None  # no number, or several
    if not isinstance(plain, int | float):
        raise TypeError(f"{name} is {given!r:.80}; wanted a number or None")
    return plain


Figures = Mapping[str, Union[Figure, "Figures"]]
"""Figures by name, in groups where that helps."""


def as_json(figures: Figures) -> dict[str, Any]:
    """Figures as evaluation.json has them: objects without the fields that say nothing.

    `value` is always there: it is what tells a figure from a group. JSON has no word for what is
    not finite: such a value is null, and the note says so.
    """
    return {
        name: _fields(figure) if isinstance(figure, Figure) else as_json(figure)
        for name, figure in figures.items()
    }


def _fields(figure: Figure) -> dict[str, Any]:
    if figure.value is not None and not math.isfinite(figure.value):
        note = f"{figure.note}; " if figure.note else ""
        figure = replace(figure, value=None, note=f"{note}what was measured is not finite")
    baselines = {name: value for name, value in figure.baselines.items() if math.isfinite(value)}
    return {
        key: value
        for key, value in {**vars(figure), "baselines": baselines}.items()
        if key == "value" or (value not in (None, "", {}) and _is_finite(value))
    }


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
