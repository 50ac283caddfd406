"""Runs side by side: who shares a column, what is bold, what differs."""

import json
import statistics
from dataclasses import replace

import pytest

from genzoo_rwae.errors import CheckpointError, SpecError
from genzoo_rwae.evaluation.measured_run import flat_figures, read_run
from genzoo_rwae.evaluation.tables import compare, markdown_table


@pytest.fixture
def compared(run_folder, figure):
    """A comparison of columns of seeds: name -> values of one figure."""

    def make(columns, good="higher"):
        runs = [
            run_folder(f"{name}{seed}", figure(value, good=good), name=name, seed=seed, weight=w)
            for w, (name, values) in enumerate(columns.items())
            for seed, value in enumerate(values)
        ]
        return compare([read_run(run) for run in runs])

    return make


def best(comparison):
    return [cell.best for cell in comparison.rows[0].cells]


def test_runs_that_differ_in_their_seed_alone_are_one_column_with_mean_and_spread(compared):
    values = [0.5, 0.7, 0.9]
    comparison = compared({"a": values, "b": [0.2]})
    one, other = comparison.rows[0].cells
    assert (one.mean, one.spread) == pytest.approx((0.7, statistics.stdev(values)))
    assert (other.mean, other.spread) == (0.2, None)
    assert [column.label for column in comparison.columns] == ["a, 3 seeds", "b"]
    assert comparison.facts["seeds"] == ("0, 1, 2", "0")


@pytest.mark.parametrize(
    ("columns", "good", "bold"),
    [
        ({"a": [0.9, 0.91], "b": [0.5, 0.51]}, "higher", [True, False]),
        ({"a": [0.9, 0.91], "b": [0.5, 0.51]}, "lower", [False, True]),
        ({"a": [0.9, 0.91], "b": [0.5, 0.51]}, "", [False, False]),
        ({"a": [0.9, 0.91], "b": [0.5, 1.2]}, "higher", [False, False]),  # within b's spread
        ({"a": [0.5, 1.5], "b": [0.5, 0.51]}, "higher", [False, False]),  # within its own
        ({"a": [0.9], "b": [0.5, 0.51]}, "higher", [False, False]),  # nobody knows its spread
        ({"a": [0.9, 0.91], "b": [0.9, 0.92], "c": [0.1, 0.11]}, "higher", [False, False, False]),
        ({"a": [0.9, 0.9], "b": [0.9, 0.9]}, "higher", [False, False]),
        ({"a": [0.9, 0.91]}, "higher", [False]),
    ],
)
def test_bold_is_what_is_better_by_more_than_the_spread(compared, columns, good, bold):
    comparison = compared(columns, good)
    assert best(comparison) == bold
    assert markdown_table(comparison).count("**") == 2 * sum(bold)


def test_what_was_not_measured_leaves_its_cell_empty(run_folder, figure):
    runs = [
        run_folder("one", {**figure(None, good="higher"), "text": {"x": "a word"}}),
        run_folder("two", {**figure(0.5), "more": {"y": 2}}, weight=3),
    ]
    comparison = compare([read_run(run) for run in runs])
    assert {row.title: [c and c.mean for c in row.cells] for row in comparison.rows} == {
        "probes, static code: who": [None, 0.5],
        "text: x": [None, None],
        "more: y": [None, 2.0],
    }


def test_only_what_all_runs_agree_on_is_compared_with(run_folder, figure):
    runs = [
        run_folder("one", figure(0.5, chance=0.25, baselines={"raw data": 0.9, "own": 0.1})),
        run_folder("two", figure(0.6, chance=0.25, baselines={"raw data": 0.9, "own": 0.2}),
                   weight=1),
    ]  # fmt: skip
    (row,) = compare([read_run(run) for run in runs]).rows
    assert row.known == {"chance": 0.25, "raw data": 0.9}
    assert row.compare_with == "chance 0.25; raw data 0.9"
    (alone,) = compare([read_run(runs[0])]).rows
    assert alone.known == {"chance": 0.25, "raw data": 0.9, "own": 0.1}


