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


# -- categorical ------------------------------------------------------------------------------


def categorical(*shape, **options):
    return Categorical(torch.randn(shape, generator=torch.Generator().manual_seed(0)), **options)


def test_straight_through_samples_are_exactly_one_hot_with_the_gradient_of_relaxed_ones():
    relaxed, hard = categorical(500, 4), categorical(500, 4, hard=True)
    slopes = []
    for law in (relaxed, hard):
        law.logits.requires_grad_()
        sample = law.sample(torch.Generator().manual_seed(1))
        (sample * torch.arange(4.0)).sum().backward()
        slopes.append(law.logits.grad)
    assert set(sample.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(sample.sum(-1), torch.ones(500))
    torch.testing.assert_close(slopes[1], slopes[0])
    assert slopes[0].abs().sum() > 0


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_classes_are_drawn_by_their_probabilities_at_any_temperature(temperature):
    logits = torch.tensor([0.0, 1.0, -1.0])
    law = Categorical(logits.expand(COUNT, 3), temperature, hard=True)
    found = law.sample(torch.Generator().manual_seed(1)).mean(0)
    wanted = logits.softmax(-1)
    assert ((found - wanted).abs() < 4 * (wanted * (1 - wanted) / COUNT).sqrt()).all()


def test_relaxed_samples_come_near_one_hot_ones_as_it_gets_cold():
    generators = [torch.Generator().manual_seed(1) for _ in range(3)]
    warm, cold, hard = (
        categorical(200, 4, temperature=t, hard=h).sample(generator)
        for t, h, generator in zip((1.0, 1e-3, 1.0), (False, False, True), generators, strict=True)
    )
    assert (warm.sum(-1) - 1).abs().max() < 1e-5
    assert (warm.max(-1).values < 0.99).any()
    assert ((cold - hard).abs().max(-1).values < 1e-3).float().mean() > 0.97


def test_log_density_and_the_typical_class_of_a_categorical_law():
    law = categorical(5, 4)
    classes = torch.arange(5) % 4
    wanted = torch.distributions.Categorical(logits=law.logits).log_prob(classes)
    one_hot = torch.nn.functional.one_hot(classes, 4).float()
    torch.testing.assert_close(law.log_density(one_hot), wanted)
    assert torch.equal(law.typical().argmax(-1), law.logits.argmax(-1))
    assert torch.equal(law.typical().sum(-1), torch.ones(5))
