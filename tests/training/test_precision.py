"""How the nets run: what the spec says, or what a trial on this machine found."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae.spec.sections import Train
from genzoo_rwae.training import precision
from genzoo_rwae.training.checkpoint import load_state

CHOICE = precision.choose_execution


def train(**said: object) -> Train:
    return Train(steps=1, optimizer=None, schedule=None, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(("gain", "chosen"), [(0.6, "float32"), (1.1, "float32"), (2.2, "bf16")])
def test_bfloat16_is_taken_only_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, gain: float, chosen: str
) -> None:
    monkeypatch.setattr(precision, "bfloat16_gain", lambda: gain)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert CHOICE(train(), (3, 64, 64)).precision == chosen


def test_a_processor_without_bfloat16_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried() -> float:
        raise AssertionError("tried")

    monkeypatch.setattr(precision, "bfloat16_gain", tried)
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    assert not precision.has_fast_bfloat16("cpu")


def test_the_trial_gives_a_ratio_of_times_and_leaves_the_generator() -> None:
    before = torch.get_rng_state()
    assert 0.05 < precision.bfloat16_gain() < 50
    assert torch.equal(torch.get_rng_state(), before)


def test_what_others_take_of_the_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    autocast = torch.autocast

    def interrupted(*given: Any, enabled: bool, **more: Any) -> Any:
        time.sleep(0.2 if enabled else 0)  # as in a process that has to wait for its turn
        return autocast(*given, enabled=enabled, **more)

    monkeypatch.setattr(torch, "autocast", interrupted)
    precision.bfloat16_gain.cache_clear()
    try:
        assert precision.bfloat16_gain() > 0.2  # by the clock a thirtieth or less
    finally:
        precision.bfloat16_gain.cache_clear()


def test_what_the_spec_says_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: pytest.fail("tried"))
    chosen = CHOICE(train(precision="bf16", layout="contiguous"), (3, 64, 64))
    assert (chosen.precision, chosen.layout) == ("bf16", "contiguous")


def test_vectors_have_no_channels() -> None:
    assert CHOICE(train(precision="float32"), (6,)).layout == "contiguous"


def test_nets_of_images_and_of_volumes_are_laid_out_side_by_side() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv3d(3, 4, 3))
    before = [weight.clone() for weight in net.parameters()]
    placed = precision.Execution("float32", "channels-last", 1, "cpu").place(net)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(map(torch.equal, before, placed.parameters()))


def test_weights_of_one_channel_get_the_strides_that_their_gradients_have() -> None:
    net = torch.nn.Conv2d(1, 4, 4)  # contiguous in both layouts, whose strides differ
    precision.Execution("float32", "channels-last", 1, "cpu").place(net)
    assert net.weight.stride() == (16, 1, 4, 1)


def test_a_run_goes_on_in_the_precision_that_it_was_begun_in(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: True)
    gz.build(tiny_spec, run=run, settings={"train.minutes": 1e-4})
    state = load_state(run / "checkpoints" / "last.pt")
    assert (state.step, state.precision) == (1, "bf16")
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: False)
    gz.build(tiny_spec, run=run, settings={"train.minutes": 60})
    assert load_state(run / "checkpoints" / "last.pt").precision == "bf16"


def test_penalties_run_in_float32_under_bfloat16_nets(tiny_spec: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "probe.py"
    plugin.write_text(
        "import torch\n"
        "from genzoo_rwae import hookimpl, penalty\n"
        "@penalty('probe')\n"
        "def probe(q_ND, p_ND, /):\n"
        "    'Sees how it is called.'\n"
        "    assert q_ND.dtype == p_ND.dtype == torch.float32\n"
        "    assert not torch.is_autocast_enabled('cpu')\n"
        "    assert (q_ND @ p_ND.mT).dtype == torch.float32\n"
        "    return (q_ND - p_ND).square().mean()\n"
        "@hookimpl\n"
        "def genzoo_penalties():\n"
        "    yield probe\n"
    )
    settings = [
        f"plugins=[{plugin}]", "objective.static={use: probe}", "objective.dynamic={use: probe}",
        "train.precision=bf16", "train.steps=2",
    ]  # fmt: skip
    gz.build(tiny_spec, run=tmp_path / "run", settings=settings)
