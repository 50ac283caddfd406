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
from genzoo_rwae.evaluation.probe import UNSEEN

if TYPE_CHECKING:
    from genzoo_rwae.evaluation.judge import Judge
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import Batch, SequenceData

__all__ = ["majority_share", "on_real_data", "reliability", "strange_factors", "unnamed"]


def majority_share(labels_N: Tensor) -> float:
    """What the best constant answer gets right."""
    return labels_N.bincount().max().item() / len(labels_N)


def strange_factors(train: SequenceData, test: SequenceData) -> frozenset[str]:
    """Factors of whose classes in the test split none is in the training split.

    A judge cannot name them: where parts are by speaker, no tested speaker is one that it learnt.
    """
    asked: dict[str, set[int]] = {factor.name: set() for factor in test.info.factors}
    for batch in taken(test, np.arange(len(test))):
        for name, classes in asked.items():
            classes.update(batch.factors[name].tolist())
    for batch in taken(train, np.arange(len(train))):
        if not asked:  # mostly after one batch
            break
        asked = {
            name: classes
            for name, classes in asked.items()
            if classes.isdisjoint(batch.factors[name].tolist())
        }
    return frozenset(asked)


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


def unnamed(test: SequenceData) -> Figures:
    """The figures of a judge to whom every factor is strange."""
    return {"real test data": {factor.name: _unseen() for factor in test.info.factors}}


def _unseen() -> Figure:
    return Figure(None, good="higher", note=UNSEEN)


def _accuracies(
    judge: Judge, test: SequenceData, shown: Callable[[Batch], Tensor], note: str
) -> dict[str, Figure]:
    if not len(test):
        return {}
    labels: dict[str, list[Tensor]] = {factor.name: [] for factor in judge.info.factors}
    right = dict.fromkeys(labels, 0)
    for batch in taken(test, np.arange(len(test))):
        verdict = judge.verdict(shown(batch), batch.lengths_B)
        for name in labels:
            right[name] += int((verdict.labels(name) == batch.factors[name]).sum())
            labels[name].append(batch.factors[name])
    return {
        factor.name: Figure(
            right[factor.name] / len(test),
            chance=majority_share(torch.cat(labels[factor.name])),
            good="higher",
            note=note,
        )
        if factor.name in labels
        else _unseen()
        for factor in test.info.factors
    }
