"""Unconditional samples against test sequences.

Shapes: N sequences, P values of a whole sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from genzoo_rwae_kernels import Imq, mmd2_unbiased
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Splits
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import SequenceData

__all__ = ["sample"]


@metric("sample")
def sample(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    sequences: PositiveInt = 200,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Squared MMD between unconditional samples and test sequences, on raw values.

    An IMQ kernel with C at the median squared distance of test sequences, unbiased. Blind to what
    raw values do not show; the baselines say what it can tell apart. Not measured where there are
    no two different sequences to compare.

    Args:
        sequences: how many samples, and how many test sequences at most.
        seed: of the samples.
    """
    test_NP, test_there_NP = _flat(model, splits.test, sequences)
    train_NP, _ = _flat(model, splits.train, sequences)
    gaps = torch.pdist(test_NP).square()  # of every pair once: none to itself
    median = gaps.median().item() if len(gaps) else 0.0
    if min(sequences, len(train_NP)) < 2 or not median > 0:
        note = "needs two samples, two training sequences, and test sequences that differ"
        return {"mmd2 to test sequences": Figure(None, good="lower", note=note)}
    generator = torch.Generator().manual_seed(seed)
    samples = [model.sample(min(50, sequences - start), generator=generator).x_BT
               for start in range(0, sequences, 50)]  # fmt: skip
    sample_NP = torch.cat(samples).flatten(1)
    # as long as test sequences are, and with the same gaps: samples have none of their own
    rows_N = torch.arange(len(sample_NP)) % len(test_there_NP)
    sample_NP = sample_NP * test_there_NP[rows_N]
    sigma = math.sqrt(median / (2 * test_NP.shape[1]))

    kernel = Imq(scales=(1.0,), sigma=sigma)

    def distance(x_NP: Tensor) -> float:
        return mmd2_unbiased(x_NP, test_NP, kernel).item()

    mean_NP = test_NP.mean(0, keepdim=True).expand(len(test_NP), -1)
    return {
        "mmd2 to test sequences": Figure(
            distance(sample_NP),
            baselines={
                "training sequences": distance(train_NP),
                "the mean sequence": distance(mean_NP),
            },
            good="lower",
            note=f"{len(sample_NP)} samples, {len(test_NP)} test sequences, raw values",
        )
    }


def _flat(model: SequenceModel, data: SequenceData, most: int) -> tuple[Tensor, Tensor]:
    """Sequences [N, P], 0 where nothing is, and where something is."""
    indices: np.ndarray = spread_indices(len(data), most)
    batch = data.take(indices)
    x_NT = model.prepare(batch.x_BT)
    true_NT = true_steps(x_NT.shape[1], batch.lengths_B)
    there_NT = ~x_NT.isnan() & true_NT.reshape(*true_NT.shape, *[1] * (x_NT.dim() - 2))
    return x_NT.nan_to_num(0.0).flatten(1), there_NT.flatten(1)


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield sample
