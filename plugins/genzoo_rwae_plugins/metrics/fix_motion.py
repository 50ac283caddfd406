"""The published protocol for the dynamic codes: motion kept, identity drawn.

Shapes: B batch, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.codes import draw_sample
from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Judge, Splits
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch
from genzoo_rwae_plugins.metrics.judging import (
    certainty,
    factors_of,
    judge_made,
    posterior_means,
    shares_as_labelled,
    shares_changed,
    worst_class,
)

__all__ = ["fix_motion"]


@metric("fix-motion")
@torch.no_grad()
def fix_motion(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    /,
    *,
    sequences: PositiveInt | None = None,
    repeats: PositiveInt = 5,
    seed: NonNegativeInt = 0,
) -> Figures:
    """The motion of test sequences under drawn static codes, by a judge's word.

    z^m and the action are the means of the posteriors, z^c ~ P(z^c). The accuracy is against the
    data set's labels. It is blind to identity: a model that ignores z^c has it all. Beside it
    stands how often every static factor differs from the donor's; ideally that is chance.

    Args:
        sequences: most test sequences, spread evenly; null takes all.
        repeats: draws of z^c for every sequence.
        seed: of the draws.

    Source: Li and Mandt, arXiv 1803.02991, as in the tables of arXiv 2101.07496; the share of
        identities that changed is an addition.
    """
    generator = torch.Generator().manual_seed(seed)

    def make(batch: Batch) -> Iterator[Tensor]:
        kept = posterior_means(model, batch)
        while True:
            drawn = model.sample_prior(len(batch), batch.x_BT.shape[1], draw_sample(generator))
            yield model.decode(replace(kept, static_BD=drawn.static_BD)).float()

    judgement = judge_made(judge, splits.test, sequences, repeats, make)
    note = f"{len(judgement):,} test sequences, {repeats} draws of z^c each, ± over the draws"
    figures: dict[str, Figures] = {}
    for factor in factors_of(judge.info, "dynamic"):
        accuracy = shares_as_labelled(judgement, [factor], f"{note}; blind to identity")
        figures[factor.name] = {
            "Acc": accuracy[factor.name],
            "worst class": worst_class(judgement, factor),
            **certainty(judgement, factor, note),
        }
    static = factors_of(judge.info, "static")
    return {**figures, "identity changed": shares_changed(judgement, static, note)}


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield fix_motion
