"""Running a spec's metrics on a trained model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genzoo_rwae.evaluation.figure import as_json

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import SequenceData
    from genzoo_rwae.spec import Part

__all__ = ["Splits", "measure"]


@dataclass(frozen=True)
class Splits:
    """The splits of a data set. Metrics fit on `train` and report on `test`."""

    train: SequenceData
    validation: SequenceData
    test: SequenceData


@torch.no_grad()
def measure(
    model: SequenceModel, splits: Splits, metrics: Sequence[Part], console: Console
) -> dict[str, Any]:
    """Figures of every metric by its name, as evaluation.json holds them."""
    model.eval()
    figures = {}
    for metric in metrics:
        began = time.monotonic()
        torch.manual_seed(0)  # metrics take generators of their own; this holds those that do not
        figures[metric.name] = as_json(metric(model, splits))
        console.print(
            f"measured {metric.name} in {time.monotonic() - began:.1f} s", highlight=False
        )
    return figures
