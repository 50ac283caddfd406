"""How well sequences come back.

Shapes: B batch, T time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveInt

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Splits
from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequence_model import SequenceModel

__all__ = ["reconstruction"]


@metric("reconstruction")
def reconstruction(
    model: SequenceModel, splits: Splits, /, *, sequences: PositiveInt = 10_000
) -> Figures:
    """Mean squared error per value of test sequences, from posterior means.

    Beside it stands the error of the mean test frame: what a model that has learnt nothing but the
    average reaches. Every sequence counts alike in both, however long it is.

    Args:
        sequences: most test sequences to measure, spread evenly.
    """
    indices_N = spread_indices(len(splits.test), sequences)
    errors = []
    share = total = squares = torch.zeros(model.info.frame_shape, dtype=torch.float64)
    for batch in taken(splits.test, indices_N):
        errors.append(model.reconstruct(batch.x_BT, batch.lengths_B).mse_B)
        x_BT = model.prepare(batch.x_BT).double()
        true_BT = true_steps(x_BT.shape[1], batch.lengths_B)
        there_BT = ~x_BT.isnan() & true_BT.reshape(*true_BT.shape, *[1] * (x_BT.dim() - 2))
        values_B = there_BT.flatten(1).sum(1).clamp_min(1)
        share_BT = there_BT / values_B.reshape(-1, *[1] * (x_BT.dim() - 1))
        x_BT = x_BT.nan_to_num(0.0)
        share = share + share_BT.sum((0, 1))
        total = total + (share_BT * x_BT).sum((0, 1))
        squares = squares + (share_BT * x_BT.square()).sum((0, 1))
    error = torch.cat(errors)
    mean_error = error.mean().item()
    around_mean = squares - total.square() / share.clamp_min(torch.finfo(share.dtype).tiny)
    mean_frame = around_mean.sum().item() / len(error)
    note = f"{len(error):,} test sequences"
    if mean_error >= mean_frame:
        note += "; no better than the mean frame: nothing else means much before it is"
    return {
        "mse": Figure(mean_error, baselines={"mean frame": mean_frame}, good="lower", note=note),
        "worst mse": Figure(error.max().item(), good="lower", note="of one test sequence"),
    }


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield reconstruction
