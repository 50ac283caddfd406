"""Figures, splits and how a spec's metrics are run."""

import json
import math

import numpy as np
import pytest
import torch
from rich.console import Console

from genzoo_rwae import metric
from genzoo_rwae.components import component_of
from genzoo_rwae.evaluation import Figure, Splits, as_json, measure
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.report.figures import figures_of
from genzoo_rwae.spec import Part
from genzoo_rwae.zoo import Plugin, Registered


def test_figure_keeps_all_that_it_says():
    figure = Figure(0.5, chance=0.25, baselines={"b": 0.1}, good="higher", note="n")
    assert as_json({"f": figure}) == {
        "f": {"value": 0.5, "chance": 0.25, "baselines": {"b": 0.1}, "good": "higher", "note": "n"}
    }


def test_fields_that_say_nothing_are_left_out():
    assert as_json({"f": Figure(0.5)}) == {"f": {"value": 0.5}}


@pytest.mark.parametrize("value", [0.0, -0.0, 0, math.nan, math.inf, False])
def test_value_stays_whatever_it_is(value):
    got = as_json({"f": Figure(value)})["f"]["value"]
    assert got == value or (math.isnan(got) and math.isnan(value))
    assert type(got) is type(value)


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
