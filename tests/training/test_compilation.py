"""Compiled nets: tried, timed against the nets as they are, kept or left with a word."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import genzoo_rwae as gz
from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.run import _check_ranks
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.training import compilation
from genzoo_rwae.training.batches import Batches
from genzoo_rwae.training.checkpoint import load_state
from genzoo_rwae.training.precision import Execution

FIXED = {"train.precision": "float32", "evaluate": []}
EXECUTION = Execution("float32", "contiguous", 1, "cpu")
NORMED = {"model.encoder.frames.norm": "batch"}  # whose statistics a trial must not change


@pytest.fixture(autouse=True)
def _traced_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dynamo takes the nets apart, and runs them with the operations that they have."""
    monkeypatch.setattr(compilation, "_BACKEND", "eager")


@pytest.fixture
def build(tiny_spec: Path, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], str]]:
    """Build the small spec: the weights of its checkpoint, and what the console said."""

    def built(name: str = "run", **train: object) -> tuple[dict[str, Any], str]:
        settings = {**FIXED, **{f"train.{option}": value for option, value in train.items()}}
        heard = io.StringIO()
        console = Console(file=heard, width=200)
        gz.build(tiny_spec, run=tmp_path / name, settings=settings, console=console)
        return load_state(tmp_path / name / "checkpoints" / "last.pt").model, heard.getvalue()

    return built


def timed(monkeypatch: pytest.MonkeyPatch, eager: float, compiled: float) -> None:
    """Have a trial find these seconds."""
    monkeypatch.setattr(compilation, "_best_times", lambda *_: (eager, compiled))


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def prepared(spec: Path, **settings: object) -> tuple[SequenceModel, gz.Batch]:
    loaded = gz.load_spec(spec, settings={**FIXED, **settings})
    train = open_split(loaded, "train")
    return assemble(loaded, train.info).model.train(), Batches(train, 16, 0).at(0)


def broken(graph: object, inputs: object) -> Any:
    raise RuntimeError("no C++ compiler\nwas found")


