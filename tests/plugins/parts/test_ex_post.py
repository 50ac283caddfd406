"""A static prior that is fitted when training is over, and one prior for many things.

Shapes: B rows, N codes, K components, D code width, S codes of a thing.
"""

import math

import pytest
import torch
from genzoo_rwae_plugins.models.sharing import SharedPrior
from genzoo_rwae_plugins.priors.ex_post import ExPostMixture, FullMixture
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior
from genzoo_rwae_plugins.priors.mixture import MixturePrior
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.testing import check_prior
from genzoo_rwae.testing.findings import PropertyError

ROOTS = torch.tensor([[[0.3, 0.0], [0.25, 0.1]], [[0.2, 0.0], [-0.3, 0.4]]])
MEANS = torch.tensor([[-1.5, 0.0], [1.0, 1.0]])
TRUE = MixtureSameFamily(
    Categorical(torch.tensor([0.3, 0.7])), MultivariateNormal(MEANS, scale_tril=ROOTS)
)


def codes(count, seed=0):
    torch.manual_seed(seed)
    return TRUE.sample((count,))


def fitted(z_ND, **options):
    prior = ExPostMixture(z_ND.shape[1], **options).eval()
    prior.fit_to(lambda most: z_ND[:most])
    return prior


def law_of(z_ND, **options):
    return fitted(z_ND, **options).law(1)


def test_before_it_is_fitted_it_is_the_standard_normal_and_learns_nothing():
    prior = ExPostMixture(3)
    for training in (True, False):
        law = prior.train(training).law(4)
        assert isinstance(law, DiagonalGaussian)
        assert torch.equal(law.mean, torch.zeros(4, 3))
        assert torch.equal(law.sd, torch.ones(4, 3))
    assert list(prior.parameters()) == []


def test_in_training_it_is_the_standard_normal_again():
    prior = fitted(codes(200), components=2)
    assert isinstance(prior.law(2), FullMixture)
    assert isinstance(prior.train().law(2), DiagonalGaussian)


def test_it_is_fitted_to_the_law_that_codes_come_from():
    held_out = codes(2000, seed=1)
    found = law_of(codes(4000), components=2).log_density(held_out).mean()
    best, standard = TRUE.log_prob(held_out).mean(), -held_out.square().sum(1).mean() / 2
    assert found == pytest.approx(best.item(), abs=0.02)
    assert found > standard - math.log(2 * math.pi) + 1  # far better than N(0, I)


def test_density_is_that_of_torchs_mixture():
    law = law_of(codes(500), components=3)
    theirs = MixtureSameFamily(
        Categorical(logits=law.log_weights), MultivariateNormal(law.mean, scale_tril=law.root)
    )
    z = torch.randn(5, 7, 2)
    torch.testing.assert_close(law.log_density(z), theirs.log_prob(z))


def test_samples_have_the_mean_and_the_covariance_of_the_codes():
    z = codes(4000)
    drawn = fitted(z, components=2).law(20_000).sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), z.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), z.T.cov(), atol=0.04, rtol=0)
    torch.testing.assert_close(law_of(z, components=2).typical()[0], z.mean(0), atol=1e-3, rtol=0)


def test_samples_lie_about_single_modes_and_are_as_frequent_as_these():
    law = FullMixture(4000, torch.tensor([0.25, 0.75]).log(), 50 * MEANS, ROOTS)
    right = law.sample(torch.Generator().manual_seed(0))[:, 0] > 0
    assert right.float().mean().item() == pytest.approx(0.75, abs=0.03)


def test_few_codes_have_few_components():
    law = law_of(codes(40), components=30)
    there = law.log_weights.isfinite()
    assert there.sum() == 4  # 40 codes, of which a component wants five for each of two values
    assert law.log_weights.exp().sum().item() == pytest.approx(1)
    assert law.log_density(codes(5, seed=1)).isfinite().all()
    drawn = law.__class__(500, law.log_weights, law.mean, law.root).sample()
    assert drawn.isfinite().all()
    assert law_of(codes(3), components=30).log_weights.isfinite().sum() == 1


def test_no_component_is_narrower_than_it_may_be():
    law = law_of(torch.zeros(100, 2), components=1, smallest_sd=0.2)
    torch.testing.assert_close(law.root[0], 0.2 * torch.eye(2), atol=1e-3, rtol=0)


