"""What a sweep may give a value of its spec: one of some choices, or a number from a range."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Choices", "Range", "Values", "as_text"]

Number = int | Annotated[float, Field(allow_inf_nan=False)]
_MOST_IN_A_GRID = 1_000  # values of one range; nobody waits for more


def as_text(value: object) -> str:
    """A value as a table shows it, and as the database keeps a choice.

    >>> as_text({"use": "imq"}), as_text(0.5), as_text("imq")
    ('{"use": "imq"}', '0.5', '"imq"')
    """
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Choices:
    """One of some values, which may be parts of the spec: `[{use: imq}, {use: rbf, scale: 2}]`."""

    choices: tuple[object, ...]

    def distribution(self) -> Any:
        """What Optuna draws from: texts, since 1, 1.0 and true are one choice to it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([as_text(choice) for choice in self.choices])

    def value(self, drawn: Any) -> object:
        """The spec's value for what was drawn."""
        return json.loads(drawn)

    def tried(self) -> Sequence[object]:
        """All that has to be valid for any draw to be."""
        return self.choices

    def grid(self) -> Sequence[Any]:
        """Every draw that there is; none where there is no end to them."""
        return [as_text(choice) for choice in self.choices]

    def fault(self) -> str:
        """What is wrong with it; '' if nothing."""
        texts = self.grid()
        if not texts:
            return "found no choices, wanted a list of at least one"
        twice = next((text for text in texts if texts.count(text) > 1), "")
        return f"the choice {twice} stands twice; keep one of the two" if twice else ""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number between two others: whole if both are.

    Attributes:
        low: the least.
        high: the most.
        log: draw its logarithm evenly, not itself.
        step: distance of neighbours; null: any number between, or whole numbers.
    """

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @property
    def is_whole(self) -> bool:
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 1))

    def distribution(self) -> Any:
        """What Optuna draws from."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.is_whole:
            return IntDistribution(self.low, self.high, log=self.log, step=self.step or 1)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def value(self, drawn: Any) -> object:
        """The spec's value for what was drawn."""
        return drawn

    def tried(self) -> Sequence[object]:
        """The ends."""
        return (self.low, self.high) if self.is_whole else (float(self.low), float(self.high))

    def grid(self) -> Sequence[Any]:
        """Every draw that there is; none where there is no end to them."""
        return list(self._neighbours())

    def _neighbours(self) -> Iterator[Any]:
        step = self.step or (1 if self.is_whole and not self.log else 0)
        if not step or (self.high - self.low) / step >= _MOST_IN_A_GRID:
            return
        for number in range(round((self.high - self.low) / step) + 1):
            yield self.low + number * step if self.is_whole else float(self.low + number * step)

    def fault(self) -> str:
        """What is wrong with it; '' if nothing."""
        found = f"found {{low: {self.low}, high: {self.high}"
        if not self.low < self.high:
            return f"{found}}}; wanted low < high"
        if self.log and self.low <= 0:
            return f"{found}, log: true}}; a logarithm wants low > 0"
        if self.step is None:
            return ""
        if self.log:
            return f"{found}, log: true, step: {self.step}}}; leave one of log and step out"
        steps = (self.high - self.low) / self.step if self.step > 0 else 0
        if steps < 1 or not math.isclose(steps, round(steps), rel_tol=1e-9):
            return f"{found}, step: {self.step}}}; wanted high - low to be some whole steps"
        return ""


Values = Choices | Range
