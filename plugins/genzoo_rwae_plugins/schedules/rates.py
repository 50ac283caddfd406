"""Schedules: functions of the run's progress in [0, 1] to a factor on a rate or a weight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from genzoo_rwae.components import hookimpl, schedule
from genzoo_rwae.errors import OptionError

__all__ = ["constant", "cosine", "cyclic", "piecewise"]

Fraction = Annotated[float, Field(ge=0, le=1)]


@schedule("constant")
def constant() -> float:
    """The same all the time."""
    return 1.0


@schedule("cosine")
def cosine(progress: float, /, *, warm_up: Fraction = 0.02, final: Fraction = 0.01) -> float:
    """Rises linearly, then falls along half a cosine.

    Args:
        warm_up: share of the run in which the rate rises from 0.
        final: factor at the end.

    Source: Loshchilov and Hutter, arXiv 1608.03983, without restarts.
    """
    if progress < warm_up:
        return max(progress, 1e-3 * warm_up) / warm_up
    share = (progress - warm_up) / max(1 - warm_up, 1e-12)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


@schedule("piecewise")
def piecewise(
    progress: float,
    /,
    *,
    points: Annotated[tuple[tuple[Fraction, NonNegativeFloat], ...], Field(min_length=1)],
) -> float:
    """Linear between points, level before the first and after the last.

    Args:
        points: pairs of a share of the run and the factor there, as [[0, 0], [0.1, 2], [0.5, 0.5]].

    Raises:
        OptionError: the shares do not rise.
    """
    shares = [share for share, _ in points]
    if any(after <= before for before, after in pairwise(shares)):
        raise OptionError(
            f"the points are at the shares {shares} of the run; wanted rising ones: sort them, and "
            "leave one of two at the same share",
            option="points",
        )
    return float(np.interp(progress, shares, [factor for _, factor in points]))


@schedule("cyclic")
def cyclic(progress: float, /, *, cycles: PositiveInt = 4, rise: Fraction = 0.5) -> float:
    """Rises from 0 to 1 at the start of every cycle, then stays.

    Args:
        cycles: how many there are in a run.
        rise: share of a cycle in which the factor rises.

    Source: Fu et al., Cyclical Annealing Schedule, arXiv 1903.10145, Eq. (6) and (7).
    """
    share = 1.0 if progress >= 1 else progress * cycles % 1.0
    return min(1.0, share / rise) if rise else 1.0


@hookimpl
def genzoo_schedules() -> Iterator[object]:
    yield constant
    yield cosine
    yield cyclic
    yield piecewise
