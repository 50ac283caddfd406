"""How many threads: tried where nobody said, kept for as long as the run lasts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import genzoo_rwae as gz
from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.run_evaluation import measure_again
from genzoo_rwae.training import threads
from genzoo_rwae.training.batches import Batches
from genzoo_rwae.training.precision import Execution

EXECUTION = Execution("float32", "contiguous", 1, "cpu")
FIXED = {"train.precision": "float32", "train.steps": 2, "evaluate": []}


@pytest.fixture(autouse=True)
def _four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, list[float]]], list[int]]:
    """Let a pass take these seconds on so many threads, one after the other; who was asked."""

    def told(seconds: dict[int, list[float]]) -> list[int]:
        asked: list[int] = []

        def found(*_: Any, **__: Any) -> float:
            now = torch.get_num_threads()
            asked.append(now)
            of_these = seconds[now]
            return of_these[(asked.count(now) - 1) % len(of_these)]

        monkeypatch.setattr(threads, "pass_seconds", found)
        return asked

    return told


@pytest.fixture
def build(tiny_spec: Path, tmp_path: Path) -> Callable[..., str]:
    """Build the small spec; what the console said."""

    def built(name: str = "run", **settings: object) -> str:
        heard = io.StringIO()
        gz.build(
            tiny_spec,
            run=tmp_path / name,
            settings={**FIXED, **{f"train.{option}": said for option, said in settings.items()}},
            console=Console(file=heard, width=200),
        )
        return heard.getvalue()

    return built


def prepared(spec: Path) -> tuple[gz.SequenceModel, gz.Batch, Any]:
    loaded = gz.load_spec(spec, settings={"model.encoder.frames.norm": "batch"})
    train = open_split(loaded, "train")
    return assemble(loaded, train.info).model, Batches(train, 16, 0).at(0), loaded


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({1: [1.0], 2: [0.9]}, 1),  # faster, but not worth a core
        ({1: [1.0], 2: [0.6], 4: [0.55]}, 2),
        ({1: [1.0], 2: [0.6], 4: [0.35]}, 4),
        ({1: [1.0], 2: [0.9], 4: [0.1]}, 1),  # the next step is not tried without the one before
        ({1: [9.0, 1.0, 1.0, 2.0], 2: [1.1], 4: [9.0]}, 1),  # the first pass of each does not count
        ({1: [1.0], 2: [0.5, 0.5, 3.0, 3.0]}, 1),  # a busy machine shows in the median
    ],
)
def test_more_threads_are_taken_as_long_as_they_pay(
    tiny_spec: Path, takes: Callable[..., list[int]], seconds: dict[int, list[float]], chosen: int
) -> None:
    takes(seconds)
    model, batch, _ = prepared(tiny_spec)
    assert threads.threads_worth_it(model, batch, EXECUTION, 0) == chosen
    assert torch.get_num_threads() == 4


def test_no_more_are_tried_than_torch_has(tiny_spec: Path, takes: Callable[..., list[int]]) -> None:
    torch.set_num_threads(3)
    asked = takes({1: [1.0], 2: [0.5], 3: [0.25]})
    model, batch, _ = prepared(tiny_spec)
    assert threads.threads_worth_it(model, batch, EXECUTION, 0) == 3
    assert set(asked) == {1, 2, 3}
    torch.set_num_threads(1)
    asked.clear()
    assert threads.threads_worth_it(model, batch, EXECUTION, 0) == 1
    assert asked == []


def test_what_is_hopeless_is_tried_once(tiny_spec: Path, takes: Callable[..., list[int]]) -> None:
    asked = takes({1: [0.01], 2: [1.0]})
    model, batch, _ = prepared(tiny_spec)
    assert threads.threads_worth_it(model, batch, EXECUTION, 0) == 1
    assert asked == [1, 2]


def test_a_trial_of_long_passes_has_one_round(
    tiny_spec: Path, takes: Callable[..., list[int]]
) -> None:
    asked = takes({1: [9.0, 9.0, 1.0, 1.0], 2: [9.0, 6.0, 8.0, 8.0], 4: [9.0]})
    model, batch, _ = prepared(tiny_spec)
    assert threads.threads_worth_it(model, batch, EXECUTION, 0) == 2
    assert asked == [1, 2, 1, 2, 2, 4, 2, 4]


def test_measuring_takes_the_threads_that_the_spec_says(tiny_spec: Path) -> None:
    torch.set_num_threads(1)
    with threads.threads_of(gz.load_spec(tiny_spec, settings={"train.threads": 3})):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("training", [True, False])
def test_a_trial_leaves_the_model_as_it_was(tiny_spec: Path, training: bool) -> None:
    model, batch, _ = prepared(tiny_spec)
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drawn = torch.get_rng_state()
    assert threads.threads_worth_it(model, batch, EXECUTION, 0) in (1, 2, 4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert model.training is training


def test_a_run_goes_on_with_the_threads_that_it_was_begun_with(
    build: Callable[..., str], takes: Callable[..., list[int]], tmp_path: Path
) -> None:
    asked = takes({1: [1.0], 2: [0.5], 4: [0.5]})
    assert "on cpu, 2 threads" in build(minutes=1e-6)
    assert torch.get_num_threads() == 4  # the caller's own
    resolved = gz.load_spec(tmp_path / "run" / "spec.yaml").resolved
    assert resolved is not None
    assert resolved["threads"] == 2
    assert "2 of " in resolved["machine"]
    asked.clear()
    takes({1: [1.0], 2: [2.0]})
    assert "on cpu, 2 threads" in build(minutes=60)
    assert asked == []
    assert "on cpu, 1 threads" in build("another")


def test_a_run_goes_on_with_no_more_threads_than_there_are(
    build: Callable[..., str], takes: Callable[..., list[int]]
) -> None:
    takes({1: [1.0], 2: [0.5], 4: [0.2]})
    assert "on cpu, 4 threads" in build(minutes=1e-6)
    torch.set_num_threads(2)
    assert "on cpu, 2 threads" in build(minutes=60)


def test_threads_that_the_spec_says_are_not_tried(
    build: Callable[..., str], takes: Callable[..., list[int]]
) -> None:
    asked = takes({})
    assert "on cpu, 3 threads" in build(threads=3)
    assert asked == []


@pytest.mark.parametrize(
    "resolved", ["resolved: {threads: many}", "resolved: {threads: 0}", "resolved: 3", "", ": ["]
)
def test_a_folder_that_does_not_tell_its_threads_has_them_tried(
    tiny_spec: Path, tmp_path: Path, takes: Callable[..., list[int]], resolved: str
) -> None:
    takes({1: [1.0], 2: [0.5], 4: [0.5]})
    model, _, spec = prepared(tiny_spec)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.yaml").write_text(resolved)
    threads.settle_threads(spec, tmp_path / "run", model, open_split(spec, "train"), Ranks())
    assert torch.get_num_threads() == 2


def test_a_run_is_measured_again_with_its_threads(
    build: Callable[..., str],
    takes: Callable[..., list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    takes({1: [1.0], 2: [0.5], 4: [0.5]})
    build()
    seen: list[int] = []

    def noted(*given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return measure_again(*given)

    monkeypatch.setattr("genzoo_rwae.run.measure_again", noted)
    gz.evaluate(tmp_path / "run", ["reconstruction"])
    assert seen == [2]
    assert torch.get_num_threads() == 4