def test_without_the_option_nothing_is_compiled(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    _, heard = build(steps=1)
    assert "compil" not in heard


def test_a_compiled_run_has_the_weights_and_their_names_of_one_that_is_not_and_goes_on(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 0.002, 0.0015)
    monkeypatch.setenv(
        "GENZOO_FUSED", "0"
    )  # maps are then normalised by torch in both, bit for bit
    calls: list[float] = []
    call = compilation.CompiledPass.__call__

    def noted(self: compilation.CompiledPass, *given: Any) -> Any:
        calls.append(given[3])
        return call(self, *given)

    monkeypatch.setattr(compilation.CompiledPass, "__call__", noted)
    wanted, _ = build("eager", steps=4)
    assert calls == []
    weights, heard = build("compiled", steps=4, compile=True)
    assert calls == [0, 0.25, 0.5, 0.75]  # steps of training, and no measurement
    assert alike(weights, wanted)
    assert "1.5 ms compiled, 2.0 ms eagerly; going on compiled" in heard


def test_a_compiled_run_that_was_ended_goes_on_to_the_same_weights(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 2.0, 1.0)
    wanted, _ = build("whole", steps=3, compile=True)
    build("parts", steps=3, minutes=1e-6, compile=True)
    weights, heard = build("parts", steps=3, minutes=60, compile=True)
    assert "going on from step 1" in heard
    assert alike(weights, wanted)


def test_what_is_slower_compiled_runs_as_it_is(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 0.001, 0.003)
    monkeypatch.setattr(compilation.CompiledPass, "__call__", lambda *_: pytest.fail("called"))
    _, heard = build(steps=2, compile=True)
    assert "3.0 ms compiled, 1.0 ms eagerly; going on eagerly" in heard


def test_a_compiler_that_fails_leaves_the_run_as_if_nobody_had_asked(
    build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, _ = build("eager", steps=2)
    monkeypatch.setattr(compilation, "_BACKEND", broken)
    weights, heard = build("compiled", steps=2, compile=True)
    assert alike(weights, wanted)
    said = [line for line in heard.splitlines() if "not compiled" in line]
    assert len(said) == 1
    assert "no C++ compiler was found" in said[0]
    assert said[0].endswith("going on eagerly")


def test_a_trial_leaves_weights_statistics_gradients_and_generators(tiny_spec: Path) -> None:
    model, batch = prepared(tiny_spec, **NORMED)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drawn = torch.get_rng_state()
    lines: list[str] = []
    compilation.faster_pass(model, batch, EXECUTION, 0, lines.append)
    assert len(lines) == 1
    assert alike(model.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_batch_that_the_model_refuses_is_no_fault_of_the_compilers(tiny_spec: Path) -> None:
    model, batch = prepared(tiny_spec)
    wrong = gz.Batch(batch.x_BT[..., :5], batch.lengths_B, batch.indices_B)
    lines: list[str] = []
    with pytest.raises(ValueError, match="this model was built for"):
        compilation.faster_pass(model, wrong, EXECUTION, 0, lines.append)
    forward = compilation.CompiledPass(model, lines.append)
    with pytest.raises(ValueError, match="this model was built for"):
        forward(wrong.x_BT, wrong.lengths_B, torch.Generator(), 0.0)
    assert lines == []


def test_a_compiler_that_fails_in_mid_run_is_left_with_a_word_and_the_same_draws(
    tiny_spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = prepared(tiny_spec)

    def failing(x_BT: object, lengths_B: object, generator: torch.Generator, _: object) -> None:
        torch.randn(3, generator=generator)
        raise RuntimeError("out of registers")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: failing)
    lines: list[str] = []
    forward = compilation.CompiledPass(model, lines.append)
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    for _ in range(2):
        passed = forward(batch.x_BT, batch.lengths_B, one, 0.5)
        wanted = model(batch.x_BT, batch.lengths_B, other, 0.5)
        assert torch.equal(passed.x_hat_BK, wanted.x_hat_BK)
    assert lines == [
        "the nets are not compiled any more: RuntimeError: out of registers; going on eagerly"
    ]


def test_compiled_nets_on_several_ranks_are_refused_at_their_place(
    tiny_spec: Path, tiny_text: str
) -> None:
    tiny_spec.write_text(tiny_text.replace("save_every: 0}", "save_every: 0, compile: true}"))
    spec = gz.load_spec(tiny_spec)
    data, ranks = open_split(spec, "train"), Ranks()
    _check_ranks(spec, data, ranks)
    ranks.count = 2
    with pytest.raises(gz.SpecError, match=r"tiny\.yaml:13:\d+: train\.compile: .* on 2 ranks"):
        _check_ranks(spec, data, ranks)


@pytest.mark.slow
def test_really_compiled_nets_pass_what_the_nets_pass(
    tiny_spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "_BACKEND", "inductor")
    timed(monkeypatch, 2.0, 1.0)
    model, batch = prepared(tiny_spec, **NORMED)
    lines: list[str] = []
    compiled = compilation.faster_pass(model, batch, EXECUTION, 0, lines.append)
    if compiled is None:
        pytest.skip(lines[0])
    given = batch.x_BT, batch.lengths_B
    found, wanted = (
        forward(*given, torch.Generator().manual_seed(1), 0.5) for forward in (compiled, model)
    )
    torch.testing.assert_close(found.x_hat_BK, wanted.x_hat_BK, rtol=1e-4, atol=1e-4)
    weights = [
        value for name, value in model.named_parameters() if not name.startswith("dynamic_prior")
    ]
    slopes = [torch.autograd.grad(p.x_hat_BK.square().sum(), weights) for p in (found, wanted)]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert len(lines) == 1  # and it was the compiled one that passed them
