"""Scores of interventions: some factors of a sequence are kept, others exchanged.

Shapes: N sequences, T time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

__all__ = ["Intervention", "consistency", "intervention"]


@dataclass(frozen=True)
class Intervention:
    """How far the outcome is from the ideal: kept factors certain, exchanged ones at chance.

    Attributes:
        on: mean |accuracy − 1| over the factors that should be kept.
        off: mean |accuracy − 1/K| over those that were exchanged.
    """

    on: float
    off: float

    @property
    def score(self) -> float:
        """1 − (on + off)/2: 1 is ideal."""
        return 1 - (self.on + self.off) / 2


def intervention(
    accuracies: Mapping[str, float], classes: Mapping[str, int], kept: Collection[str]
) -> Intervention:
    """From accuracies against the labels of the sequence before the intervention.

    Args:
        accuracies: factor -> share of outcomes that show the label from before, in [0, 1].
        classes: factor -> K.
        kept: the factors that should be as before; all others were exchanged.

    Raises:
        ValueError: all factors are kept, or none.

    Source: the intervention score of the multi-factor sequential disentanglement benchmark (NeurIPS
        2025).

    >>> intervention({"who": 1.0, "way": 0.5}, {"who": 6, "way": 2}, {"who"}).score
    1.0
    """
    exchanged = [name for name in accuracies if name not in kept]
    there = [name for name in accuracies if name in kept]
    if not exchanged or not there:
        raise ValueError(
            f"kept are {there}, exchanged {exchanged}; an intervention wants at least one of each"
        )
    return Intervention(
        fmean(abs(accuracies[name] - 1) for name in there),
        fmean(abs(accuracies[name] - 1 / classes[name]) for name in exchanged),
    )


def consistency(said_NT: Tensor, lengths_N: Tensor) -> float | None:
    """Share of neighbouring frames that are called alike, all sequences as heavy; None without any.

    Args:
        said_NT: a label for every frame.
        lengths_N: true lengths; sequences of one frame have no neighbours.
    """
    shares = [
        (said_T[1:length] == said_T[: length - 1]).double().mean().item()
        for said_T, length in zip(said_NT, lengths_N.tolist(), strict=True)
        if length > 1
    ]
    return fmean(shares) if shares else None
