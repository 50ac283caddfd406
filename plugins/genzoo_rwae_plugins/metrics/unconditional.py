"""Unconditional samples by a judge's word, and their distance from test data in its features.

Shapes: B batch, N sequences, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Judge, Splits, Verdict
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.evaluation.scores import frechet_distance
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, SequenceData
from genzoo_rwae_plugins.metrics.judging import certainty, judge_made, some

__all__ = ["unconditional"]


@metric("unconditional")
@torch.no_grad()
def unconditional(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    /,
    *,
    sequences: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Unconditional samples: a judge's certainty and variety, and a Fréchet distance to test data.

    As many samples as test sequences, and as long. The distance is between Gaussians fitted to
    the judge's features; the baselines tell what it is between training and test data, and how
    far reconstructions alone are. It grows as samples get fewer.

    Args:
        sequences: most samples, and most test sequences; null takes all.
        seed: of the samples.

    Source: Heusel et al., arXiv 1706.08500 (the distance, in another net's features).
    """
    generator = torch.Generator().manual_seed(seed)

    def samples(batch: Batch) -> Iterator[Tensor]:
        yield model.sample(len(batch), batch.x_BT.shape[1], generator=generator).x_BT

    def rebuilt(batch: Batch) -> Tensor:
        return model.reconstruct(batch.x_BT, batch.lengths_B).x_hat_BT

    judgement = judge_made(judge, splits.test, sequences, 1, samples)
    count = len(judgement)
    test = _verdict(judge, splits.test, count, lambda batch: batch.x_BT)
    note = f"{count:,} samples"
    figures: dict[str, Figures | Figure] = {
        factor.name: certainty(judgement, factor, note, {"test sequences": test}, balanced=False)
        for factor in judge.info.factors
    }
    if min(count, len(splits.train)) < 2:
        about = "needs two test and two training sequences"
        return {"Fréchet distance to test": Figure(None, good="lower", note=about), **figures}

    def distance(verdict: Verdict) -> float:
        return frechet_distance(verdict.features_BF, test.features_BF)

    train = _verdict(judge, splits.train, count, lambda batch: batch.x_BT)
    baselines = {
        "training sequences": distance(train),
        "reconstructions": distance(_verdict(judge, splits.test, count, rebuilt)),
    }
    apart = Figure(
        distance(judgement.verdicts[0]),
        baselines=baselines,
        good="lower",
        note=f"{note} and as many test sequences, in the judge's features",
    )
    return {"Fréchet distance to test": apart, **figures}


def _verdict(
    judge: Judge, data: SequenceData, most: int, shown: Callable[[Batch], Tensor]
) -> Verdict:
    verdicts = [judge.verdict(shown(batch), batch.lengths_B) for batch in some(data, most)]
    return Verdict.joined(verdicts)


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield unconditional
