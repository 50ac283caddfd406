"""Parts of one's own that are wrong: known early, named, and nothing that was trained is lost."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae import Figure, hookimpl, metric
from genzoo_rwae.assemble import open_split
from genzoo_rwae.errors import GenzooWarning, PluginError, SpecError
from genzoo_rwae.run import check
from genzoo_rwae.spec import load_spec
from genzoo_rwae.zoo import Plugin, Zoo

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


PRIOR = """\
import torch
from genzoo_rwae import DiagonalGaussian, StaticPrior, hookimpl, prior


@prior("mine")
class Mine(StaticPrior):
    '''A prior.'''

    def __init__(self, size, /):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))

    def law(self, count):
        return DiagonalGaussian(self.mean.expand(count, -1), self.mean.expand(count, -1))

    def fit_to(self, draws):
        self.mean += draws(100).mean(0)
        BODY


@hookimpl
def genzoo_priors():
    yield Mine
"""


COST = """\
from genzoo_rwae import cost, hookimpl


@cost("mine")
def mine(x_BT, x_hat_BT, /):
    '''A cost.'''
    error_BT = (x_hat_BT - x_BT).square().flatten(2).sum(-1)
    BODY


@hookimpl
def genzoo_costs():
    yield mine
"""
ENCODER = """\
from genzoo_rwae import encoder, hookimpl
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder


@encoder("mine")
class Mine(FrameEncoder):
    '''An encoder.'''

    def forward(self, x_BT, lengths_B):
        x_BT.BODY
        return super().forward(x_BT, lengths_B)


@hookimpl
def genzoo_encoders():
    yield Mine
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


def rude(model: torch.nn.Module, splits: object, /) -> dict[str, Figure]:
    """Changes all that it can lay its hands on."""
    torch.set_default_dtype(torch.float64)
    for parameter in model.requires_grad_(False).train().parameters():
        parameter.zero_()
    model.double()
    return {"value": Figure(torch.rand(()).item())}


def test_trying_a_metric_leaves_the_training_as_it_is(
    write: Write, tiny: str, tmp_path: Path, zoo: Zoo
) -> None:
    spec = write("spec.yaml", tiny)
    gz.build(spec, run=tmp_path / "without", settings={"evaluate": []})
    offering = ModuleType("rude")
    offering.genzoo_metrics = hookimpl(lambda: [metric("rude")(rude)])  # type: ignore[attr-defined]
    zoo.register(offering, Plugin("rude", "python", "here"))
    gz.build(spec, run=tmp_path / "with", settings={"evaluate": ["rude"]}, zoo=zoo)
    assert torch.get_default_dtype() == torch.float32
    of = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("with", "without")]
    assert of[0] == of[1]
    drawn = [(tmp_path / n / "pictures" / "sample.png").read_bytes() for n in ("with", "without")]
    assert drawn[0] == drawn[1]


def test_a_model_that_cannot_be_copied_is_measured_all_the_same(
    write: Write, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: object) -> None:
        raise RuntimeError("only leaves can be copied")

    module = importlib.import_module("genzoo_rwae.evaluation.measure")
    monkeypatch.setattr(module, "deepcopy", refuse)
    spec = spec_with(write, tiny, "{'right': Figure(0.5)}")
    gz.build(spec, run=tmp_path / "run")
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert found["mine"]["right"]["value"] == 0.5


def test_a_check_leaves_the_generator_where_it_was(write: Write, tiny: str) -> None:
    before = torch.get_rng_state()
    check(spec_with(write, tiny, "{'a': Figure(1.0)}"))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_metric_is_tried_on_a_few_sequences_from_all_over(write: Write, tiny: str) -> None:
    body = "{str(split.take([15]).indices_B): Figure(len(split)) for split in splits} | 1 / 0"
    body = body.replace("for split in splits", "for split in (splits.train, splits.test)")
    body = f"1 / 0 if {body.replace(' | 1 / 0', '')} == WANTED else {{'a': Figure(1.0)}}"
    spec = spec_with(write, tiny, body)
    of = [open_split(load_spec(spec, zoo=Zoo()), split) for split in ("train", "test")]
    wanted = {f"tensor([{len(data) - 1}])": 16 for data in of}
    assert min(len(data) for data in of) > 16
    text = ", ".join(f"'{name}': Figure({count})" for name, count in wanted.items())
    spec_with(write, tiny, body.replace("WANTED", f"{{{text}}}"))
    with pytest.warns(GenzooWarning, match="division by zero"):
        check(spec)


