"""The model of what a step costs: its fit, and what is carried on to many ranks and many clips."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genzoo_rwae.shards.index import MOST_BYTES, MOST_SHARDS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not part of a source distribution")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("cost_model")


@pytest.fixture
def tables(model: ModuleType) -> ModuleType:
    return importlib.import_module("cost_at_scale")


@pytest.fixture
def points(model: ModuleType) -> list[Any]:
    shapes = [(b, 8, 64) for b in (4, 16, 64, 256)] + [(16, t, 64) for t in (2, 32)]
    shapes += [(16, 8, s) for s in (16, 128)] + [(1024, 2, 16), (4096, 2, 16)]
    return [model.Point(*shape) for shape in shapes]


@pytest.fixture
def facts(model: ModuleType) -> Any:
    return model.Facts(
        parameters=1_000_000, multiply_adds=1e9, coordinates=100, gathered=3_000, summed=1_000,
        collectives=4, drawn=500,
    )  # fmt: skip


@pytest.fixture
def hardware(model: ModuleType) -> Any:
    return model.Hardware(flops=1e12, network=1e9, latency=0.0, draws=1e8)


def test_terms_count_pixels_frames_sequences_and_pairs(model: ModuleType) -> None:
    found = model.terms(model.Point(10, 4, 50))
    assert found.tolist() == pytest.approx([0.1, 40, 10, 0.5, 1])


def test_the_fit_finds_the_costs_that_points_were_made_of(
    model: ModuleType, points: list[Any]
) -> None:
    cost_F = np.array([2e-2, 3e-4, 1e-3, 5e-5, 4e-2])
    fit = model.fitted(points, [float(model.terms(point) @ cost_F) for point in points])
    assert fit.cost_F == pytest.approx(cost_F, rel=1e-6)
    assert fit.at(model.Point(7, 5, 32)) == pytest.approx(
        float(model.terms(model.Point(7, 5, 32)) @ cost_F)
    )


def test_no_term_of_a_fit_is_negative_and_errors_are_those_of_the_model(
    model: ModuleType, points: list[Any]
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, len(points))
    cost_F = np.array([2e-2, 0.0, 0.0, 5e-5, 4e-2])
    measured = [
        float(model.terms(p) @ cost_F) * (1 + e) for p, e in zip(points, noise, strict=True)
    ]
    fit = model.fitted(points, measured)
    assert (fit.cost_F >= 0).all()
    wanted = [fit.at(point) / of - 1 for point, of in zip(points, measured, strict=True)]
    assert fit.errors_N == pytest.approx(wanted)
    assert np.abs(fit.errors_N).max() < 0.3


def test_small_and_large_points_weigh_alike(model: ModuleType) -> None:
    small, large = model.Point(4, 1, 1), model.Point(4096, 1, 1)
    fit = model.fitted([small, large], [1.0, 1000.0])
    assert np.abs(fit.errors_N).max() < 1e-6


def test_one_rank_sends_nothing(model: ModuleType, facts: Any, hardware: Any) -> None:
    step = model.step_on_ranks(facts, hardware, 1, 32)
    assert step.gradients == step.codes == 0
    assert step.nets == pytest.approx(2 * 1e9 * 32 / 1e12)
    assert step.penalty == pytest.approx(3 * 100 * 64**2 / 1e12)
    assert step.draws == pytest.approx(32 * 500 / 1e8)


def test_a_step_of_four_ranks_by_hand(model: ModuleType, facts: Any, hardware: Any) -> None:
    step = model.step_on_ranks(facts, replace(hardware, latency=1e-3), 4, 32)
    assert step.nets == pytest.approx(0.064)
    assert step.penalty == pytest.approx(3 * 100 * 256**2 / 4 / 1e12)
    assert step.gradients == pytest.approx(2 * 0.75 * 4e6 / 1e9 + 2e-3)
    assert step.codes == pytest.approx(0.75 * 128 * (3_000 + 2 * 1_000) / 1e9 + 8e-3)
    assert step.total == pytest.approx(
        step.nets + step.penalty + step.gradients + step.codes + step.draws
    )


def test_nets_take_no_less_than_the_floor(model: ModuleType, facts: Any, hardware: Any) -> None:
    slow = replace(hardware, floor=0.05)
    assert model.step_on_ranks(facts, slow, 4, 8).nets == 0.05
    assert model.step_on_ranks(facts, slow, 4, 32).nets == pytest.approx(0.064)


def test_no_number_of_ranks_goes_below_the_least_of_a_pass(
    model: ModuleType, tables: ModuleType, facts: Any, hardware: Any
) -> None:
    least = model.least_seconds(facts, hardware, 1e6)
    assert least == pytest.approx(1e6 * ((3_000 + 2 * 1_000) / 1e9 + 500 / 1e8))
    free = replace(hardware, flops=1e30)
    for ranks in (1_000, 100_000):
        step = model.step_on_ranks(facts, free, ranks, 1_000)
        assert 1e6 / (1_000 * ranks) * step.total == pytest.approx(least, rel=1e-2)
    hours = model.least_seconds(facts, hardware, 1e9) / 3600
    assert f"takes {hours:,.2f} h at least" in tables.floor_line(facts, hardware)


def test_the_table_says_how_much_faster_than_one_rank(
    tables: ModuleType, facts: Any, hardware: Any
) -> None:
    rows = [line.split(" | ") for line in tables.rank_table(facts, hardware, 32)]
    assert rows[2][-1] == "1.0 |"
    hours = [float(row[-2].removesuffix(" h").replace(",", "")) for row in (rows[2], rows[-1])]
    assert float(rows[-1][-1].removesuffix(" |")) == pytest.approx(hours[0] / hours[1], rel=0.05)


def test_with_the_same_rows_a_rank_nets_stay_and_penalty_and_codes_grow(
    model: ModuleType, facts: Any, hardware: Any
) -> None:
    few, many = (model.step_on_ranks(facts, hardware, ranks, 32) for ranks in (512, 1024))
    assert many.nets == few.nets
    for part in ("penalty", "codes", "draws"):
        assert getattr(many, part) == pytest.approx(2 * getattr(few, part), rel=2e-3)
    assert many.gradients == pytest.approx(few.gradients, rel=2e-3)


def test_a_part_breaks_where_it_takes_a_tenth_of_the_nets_time(
    model: ModuleType, facts: Any, hardware: Any
) -> None:
    # nets take 64 ms whatever the ranks, draws 0.16 ms a rank: 6.4 ms at 40 ranks
    assert model.breaks_at(facts, hardware, 32, "draws") == 64
    assert model.breaks_at(facts, replace(hardware, network=1e15), 32, "gradients") is None


def test_what_breaks_first_is_said_first(tables: ModuleType, facts: Any, hardware: Any) -> None:
    lines = list(tables.breaking(facts, hardware, 32))
    assert lines[0].startswith("- **gradients**, from 8 GPUs on")
    assert "**draws**, from 64 GPUs on" in "\n".join(lines)
    last = list(tables.breaking(facts, replace(hardware, network=1e15), 32))[-1]
    assert "on no number of GPUs" in last


def test_shards_hold_whole_clips_and_there_are_not_too_many(model: ModuleType) -> None:
    assert model.shards_for(1_000, 10, 35) == 334  # three clips each
    assert model.shards_for(10, 10, 5) == 10  # a clip is never cut
    assert model.smallest_shard(1_000, 10, 3) == 3_340  # 334 clips each


def test_an_entry_of_the_index_is_what_the_package_writes(tables: ModuleType) -> None:
    # a name, two numbers and a SHA-256; the largest folder's index can be read
    assert 100 < tables.bytes_an_entry() < MOST_BYTES / MOST_SHARDS


def test_the_table_of_ranks_carries_what_a_step_is_made_of(
    tables: ModuleType, model: ModuleType, facts: Any, hardware: Any
) -> None:
    *_, last = tables.rank_table(facts, hardware, 32)
    step = model.step_on_ranks(facts, hardware, 1000, 32)
    cells = [cell.strip() for cell in last.strip("|").split("|")]
    assert cells[:3] == ["1,000", "32,000", "64.00 ms"]
    assert cells[-4] == f"{1e3 * step.total:,.1f} ms"
    assert cells[-2] == f"{1e9 / 32_000 * step.total / 3600:,.1f} h"