def test_it_asks_for_as_many_sequences_as_it_says():
    asked = []

    def draws(most):
        asked.append(most)
        return codes(most)

    said = ExPostMixture(2, components=1, sequences=37).fit_to(draws)
    assert asked == [37]
    assert said == "1 Gaussian, fitted to 37 codes of width 2"


def test_it_says_when_there_are_fewer_components_than_were_asked_for():
    said = ExPostMixture(2, components=30).fit_to(lambda most: codes(40))
    assert said == "4 Gaussians in place of 30, which want more, fitted to 40 codes of width 2"


@pytest.mark.parametrize(
    "z_ND", [torch.zeros(1, 2), torch.full((9, 2), math.nan)], ids=["one code", "not finite"]
)
def test_codes_that_no_mixture_can_be_fitted_to_leave_the_prior_as_it_was(z_ND):
    prior = fitted(codes(200), components=2)
    with pytest.warns(GenzooWarning, match="the prior stays N"):
        assert prior.fit_to(lambda most: z_ND) is None
    assert isinstance(prior.law(1), DiagonalGaussian)


def test_density_of_many_codes_wants_no_root_for_each_of_them():
    law = FullMixture(1, torch.zeros(1), torch.zeros(1, 64), torch.eye(64)[None])
    with torch.profiler.profile(profile_memory=True) as seen:
        law.log_density(torch.zeros(5000, 64))
    most = max(event.self_cpu_memory_usage for event in seen.key_averages())
    assert most < 40e6  # a few times 5,000 codes; with a root for each 82 MB


def test_the_same_codes_give_the_same_mixture_whatever_was_there_before():
    one, other = fitted(codes(40), components=9), fitted(codes(500, seed=1), components=9)
    other.fit_to(lambda most: codes(40))
    assert (one.log_weights > -math.inf).sum() == 4
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_what_was_fitted_travels_with_the_weights():
    prior = fitted(codes(300), components=3)
    other = ExPostMixture(2, components=3).eval()
    other.load_state_dict(prior.state_dict())
    z = codes(20, seed=1)
    assert torch.equal(other.law(1).log_density(z), prior.law(1).log_density(z))


def test_the_property_kit_sees_the_law_that_is_fitted(monkeypatch):
    check_prior(ExPostMixture, components=2)
    density = FullMixture.log_density
    monkeypatch.setattr(FullMixture, "log_density", lambda law, z: density(law, z) + 1)
    with pytest.raises(PropertyError, match="density"):
        check_prior(ExPostMixture, components=2)


def test_things_are_independent_under_one_prior():
    torch.manual_seed(0)
    prior = MixturePrior(2, components=3)
    law, of_one = SharedPrior(prior, 2).law(5), prior.law(5)
    z = torch.randn(5, 4)
    wanted = of_one.log_density(z[:, :2]) + of_one.log_density(z[:, 2:])
    torch.testing.assert_close(law.log_density(z), wanted)
    torch.testing.assert_close(law.typical(), of_one.typical().repeat(1, 2))
    drawn = SharedPrior(prior, 2).law(4000).sample(torch.Generator().manual_seed(0))
    assert drawn.shape == (4000, 4)
    between = drawn.T.corrcoef()[:2, 2:]
    assert between.abs().max() < 0.08
    torch.testing.assert_close(drawn[:, :2].T.cov(), drawn[:, 2:].T.cov(), atol=0.1, rtol=0.1)


def test_many_things_under_n_0_i_are_n_0_i():
    law = SharedPrior(GaussianPrior(2), 3).law(4)
    assert isinstance(law, DiagonalGaussian)  # as penalties of Gaussian laws want it
    assert torch.equal(law.mean, torch.zeros(4, 6))
    assert torch.equal(law.log_variance, torch.zeros(4, 6))


def test_the_prior_of_many_things_is_fitted_to_the_codes_of_all_of_them():
    left, right = codes(300), codes(300, seed=1) + 5
    shared = SharedPrior(ExPostMixture(2, components=4), 2).eval()
    shared.fit_to(lambda most: torch.cat([left, right], 1)[:most])
    alone = law_of(torch.stack([left, right], 1).reshape(-1, 2), components=4)
    z = torch.cat([left, right], 1)
    wanted = alone.log_density(left) + alone.log_density(right)
    torch.testing.assert_close(shared.law(300).log_density(z), wanted)
