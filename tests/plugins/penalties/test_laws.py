"""Divergences of laws: `kl` per row, `aggregate-kl` and `categorical-kl` of mixtures over the rows.

Shapes: T time, N rows, D code width, A classes.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.penalties.categorical_kl import categorical_kl
from genzoo_rwae_plugins.penalties.kl import aggregate_kl, kl
from scipy import integrate, stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from genzoo_rwae import codes
from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.errors import OptionError
from genzoo_rwae.objective import law_of, takes_laws


def law(*shape, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return DiagonalGaussian(mean + shift, 0.5 * log_variance - 0.5)


def standard(*shape):
    return DiagonalGaussian(*torch.zeros(2, *shape, dtype=torch.float64))


def theirs(law):
    return Independent(Normal(law.mean, law.sd), 1)


def seeded(*laws, seed=5, **options):
    torch.manual_seed(seed)
    return aggregate_kl(*laws, **options)


@pytest.mark.parametrize("penalty", [kl, aggregate_kl])
def test_they_are_given_laws(penalty):
    assert takes_laws(penalty)


def test_kl_is_torchs_averaged_over_rows():
    q, p = law(4, 7, 3), law(4, 7, 3, seed=1)
    torch.testing.assert_close(kl(q, p), kl_divergence(theirs(q), theirs(p)).mean(-1))


def test_kl_is_zero_at_equal_laws_and_positive_elsewhere():
    q = law(7, 3)
    assert kl(q, q) == 0
    assert kl(q, law(7, 3, seed=1)) > 0


def test_kl_pulls_every_law_to_its_own_prior():
    q, p = law(6, 2), law(6, 2, seed=1)
    mean, log_variance = q.mean.requires_grad_(), q.log_variance.requires_grad_()
    optimizer = torch.optim.Adam([mean, log_variance], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        kl(DiagonalGaussian(mean, log_variance), p).backward()
        optimizer.step()
    torch.testing.assert_close(mean, p.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(log_variance, p.log_variance, atol=0.02, rtol=0)


@pytest.mark.parametrize("per_row_priors", [False, True])
def test_aggregate_kl_is_the_divergence_of_two_mixtures(per_row_priors):
    """By quadrature in one dimension; samples of many copies of the batch stand for the mean."""
    q, p = law(3, 1), (law(3, 1, seed=1) if per_row_priors else standard(3, 1))

    def density(z, laws):
        return stats.norm.pdf(z, laws.mean[:, 0], laws.sd[:, 0]).mean()

    wanted, _ = integrate.quad(
        lambda z: density(z, q) * math.log(density(z, q) / density(z, p)), -12, 12, limit=200
    )
    copies = [DiagonalGaussian(x.mean.expand(4000, 3, 1), x.log_variance.expand(4000, 3, 1))
              for x in (q, p)]  # fmt: skip
    found = seeded(*copies)
    error = found.std().item() / 4000**0.5
    assert found.mean().item() == pytest.approx(wanted, abs=4 * error)
    assert error < 0.05 * wanted


def weights_of_the_paper(order, data_size):
    """Appendix C.2: row i of a batch of M + 1 weighs itself 1/N, its last other row
    (N − M)/(N M), and the rest 1/M; `order` says who is last."""
    count = len(order)
    others = count - 1
    weights = np.full((count, count), 1 / others)
    for i in range(count):
        last = [j for j in order if j != i][-1]
        weights[i, last] = (data_size - others) / (data_size * others)
        weights[i, i] = 1 / data_size
    return weights


@pytest.mark.parametrize("data_size", [4, 9, 1000])
def test_stratified_weights_are_the_papers_averaged_over_the_order_of_rows(data_size):
    q, p = law(4, 2), standard(4, 2)
    torch.manual_seed(0)
    z = q.sample()
    log_q = theirs(q).log_prob(z[:, None]).numpy()  # [z, law]
    weights = np.mean(
        [weights_of_the_paper(order, data_size) for order in itertools.permutations(range(4))], 0
    )
    assert weights.sum(1) == pytest.approx(1)
    wanted = np.log((np.exp(log_q) * weights).sum(1)).mean() - theirs(p).log_prob(z).mean().item()
    assert seeded(q, p, seed=0, data_size=data_size).item() == pytest.approx(wanted, rel=1e-9)


def test_stratified_density_is_unbiased_over_batches():
    """Batches of 3 out of 6 that hold row 0: the mean of q̂(z) is the mixture of all 6 at z."""
    q, found = law(6, 2, shift=0.3), []
    for others in itertools.combinations(range(1, 6), 2):
        rows = [0, *others]
        batch = DiagonalGaussian(q.mean[rows], q.log_variance[rows])
        weights = torch.tensor([1e9, 1.0, 1.0], dtype=torch.float64)  # of rows as queries and laws
        torch.manual_seed(0)
        z = batch.sample()[0]
        log_p = theirs(standard(2)).log_prob(z)
        # a huge weight on row 0 as a query; the weights among the others are equal
        value = seeded(batch, standard(3, 2), weights, seed=0, data_size=6)
        found.append((value + log_p).exp().item())
    wanted = theirs(q).log_prob(z).exp().mean().item()
    assert np.mean(found) == pytest.approx(wanted, rel=1e-6)


def test_weighted_takes_the_size_of_the_data_off():
    q, p = law(5, 2), law(5, 2, seed=1)
    plain = seeded(q, p)
    torch.testing.assert_close(seeded(q, p, estimator="weighted"), plain)
    offset = seeded(q, p, estimator="weighted", data_size=1000)
    assert (plain - offset).item() == pytest.approx(math.log(1000))
    torch.testing.assert_close(seeded(q, p, data_size=5), plain)


def test_one_law_in_all_rows_leaves_kl_alone():
    one, prior = law(1, 2), standard(1, 2)
    q = DiagonalGaussian(one.mean.expand(5, 2), one.log_variance.expand(5, 2))
    p = DiagonalGaussian(prior.mean.expand(5, 2), prior.log_variance.expand(5, 2))
    torch.manual_seed(0)
    z = q.sample()
    wanted = (theirs(one).log_prob(z) - theirs(prior).log_prob(z)).mean()
    for options in ({}, {"data_size": 50}, {"estimator": "weighted"}):
        torch.testing.assert_close(seeded(q, p, seed=0, **options), wanted)


def test_aggregate_kl_of_a_mixture_from_itself_is_zero():
    q = law(6, 2)
    shuffled = DiagonalGaussian(q.mean.flip(0), q.log_variance.flip(0))
    assert seeded(q, shuffled).item() == pytest.approx(0, abs=1e-12)
    assert kl(q, shuffled) > 0.1


def test_aggregate_kl_of_absent_rows_is_that_of_the_others():
    q, p, weights = law(5, 2), law(5, 2, seed=1), torch.tensor([1.0, 1, 1, 0, 0])
    kept = [DiagonalGaussian(x.mean[:3], x.log_variance[:3]) for x in (q, p)]
    for options in ({}, {"data_size": 30}, {"estimator": "weighted", "data_size": 30}):
        # the noise of the first rows is the same
        found = seeded(q, p, weights, **options)
        torch.testing.assert_close(found, seeded(*kept, **options))


def test_steps_are_mixtures_of_their_own():
    q, p = law(3, 5, 2), law(3, 5, 2, seed=1)
    torch.manual_seed(0)
    z = q.sample()
    wanted = []
    for t in range(3):
        mixtures = [
            MixtureSameFamily(
                Categorical(torch.ones(5, dtype=torch.float64)),
                theirs(DiagonalGaussian(x.mean[t], x.log_variance[t])),
            )
            for x in (q, p)
        ]
        wanted.append((mixtures[0].log_prob(z[t]) - mixtures[1].log_prob(z[t])).mean())
    torch.testing.assert_close(seeded(q, p, seed=0), torch.stack(wanted))


def test_densities_of_narrow_laws_far_from_zero_are_exact():
    q = DiagonalGaussian(
        1000 + torch.arange(4.0)[:, None].expand(4, 8), torch.full((4, 8), math.log(1e-4))
    )
    found = seeded(q, q).item()
    assert found == pytest.approx(0, abs=1e-5)
    prior = DiagonalGaussian(torch.full((4, 8), 1000.0), torch.zeros(4, 8))
    torch.manual_seed(0)
    z = q.sample().double()
    log_q = Independent(Normal(q.mean.double(), 0.01), 1).log_prob(z) - math.log(4)
    log_p = Independent(Normal(prior.mean.double(), 1.0), 1).log_prob(z)
    wanted = (log_q - log_p).mean().item()
    assert seeded(q, prior, seed=0).item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"data_size": 10_000}, {"estimator": "weighted"}])
def test_aggregate_kl_pulls_the_mixture_to_the_prior_but_not_every_row(options):
    torch.manual_seed(0)
    mean = (1 + 0.3 * torch.randn(64, 1)).requires_grad_()
    log_variance = torch.full((64, 1), -3.0).requires_grad_()
    optimizer = torch.optim.Adam([mean, log_variance], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        q = DiagonalGaussian(mean, log_variance)
        aggregate_kl(q, DiagonalGaussian(*torch.zeros(2, 64, 1)), **options).backward()
        optimizer.step()
    mixture_sd = (mean.var() + log_variance.exp().mean()).sqrt()
    assert abs(mean.mean()) < 0.2
    assert 0.8 < mixture_sd < 1.25
    assert mean.std() > 0.3  # the rows stay apart: information is kept


def test_more_rows_than_data_are_refused():
    q = law(6, 2)
    with pytest.raises(OptionError, match="data_size is 5 and the batch has 6 rows") as caught:
        aggregate_kl(q, q, data_size=5)
    assert caught.value.option == "data_size"
    aggregate_kl(q, q, torch.tensor([1, 1, 1, 1, 1, 0]), data_size=5)


def test_a_single_row_stands_for_no_data():
    q = law(1, 2)
    with pytest.raises(OptionError, match="needs 2 rows or more") as caught:
        aggregate_kl(q, q, data_size=5)
    assert caught.value.option == "estimator"
    assert aggregate_kl(q, q) == 0
    assert aggregate_kl(q, q, estimator="weighted", data_size=5).isfinite()


# -- categorical ------------------------------------------------------------------------------


def actions(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return codes.Categorical(torch.randn(shape, generator=generator, dtype=torch.float64))


def uniform(*shape):
    return codes.Categorical(torch.zeros(shape, dtype=torch.float64))


def decided(*classes, of=3, size=1e3):
    one_hot = torch.nn.functional.one_hot(torch.tensor(classes), of).double()
    return codes.Categorical(size * one_hot)


def test_categorical_kl_is_given_categorical_laws():
    assert law_of(categorical_kl) is codes.Categorical
    assert not takes_laws(categorical_kl)


def test_categorical_kl_is_scipys_of_the_mean_laws():
    q, p = actions(4, 7, 5), actions(4, 7, 5, seed=1)
    mean_q, mean_p = (x.logits.softmax(-1).mean(-2).numpy() for x in (q, p))
    np.testing.assert_allclose(categorical_kl(q, p), stats.entropy(mean_q, mean_p, axis=-1))
    own = stats.entropy(q.logits.softmax(-1).numpy(), axis=-1).mean(-1)
    found = categorical_kl(q, p, confidence=0.3)
    np.testing.assert_allclose(found, stats.entropy(mean_q, mean_p, axis=-1) + 0.3 * own)


def test_rows_that_are_sure_and_use_all_classes_alike_cost_nothing():
    q, p = decided(0, 1, 2, 2, 1, 0), uniform(6, 3)
    assert categorical_kl(q, p, confidence=1.0).item() == pytest.approx(0, abs=1e-9)


def test_undecided_rows_cost_nothing_but_by_a_confidence():
    p = uniform(6, 3)
    assert categorical_kl(p, p).item() == pytest.approx(0, abs=1e-12)
    assert categorical_kl(p, p, confidence=0.5).item() == pytest.approx(0.5 * math.log(3))


def test_one_class_for_all_costs_the_logarithm_of_their_number():
    q = decided(1, 1, 1, 1)
    assert categorical_kl(q, uniform(4, 3), confidence=1.0).item() == pytest.approx(math.log(3))


def test_with_confidence_1_it_is_what_the_class_does_not_know_of_the_row():
    q = actions(9, 4)
    joint = (q.logits.softmax(-1) / 9).numpy()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    information = (joint * np.log(joint / product)).sum()
    found = categorical_kl(q, uniform(9, 4), confidence=1.0).item()
    assert found == pytest.approx(math.log(4) - information)


@pytest.mark.parametrize(("progress", "grown"), [(0.0, 0), (0.25, 0), (0.4, 0.2), (1.0, 1.0)])
def test_an_annealed_confidence_grows_in_a_straight_line_to_the_end(progress, grown):
    q, p = actions(9, 4), uniform(9, 4)
    found = categorical_kl(q, p, None, progress, confidence=0.6, annealed_from=0.25)
    torch.testing.assert_close(found, categorical_kl(q, p, confidence=0.6 * grown))


def test_absent_rows_and_steps_without_rows_have_no_part():
    q, p = actions(2, 5, 3), uniform(2, 5, 3)
    weights = torch.tensor([[1.0, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
    found = categorical_kl(q, p, weights, confidence=0.7)
    kept = [codes.Categorical(x.logits[0, [0, 1, 3]]) for x in (q, p)]
    torch.testing.assert_close(found[0], categorical_kl(*kept, confidence=0.7))
    assert found[1] == 0


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_sure_rows_have_finite_gradients(size):
    logits = decided(0, 0, 1, size=size).logits.float().requires_grad_()
    value = categorical_kl(codes.Categorical(logits), uniform(3, 3), confidence=1.0)
    value.backward()
    assert logits.grad.isfinite().all()


def test_it_makes_rows_choose_and_use_all_classes():
    torch.manual_seed(0)
    logits = (0.1 * torch.randn(30, 3)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        categorical_kl(codes.Categorical(logits), uniform(30, 3), confidence=0.5).backward()
        optimizer.step()
    law = logits.softmax(-1)
    assert (law.max(-1).values > 0.95).all()
    counts = torch.bincount(law.argmax(-1), minlength=3)
    assert counts.min() >= 8
