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
    total = squares = torch.zeros(model.info.frame_shape, dtype=torch.float64)
    for batch in taken(splits.test, indices_N):
        errors.append(model.reconstruct(batch.x_BT, batch.lengths_B).mse_B)
        x_BT = model.prepare(batch.x_BT).double()
        true_BT = torch.arange(x_BT.shape[1]) < batch.lengths_B[:, None]
        share_BT = true_BT.double() / batch.lengths_B[:, None]
        total = total + torch.einsum("bt,bt...->...", share_BT, x_BT)
        squares = squares + torch.einsum("bt,bt...->...", share_BT, x_BT.square())
    error = torch.cat(errors)
    mean = total / len(error)
    return {
        "mse": Figure(
            error.mean().item(),
            baselines={"mean frame": (squares / len(error) - mean**2).mean().item()},
            good="lower",
            note=f"{len(error):,} test sequences",
        ),
        "worst mse": Figure(error.max().item(), good="lower", note="of one test sequence"),
    }


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield reconstruction
