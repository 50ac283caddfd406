"""When a run is over: at the first of its limits, in steps or in minutes."""

from __future__ import annotations

from genzoo_rwae.spec.sections import Train

__all__ = ["Limits"]


class Limits:
    """A run's limits, and how much of it is over.

    Attributes:
        steps: after which it ends at the latest; None: minutes alone say.

    Args:
        train: the spec's section.
        per_epoch: steps of an epoch.
    """

    def __init__(self, train: Train, per_epoch: int) -> None:
        self._train = train
        said = (train.steps, train.epochs and train.epochs * per_epoch)
        self.steps = min((limit for limit in said if limit), default=None)

    def reached(self, step: int, seconds: float) -> str:
        """The limit that a run has come to, in words; empty while it goes on."""
        train = self._train
        if self.steps and step >= self.steps:
            whole = self.steps == train.steps
            return f"{train.steps} steps" if whole else f"{train.epochs} epochs"
        if train.minutes and seconds >= 60 * train.minutes:
            return f"{train.minutes:g} minutes"
        return ""

    def share_of_steps(self, step: int) -> float:
        """Share of the steps that are over; 1 where minutes alone say, which do not repeat."""
        return step / self.steps if self.steps else 1.0

    def share(self, step: int, seconds: float) -> float:
        """Share of the run that is over, by whichever limit is nearer."""
        by_time = seconds / (60 * self._train.minutes) if self._train.minutes else 0.0
        return min(1.0, max(by_time, step / self.steps if self.steps else 0.0))
