"""What benchmarks/step.py says of what it measured; the measuring itself is not a test."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not part of a source distribution")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("step")


def called(*names: str) -> object:
    """An event of the profiler, named last, within others."""
    event = None
    for name in names:
        event = SimpleNamespace(name=name, cpu_parent=event, fwd_thread=0)
    return event


def gradient(number: int, *names: str) -> object:
    """Likewise, in the gradient of the operation of that number."""
    event = None
    for name in names:
        event = SimpleNamespace(name=name, cpu_parent=event, fwd_thread=1, sequence_nr=number)
    return event


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["aten::normal_"], "the rest"),
        (["aten::copy_"], "copies"),
        (["_GroupNormBackward", "aten::copy_"], "normalisation"),
        (["_NormalisedBackward"], "normalisation"),
        (["ConvolutionBackward0", "aten::convolution_backward"], "convolution"),
        (["_HalvingBackward", "aten::mm"], "convolution"),
        (["penalties", "aten::mm"], "penalties and prices"),
        (["Optimizer.step#AdamW.step", "aten::_fused_adamw_"], "optimiser"),
        (["aten::lstm", "aten::mkldnn_rnn_layer"], "LSTM and linear"),
    ],
)
def test_an_operation_counts_where_it_was_called_from(
    script: ModuleType, names: list[str], kind: str
) -> None:
    assert script._kind(called(*names), {}) == kind


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["lstm", "aten::sigmoid"], "LSTM and linear"),
        (["penalties", "aten::mul"], "penalties and prices"),
        (["aten::mul"], "the rest"),
    ],
)
def test_a_gradient_counts_where_its_operation_does(
    script: ModuleType, names: list[str], kind: str
) -> None:
    forward = {7: called(*names), 8: called("lstm", "aten::tanh")}
    assert script._kind(gradient(7, "SomeBackward0", "aten::mul"), forward) == kind
    assert script._kind(gradient(9, "SomeBackward0", "aten::mul"), forward) == "the rest"
    inner = gradient(9, "leaky_relu_backward", "aten::mul")  # counts by what it is called from
    assert script._kind(inner, forward) == "leaky ReLU"


def test_the_verdict_tells_what_was_reached_from_what_was_not(script: ModuleType) -> None:
    lines = script.verdicts("the family's usual nets", 16.5, 2.4, 20.0)
    assert [line.endswith("NO (its multiply-adds alone allow 20.0)") for line in lines] == [
        True,
        False,
    ]
    assert lines[1].endswith("2.40 times plain; at least 2.3: yes")
    assert script._said("memory", 901, 900, "MB").endswith("at most 900: NO")
    assert script._said("others", 14.9, 15.0, "%").endswith("at most 15: yes")
    assert script._said("an encoder", 1.6, 1.5, "times that of lstm").endswith("at most 1.5: NO")
    assert script.verdicts("zoo:sprites-priced-mmd", 1, 1, 1) == []


def test_multiply_adds_of_fused_layers_are_counted(script: ModuleType) -> None:
    lstm, x_BTF = torch.nn.LSTM(16, 32, batch_first=True), torch.randn(4, 10, 16)
    assert script.multiply_adds(lambda: lstm(x_BTF)) == 4 * 10 * 4 * 32 * (16 + 32) * 2 / 2
    q_BTD = torch.randn(2, 8, 16)
    attended = torch.nn.functional.scaled_dot_product_attention
    assert script.multiply_adds(lambda: attended(q_BTD, q_BTD, q_BTD)) == 2 * 2 * 8 * 8 * 16


def test_the_share_of_others_is_told_of_the_wanted_rate_too(script: ModuleType) -> None:
    found = {"convolution": 0.5, "LSTM and linear": 0.2, "copies": 0.3}
    line = script.others_line("zoo:sprites-rwae-mmd", found, 0.05, 16)
    assert "30.00 %; at most 15: NO" in line
    assert "(15 ms; 7.0% of a step at 75 sequences a second)" in line  # of 16 / 75 = 213 ms
