"""Does what is sampled with an action show it?

Shapes: B batch, T time, N sequences, A actions, R repeats.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Judge, Splits, encode_split
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch
from genzoo_rwae_plugins.metrics.clusters import chosen_factor, matched_classes
from genzoo_rwae_plugins.metrics.judging import figure, judge_made, shares_as_labelled

__all__ = ["fix_action"]

_BATCH = 50  # clips that are decoded at once


@metric("fix-action")
@torch.no_grad()
def fix_action(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    /,
    *,
    factor: str | None = None,
    sequences: PositiveInt = 1_000,
    samples: PositiveInt = 100,
    repeats: PositiveInt = 2,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Whether clips that are sampled with an action show it, by a judge's word.

    z^c and z^m are drawn from their priors, the latter given the action where it is told. An action
    stands for the class that the best one-to-one match with the likeliest actions of test sequences
    gives it, as in `clusters`; one that is left over is not sampled. The accuracy is the mean over
    the classes of these sequences; one without an action counts as 0. Beside it stands that on
    reconstructions of test sequences, which samples can hardly surpass; chance is what one class
    for all reaches. Clips are as long as the longest sequence. Models without actions have none of
    it.

    Args:
        factor: the true one; by default the first dynamic factor of the data.
        sequences: most test sequences that are matched and reconstructed, spread evenly.
        samples: clips of every action.
        repeats: how often they are drawn.
        seed: of the draws.

    Raises:
        OptionError: the data have no such factor.

    Source: the weakly supervised samples of arXiv 2101.07496, Sec. 3.3, in a number.
    """
    true = chosen_factor(model.info.factors, factor)
    if not model.actions or true not in judge.info.factors:
        return {}
    assert true is not None
    codes = encode_split(model, splits.test, sequences)
    assert codes.action_NA is not None
    true_N = codes.factors[true.name].numpy()
    class_A = matched_classes(true_N, codes.action_NA.argmax(-1).cpu().numpy(), model.actions)
    known, classes = np.flatnonzero(class_A >= 0), len(np.unique(true_N))
    generator = torch.Generator().manual_seed(seed)
    right_RA = np.array(
        [
            [
                _share_right(model, judge, true.name, int(a), int(class_A[a]), samples, generator)
                for a in known
            ]
            for _ in range(repeats)
        ]
    )

    def reconstructed(batch: Batch) -> Iterator[Tensor]:
        yield model.reconstruct(batch.x_BT, batch.lengths_B).x_hat_BT

    plain = judge_made(judge, splits.test, sequences, 1, reconstructed)
    seen = shares_as_labelled(plain, [true], "")[true.name].value
    assert seen is not None
    worst = int(right_RA.mean(0).argmin())
    note = f"{samples} clips of each action; {len(known)} of {classes} classes have one"
    return {
        "Acc": figure(
            (right_RA.sum(1) / classes).tolist(),
            note + (f"; {repeats} times, ± over these" if repeats > 1 else ""),
            chance=1 / classes,
            baselines={"reconstructions of test sequences": seen},
        ),
        "worst action": Figure(
            float(right_RA.mean(0)[worst]),
            good="higher",
            note=f"that of '{true.classes[class_A[known[worst]]]}'",
        ),
    }


def _share_right(
    model: SequenceModel,
    judge: Judge,
    factor: str,
    action: int,
    wanted: int,
    samples: int,
    generator: torch.Generator,
) -> float:
    """Share of an action's samples that the judge calls by its class."""
    right = 0
    for start in range(0, samples, _BATCH):
        count = min(_BATCH, samples - start)
        x_BT = model.sample(count, generator=generator, action=action).x_BT
        lengths_B = torch.full((count,), x_BT.shape[1])
        right += int((judge.verdict(x_BT, lengths_B).labels(factor) == wanted).sum())
    return right / samples


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield fix_action
