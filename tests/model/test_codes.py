"""Laws of codes: `DiagonalGaussian`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from genzoo_rwae.codes import Categorical, DiagonalGaussian, draw_mean, draw_sample

COUNT = 200_000


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.floats(0.01, 3), width=st.integers(1, 8))
def test_kl_is_that_of_torch_distributions_summed_over_the_width(seed, spread, width):
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance, other_mean, other_log_variance = spread * torch.randn(
        4, 3, 5, width, generator=generator, dtype=torch.float64
    )
    one = DiagonalGaussian(mean, log_variance)
    other = DiagonalGaussian(other_mean, other_log_variance)
    oracle = kl_divergence(Normal(mean, one.sd), Normal(other_mean, other.sd)).sum(-1)
    torch.testing.assert_close(one.kl(other), oracle, rtol=1e-9, atol=1e-9)


def test_kl_to_itself_is_zero():
    law = DiagonalGaussian(torch.randn(4, 3), torch.randn(4, 3))
    torch.testing.assert_close(law.kl(law), torch.zeros(4), atol=1e-6, rtol=0)


def test_sd_is_the_root_of_the_variance():
    law = DiagonalGaussian(torch.zeros(2), torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(law.sd, torch.tensor([1.0, torch.e]))


def test_moments_of_samples_are_the_laws():
    mean, log_variance = torch.tensor([-1.0, 0.0, 5.0]), torch.tensor([-4.0, 0.0, 1.0])
    law = DiagonalGaussian(mean.expand(COUNT, 3), log_variance.expand(COUNT, 3))
    sample = law.sample(torch.Generator().manual_seed(0)).double()
    sd = (0.5 * log_variance).exp().double()
    # 4 standard errors: of a mean sd / √N, of a sample's sd about sd / √(2N)
    assert ((sample.mean(0) - mean).abs() < 4 * sd / COUNT**0.5).all()
    assert ((sample.std(0) - sd).abs() < 4 * sd / (2 * COUNT) ** 0.5).all()
    off_diagonal = torch.corrcoef(sample.T) - torch.eye(3)
    assert off_diagonal.abs().max() < 4 / COUNT**0.5


def test_gradients_of_a_sample_are_reparametrised():
    law = DiagonalGaussian(
        torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    )
    sample = law.sample(torch.Generator().manual_seed(3))
    noise = ((sample - law.mean) / law.sd).detach()
    sample.sum().backward()
    torch.testing.assert_close(law.mean.grad, torch.ones(4, 3))
    # d(μ + e^{v/2} ε)/dv = ½ e^{v/2} ε
    torch.testing.assert_close(law.log_variance.grad, 0.5 * law.sd.detach() * noise)


def test_samples_follow_their_generator_alone():
    law = DiagonalGaussian(torch.zeros(4, 3), torch.zeros(4, 3))
    one = law.sample(torch.Generator().manual_seed(3))
    torch.manual_seed(99)
    assert torch.equal(one, law.sample(torch.Generator().manual_seed(3)))
    assert not torch.equal(one, law.sample(torch.Generator().manual_seed(4)))


def test_samples_keep_the_laws_dtype():
    law = DiagonalGaussian(torch.zeros(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64))
    assert law.sample().dtype == torch.float64


def test_noise_is_drawn_where_the_generator_is_and_taken_to_the_law(monkeypatch):
    # an accelerator refuses a generator of the processor; a meta tensor has but the device of one
    drawn, randn = [], torch.randn
    monkeypatch.setattr(torch, "randn", lambda *a, **k: drawn.append(k["device"]) or randn(*a, **k))
    law = DiagonalGaussian(torch.zeros(4, 3, device="meta"), torch.zeros(4, 3, device="meta"))
    assert law.sample(torch.Generator().manual_seed(0)).device.type == "meta"
    assert law.sample().device.type == "meta"
    assert [device.type for device in drawn] == ["cpu", "meta"]


def test_draws_are_the_mean_and_a_sample():
    law = DiagonalGaussian(torch.randn(4, 3), torch.zeros(4, 3))
    assert draw_mean(law) is law.mean
    wanted = law.sample(torch.Generator().manual_seed(1))
    assert torch.equal(draw_sample(torch.Generator().manual_seed(1))(law), wanted)


@pytest.mark.parametrize("log_variance", [-12.0, 2.0])
def test_kl_at_the_ends_of_the_clamp_is_finite_with_finite_gradients(log_variance):
    law = DiagonalGaussian(
        torch.full((3,), 50.0, requires_grad=True),
        torch.full((3,), log_variance, requires_grad=True),
    )
    narrow = DiagonalGaussian(torch.zeros(3), torch.full((3,), -6.0))
    law.kl(narrow).backward()
    assert law.mean.grad.isfinite().all()
    assert law.log_variance.grad.isfinite().all()


# -- log-densities ----------------------------------------------------------------------------


def test_log_density_is_that_of_torch_distributions_summed_over_the_width():
    law = DiagonalGaussian(torch.randn(4, 3).double(), torch.randn(4, 3).double())
    z = torch.randn(4, 3).double()
    torch.testing.assert_close(law.log_density(z), Normal(law.mean, law.sd).log_prob(z).sum(-1))


# -- categorical laws -------------------------------------------------------------------------

LOGITS = torch.tensor([1.0, 0.0, -1.0])


@pytest.mark.parametrize("hard", [False, True])
def test_classes_are_drawn_as_often_as_their_probability_says(hard):
    law = Categorical(LOGITS.expand(COUNT, 3), temperature=0.7, hard=hard)
    chosen = law.sample(torch.Generator().manual_seed(0)).argmax(-1)
    p = LOGITS.softmax(-1)
    found = torch.bincount(chosen, minlength=3) / COUNT
    assert ((found - p).abs() < 4 * (p * (1 - p) / COUNT).sqrt()).all()


def test_relaxed_samples_are_shares_and_harden_as_the_temperature_falls():
    def largest(temperature):
        law = Categorical(LOGITS.expand(2000, 3), temperature)
        sample = law.sample(torch.Generator().manual_seed(0))
        torch.testing.assert_close(sample.sum(-1), torch.ones(2000))
        assert (sample >= 0).all()
        return sample.max(-1).values.mean()

    warm, cold = largest(5.0), largest(0.1)
    assert warm < 0.6
    assert cold > 0.9


def test_straight_through_samples_are_one_hot_with_the_gradient_of_relaxed_ones():
    def gradient(hard):
        logits = LOGITS.expand(8, 3).clone().requires_grad_()
        sample = Categorical(logits, 0.5, hard).sample(torch.Generator().manual_seed(1))
        (sample * torch.arange(3.0)).sum().backward()
        return sample.detach(), logits.grad

    (hard, hard_gradient), (_, relaxed_gradient) = gradient(True), gradient(False)
    torch.testing.assert_close(hard, hard.round())
    assert (hard.sum(-1) == 1).all()
    torch.testing.assert_close(hard_gradient, relaxed_gradient)


def test_log_density_of_a_class_is_the_log_of_its_probability():
    law = Categorical(LOGITS.expand(3, 3))
    torch.testing.assert_close(law.log_density(torch.eye(3)), LOGITS.log_softmax(-1))


def test_samples_stay_finite_where_the_generator_gives_the_end_of_its_range(monkeypatch):
    for edge in (0.0, 1.0):
        monkeypatch.setattr(torch, "rand", lambda *a, edge=edge, **k: torch.full((2, 3), edge))
        assert Categorical(LOGITS.expand(2, 3)).sample().isfinite().all()


def test_measured_codes_are_means_and_likeliest_classes():
    gaussian = DiagonalGaussian(torch.randn(2, 3), torch.randn(2, 3))
    assert draw_mean(gaussian) is gaussian.mean
    assert draw_mean(Categorical(LOGITS.expand(2, 3))).tolist() == [[1, 0, 0], [1, 0, 0]]
