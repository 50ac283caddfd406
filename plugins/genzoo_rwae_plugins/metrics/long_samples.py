"""Unconditional samples of many frames: do they stay who they are, by a judge's word.

Shapes: B batch, N sequences, T time, W windows of a sequence, ... the frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Judge, Splits
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae_plugins.metrics.judging import factors_of

__all__ = ["long_samples"]

_ROWS = 16  # samples in one pass: they are long


@metric("long-samples")
@torch.no_grad()
def long_samples(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    /,
    *,
    sequences: PositiveInt = 200,
    length: PositiveInt = 100,
    window: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Whether unconditional samples of many frames keep their static factors, by a judge's word.

    A sample is cut into windows, and the judge names the static factors of each. `kept` is the
    share of windows that show what most windows of their sample show; `the same in both halves`
    the share of samples whose halves show the same, each by its commonest label, which is what a
    slow drift changes. Test sequences of twice the window or more are cut alike, for a baseline:
    what the judge itself is unsure of. Samples that are all the same keep it as well; H(y) of
    `unconditional` tells.

    Args:
        sequences: how many samples, and most test sequences.
        length: T, frames of a sample.
        window: frames that the judge sees at once; null takes as many as training sequences have.
            With 1, every frame is judged by itself: that wants a judge that learnt single frames
            (`pooled`, or `shortest: 1` of `recurrent`).
        seed: of the samples.

    Source: samples of 100 frames as in arXiv 2101.07496, which shows them and measures none.
    """
    wide = window or splits.train.info.length
    if length < 2 * wide:
        note = f"{length} frames are no two windows of {wide}: a longer length, or another window"
        return {"kept": Figure(None, good="higher", note=note)}
    generator = torch.Generator().manual_seed(seed)
    said: list[dict[str, Tensor]] = []
    for start in range(0, sequences, _ROWS):
        made = model.sample(min(_ROWS, sequences - start), length, generator=generator)
        said.append(_said(judge, made.x_BT, wide))
    test = splits.test.take(spread_indices(len(splits.test), min(sequences, len(splits.test))))
    long_enough = int(test.lengths_B.min()) == test.x_BT.shape[1] >= 2 * wide
    real = _said(judge, test.x_BT, wide) if long_enough else None
    note = f"{sequences:,} samples of {length} frames, in windows of {wide}"
    shares = {"kept": _kept, "the same in both halves": _alike}
    figures: dict[str, Figures | Figure] = {
        name: {
            factor.name: Figure(
                share(torch.cat([of[factor.name] for of in said])),
                baselines={"test sequences": share(real[factor.name])} if real else {},
                good="higher",
                note=note,
            )
            for factor in factors_of(judge.info, "static")
        }
        for name, share in shares.items()
    }
    return figures


def _said(judge: Judge, x_BT: Tensor, wide: int) -> dict[str, Tensor]:
    """The judge's label of every window: factor -> [B, W]."""
    count = x_BT.shape[1] // wide
    windows_NT = rearrange(x_BT[:, : count * wide], "b (w t) ... -> (b w) t ...", t=wide)
    verdict = judge.verdict(windows_NT, torch.full((len(windows_NT),), wide))
    return {
        factor.name: rearrange(verdict.labels(factor.name), "(b w) -> b w", w=count)
        for factor in factors_of(judge.info, "static")
    }


def _kept(said_NW: Tensor) -> float:
    """Share of windows that show what most of their sequence show."""
    return (said_NW == _commonest(said_NW)[:, None]).double().mean().item()


def _alike(said_NW: Tensor) -> float:
    """Share of sequences of whose windows the first half shows mostly what the last half does."""
    half = said_NW.shape[1] // 2
    first_N, last_N = _commonest(said_NW[:, :half]), _commonest(said_NW[:, -half:])
    return (first_N == last_N).double().mean().item()


def _commonest(said_NW: Tensor) -> Tensor:
    """[N]: the label that most windows have."""
    return said_NW.mode(-1).values


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield long_samples
