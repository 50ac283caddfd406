"""Priors that are fitted to codes when training is over."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import torch
from genzoo_rwae_plugins.priors.ex_post import ExPostMixture
from genzoo_rwae_plugins.priors.ex_post_lstm import ExPostLstm
from rich.console import Console
from safetensors.torch import load_file

import genzoo_rwae as gz
from genzoo_rwae.evaluation.codes import encode_split
from genzoo_rwae.run import open_splits
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.spec import load_spec
from genzoo_rwae.training.checkpoint import load_state
from genzoo_rwae.training.signals import InterruptedRunError

PATHS = {"use": "ex-post-lstm", "learnt": {"use": "lstm", "hidden": 8}, "hidden": 8, "steps": 200}
SETTINGS = {
    "evaluate": [],
    "model.static.prior": {"use": "ex-post-mixture", "components": 3},
    "model.dynamic.prior": PATHS,
}
FITTED = ("static_prior.fitted", "dynamic_prior.fitted")
PATCHES = """\
genzoo: 1
name: patches
data: {use: moving-shapes, sequences: 64, size: 32, length: 4, batch: 8}
model:
  use: rwae-patches
  encoder: {use: frame, frames: {use: mlp, hidden: 8, width: 8}}
  static: {size: 4, prior: {use: ex-post-mixture, components: 2}}
  dynamic: {size: 4, prior: {use: lstm, hidden: 8}}
  side: 8
  hidden: 8
  patches: {use: mlp, hidden: 8}
objective: {static: mmd, dynamic: mmd}
train: {steps: 3, threads: 1}
evaluate: []
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    path = tmp_path_factory.mktemp("fitted") / "tiny.yaml"
    path.write_text(tiny_text)
    return path


@pytest.fixture(scope="module")
def run(spec: Path) -> Path:
    gz.build(spec, run=spec.parent / "run", settings=SETTINGS)
    return spec.parent / "run"


def log_densities(run: Path, model: gz.SequenceModel) -> tuple[float, float]:
    """Of z^c and of a step of z^m, under the priors."""
    splits = open_splits(load_spec(str(run / "spec.yaml")))
    drawn = encode_split(gz.load(run), splits.train, 99, torch.Generator().manual_seed(1))
    with torch.no_grad():
        static = model.static_prior.law(1).log_density(drawn.static_ND).mean()
        dynamic = model.dynamic_prior.log_density(drawn.dynamic_NTD).mean()
    return static.item(), dynamic.item()


def test_the_weights_of_the_end_have_the_fitted_priors_and_their_codes_are_likely(
    run: Path,
) -> None:
    model = gz.load(run)
    fitted = log_densities(run, model)
    for prior in (model.static_prior, model.dynamic_prior):
        prior.fitted.fill_(False)
    before = log_densities(run, model)
    assert fitted[0] > before[0] + 1
    assert fitted[1] > before[1] + 0.2


@pytest.mark.parametrize("fitted", FITTED)
def test_training_never_sees_it(run: Path, fitted: str) -> None:
    assert load_file(run / "model.safetensors")[fitted]
    assert not load_file(run / "checkpoints" / "best.safetensors")[fitted]
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert not state["model"][fitted]


def test_weights_but_the_priors_are_those_of_a_run_without_them(run: Path, spec: Path) -> None:
    other = spec.parent / "learnt"
    settings = {"evaluate": [], "model.dynamic.prior": PATHS["learnt"]}
    gz.build(spec, run=other, settings=settings)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, other))
    for name, tensor in theirs.items():
        if not name.startswith("static_prior."):
            ours_of_it = name.replace("dynamic_prior.", "dynamic_prior.learnt.")
            assert torch.equal(tensor, ours[ours_of_it]), name
    assert any(name.startswith("dynamic_prior.") for name in theirs)


def test_what_is_fitted_afterwards_is_none_of_the_optimisers(run: Path) -> None:
    (group,) = load_state(RunFolder(run).state).optimizer["param_groups"]
    learnt = [p for p in gz.load(run).parameters() if p.requires_grad]
    assert len(group["params"]) == len(learnt) < len([*gz.load(run).parameters()])


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def test_weights_that_were_lost_are_written_again_with_the_same_prior(
    run: Path, spec: Path
) -> None:
    before = weights(run)
    (run / "model.safetensors").unlink()
    gz.build(spec, run=run, settings=SETTINGS)
    assert weights(run) == before


