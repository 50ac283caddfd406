"""How far a judge's word can be trusted: its accuracy on real data and on reconstructions.

Shapes: N sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.evaluation.figure import Figure, Figures

if TYPE_CHECKING:
    from genzoo_rwae.evaluation.judge import Judge
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import SequenceData

__all__ = ["majority_share", "reliability"]


def majority_share(labels_N: torch.Tensor) -> float:
    """What the best constant answer gets right."""
    return labels_N.bincount().max().item() / len(labels_N)


def reliability(judge: Judge, model: SequenceModel, test: SequenceData) -> Figures:
    """Accuracy of a judge on real test sequences and on a model's reconstructions of them.

    What it gets wrong on real data it would get wrong on perfect samples. What it gets wrong on
    reconstructions beyond that is either lost in them or foreign to it.
    """
    labels: dict[str, list[torch.Tensor]] = {factor.name: [] for factor in judge.info.factors}
    right: dict[str, dict[str, int]] = {
        "real test data": dict.fromkeys(labels, 0),
        "reconstructions": dict.fromkeys(labels, 0),
    }
    for batch in taken(test, spread_indices(len(test), len(test))):
        made_BT = model.reconstruct(batch.x_BT, batch.lengths_B).x_hat_BT
        for (_, counts), x_BT in zip(right.items(), (batch.x_BT, made_BT), strict=True):
            verdict = judge.verdict(x_BT, batch.lengths_B)
            for name in labels:
                counts[name] += int((verdict.labels(name) == batch.factors[name]).sum())
        for name in labels:
            labels[name].append(batch.factors[name])
    notes = {
        "real test data": f"the judge on {len(test):,} test sequences, which it never saw; bounds "
        "what its word can mean",
        "reconstructions": "the judge on the model's reconstructions of them: what is lost there "
        "cannot be found under swaps",
    }
    return {
        kind: {
            name: Figure(
                counts[name] / len(test),
                chance=majority_share(torch.cat(labels[name])),
                good="higher",
                note=notes[kind],
            )
            for name in labels
        }
        for kind, counts in right.items()
    }