def test_a_metric_is_not_tried_again_on_a_run_that_is_begun(
    write: Write, tiny: str, tmp_path: Path
) -> None:
    spec = spec_with(write, tiny, "1 / 0")
    for times in (1, 0):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with pytest.raises(ZeroDivisionError):
                gz.build(spec, run=tmp_path / "run")
        assert sum("before training" in str(warning.message) for warning in told) == times


def test_figures_of_another_model_or_that_nobody_asks_for_do_not_outlive_a_metric_that_fails(
    write: Write, tiny: str, tmp_path: Path
) -> None:
    spec, run = spec_with(write, tiny, "1 / 0"), tmp_path / "run"
    gz.build(spec, run=run, settings={"evaluate": ["reconstruction"]})
    assert "mse" in (run / "README.md").read_text()
    with pytest.raises(ZeroDivisionError):
        gz.build(spec, run=run, settings={"evaluate": ["mine"]})
    assert json.loads((run / "evaluation.json").read_text()) == {}
    assert "reconstruction / mse" not in (run / "README.md").read_text()


def test_the_first_metric_that_failed_is_told_and_all_others_are_measured(
    write: Write, tiny: str, tmp_path: Path
) -> None:
    text = METRIC.replace("BODY", "1 / 0").replace("yield mine", "yield from (mine, late)")
    late = '@metric("late")\ndef late(model, splits, /):\n    """L."""\n    raise KeyError(1)\n\n\n'
    write("mine.py", text.replace("@hookimpl", f"{late}@hookimpl"))
    more = "evaluate: [mine, late, reconstruction]\n"
    spec = write("spec.yaml", tiny.replace("name: tiny", "name: tiny\nplugins: [mine.py]") + more)
    with pytest.raises(ZeroDivisionError):
        gz.build(spec, run=tmp_path / "run")
    assert set(json.loads((tmp_path / "run" / "evaluation.json").read_text())) == {"reconstruction"}


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


def test_a_penalty_without_a_gradient_is_told_once(write: Write, tiny: str, tmp_path: Path) -> None:
    spec = spec_with(write, tiny, "return (q - p).detach().square().mean()", PENALTY)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gz.build(spec, run=tmp_path / "run", settings=["objective.static.use=mine"])
    said = [str(warning.message) for warning in told if "has no gradient" in str(warning.message)]
    assert len(said) == 1
    assert said[0].startswith("'static' has no gradient, so it changes nothing in training")


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


def test_a_prior_that_cannot_be_fitted_is_told_before_training(
    write: Write, tiny: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"model.static.prior": "mine", "evaluate": []}
    spec = spec_with(write, tiny, "1 / 0", PRIOR)
    said = (
        "fitting priors to codes and sampling them, with the prior 'mine', fails on 16 sequences "
        "and the model before training: "
        r"ZeroDivisionError: division by zero \(mine\.py:18, in fit_to\)"
    )
    with pytest.warns(GenzooWarning, match=said):
        check(spec, settings=settings)
    with pytest.warns(GenzooWarning, match=said), pytest.raises(ZeroDivisionError):
        gz.build(spec, run=tmp_path / "run", settings=settings)


