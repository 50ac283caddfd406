"""What a sweep's file may say, and where it is told what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from genzoo_rwae.errors import SpecError
from genzoo_rwae.sweep.check import check_plan, identity
from genzoo_rwae.sweep.plan import Plan, read_plan
from genzoo_rwae.sweep.values import Choices, Range
from genzoo_rwae.zoo import Zoo

pytest.importorskip("optuna", reason="needs the extra `sweep`")

Read = Callable[[str], Plan]


def refused(read: Read, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        check_plan(read(text), Zoo(use_entry_points=False))
    return str(caught.value)


def test_what_is_left_out_is_chosen_by_the_validation_split(plan: Read, sweep_text: str) -> None:
    said = plan(sweep_text).said
    assert (said.measure.split, said.measure.figure) == ("validation", "mse")
    assert (said.direction, said.sampler, said.seed) == ("minimize", "tpe", 0)


def test_short_forms_are_the_long_ones(plan: Read, sweep_text: str) -> None:
    short = plan(sweep_text + "measure: cost\n").said
    long = plan(
        sweep_text.replace("prune: none", "prune: {use: none}") + "measure: {validation: cost}\n"
    ).said
    assert short == long


def test_values_reach_the_spec_as_they_are_written(plan: Read, sweep_text: str) -> None:
    read = plan(sweep_text.replace("[1, 10]", "[1, 10]\n  model.encoder: [{use: lstm, hidden: 4}]"))
    drawn = {
        "train.optimizer.lr": 0.25,
        "objective.static.weight": "10",
        "model.encoder": '{"use": "lstm", "hidden": 4}',
    }
    assert read.settings(drawn, 7) == {
        "train.optimizer.lr": 0.25,
        "objective.static.weight": 10,
        "model.encoder": {"use": "lstm", "hidden": 4},
        "name": "rates-0007",
    }


@pytest.mark.parametrize(
    ("one", "grid"),
    [
        (Choices((1, True, "a", {"use": "b"})), ["1", "true", '"a"', '{"use": "b"}']),
        (Range(low=2, high=5), [2, 3, 4, 5]),
        (Range(low=2, high=8, step=3), [2, 5, 8]),
        (Range(low=0, high=0.75, step=0.25), [0.0, 0.25, 0.5, 0.75]),
        (Range(low=1, high=100, log=True), []),
        (Range(low=0.0, high=1.0), []),
    ],
    ids=str,
)
def test_a_grid_has_every_draw_that_there_is(one: Choices | Range, grid: list[object]) -> None:
    assert one.grid() == grid
    assert all(one.distribution()._contains(one.distribution().to_internal_repr(g)) for g in grid)


LR = "train.optimizer.lr: {low: 1e-4, high: 1e-1, log: true}"
WEIGHT = "objective.static.weight: [1, 10]"


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("trials: 3\n", "", r"sweep\.yaml:1:1: the sweep needs the key 'trials'"),
        ("trials: 3", "trails: 3", r":7:1: trails: the sweep has no option .*\n.*\n.*'trials'"),
        ("trials: 3", "trials: 0", r":7:9: trials: found 0"),
        ("tiny.yaml", "none.yaml", r":3:7: spec: .*none\.yaml: there is no such spec"),
        (LR, "train.optimizer.lr: 3", r":5:23: .*found 3; wanted a list of choices, or {low"),
        (LR, "train.optimizer.lr: []", r":5:23: .*found no choices"),
        (LR, "train.optimizer.lr: [1, 1]", r":5:23: .*the choice 1 stands twice"),
        (LR, "train.optimizer.lr: {low: 2, high: 1}", r":5:23: .*high: 1}; wanted low < high"),
        (LR, "train.optimizer.lr: {low: 0, high: 1, log: true}", r":5:23: .*wants low > 0"),
        (LR, "train.optimizer.lr: {low: 0, high: 1, step: 0.3}", r":5:23: .*some whole steps"),
        (LR, "train.optimizer.lr: {low: 0, hihg: 1}", r":5:32: .*no option 'hihg'"),
        (LR, "name: [a, b]", r":5:3: values\.name: no value to choose"),
        (LR, "train.optimiser.lr: [1]", r":5:3: train\.optimiser: .*\n.*\n.*'optimizer'"),
        (LR, "train.optimizer.lrr: [0.1, 0.2]", r":5:3: train\.optimizer\.lrr: .*no option 'lrr'"),
        (WEIGHT, "objective.static.weight: [1, -1]", r":6:32: objective\.static\.weight: found -1"),
        (WEIGHT, "model.static.size: {low: 2, high: 8.5}", r":6:37: .*found 8\.5; .*integer"),
        (WEIGHT, "objective.static: [mmd, mdm]", r":6:27: .*no penalty is called 'mdm'"),
        ("prune: none", "prune: mean", r":8:8: prune\.use: found 'mean'"),
        ("prune: none", "measure: loss", r":6:28: .*another function.*\n.*\n.*measure: mse"),
        ("prune: none", "measure: mze", r":8:10: .*'mze'\n.*\n.*did you mean 'mse'"),
        ("prune: none", "prune: {figure: mze}", r":8:17: prune\.figure: .*'mze'"),
        ("prune: none", "measure: swap/mse", r":8:10: .*optimistic\n.*\n.*{test: \"swap/mse\"}"),
        ("prune: none", "measure: {test: swap/mse}", r":8:17: .*does not measure 'swap'\n"),
        ("prune: none", "measure: {test: a, validation: b}", r":8:10: .*wanted one figure"),
        ("prune: none", "sampler: grid", r":5:23: .*a grid wants an end"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(
    plan: Read, sweep_text: str, was: str, now: str, said: str
) -> None:
    assert was in sweep_text
    message = refused(plan, sweep_text.replace(was, now))
    assert re.search(said, message), message


def test_all_problems_of_a_file_are_said_at_once_and_each_once(plan: Read, sweep_text: str) -> None:
    text = sweep_text.replace("optimizer.lr", "optimizer.lrr").replace("[1, 10]", "[-1, 1, 2, -3]")
    assert len(re.findall(r"^sweep\.yaml|^/.*sweep\.yaml", refused(plan, text), re.M)) == 3


def test_a_validation_split_that_is_not_measured_is_refused(
    plan: Read, spec: Path, sweep_text: str
) -> None:
    spec.write_text(spec.read_text().replace("held_out: 8", "held_out: 3"))
    assert "validation split has 3 sequences" in refused(plan, sweep_text)


def test_only_the_number_of_trials_is_no_part_of_what_a_sweep_is(
    plan: Read, sweep_text: str
) -> None:
    def told(was: str = "", now: str = "") -> dict[str, object]:
        read = plan(sweep_text.replace(was, now) if was else sweep_text)
        return identity(read, check_plan(read, Zoo(use_entry_points=False)))

    assert told("trials: 3", "trials: 9") == told()
    others = [("1e-4", "1e-3"), ("[1, 10]", "[10, 1]"), ("trials: 3", "trials: 3\nseed: 1")]
    others += [("prune: none", "prune: median"), ("trials: 3", "trials: 3\ndirection: maximize")]
    assert all(told(*other) != told() for other in others)


def test_the_example_that_chooses_by_a_test_figure_fits_its_spec() -> None:
    zoo = Zoo(use_entry_points=False)
    examples = Path(__file__).parents[2] / "examples" / "sweeps"
    read = read_plan(examples / "by-test-figure.yaml", zoo)
    assert check_plan(read, zoo).name == "by-test-figure-0000"
    assert read.pruned_by == "mse"
    assert read.sense == -1.0
