"""Rows of metrics.jsonl as trackers have them: numbers, named by their split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["numbers_of"]


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by `split/name`; the step is told beside them.

    >>> numbers_of({"step": 10, "split": "train", "loss": 0.5})
    {'train/loss': 0.5}
    """
    return {
        f"{row['split']}/{name}": float(value)
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float)
    }