PATHS = """\
import torch
from genzoo_rwae import DiagonalGaussian, DynamicPrior, hookimpl, prior


@prior("mine")
class Mine(DynamicPrior):
    '''A prior.'''

    def __init__(self, size, /):
        super().__init__()
        self.size, self.fitted = size, False

    def along(self, z_BTD):
        return DiagonalGaussian(torch.zeros_like(z_BTD), torch.zeros_like(z_BTD)), z_BTD[..., :1]

    def roll_out(self, count, length, draw, start_BTD=None):
        BODY

    def fit_to(self, draws):
        self.fitted = True


@hookimpl
def genzoo_priors():
    yield Mine
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "return torch.zeros(count, length + 1, self.size)",
            r"sampling gives a tensor \[16, \d+",
        ),
        (
            "return torch.zeros(count, length, 1)",
            r"sampling gives a tensor \[16, \d+, 1",
        ),
        ("1 / 0", r"division by zero \(mine\.py:17, in roll_out\)"),
    ],
)
def test_a_prior_that_cannot_be_sampled_is_told_before_training(
    body: str, said: str, write: Write, tiny: str
) -> None:
    settings = {"model.dynamic.prior": "mine", "objective.dynamic.weight": 0}
    with pytest.warns(GenzooWarning, match=said):
        check(spec_with(write, tiny, body, PATHS), settings=settings)


def test_a_prior_may_want_to_be_fitted_before_it_is_sampled(write: Write, tiny: str) -> None:
    body = "return torch.zeros(count, length, self.size if self.fitted else 0)"
    kl = {"objective.dynamic.use": "kl", "objective.dynamic.given": "state"}
    settings = {"model.dynamic.prior": "mine", **kl}
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        check(spec_with(write, tiny, body, PATHS), settings=settings)


def test_trying_to_fit_leaves_the_model_as_it_is(write: Write, tiny: str) -> None:
    spec = spec_with(write, tiny, "return f'of {len(draws(100))} draws'", PRIOR)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        _, assembled = check(spec, settings={"model.static.prior": "mine", "evaluate": []})
    assert not dict(assembled.model.named_buffers())["static_prior.mean"].any()


def test_built_in_priors_are_not_fitted_to_a_few_codes(
    write: Write, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit_to(prior: object, draws: object) -> str:
        raise AssertionError("called")

    monkeypatch.setattr("genzoo_rwae_plugins.priors.ex_post_lstm.ExPostLstm.fit_to", fit_to)
    settings = {"model.static.prior": "mine", "model.dynamic.prior": "ex-post-lstm"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", GenzooWarning)
        check(spec_with(write, tiny, "return 'fitted'", PRIOR), settings=settings)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "return error_BT.mean()",
            r"returned \[\] for frames \[4, \d+, .*; wanted a tensor \[4, \d",
        ),
        ("return error_BT.sum(1)", r"returned \[4\] for frames"),
        ("return error_BT[..., None]", r"returned \[4, \d+, 1\] for frames"),
        ("return error_BT.detach().numpy()", r"returned array"),
        ("error_BT", r"returned None .*: has it a return\?"),
        ("x_BT.mul_(0.5); return error_BT", "changes in place what it is given"),
    ],
)
def test_what_a_cost_does_wrongly_is_said_before_training(
    body: str, said: str, write: Write, tiny: str
) -> None:
    settings = {"objective.cost": "mine"}
    with pytest.raises(PluginError, match=f"the cost 'mine' {said}"):
        check(spec_with(write, tiny, body, COST), settings=settings)


def test_a_cost_that_is_no_number_is_named(write: Write, tiny: str) -> None:
    spec = spec_with(write, tiny, "return error_BT / 0 - error_BT / 0", COST)
    with pytest.raises(
        SpecError, match=r"objective.cost: 'cost' is not finite.*the cost 'mine' or"
    ):
        check(spec, settings={"objective.cost": "mine"})


def test_a_cost_without_a_gradient_is_told(write: Write, tiny: str, tmp_path: Path) -> None:
    spec = spec_with(write, tiny, "return error_BT.detach()", COST)
    with pytest.warns(GenzooWarning, match="'cost' has no gradient.*detached in it"):
        gz.build(spec, run=tmp_path / "run", settings={"objective.cost": "mine", "train.steps": 2})


@pytest.mark.parametrize("wrong", ["q -= 1", "p.mul_(2)"])
def test_a_penalty_that_changes_what_it_compares_is_told(
    wrong: str, write: Write, tiny: str
) -> None:
    body = f"{wrong}; return (q.mean(-2) - p.mean(-2)).square().sum(-1)"
    spec = spec_with(write, tiny, body, PENALTY)
    with pytest.raises(PluginError, match="the penalty 'mine' changes in place"):
        check(spec, settings={"objective.static.use": "mine"})


def test_an_encoder_that_changes_the_frames_is_told(write: Write, tiny: str) -> None:
    settings = {"model.encoder": {"use": "mine", "frames": {"use": "conv", "channels": 4}}}
    check(spec_with(write, tiny, "sub(0.5)", ENCODER), settings=settings)
    with pytest.raises(PluginError, match="the encoder, or what else infers codes, changes in"):
        check(spec_with(write, tiny, "sub_(0.5)", ENCODER), settings=settings)


@pytest.fixture
def run_with_plugin(write: Write, tiny: str, tmp_path: Path) -> Path:
    spec = spec_with(write, tiny, "return error_BT", COST)
    gz.build(spec, run=tmp_path / "run", settings={"objective.cost": "mine", "evaluate": []})
    return tmp_path / "run"


@pytest.mark.parametrize("change", ["", "# changed\n"])
def test_a_plugin_file_that_was_moved_is_told_or_lies_beside_the_runs_spec(
    change: str, run_with_plugin: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    moved = (tmp_path / "mine.py").rename(tmp_path / "home" / "mine.py")
    moved.write_text(moved.read_text() + change)
    with pytest.raises(PluginError, match=r"is not there.*told by -p, and that of a run"):
        gz.load(run_with_plugin)
    told = warnings.catch_warnings() if not change else pytest.warns(GenzooWarning, match="changed")
    with told:
        if not change:
            warnings.simplefilter("error", GenzooWarning)
        gz.load(run_with_plugin, zoo=Zoo([str(moved)]))
        (run_with_plugin / "mine.py").write_text(moved.read_text())
        gz.load(run_with_plugin)


def test_a_plugin_file_that_changed_is_not_run_unless_it_is_told(
    run_with_plugin: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(plugin.read_text() + "# changed\n")
    with pytest.raises(PluginError, match=r"not the file .* say -p \S*mine\.py") as refused:
        gz.load(run_with_plugin)
    assert "beside the spec" not in str(refused.value)  # the spec names the other one
    with pytest.warns(GenzooWarning, match="changed"):
        gz.load(run_with_plugin, zoo=Zoo([str(plugin)]))


def test_a_copy_of_a_plugin_file_is_the_same_plugin_and_another_of_its_name_is_not(
    run_with_plugin: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "copy" / "mine.py"
    copied.parent.mkdir()
    copied.write_text((tmp_path / "mine.py").read_text())
    gz.load(run_with_plugin, zoo=Zoo([str(copied)]))
    copied.write_text(copied.read_text() + "# another\n")
    with pytest.raises(PluginError, match="two plugins are called 'mine'"):
        gz.load(run_with_plugin, zoo=Zoo([str(copied)]))


def test_what_nobody_told_stands_for_no_file_that_is_gone(
    run_with_plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "mine.py"
    other.write_text((tmp_path / "mine.py").read_text() + "# another\n")
    (tmp_path / "mine.py").unlink()
    shared = Zoo()
    shared.load(str(other), base=tmp_path, origin="spec")  # as another spec did
    with pytest.raises(PluginError, match="two plugins are called 'mine'"):
        gz.load(run_with_plugin, zoo=shared)
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(PluginError, match="is not there"):  # what is typed goes where it says
        load_spec(run_with_plugin, zoo=Zoo(), settings=[f"plugins=[{tmp_path / 'mine.py'}]"])
