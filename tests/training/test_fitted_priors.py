"""Priors that are fitted to codes when training is over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import genzoo_rwae as gz
from genzoo_rwae.evaluation.codes import encode_split
from genzoo_rwae.run import open_splits
from genzoo_rwae.spec import load_spec

SETTINGS = {"evaluate": [], "model.static.prior": {"use": "ex-post-mixture", "components": 3}}
FITTED = "static_prior.fitted"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    path = tmp_path_factory.mktemp("fitted") / "tiny.yaml"
    path.write_text(tiny_text)
    return path


@pytest.fixture(scope="module")
def run(spec: Path) -> Path:
    gz.build(spec, run=spec.parent / "run", settings=SETTINGS)
    return spec.parent / "run"


def log_density(run: Path, prior: torch.nn.Module) -> float:
    splits = open_splits(load_spec(str(run / "spec.yaml")))
    z_ND = encode_split(gz.load(run), splits.train, 99, torch.Generator().manual_seed(1)).static_ND
    return float(prior.law(1).log_density(z_ND).mean())  # type: ignore[operator]


def test_the_weights_of_the_end_have_the_fitted_prior_and_its_codes_are_likely(run: Path) -> None:
    model = gz.load(run)
    fitted = log_density(run, model.static_prior)  # type: ignore[arg-type]
    model.static_prior.fitted.fill_(False)  # type: ignore[union-attr, operator]
    standard = log_density(run, model.static_prior)  # type: ignore[arg-type]
    assert fitted > standard + 1


def test_training_never_sees_it(run: Path) -> None:
    assert load_file(run / "model.safetensors")[FITTED]
    assert not load_file(run / "checkpoints" / "best.safetensors")[FITTED]
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert not state["model"][FITTED]


def test_weights_but_the_prior_are_those_of_the_standard_normal(run: Path, spec: Path) -> None:
    other = spec.parent / "gaussian"
    gz.build(spec, run=other, settings={"evaluate": []})
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, other))
    for name, tensor in theirs.items():
        if not name.startswith("static_prior."):
            assert torch.equal(tensor, ours[name]), name


def test_a_run_that_went_on_has_the_same_prior(run: Path, spec: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()
    gz.build(spec, run=run, settings=SETTINGS)
    assert (run / "model.safetensors").read_bytes() == before


def test_the_console_says_what_it_is_waiting_for(spec: Path, tmp_path: Path) -> None:
    from rich.console import Console

    console = Console(record=True, width=200, quiet=False, file=(tmp_path / "said").open("w"))
    gz.build(spec, run=tmp_path / "run", settings=SETTINGS, console=console)
    assert "fitting a prior to the codes of" in console.export_text()