def test_a_finished_run_keeps_the_prior_that_was_measured(
    run: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights(run)
    for prior in (ExPostMixture, ExPostLstm):
        monkeypatch.setattr(prior, "fit_to", lambda *_: pytest.fail("it is fitted again"))
    model = gz.build(spec, run=run, settings=SETTINGS)
    assert weights(run) == before
    assert model.static_prior.fitted
    assert model.dynamic_prior.fitted


def test_weights_of_another_step_are_not_kept(run: Path, spec: Path) -> None:
    before, folder = weights(run), RunFolder(run)
    state = load_file(folder.model)
    name = next(name for name in state if name.endswith("weight"))
    folder.save_model({**state, name: state[name] + 1})
    assert weights(run) != before
    model = gz.build(spec, run=run, settings=SETTINGS)
    assert weights(run) == before
    assert torch.equal(model.state_dict()[name], state[name])


def test_a_run_that_went_on_and_was_stopped_has_the_weights_of_where_it_stopped(
    spec: Path, killer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = spec.parent / "minutes"
    short, long = (
        {**SETTINGS, "train": {"steps": 100_000, "minutes": minutes, "save_every": 0}}
        for minutes in (1e-4, 5)
    )
    gz.build(spec, run=run, settings=short)
    first = weights(run)
    at = load_state(RunFolder(run).state).step + 3
    monkeypatch.setenv("KILL_AT", str(at))
    monkeypatch.setenv("KILL_WITH", "SIGTERM")
    with pytest.raises(InterruptedRunError):
        gz.build(spec, run=run, settings=long, zoo=gz.Zoo([str(killer)], use_entry_points=False))
    gz.build(spec, run=run, settings=short)
    assert weights(run) != first
    state, ours = load_state(RunFolder(run).state), load_file(run / "model.safetensors")
    assert state.step == at
    for name, parameter in gz.load(run).named_parameters():
        if parameter.requires_grad:  # others are those of the fitted prior
            assert torch.equal(ours[name], state.model[name]), name


def test_an_interrupted_run_ends_with_the_same_prior(
    run: Path, spec: Path, killer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = spec.parent / "stopped"
    monkeypatch.setenv("KILL_AT", "5")
    monkeypatch.setenv("KILL_WITH", "SIGTERM")
    killing = gz.Zoo([str(killer)], use_entry_points=False)
    with pytest.raises(InterruptedRunError):
        gz.build(spec, run=other, settings=SETTINGS, zoo=killing)
    assert not (other / "model.safetensors").exists()
    gz.build(spec, run=other, settings=SETTINGS)
    assert weights(other) == weights(run)


def test_things_of_patches_share_the_prior_that_is_fitted(tmp_path: Path) -> None:
    spec = tmp_path / "patches.yaml"
    spec.write_text(PATCHES)
    gz.build(spec, run=tmp_path / "run")
    model = gz.load(tmp_path / "run")
    assert model.static_prior.each.fitted
    assert model.sample(3).x_BT.isfinite().all()


def test_the_console_says_what_it_is_waiting_for(spec: Path, tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=200)
    gz.build(spec, run=tmp_path / "run", settings=SETTINGS, console=console)
    said = console.file.getvalue()
    assert "a prior is fitted to codes of" in said
    assert "static prior: 3 Gaussians, fitted to" in said
    assert "dynamic prior: an LSTM with mixtures, fitted to" in said
    assert said.count("a prior is fitted to codes of") == 1  # both to the same


def test_a_prior_that_is_told_the_action_is_fitted_to_what_it_is_told(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def noted(prior: ExPostLstm, draws: Callable[[int], gz.Paths]) -> None:
        assert not torch.is_grad_enabled()
        told.append(draws(9))

    monkeypatch.setattr(ExPostLstm, "fit_to", noted)
    action = {"count": 3, "prior": "given-action"}
    gz.build(spec, run=tmp_path / "run", settings={**SETTINGS, "model.action": action})
    (paths,) = told
    assert paths.context_NC.shape == (len(paths.z_NTD), 3)
    assert torch.equal(paths.context_NC.sum(1), torch.ones(len(paths.z_NTD)))
    assert paths.context_NC.unique().tolist() == [0, 1]


def test_a_model_of_ones_own_need_not_fit_anything() -> None:
    class Nothing(gz.SequenceModel):
        infer = decode = sample_prior = None

    assert (
        Nothing(gz.DataInfo((1,), 2, bounded=True)).fit_priors(lambda _: pytest.fail("drawn")) == ()
    )
