"""Parts of one's own that are wrong: known early, named, and nothing that was trained is lost."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae import Figure
from genzoo_rwae.errors import GenzooWarning, PluginError, SpecError
from genzoo_rwae.run import check
from genzoo_rwae.zoo import Zoo

Write = Callable[[str, str], Path]
Genzoo = Callable[..., Any]

METRIC = """\
import torch
from genzoo_rwae import Figure, hookimpl, metric


@metric("mine")
def mine(model, splits, /):
    '''A metric.'''
    torch.rand(7)
    return BODY


@hookimpl
def genzoo_metrics():
    yield mine
"""
PENALTY = """\
from genzoo_rwae import hookimpl, penalty


@penalty("mine")
def mine(q, p, /):
    '''A penalty.'''
    BODY


@hookimpl
def genzoo_penalties():
    yield mine
"""


def spec_with(write: Write, tiny: str, body: str, kind: str = METRIC) -> Path:
    write("mine.py", kind.replace("BODY", body))
    more = "evaluate: [mine, reconstruction]\n" if kind == METRIC else "evaluate: []\n"
    return write("spec.yaml", tiny.replace("name: tiny", "name: tiny\nplugins: [mine.py]") + more)


def test_a_metric_that_fails_loses_neither_the_training_nor_the_other_metrics(
    write: Write, tiny: str, genzoo: Genzoo, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    spec = spec_with(write, tiny, "1 / 0")
    ended = genzoo("build", spec, "-o", run)
    assert ended.code == 3
    assert "failed: ZeroDivisionError: division by zero (mine.py:9, in mine)" in ended.err
    assert f"genzoo evaluate {run}, then genzoo report {run}" in ended.err
    assert set(json.loads((run / "evaluation.json").read_text())) == {"reconstruction"}
    assert "mse" in (run / "report.html").read_text()
    assert (run / "pictures" / "swap.png").is_file()
    weights = (run / "model.safetensors").read_bytes()
    spec_with(write, tiny, "{'right': Figure(0.5)}")
    refused = genzoo("build", spec, "-o", run)
    assert refused.code == 2
    assert f"or measure what is trained there: genzoo evaluate {run}" in refused.err
    plugin = ("-p", tmp_path / "mine.py")
    assert genzoo("evaluate", run, *plugin).code == 0
    assert genzoo("report", run, *plugin).code == 0
    assert json.loads((run / "evaluation.json").read_text())["mine"]["right"]["value"] == 0.5
    assert (run / "model.safetensors").read_bytes() == weights


def test_a_changed_plugin_of_a_run_that_is_not_trained_is_no_case_for_measuring(
    write: Write, tiny: str, genzoo: Genzoo, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    spec = spec_with(write, tiny, "{'right': Figure(0.5)}")
    assert genzoo("build", spec, "-o", run).code == 0
    (run / "model.safetensors").unlink()
    spec_with(write, tiny, "{'right': Figure(0.6)}")
    assert "measure what is trained" not in genzoo("build", spec, "-o", run).err


@pytest.mark.parametrize("verb", ["check", "build"])
def test_a_metric_that_fails_is_told_before_training(
    verb: str, write: Write, tiny: str, tmp_path: Path
) -> None:
    spec = spec_with(write, tiny, "splits.nothing")
    said = (
        r"'mine' of plugin 'mine' .* fails on 16 sequences and the model before training: "
        r"AttributeError: .* has no attribute 'nothing' \(mine\.py:9, in mine\)"
    )
    if verb == "check":
        with pytest.warns(GenzooWarning, match=said):
            check(spec)
        return
    with pytest.warns(GenzooWarning, match=said), pytest.raises(AttributeError):
        gz.build(spec, run=tmp_path / "run")


def test_trying_a_metric_leaves_the_training_as_it_is(
    write: Write, tiny: str, tmp_path: Path
) -> None:
    spec = spec_with(write, tiny, "{'steps': Figure(len(splits.test), chance=len(splits.train))}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        gz.build(spec, run=tmp_path / "with")
        gz.build(spec, run=tmp_path / "without", settings={"evaluate": []})
    of = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("with", "without")]
    assert of[0] == of[1]
    found = json.loads((tmp_path / "with" / "evaluation.json").read_text())["mine"]["steps"]
    assert found["value"] > 16  # all of them, not those that it was tried on


def test_a_metric_is_tried_on_a_few_sequences(write: Write, tiny: str) -> None:
    body = "{'steps': Figure(1 / (len(splits.test) != 16 or len(splits.train) != 16))}"
    with pytest.warns(GenzooWarning, match="division by zero"):
        check(spec_with(write, tiny, body))


@pytest.mark.parametrize("body", ["0.5", "None", "{'a': 0.5}", "{'a': {'b': 0.5}}"])
def test_a_metric_that_returns_no_figures_is_named(
    body: str, write: Write, tiny: str, genzoo: Genzoo, tmp_path: Path
) -> None:
    ended = genzoo("build", spec_with(write, tiny, body), "-o", tmp_path / "run")
    assert ended.code == 3
    assert f"the metric 'mine' of plugin 'mine' returned {body}; wanted figures" in ended.err
    assert ("has it a return?" in ended.err) == (body == "None")


def test_a_figure_knows_only_two_ways() -> None:
    with pytest.raises(ValueError, match="good is 'up'; wanted 'higher', 'lower' or None"):
        Figure(0.5, good="up")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("q.mean()", r"returned None for rows \[4\]; wanted a tensor of shape \[\] .*a return\?"),
        ("return 2.5", r"returned 2.5 for rows \[4\]; wanted a tensor of shape \[\]"),
    ],
)
def test_a_penalty_that_returns_no_tensor_is_named(
    body: str, said: str, write: Write, tiny: str
) -> None:
    spec = spec_with(write, tiny, body, PENALTY)
    with pytest.raises(PluginError, match=f"the penalty 'mine' {said}"):
        check(spec, settings=["objective.static.use=mine"])


def test_a_penalty_that_gives_no_number_is_named(write: Write, tiny: str) -> None:
    spec = spec_with(write, tiny, "return (-(q - p).square().sum()).sqrt()", PENALTY)
    with pytest.raises(SpecError, match="the penalty 'mine' or the codes that it compares"):
        check(spec, settings=["objective.static.use=mine"])


def test_a_penalty_without_a_gradient_is_told(write: Write, tiny: str, tmp_path: Path) -> None:
    spec = spec_with(write, tiny, "return (q - p).detach().square().mean()", PENALTY)
    with pytest.warns(GenzooWarning, match="'static' has no gradient"):
        gz.build(spec, run=tmp_path / "run", settings=["objective.static.use=mine"])


def test_a_change_of_a_plugin_says_how_python_trusts_it(
    write: Write, tiny: str, tmp_path: Path
) -> None:
    gz.build(spec_with(write, tiny, "{'a': Figure(1.0)}"), run=tmp_path / "run")
    plugin = write("mine.py", METRIC.replace("BODY", "{'a': Figure(2.0)}"))
    with pytest.raises(PluginError, match=r"in Python: zoo=Zoo\(\['.*mine\.py'\]\)"):
        gz.load(tmp_path / "run")
    with pytest.warns(GenzooWarning, match="has changed since"):
        model = gz.load(tmp_path / "run", zoo=Zoo([str(plugin)]))
    assert isinstance(model, torch.nn.Module)
