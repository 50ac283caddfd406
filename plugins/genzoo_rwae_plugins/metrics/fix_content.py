"""The published protocol for the static code: identity kept, motion drawn.

Shapes: B batch, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.codes import draw_sample
from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Judge, Splits
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
)

__all__ = ["fix_content"]


@metric("fix-content")
@torch.no_grad()
def fix_content(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    /,
    *,
    decode_prior: Literal["mean", "sample", "both"] = "both",
    sequences: PositiveInt | None = None,
    repeats: PositiveInt = 5,
    seed: NonNegativeInt = 0,
) -> Figures:
    """The identity of test sequences under motion from the prior, by a judge's word.

    z^c is the mean of its posterior; the prior of z^m is rolled out with its samples fed back.
    The published tables decode the prior's means along these paths, which hides what leaks into
    z^m and motion that goes wrong; the samples themselves show it.

    Args:
        decode_prior: `mean` decodes the prior's means, `sample` its samples.
        sequences: most test sequences, spread evenly; null takes all.
        repeats: draws of the motion for every sequence.
        seed: of the draws.

    Source: Li and Mandt, arXiv 1803.02991, as in the tables of arXiv 2101.07496; decoded samples
        are an addition.
    """
    kinds = ("mean", "sample") if decode_prior == "both" else (decode_prior,)
    return {
        f"prior {kind}s": _decoded(model, splits, judge, kind, sequences, repeats, seed)
        for kind in kinds
    }


def _decoded(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    kind: str,
    sequences: int | None,
    repeats: int,
    seed: int,
) -> Figures:
    generator = torch.Generator().manual_seed(seed)
    if (
        kind == "mean"
        and model.prior_means(model.sample_prior(1, 1, draw_sample(generator))) is None
    ):
        note = f"{type(model).__name__} does not tell the means of its prior"
        return {"kept": Figure(None, good="higher", note=note)}
    generator.manual_seed(seed)

    def make(batch: Batch) -> Iterator[Tensor]:
        kept = posterior_means(model, batch)
        while True:
            drawn = model.sample_prior(len(batch), batch.x_BT.shape[1], draw_sample(generator))
            means_BTD = model.prior_means(drawn) if kind == "mean" else None
            path_BTD = drawn.dynamic_BTD if means_BTD is None else means_BTD
            latents = replace(drawn, static_BD=kept.static_BD, dynamic_BTD=path_BTD)
            yield model.decode(latents).float()

    judgement = judge_made(judge, splits.test, sequences, repeats, make)
    note = f"{len(judgement):,} test sequences, {repeats} draws of z^m each, ± over the draws"
    static, dynamic = (factors_of(judge.info, code) for code in ("static", "dynamic"))
    return {
        "kept": shares_as_labelled(judgement, static, note),
        "motion changed": shares_changed(judgement, dynamic, note),
        **{factor.name: certainty(judgement, factor, note) for factor in dynamic},
    }


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield fix_content