def test_settings_that_differ_prices_time_and_steps_are_said(run_folder, figure):
    runs = [
        run_folder("one", figure(0.5), weight=10, seconds=90),
        run_folder("two", figure(0.5), weight=10, seconds=150, seed=1),
        run_folder("three", figure(0.5), weight=10, price=0.01),
        run_folder("four", figure(0.5), weight=10, price="0.01, schedule: {use: cosine}"),
    ]
    *first, scheduled = [read_run(run) for run in runs]
    assert compare([scheduled]).facts["price on information"] == (
        "static 0.01 a nat times its schedule",
    )
    comparison = compare(first)
    assert comparison.settings == {"objective.information.static.weight": ("0.0", "0.01")}
    assert comparison.facts["price on information"] == ("none", "static 0.01 a nat")
    assert comparison.facts["training, minutes"] == ("2", "1")
    assert comparison.facts["training, steps"] == ("100", "100")
    assert "parameters" not in comparison.facts  # nobody counted
    # two columns of one name are told apart
    assert [c.label for c in comparison.columns] == ["a (one), 2 seeds", "a (three)"]


def test_names_and_what_is_measured_do_not_make_another_column(run_folder, figure):
    one, other = run_folder("one", figure(0.5)), run_folder("two", figure(0.7), name="b", seed=1)
    (other / "spec.yaml").write_text(
        (other / "spec.yaml").read_text().replace("[probes]", "[probes, swap]")
    )
    assert len(compare([read_run(one), read_run(other)]).columns) == 1


def test_one_run_twice_is_refused(run_folder, figure):
    runs = [run_folder(name, figure(0.5), seed=7) for name in ("one", "two")]
    with pytest.raises(SpecError, match=r"one.*two.*one seed \(7\)"):
        compare([read_run(run) for run in runs])


def test_run_without_figures_is_refused(run_folder, figure):
    run = run_folder("one", {})
    with pytest.raises(CheckpointError, match="genzoo build"):
        read_run(run)


def test_markdown_escapes_and_json_keeps_all(run_folder):
    run = run_folder("one", {"g": {"a|b": {"value": 0.5, "good": "lower"}}})
    comparison = compare([read_run(run)])
    assert r"| g: a\|b |  | lower | 0.5 |" in markdown_table(comparison)
    told = json.loads(json.dumps(comparison.as_json()))
    assert told["figures"] == [
        {"group": "g", "name": "a|b", "good": "lower", "known": {},
         "cells": [{"mean": 0.5, "spread": None, "best": False}]}
    ]  # fmt: skip
    assert told["columns"] == [{"label": "a", "runs": [str(run)], "seeds": [0]}]


def test_figures_are_flat_in_their_order():
    nested = {"a": {"x": 1, "b": {"y": {"value": 2}}}, "c": {"z": {"value": None}}}
    assert list(flat_figures(nested)) == [
        ("a", "x", {"value": 1}), ("a, b", "y", {"value": 2}), ("c", "z", {"value": None}),
    ]  # fmt: skip


def test_a_setting_is_shown_where_one_column_says_it_and_not_where_all_are_at_defaults(
    run_folder, figure
):
    """Two parts with options of their own; of the first, `scale` is said, and `slope` is not."""
    one, two = read_run(run_folder("one", figure(0.5))), read_run(run_folder("two", figure(0.5)))
    shared = {"cost.use": "near", "cost.slope": 1.0, "cost.scale": 3.0, "static": None}
    one = replace(one, settings=shared, defaults={"cost.slope": 1.0, "cost.scale": 2.0})
    other = {"cost.use": "far", "cost.slope": 5.0, "cost.width": 4, "static.use": "mmd"}
    two = replace(two, settings=other, defaults={"cost.slope": 5.0, "cost.width": 4})
    assert compare([one, two]).settings == {
        "cost.use": ("near", "far"),
        "cost.scale": ("3.0", ""),
        "static": ("null", ""),
        "static.use": ("none", "mmd"),
    }
    one = replace(one, defaults={**one.defaults, "static": None})
    assert "static" not in compare([one, two]).settings
    two = replace(two, defaults={})  # nobody could look: all is shown
    assert "cost.width" in compare([one, two]).settings


def test_a_setting_that_came_up_since_is_no_other_spec_where_it_stands_at_its_default(
    run_folder, figure
):
    runs = [read_run(run_folder(f"r{s}", figure(0.5), name="r", seed=s)) for s in (0, 1)]
    old = replace(runs[0], settings={"train.steps": 5}, defaults={"train.steps": 5})
    since = {"train.steps": 5, "train.compile": False}
    new = replace(runs[1], settings=since, defaults={**old.defaults, "train.compile": False})
    assert [column.label for column in compare([old, new]).columns] == ["r, 2 seeds"]
    for other in (
        replace(new, settings={**since, "train.compile": True}),
        replace(
            new, settings={**since, "train.steps": 6}, defaults={**new.defaults, "train.steps": 6}
        ),
        replace(new, defaults={}),  # nobody could look
    ):
        assert len(compare([old, other]).columns) == 2
        assert len(compare([other, old]).columns) == 2
