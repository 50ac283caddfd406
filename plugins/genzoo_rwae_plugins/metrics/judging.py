"""What the judged protocols have in common: clips made of test sequences, and shares of verdicts.

Shapes: B batch, T time, N sequences, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean, stdev
from typing import Literal

import torch
from torch import Tensor

from genzoo_rwae.codes import Latents
from genzoo_rwae.evaluation import Figure, Judge, Verdict
from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.evaluation.reliability import majority_share
from genzoo_rwae.evaluation.scores import balanced_rows, class_accuracy, inception_score
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData

__all__ = [
    "Judgement",
    "certainty",
    "factors_of",
    "figure",
    "judge_made",
    "posterior_means",
    "shares_as_labelled",
    "shares_changed",
    "some",
    "worst_class",
]

Code = Literal["static", "dynamic"]


@dataclass(frozen=True)
class Judgement:
    """What a judge says of clips that a model made, each from the codes of a test sequence.

    Attributes:
        verdicts: one for every repeat, on N clips.
        labels: factor -> [N], the data set's word on the sequences that gave the codes.
    """

    verdicts: tuple[Verdict, ...]
    labels: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))

    def said(self, factor: str) -> list[Tensor]:
        """The judge's labels [N], for every repeat."""
        return [verdict.labels(factor) for verdict in self.verdicts]


def factors_of(info: DataInfo, code: Code) -> list[Factor]:
    """The factors that one of the codes should carry."""
    return [factor for factor in info.factors if factor.code == code]


def some(data: SequenceData, most: int | None) -> Iterator[Batch]:
    """Sequences of a split in batches, the last of any size: all of them, or `most`, spread."""
    return taken(data, spread_indices(len(data), len(data) if most is None else most))


def judge_made(
    judge: Judge,
    data: SequenceData,
    sequences: int | None,
    repeats: int,
    make: Callable[[Batch], Iterable[Tensor]],
) -> Judgement:
    """Judge what is made of sequences.

    Args:
        judge: the judge.
        data: whose sequences give codes.
        sequences: most of them; None takes all.
        repeats: how many clips are taken from `make` for every batch.
        make: clips [B, T, ...] of a batch, as often as it is asked.
    """
    verdicts: list[list[Verdict]] = [[] for _ in range(repeats)]
    labels: dict[str, list[Tensor]] = {factor.name: [] for factor in judge.info.factors}
    for batch in some(data, sequences):
        for told, made_BT in zip(verdicts, islice(make(batch), repeats), strict=True):
            told.append(judge.verdict(made_BT, batch.lengths_B))
        for name, labels_B in labels.items():
            labels_B.append(batch.factors[name])
    return Judgement(
        tuple(Verdict.joined(told) for told in verdicts),
        {name: torch.cat(labels_B) for name, labels_B in labels.items()},
    )


def posterior_means(model: SequenceModel, batch: Batch) -> Latents:
    """Means of the posteriors of a batch, and its likeliest actions if the model has some."""
    encoding = model.encode(batch.x_BT, batch.lengths_B)
    action_BA = encoding.action.typical() if encoding.action else None
    return Latents(encoding.static.mean, encoding.dynamic.mean, action_BA)


# -- figures ----------------------------------------------------------------------------------


def figure(
    values: Sequence[float],
    note: str,
    *,
    good: Literal["higher", "lower"] | None = "higher",
    chance: float | None = None,
    baselines: Mapping[str, float] | None = None,
) -> Figure:
    """The mean over repeats; the spread is their standard deviation."""
    spread = stdev(values) if len(values) > 1 else None
    return Figure(fmean(values), chance, baselines or {}, good, note, spread)


def _with_mean(
    shares: Mapping[str, Sequence[float]],
    chances: Mapping[str, float],
    note: str,
    good: Literal["higher"] | None = "higher",
) -> dict[str, Figure]:
    """A figure for every factor, and one of their mean."""
    found = {name: figure(shares[name], note, good=good, chance=chances[name]) for name in shares}
    if len(shares) > 1:
        means = [fmean(values) for values in zip(*shares.values(), strict=True)]
        found["mean"] = figure(means, note, good=good, chance=fmean(chances.values()))
    return found


def shares_as_labelled(
    judgement: Judgement, factors: Sequence[Factor], note: str
) -> dict[str, Figure]:
    """Share of clips on which the judge says what the data set says of the codes' donor."""
    labels = {factor.name: judgement.labels[factor.name] for factor in factors}
    shares = {
        name: [(said_N == labels_N).double().mean().item() for said_N in judgement.said(name)]
        for name, labels_N in labels.items()
    }
    return _with_mean(shares, {n: majority_share(labels_N) for n, labels_N in labels.items()}, note)


def shares_changed(judgement: Judgement, factors: Sequence[Factor], note: str) -> dict[str, Figure]:
    """Share of clips on which the judge says anything but the donor's label; chance (K − 1)/K.

    Chance is the ideal, so neither more nor less is better: a value that is drawn afresh is the
    donor's by luck in 1 of K.
    """
    shares = {
        factor.name: [
            (said_N != judgement.labels[factor.name]).double().mean().item()
            for said_N in judgement.said(factor.name)
        ]
        for factor in factors
    }
    chances = {factor.name: 1 - 1 / len(factor.classes) for factor in factors}
    return _with_mean(shares, chances, f"{note}; ideal is chance", good=None)


def worst_class(judgement: Judgement, factor: Factor) -> Figure:
    """Accuracy on the class that the judge finds least often, all repeats together."""
    labels_N, said = judgement.labels[factor.name], judgement.said(factor.name)
    accuracy_K = class_accuracy(
        torch.cat(said), labels_N.repeat(len(said)), len(factor.classes)
    ).nan_to_num(torch.inf)
    k = int(accuracy_K.argmin())
    return Figure(accuracy_K[k].item(), good="higher", note=f"that of '{factor.classes[k]}'")


def certainty(
    judgement: Judgement,
    factor: Factor,
    note: str,
    baseline: Mapping[str, Verdict] | None = None,
    *,
    balanced: bool = True,
) -> dict[str, Figure]:
    """Inception score and entropies of the verdicts on one factor.

    Args:
        judgement: the verdicts.
        factor: on which factor.
        note: how they were made.
        baseline: name -> verdict on other sequences, to compare with.
        balanced: keep as many clips of every true class, the first ones, as the published protocol
            does.
    """
    rows_N = balanced_rows(judgement.labels[factor.name]) if balanced else slice(None)
    found = [inception_score(v.probabilities(factor.name)[rows_N]) for v in judgement.verdicts]
    others = {
        name: inception_score(verdict.probabilities(factor.name))
        for name, verdict in (baseline or {}).items()
    }
    classes = len(factor.classes)
    shown: tuple[tuple[str, str, Literal["higher", "lower"], str], ...] = (
        ("IS", "score", "higher", f"between 1 and {classes}"),
        ("H(y|x)", "conditional_entropy", "lower", "0 where the judge is certain of every clip"),
        ("H(y)", "marginal_entropy", "higher", f"at most ln {classes}"),
        ("KL to uniform", "kl_to_uniform", "higher", f"at most ln {classes}"),
    )
    return {
        name: figure(
            [getattr(scores, field) for scores in found],
            f"{said}; {note}",
            good=good,
            baselines={other: getattr(scores, field) for other, scores in others.items()},
        )
        for name, field, good, said in shown
    }
