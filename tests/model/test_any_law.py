"""A dynamic prior whose laws are no Gaussians, in training and afterwards.

Shapes: B batch, T time, D code width, K components.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from genzoo_rwae_plugins.models.parts import DynamicPart
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.priors.mixture import GaussianMixture

import genzoo_rwae as gz
from genzoo_rwae.codes import DiagonalGaussian, DynamicCode, DynamicPrior
from genzoo_rwae.errors import SpecError
from genzoo_rwae.objective.terms import information_term

PLUGIN = """\
import torch
from torch import nn
from genzoo_rwae import DynamicPrior, hookimpl, prior
from genzoo_rwae_plugins.priors.mixture import GaussianMixture


@prior("coin")
class Coin(DynamicPrior):
    '''Every code is near -1 or near 1, whatever came before.'''

    def __init__(self, size, /):
        super().__init__()
        self.modes = nn.Parameter(torch.tensor([-1.0, 1.0])[:, None].repeat(1, size))

    def law(self, count, length):
        mean = self.modes.expand(count, length, -1, -1)
        return GaussianMixture(torch.zeros(mean.shape[:-1]), mean, torch.full_like(mean, -3.0))

    def along(self, z_BTD, context_BC=None):
        return self.law(*z_BTD.shape[:2]), torch.zeros(*z_BTD.shape[:2], 1)

    def roll_out(self, count, length, draw, start_BTD=None, context_BC=None):
        return torch.cat([draw(self.law(count, 1)) for _ in range(length)], 1)


@hookimpl
def genzoo_priors():
    yield Coin
"""


@pytest.fixture
def zoo(tmp_path: Path) -> gz.Zoo:
    (tmp_path / "coin.py").write_text(PLUGIN)
    return gz.Zoo([str(tmp_path / "coin.py")], use_entry_points=False)


@pytest.fixture
def coin(zoo: gz.Zoo) -> type[DynamicPrior]:
    return zoo.find("prior", "coin").component.build


def settings(penalty: str) -> dict[str, object]:
    given = "none" if penalty == "aggregate-kl" else "state"
    dynamic = {"use": penalty, "given": given}
    return {"model.dynamic.prior": "coin", "objective.dynamic": dynamic, "evaluate": []}


def test_it_trains_under_a_penalty_of_samples_and_is_measured(
    zoo: gz.Zoo, tiny_text: str, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(tiny_text)
    chosen = {**settings("mmd"), "objective.information": {"dynamic": {"weight": 1}}}
    chosen["evaluate"] = ["sample", "prior-match"]
    model = gz.build(tmp_path / "tiny.yaml", run=tmp_path / "run", settings=chosen, zoo=zoo)
    start = torch.tensor([-1.0, 1.0])[:, None].expand_as(model.dynamic_prior.modes)
    assert not torch.equal(model.dynamic_prior.modes, start)  # its own gradient reaches it
    assert model.sample(3, 7).x_BT.isfinite().all()


@pytest.mark.parametrize("penalty", ["kl", "aggregate-kl"])
def test_a_penalty_of_gaussian_laws_refuses_it_at_its_place(
    zoo: gz.Zoo, tiny_text: str, tmp_path: Path, penalty: str
) -> None:
    (tmp_path / "tiny.yaml").write_text(tiny_text)
    wanted = (
        f"objective.dynamic.*'{penalty}' compares Gaussian laws, and the dynamic prior is a Gaus"
    )
    with pytest.raises(SpecError, match=f"(?s){wanted}"):
        gz.build(tmp_path / "tiny.yaml", run=tmp_path / "run", settings=settings(penalty), zoo=zoo)


def test_information_in_codes_is_estimated_at_their_samples_over_true_steps(
    passed, coin: type[DynamicPrior]
) -> None:
    codes = passed(lengths=[4, 2, 3, 4, 2, 4]).codes
    z_BTD, posterior = codes.dynamic.sample, codes.dynamic.posterior
    law, state_BTS = coin(z_BTD.shape[-1]).along(z_BTD)
    codes = replace(codes, dynamic=DynamicCode(z_BTD, posterior, law, state_BTS))
    lengths_B = torch.tensor([4, 2, 3, 4, 2, 4])
    nats = [
        posterior.log_density(z_BTD)[b, t] - law.log_density(z_BTD)[b, t]
        for b, length in enumerate(lengths_B)
        for t in range(length)
    ]
    found = information_term(codes, lengths_B, "dynamic")
    torch.testing.assert_close(found, torch.stack(nats).sum() / len(lengths_B))


def test_means_of_the_prior_are_those_of_its_mixtures(coin: type[DynamicPrior]) -> None:
    model = Rwae(gz.DataInfo((1, 8, 8), 4, bounded=True), dynamic=DynamicPart(size=2, prior=coin))
    latents = model.sample_prior(3, 4, gz.codes.draw_sample(torch.Generator().manual_seed(0)))
    law, _ = model.dynamic_prior.along(latents.dynamic_BTD)
    assert isinstance(law, GaussianMixture)
    assert not isinstance(law, DiagonalGaussian)
    torch.testing.assert_close(model.prior_means(latents), torch.zeros(3, 4, 2))
