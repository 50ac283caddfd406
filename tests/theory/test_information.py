"""KL of paths, KL of aggregated posteriors, and the information in a code; closed forms.

Shapes: N rows, T time, D code width.
"""

import math

import pytest
import torch
from genzoo_rwae_plugins.penalties.kl import aggregate_kl, kl

from genzoo_rwae.codes import DiagonalGaussian


def law(mean, variance):
    mean = torch.as_tensor(mean, dtype=torch.float64)
    return DiagonalGaussian(mean, torch.full_like(mean, math.log(variance)))


# KL over paths = Σ_t E KL of the conditionals (Cover & Thomas, Theorem 2.5.3)


def chain(slope, offset, variance, length):
    """Mean [T] and covariance [T, T] of z_t = slope z_(t-1) + offset + N(0, variance), z_0 = 0."""
    eye = torch.eye(length, dtype=torch.float64)
    back = torch.diag(torch.ones(length - 1, dtype=torch.float64), -1)
    inverse = torch.linalg.inv(eye - slope * back)
    mean = inverse @ torch.full((length,), offset, dtype=torch.float64)
    return mean, variance * inverse @ inverse.T


def kl_of_gaussians(mean_q, cov_q, mean_p, cov_p):
    precision, gap = torch.linalg.inv(cov_p), mean_p - mean_q
    trace = torch.trace(precision @ cov_q) + gap @ precision @ gap - len(gap)
    return (0.5 * (trace + torch.logdet(cov_p) - torch.logdet(cov_q))).item()


Q = {"slope": 0.8, "offset": 0.3, "variance": 0.25}
P = {"slope": 0.5, "offset": -0.1, "variance": 0.6}


@pytest.mark.parametrize("length", [1, 2, 6])
def test_kl_of_paths_is_the_sum_of_the_conditionals_exactly(length):
    """E over z_(t-1) ~ q by Gauss-Hermite nodes, exact for the quadratic in it."""
    wanted = kl_of_gaussians(*chain(**Q, length=length), *chain(**P, length=length))
    mean, cov = chain(**Q, length=length)
    nodes = torch.tensor([-(3**0.5), 0.0, 3**0.5], dtype=torch.float64)
    weights = torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)
    total = 0.0
    for t in range(length):
        before = mean[t - 1] + cov[t - 1, t - 1].sqrt() * nodes if t else torch.zeros(3).double()
        q = law(Q["slope"] * before[:, None] + Q["offset"], Q["variance"])
        p = law(P["slope"] * before[:, None] + P["offset"], P["variance"])
        total += (weights @ q.kl(p)).item()
    assert total == pytest.approx(wanted, rel=1e-12)


def test_kl_penalty_along_sampled_paths_estimates_the_kl_of_paths():
    length, count = 5, 20_000
    wanted = kl_of_gaussians(*chain(**Q, length=length), *chain(**P, length=length))
    generator = torch.Generator().manual_seed(0)
    before, found, spread = torch.zeros(count, 1, dtype=torch.float64), [], 0.0
    for _ in range(length):
        q = law(Q["slope"] * before + Q["offset"], Q["variance"])
        p = law(P["slope"] * before + P["offset"], P["variance"])
        found.append(kl(q, p).item())
        spread += q.kl(p).std().item() / count**0.5
        before = q.sample(generator)
    assert sum(found) == pytest.approx(wanted, abs=4 * spread)
    assert spread < 0.02 * wanted


def test_marginals_alone_are_not_the_path():
    """Chains with equal marginals and other transitions: Σ_t KL of marginals is 0, of paths not."""
    length = 5
    mean, cov = chain(**Q, length=length)
    alone = torch.diag(cov.diagonal())
    assert kl_of_gaussians(mean, alone, mean, alone) == pytest.approx(0, abs=1e-12)
    assert kl_of_gaussians(mean, cov, mean, alone) > 1


# KL(Q_Z, P) = E KL(Q(Z | x), P) − I(X; Z), with x ~ N(0, 1), q = N(a x, s²), p = N(0, 1)

CASES = pytest.mark.parametrize(("a", "s"), [(0.9, 0.45), (0.5, 0.8), (1.4, 0.6)])


def closed_forms(a, s):
    """KL of the aggregate, mean KL of the rows, and the information, in nats."""
    v = a**2 + s**2
    aggregate = 0.5 * (v - 1 - math.log(v))
    rows = 0.5 * (v - 1 - math.log(s**2))
    return aggregate, rows, 0.5 * math.log(v / s**2)


def encoded(a, s, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, 1, generator=generator, dtype=torch.float64)
    return law(a * x, s**2), law(torch.zeros_like(x), 1.0)


@CASES
def test_identity_of_the_closed_forms(a, s):
    aggregate, rows, information = closed_forms(a, s)
    assert aggregate == pytest.approx(rows - information, rel=1e-12)


@CASES
def test_kl_measures_the_mean_over_rows(a, s):
    q, p = encoded(a, s, 200_000)
    wanted = closed_forms(a, s)[1]
    assert kl(q, p).item() == pytest.approx(wanted, abs=4 * a**2 / (2 * 200_000) ** 0.5)


@CASES
@pytest.mark.parametrize(
    "options", [{}, {"estimator": "weighted"}, {"data_size": 1_000_000}], ids=str
)
def test_aggregate_kl_measures_the_aggregate_and_so_the_information(a, s, options):
    q, p = encoded(a, s, 12, 512)
    torch.manual_seed(1)
    found = aggregate_kl(q, p, **options)
    aggregate, _, information = closed_forms(a, s)
    error = found.std().item() / 12**0.5
    assert found.mean().item() == pytest.approx(aggregate, abs=0.01 + 4 * error)
    # the rows' own KL shares the draw of x, and most of its noise
    assert (kl(q, p) - found).mean().item() == pytest.approx(information, abs=0.02)


def test_the_estimators_err_to_two_sides_and_less_in_larger_batches():
    """Own rows weigh 1/batch in the batch's mixture, so KL is too high; the stratified density is
    unbiased and its logarithm too low."""
    a, s = 0.9, 0.45
    wanted = closed_forms(a, s)[0]
    high, low = {}, {}
    for rows in (4, 16, 64, 256):
        q, p = encoded(a, s, 20_480 // rows, rows, seed=rows)
        torch.manual_seed(rows)
        high[rows] = aggregate_kl(q, p).mean().item() - wanted
        torch.manual_seed(rows)
        low[rows] = aggregate_kl(q, p, data_size=10**6).mean().item() - wanted
    assert high[4] > high[16] > high[64] > 0
    assert low[4] < low[16] < low[64] < 0
    assert abs(high[256]) < 0.02
    assert abs(low[256]) < 0.04


def test_the_weighted_estimate_with_a_size_is_a_lower_bound():
    a, s = 0.9, 0.45
    q, p = encoded(a, s, 20, 64)
    bound = aggregate_kl(q, p, estimator="weighted", data_size=1000).mean().item()
    assert bound < closed_forms(a, s)[0]


def test_a_vae_pays_for_information_that_the_aggregate_rewards():
    """At v = 1 the aggregate is the prior, whatever a is: only the rows' KL tells codes apart."""
    informed, blind = closed_forms(0.95, (1 - 0.95**2) ** 0.5), closed_forms(0.0, 1.0)
    assert informed[0] == pytest.approx(blind[0], abs=1e-12) == pytest.approx(0, abs=1e-12)
    assert informed[1] == pytest.approx(informed[2])
    assert informed[2] > 1
    assert blind[1] == blind[2] == 0
