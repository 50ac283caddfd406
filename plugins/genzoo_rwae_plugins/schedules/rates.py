"""Schedules of the learning rate: functions of the run's progress in [0, 1] to a factor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from genzoo_rwae.components import hookimpl, schedule

__all__ = ["constant", "cosine"]

Fraction = Annotated[float, Field(ge=0, le=1)]


@schedule("constant")
def constant() -> float:
    """The rate as it is, all the time."""
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


@hookimpl
def genzoo_schedules() -> Iterator[object]:
    yield constant
    yield cosine
