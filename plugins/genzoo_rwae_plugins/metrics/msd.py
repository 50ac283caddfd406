"""Interventions on codes by a judge's word: two factors, and one static factor at a time.

Shapes: B pairs of a batch, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange, repeat
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from genzoo_rwae.codes import Latents, draw_sample
from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Judge, Splits, Verdict
from genzoo_rwae.evaluation.directions import Subspace, factor_subspaces
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.evaluation.interventions import Intervention, consistency, intervention
from genzoo_rwae.evaluation.traversal import Code
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo
from genzoo_rwae_plugins.metrics.judging import factors_of, posterior_means

__all__ = ["msd"]

_ROWS = 64  # pairs in one pass
_CODES: tuple[Code, ...] = ("static", "dynamic")
_HOW = ("swap", "sample")


@dataclass
class _Outcome:
    """Verdicts on what an intervention made, and the labels of what should be kept.

    Attributes:
        kept: factors that should be as before.
        right: factor -> how many outcomes show the label from before.
        count: outcomes.
    """

    kept: frozenset[str]
    right: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def add(self, verdict: Verdict, labels: Mapping[str, Tensor]) -> None:
        for name in verdict.logits:
            told = int((verdict.labels(name) == labels[name]).sum())
            self.right[name] = self.right.get(name, 0) + told
        self.count += len(verdict.features_BF)

    def found(self, classes: Mapping[str, int]) -> Intervention:
        accuracies = {name: right / self.count for name, right in self.right.items()}
        return intervention(accuracies, classes, self.kept)


@metric("msd")
@torch.no_grad()
def msd(
    model: SequenceModel,
    splits: Splits,
    judge: Judge,
    /,
    *,
    pairs: PositiveInt | None = None,
    stills: PositiveInt = 100,
    fitted: PositiveInt = 2_000,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Intervention scores by a judge's word: codes swapped and sampled, whole and factor by factor.

    1 − (on + off)/2, with on the mean |accuracy − 1| over the factors that should be kept and off
    the mean |accuracy − 1/K| over those that were exchanged, both against the labels from before.
    With two factors a whole code is exchanged, for another sequence's or for a draw of the prior;
    with several it is one static factor, along the directions of the static code that the labels
    of training sequences tell. Consistency asks the judge about stills: each frame, standing as
    long as the clip.

    1/K is chance where all classes are as frequent; elsewhere the best score is below 1, and that
    of the true renderings, where they are known, says how far.

    Args:
        pairs: most pairs of test sequences; null takes as many as there are sequences.
        stills: most clips whose frames are judged one by one.
        fitted: most training sequences that tell where a factor lies.
        seed: of the pairs and of the draws of the prior.

    Source: the multi-factor sequential disentanglement benchmark (NeurIPS 2025); its mapping of
        codes to factors is another one.
    """
    info, count = judge.info, len(splits.test)
    sides = {code: frozenset(f.name for f in factors_of(info, code)) for code in _CODES}
    if count < 2 or len(info.factors) < 2:
        return {}
    circle_N: np.ndarray = np.random.default_rng(seed).permutation(count)
    first_N, second_N = circle_N[:pairs], np.roll(circle_N, -1)[:pairs]
    generator = torch.Generator().manual_seed(seed)
    subspaces = {
        name: subspace
        for name, subspace in factor_subspaces(model, splits.train, fitted).items()
        if len(subspace.told_R) and name in {factor.name for factor in info.factors}
    }
    outcomes = _Outcomes(info, sides, subspaces)
    for start in range(0, len(first_N), _ROWS):
        rows = slice(start, start + _ROWS)
        first, second = splits.test.take(first_N[rows]), splits.test.take(second_N[rows])
        outcomes.intervene(model, judge, first, second, generator)
        truth_BT = splits.test.recombine(first_N[rows], second_N[rows])
        if truth_BT is not None:
            outcomes.see_truth(judge.verdict(truth_BT, second.lengths_B), first, second)
    figures = outcomes.figures()
    if sides["static"]:
        figures["consistency between frames"] = _consistencies(
            model, judge, splits, first_N[:stills], second_N[:stills], generator
        )
    return figures


