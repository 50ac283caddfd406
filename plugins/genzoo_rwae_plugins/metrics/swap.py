"""Swaps against the truth, for data where the truth of a swap is known.

Shapes: N pairs of sequences, T time, ... the frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Splits
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.sequence_model import SequenceModel, squared_error

__all__ = ["swap"]


@metric("swap")
def swap(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    pairs: PositiveInt = 500,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Error of swapped test sequences against the true rendering, without a judge.

    The static code of sequence a with the dynamic codes of sequence b should give what the data
    source renders for a's static and b's dynamic factors. Three answers are possible: the result is
    nearest to that truth (the swap worked), to a (the static code carried the motion), or to b (the
    dynamic codes carried the identity).

    Args:
        pairs: most pairs of test sequences.
        seed: of the choice of pairs.
    """
    draw = np.random.default_rng(seed)
    count = len(splits.test)
    error: dict[str, list[Tensor]] = {"truth": [], "a": [], "b": [], "own": []}
    for start in range(0, pairs, 50):
        size = min(50, pairs - start)
        a_B, b_B = draw.integers(count, size=size), draw.integers(count, size=size)
        truth_BT = splits.test.recombine(a_B, b_B)
        if truth_BT is None:
            note = "the source cannot render what a swap should show; ask a judge: `judged-swap`"
            return {"nearest to the truth": Figure(None, 1 / 3, good="higher", note=note)}
        a, b = splits.test.take(a_B), splits.test.take(b_B)
        x_a, x_b = a.x_BT, b.x_BT
        told = [bool((truth_BT[i] != x_a[i]).any() and (truth_BT[i] != x_b[i]).any())
                for i in range(size)]  # fmt: skip
        if not any(told):
            continue  # the pairs share a factor: nothing is swapped
        keep = torch.tensor(told)
        x_a, x_b, truth_BT = x_a[keep], x_b[keep], truth_BT[keep]
        lengths_B = b.lengths_B[keep]  # a swap is as long as the motion
        out_BT = model.swap(x_a, x_b, a.lengths_B[keep], lengths_B).x_BT
        for name, other in (("truth", truth_BT), ("a", x_a), ("b", x_b)):
            error[name].append(squared_error(model.prepare(other), out_BT, lengths_B))
        error["own"].append(model.reconstruct(truth_BT, lengths_B).mse_B)
    if not error["truth"]:
        return {}
    errors = {name: torch.cat(values) for name, values in error.items()}
    stacked = torch.stack([errors["truth"], errors["a"], errors["b"]])
    # of what is not finite the first is the least, and that is the truth
    finite = bool(stacked.isfinite().all())
    nearest = [
        (stacked.argmin(0) == row).float().mean().item() if finite else math.nan for row in range(3)
    ]
    note = f"{len(errors['truth']):,} pairs of test sequences"
    return {
        "mse to the truth": Figure(
            errors["truth"].mean().item(),
            baselines={
                "the truth, reconstructed": errors["own"].mean().item(),
                "to the static donor": errors["a"].mean().item(),
                "to the motion donor": errors["b"].mean().item(),
            },
            good="lower",
            note=note,
        ),
        "nearest to the truth": Figure(nearest[0], chance=1 / 3, good="higher", note=note),
        "nearest to the static donor": Figure(
            nearest[1], chance=1 / 3, good="lower", note="the static code carried the motion"
        ),
        "nearest to the motion donor": Figure(
            nearest[2], chance=1 / 3, good="lower", note="the dynamic codes carried the identity"
        ),
    }


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield swap
