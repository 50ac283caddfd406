"""Figures, splits and how a spec's metrics are run."""

import json
import math

import numpy as np
import pytest
import torch
from rich.console import Console

from genzoo_rwae import metric
from genzoo_rwae.components import component_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.evaluation import Figure, Judge, Splits, Verdict, as_json, measure
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.evaluation.probe import UNSEEN
from genzoo_rwae.evaluation.reliability import strange_factors
from genzoo_rwae.report.figures import figures_of
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData
from genzoo_rwae.spec import Part
from genzoo_rwae.zoo import Plugin, Registered


def test_figure_keeps_all_that_it_says():
    figure = Figure(0.5, chance=0.25, baselines={"b": 0.1}, good="higher", spread=0.0, note="n")
    assert as_json({"f": figure}) == {
        "f": {
            "value": 0.5, "chance": 0.25, "baselines": {"b": 0.1}, "good": "higher",
            "spread": 0.0, "note": "n",
        }
    }  # fmt: skip


def test_fields_that_say_nothing_are_left_out():
    assert as_json({"f": Figure(0.5)}) == {"f": {"value": 0.5}}


@pytest.mark.parametrize("value", [0.0, -0.0, 0, False])
def test_value_stays_whatever_it_is(value):
    got = as_json({"f": Figure(value)})["f"]["value"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_null_and_said(value):
    figure = Figure(value, chance=value, baselines={"a": value, "b": 1.0}, note="how")
    assert as_json({"f": figure}) == {
        "f": {
            "value": None,
            "baselines": {"b": 1.0},
            "note": "how; what was measured is not finite",
        }
    }


def test_chance_and_baselines_of_zero_stay():
    figure = as_json({"f": Figure(0.5, chance=0.0, baselines={"nothing": 0.0})})["f"]
    assert figure == {"value": 0.5, "chance": 0.0, "baselines": {"nothing": 0.0}}


def test_groups_stay_groups():
    figures = as_json({"g": {"f": Figure(1.0), "h": {"i": Figure(2.0)}}, "empty": {}})
    assert figures == {"g": {"f": {"value": 1.0}, "h": {"i": {"value": 2.0}}}, "empty": {}}


def test_figure_that_could_not_be_measured_is_a_figure_without_value():
    figure = Figure(None, chance=0.25, good="higher", note="too few sequences")
    written = json.loads(json.dumps(as_json({"probes": {"f": figure}})))
    assert written["probes"]["f"]["value"] is None
    (shown,) = figures_of(written)
    assert (shown.group, shown.name, shown.value) == ("probes", "f", "not measured")
    assert shown.note == "too few sequences"


def test_spread_indices_are_all_or_reach_from_end_to_end():
    assert spread_indices(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert spread_indices(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert spread_indices(1000, 4).tolist() == [0, 333, 666, 999]
    assert spread_indices(0, 3).tolist() == []


@pytest.mark.parametrize("most", [1, 2, 7, 99])
def test_spread_indices_are_as_many_as_asked_for(most):
    assert len(np.unique(spread_indices(100, most))) == most


def part(build, **options):
    return Part(Registered(component_of(build), Plugin("test", "python", "here")), options, "x")


FACTORS = (Factor("who", ("a", "b", "c"), "static"), Factor("way", ("up", "down"), "dynamic"))


class Labelled(SequenceData):
    """Noise with labels, the first of which a judge can be told to know."""

    def __init__(self, factors=FACTORS, count=6, who=None):
        self.info = DataInfo((1, 9, 12), 4, True, factors)
        self.count, self.who = count, who

    def __len__(self):
        return self.count

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        x_BT = torch.rand(len(i), 4, 1, 9, 12, generator=torch.Generator().manual_seed(0))
        x_BT[:, 0, 0, 0, 0] = i / 10
        who_B = i % 3 if self.who is None else torch.full_like(i, self.who)
        labels = {"who": who_B, "way": i % 2}
        factors = {factor.name: labels[factor.name] for factor in self.info.factors}
        return Batch(x_BT, torch.full((len(i),), 4), i, factors)


class Knows(torch.nn.Module):
    """Reads the index off a real sequence's first value, and says 0 of all others."""

    def forward(self, x_BT, lengths_B):
        tenth_B = x_BT[:, 0, 0, 0, 0] * 10
        real_B = (tenth_B - tenth_B.round()).abs() < 1e-5
        index_B = torch.where(real_B, tenth_B.round(), 0).long()
        logits = {"who": torch.eye(3)[index_B % 3], "way": torch.eye(2)[index_B % 2]}
        return Verdict(logits, x_BT[:, 0, 0, 0])


@metric("judged")
def judged(model, splits, judge, /):
    """Asks for a judge."""
    return {"told": Figure(float(isinstance(judge, Judge)))}


@metric("unjudged")
def unjudged(model, splits, /):
    """Asks for none."""
    return {"told": Figure(0.0)}


def measured(model, metrics, data=None, train=None):
    data, asked = Labelled() if data is None else data, []
    model.info = data.info

    def judge():
        asked.append(1)
        return Judge(Knows(), data.info)

    parts, splits = [part(metric) for metric in metrics], Splits(train or data, data, data)
    return measure(model, splits, parts, Console(quiet=True), judge), len(asked)


def test_a_metric_that_asks_gets_the_judge_and_its_accuracy_stands_beside(rwae):
    figures, asked = measured(rwae(), [judged, unjudged, judged])
    assert asked == 1
    assert figures["judged"]["told"]["value"] == 1.0
    real, rebuilt = figures["judge"]["real test data"], figures["judge"]["reconstructions"]
    assert real["who"]["value"] == real["way"]["value"] == 1.0
    # of the reconstructions of an untrained model it says 0
    assert rebuilt["who"]["value"] == pytest.approx(1 / 3)
    assert rebuilt["way"]["value"] == pytest.approx(1 / 2)
    assert real["who"]["chance"] == pytest.approx(1 / 3)
    assert "never saw" in real["who"]["note"]


def test_no_judge_is_trained_unless_a_metric_asks(rwae):
    figures, asked = measured(rwae(), [unjudged])
    assert asked == 0
    assert list(figures) == ["unjudged"]


@pytest.mark.parametrize("data", [Labelled(factors=()), Labelled(count=0)])
def test_data_without_labels_or_test_sequences_have_nothing_to_judge(rwae, data):
    figures, asked = measured(rwae(), [judged, unjudged], data)
    assert asked == 0
    assert figures == {"judged": {}, "unjudged": {"told": {"value": 0.0}}}


@metric("says")
def says(model, splits, judge, /):
    """On what the judge has a word."""
    batch = splits.test.take(np.arange(2))
    verdict = judge.verdict(batch.x_BT, batch.lengths_B)
    assert list(verdict.logits) == [factor.name for factor in judge.info.factors]
    return {name: Figure(1.0) for name in verdict.logits}


def test_a_judge_has_no_word_on_classes_that_it_never_saw(rwae):
    figures, _ = measured(rwae(), [says], Labelled(who=1), train=Labelled(who=0))
    assert set(figures["says"]) == {"way"}
    for of in ("real test data", "reconstructions"):
        who, way = (figures["judge"][of][name] for name in ("who", "way"))
        assert who["value"] is None
        assert who["note"] == UNSEEN
        assert way["value"] is not None


def test_a_judge_of_nothing_but_strangers_is_not_asked(rwae):
    data, train = (Labelled(FACTORS[:1], who=who) for who in (1, 0))
    figures, asked = measured(rwae(), [says, unjudged], data, train)
    assert asked == 0
    assert figures.pop("judge")["real test data"]["who"]["note"] == UNSEEN
    assert figures == {"says": {}, "unjudged": {"told": {"value": 0.0}}}


def test_one_known_class_among_strangers_is_enough_to_be_asked_about():
    few = Labelled(FACTORS[:1], who=0)
    assert strange_factors(few, Labelled(FACTORS[:1])) == set()
    assert strange_factors(few, Labelled(FACTORS[:1], who=1)) == {"who"}
    many = Labelled(FACTORS[:1], count=200)
    many.take = lambda i, **_: Labelled(who=2 if max(i) == 199 else 1).take(i)
    assert strange_factors(many, Labelled(FACTORS[:1], who=2)) == set()  # in the last batch alone


@metric("strange")
def strange(model, splits, jury, /):
    """Wants what nobody has."""


@metric("judge")
def named_judge(model, splits, /):
    """Has a taken name."""


@pytest.mark.parametrize(
    ("wrong", "message"), [(strange, r"\['jury'\]"), (named_judge, "give it another")]
)
def test_metrics_that_cannot_be_wired_are_refused(rwae, wrong, message):
    with pytest.raises(PluginError, match=message):
        measured(rwae(), [wrong])


def test_metrics_see_a_model_in_evaluation_mode_and_the_same_random_numbers(rwae):
    model, seen = rwae().train(), []

    @metric("draws")
    def draws(model, splits, /, *, scale: float = 1.0):
        """Draws from torch's own generator."""
        seen.append((model.training, torch.is_grad_enabled(), splits))
        return {"draw": Figure(scale * torch.rand(()).item())}

    splits = Splits(None, None, None)
    torch.manual_seed(1)
    first = measure(model, splits, [part(draws)], Console(quiet=True))
    second = measure(model, splits, [part(draws, scale=2.0)], Console(quiet=True))
    assert first["draws"]["draw"]["value"] * 2 == second["draws"]["draw"]["value"]
    assert seen == [(False, False, splits)] * 2


def test_figures_are_kept_after_every_metric_with_the_judges_own(rwae):
    model, kept = rwae(), []
    data = Labelled()
    model.info = data.info
    measure(
        model,
        Splits(data, data, data),
        [part(judged), part(unjudged)],
        Console(quiet=True),
        lambda: Judge(Knows(), data.info),
        lambda figures: kept.append(list(figures)),
    )
    assert kept == [["judge", "judged"], ["judge", "judged", "unjudged"]]