class _Outcomes:
    """All interventions of one metric, pair by pair."""

    def __init__(
        self,
        info: DataInfo,
        sides: Mapping[Code, frozenset[str]],
        subspaces: Mapping[str, Subspace],
    ) -> None:
        self.info, self.subspaces = info, subspaces
        self.classes = {factor.name: len(factor.classes) for factor in info.factors}
        whole = all(sides.values())  # both codes have factors: exchanging one keeps the other's
        self.two = {how: {code: _Outcome(sides[code]) for code in _CODES if whole} for how in _HOW}
        self.truth = {code: _Outcome(sides[code]) for code in _CODES if whole}
        everything = frozenset(self.classes)
        self.several = {
            how: {name: _Outcome(everything - {name}) for name in subspaces} for how in _HOW
        }

    def intervene(
        self,
        model: SequenceModel,
        judge: Judge,
        first: Batch,
        second: Batch,
        generator: torch.Generator,
    ) -> None:
        """Exchange codes of `first` for those of `second`, and for draws of the prior."""
        own, other = posterior_means(model, first), posterior_means(model, second)
        drawn = model.sample_prior(len(first), first.x_BT.shape[1], draw_sample(generator))

        def verdict(latents: Latents, batch: Batch) -> Verdict:
            return judge.verdict(model.decode(latents).float(), batch.lengths_B)

        if self.truth:
            swapped = verdict(_mixed(own, other), second)
            self.two["swap"]["static"].add(swapped, first.factors)
            self.two["swap"]["dynamic"].add(swapped, second.factors)
            self.two["sample"]["static"].add(verdict(_mixed(own, drawn), first), first.factors)
            self.two["sample"]["dynamic"].add(verdict(_mixed(drawn, own), first), first.factors)
        for name, subspace in self.subspaces.items():
            for how, donor in (("swap", other), ("sample", drawn)):
                static_BD = subspace.exchange(own.static_BD, donor.static_BD)
                latents = Latents(static_BD, own.dynamic_BTD, own.action_BA)
                self.several[how][name].add(verdict(latents, first), first.factors)

    def see_truth(self, verdict: Verdict, first: Batch, second: Batch) -> None:
        """What the judge says of true renderings of a swap."""
        for code, batch in (("static", first), ("dynamic", second)):
            if code in self.truth:
                self.truth[code].add(verdict, batch.factors)

    def figures(self) -> dict[str, Figures | Figure]:
        found: dict[str, Figures | Figure] = {}
        for how in _HOW:
            truth = self.truth if how == "swap" else {}
            two = {
                f"{code} factors kept": self._figure(outcome, truth.get(code))
                for code, outcome in self.two[how].items()
            }
            several = {
                f"all but {name} kept": self._figure(outcome)
                for name, outcome in self.several[how].items()
            }
            found[f"two factors, {how}"] = _with_mean(two)
            found[f"several factors, {how}"] = _with_mean(several)
        return {name: group for name, group in found.items() if group}

    def _figure(self, outcome: _Outcome, truth: _Outcome | None = None) -> Figure:
        found = outcome.found(self.classes)
        at_chance = {name: 1 / count for name, count in self.classes.items()}
        unchanged = dict.fromkeys(self.classes, 1.0)
        baselines = {"nothing exchanged": intervention(unchanged, self.classes, outcome.kept).score}
        if truth is not None and truth.count:
            baselines["the truth"] = truth.found(self.classes).score
        return Figure(
            found.score,
            chance=intervention(at_chance, self.classes, outcome.kept).score,
            baselines=baselines,
            good="higher",
            note=f"on {found.on:.3f}, off {found.off:.3f}, {outcome.count:,} outcomes",
        )


def _mixed(static: Latents, dynamic: Latents) -> Latents:
    return Latents(static.static_BD, dynamic.dynamic_BTD, dynamic.action_BA)


def _with_mean(figures: dict[str, Figure]) -> dict[str, Figure]:
    """With the mean of the scores, of several."""
    if len(figures) < 2:
        return figures
    values = [figure.value for figure in figures.values() if figure.value is not None]
    return {**figures, "mean": Figure(sum(values) / len(values), good="higher")}


def _consistencies(
    model: SequenceModel,
    judge: Judge,
    splits: Splits,
    first_N: np.ndarray,
    second_N: np.ndarray,
    generator: torch.Generator,
) -> Figures:
    """Of swaps and samples, beside that of the test sequences themselves."""
    first, second = splits.test.take(first_N), splits.test.take(second_N)
    swapped_BT = model.swap(first.x_BT, second.x_BT, first.lengths_B, second.lengths_B).x_BT
    sampled_BT = model.sample(len(first), first.x_BT.shape[1], generator).x_BT
    real = _consistency(judge, first.x_BT, first.lengths_B)
    note = f"{len(first):,} clips; share of neighbouring frames that the judge calls alike"
    return {
        what: Figure(
            _mean(found.values()),
            baselines={"test sequences": mean} if (mean := _mean(real.values())) else {},
            good="higher",
            note=note,
        )
        for what, found in (
            ("swap", _consistency(judge, swapped_BT, second.lengths_B)),
            ("sample", _consistency(judge, sampled_BT, first.lengths_B)),
        )
    }


def _consistency(judge: Judge, x_BT: Tensor, lengths_B: Tensor) -> dict[str, float | None]:
    """Of every static factor, over the frames of each clip as stills of the clip's length."""
    said: dict[str, list[Tensor]] = {f.name: [] for f in factors_of(judge.info, "static")}
    for x_T, length in zip(x_BT, lengths_B.tolist(), strict=True):
        stills_BT = repeat(x_T, "t ... -> t k ...", k=length)
        verdict = judge.verdict(stills_BT, torch.full((len(x_T),), length))
        for name, told in said.items():
            told.append(verdict.labels(name))
    return {
        name: consistency(rearrange(torch.cat(told), "(n t) -> n t", n=len(x_BT)), lengths_B)
        for name, told in said.items()
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield msd
