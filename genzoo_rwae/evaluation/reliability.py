"""How far a judge's word can be trusted: its accuracy on real data and on reconstructions.

Shapes: B batch, T time, N sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genzoo_rwae.evaluation.codes import taken
from genzoo_rwae.evaluation.figure import Figure, Figures

if TYPE_CHECKING:
    from genzoo_rwae.evaluation.judge import Judge
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import Batch, SequenceData

__all__ = ["majority_share", "on_real_data", "reliability"]


def majority_share(labels_N: Tensor) -> float:
    """What the best constant answer gets right."""
    return labels_N.bincount().max().item() / len(labels_N)


def on_real_data(judge: Judge, test: SequenceData) -> dict[str, Figure]:
    """Accuracy of a judge on test sequences, per factor; what it gets wrong bounds its word."""
    note = f"on {len(test):,} test sequences, which it never saw; bounds what its word can mean"
    return _accuracies(judge, test, lambda batch: batch.x_BT, note)


def reliability(judge: Judge, model: SequenceModel, test: SequenceData) -> Figures:
    """Accuracy of a judge on real test sequences and on a model's reconstructions of them.

    What it gets wrong on real data it would get wrong on perfect samples. What it gets wrong on
    reconstructions beyond that is either lost in them or foreign to it.
    """

    def rebuilt(batch: Batch) -> Tensor:
        return model.reconstruct(batch.x_BT, batch.lengths_B).x_hat_BT

    note = "on the model's reconstructions of them; what is lost there no swap can keep"
    return {
        "real test data": on_real_data(judge, test),
        "reconstructions": _accuracies(judge, test, rebuilt, note),
    }


def _accuracies(
    judge: Judge, test: SequenceData, shown: Callable[[Batch], Tensor], note: str
) -> dict[str, Figure]:
    labels: dict[str, list[Tensor]] = {factor.name: [] for factor in judge.info.factors}
    right = dict.fromkeys(labels, 0)
    for batch in taken(test, np.arange(len(test))):
        verdict = judge.verdict(shown(batch), batch.lengths_B)
        for name in labels:
            right[name] += int((verdict.labels(name) == batch.factors[name]).sum())
            labels[name].append(batch.factors[name])
    if not len(test):
        return {}
    return {
        name: Figure(
            right[name] / len(test),
            chance=majority_share(torch.cat(labels[name])),
            good="higher",
            note=note,
        )
        for name in labels
    }
