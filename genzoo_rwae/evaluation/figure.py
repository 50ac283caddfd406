"""One measured figure, and what it has to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Union

__all__ = ["Figure", "Figures", "as_json"]


@dataclass(frozen=True)
class Figure:
    """A number that can be judged.

    Attributes:
        value: what was measured; None where it could not be, which the note explains.
        chance: what knowing nothing gives.
        baselines: what simple methods give on the same data.
        good: which way is better.
        note: how it was measured, what it does not show.
        spread: the ± beside the value; the note says of what.
    """

    value: float | None
    chance: float | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    good: Literal["higher", "lower"] | None = None
    note: str = ""
    spread: float | None = None


Figures = Mapping[str, Union[Figure, "Figures"]]
"""Figures by name, in groups where that helps."""


def as_json(figures: Figures) -> dict[str, Any]:
    """Figures as evaluation.json has them: objects without the fields that say nothing.

    `value` is always there: it is what tells a figure from a group.
    """
    return {
        name: {
            key: value
            for key, value in vars(figure).items()
            if key == "value" or value not in (None, "", {})
        }
        if isinstance(figure, Figure)
        else as_json(figure)
        for name, figure in figures.items()
    }
