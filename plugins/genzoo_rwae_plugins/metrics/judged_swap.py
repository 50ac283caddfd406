"""Swaps of test sequences by a judge's word.

Shapes: B pairs of a batch, N pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Judge, Splits, Verdict
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Factor
from genzoo_rwae_plugins.metrics.judging import Judgement, factors_of, shares_as_labelled

__all__ = ["judged_swap"]

_ROWS = 64  # pairs in one pass


@metric("judged-swap")
@torch.no_grad()
def judged_swap(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    /,
    *,
    pairs: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Whose factors a swap of test sequences shows, by a judge's word.

    The static code of one sequence with the dynamic codes of another should show the static
    factors of the first and the dynamic ones of the second. The pairs are neighbours in a random
    circle of all test sequences, so that each gives its static code once and its motion once.
    Where the donors differ, the share that shows the wrong one's value is what leaked.

    Args:
        pairs: most pairs; null takes as many as there are test sequences.
        seed: of the choice of pairs.
    """
    count = len(splits.test)
    if count < 2:
        return {}
    circle_N: np.ndarray = np.random.default_rng(seed).permutation(count)
    static_N, motion_N = circle_N[:pairs], np.roll(circle_N, -1)[:pairs]
    verdicts: list[Verdict] = []
    labels: tuple[list[Mapping[str, Tensor]], ...] = ([], [])
    for start in range(0, len(static_N), _ROWS):
        rows = slice(start, start + _ROWS)
        static, motion = splits.test.take(static_N[rows]), splits.test.take(motion_N[rows])
        made_BT = model.swap(static.x_BT, motion.x_BT, static.lengths_B, motion.lengths_B).x_BT
        verdicts.append(judge.verdict(made_BT, motion.lengths_B))
        for told, batch in zip(labels, (static, motion), strict=True):
            told.append(batch.factors)
    by_static, by_motion = (
        Judgement((Verdict.joined(verdicts),), {
            factor.name: torch.cat([factors[factor.name] for factors in told])
            for factor in judge.info.factors
        })
        for told in labels
    )  # fmt: skip
    note = f"{len(by_static):,} pairs of test sequences"
    kept = factors_of(judge.info, "static")
    followed = factors_of(judge.info, "dynamic")
    return {
        "static factors kept": shares_as_labelled(by_static, kept, note),
        "dynamic factors followed": shares_as_labelled(by_motion, followed, note),
        "taken from the wrong donor": {
            factor.name: _wrong(right, wrong, factor, note)
            for factors, right, wrong in (
                (kept, by_static, by_motion), (followed, by_motion, by_static)
            )
            for factor in factors
        },
    }  # fmt: skip


def _wrong(right: Judgement, wrong: Judgement, factor: Factor, note: str) -> Figure:
    """Share of the pairs whose donors differ in a factor that shows the wrong donor's value."""
    mine_N, other_N = right.labels[factor.name], wrong.labels[factor.name]
    differ_N = mine_N != other_N
    said_N = right.said(factor.name)[0]
    count = int(differ_N.sum())
    return Figure(
        (said_N == other_N)[differ_N].double().mean().item() if count else None,
        chance=1 / len(factor.classes),
        good="lower",
        note=f"of the {count:,} that differ in it, of {note}: what leaked",
    )


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield judged_swap
