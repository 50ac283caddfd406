"""Distances of two samples: sliced Wasserstein, Sinkhorn, energy, moments.

Shapes: N M rows, D code width.
"""

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.penalties.energy import energy
from genzoo_rwae_plugins.penalties.moment_matching import moment_matching
from genzoo_rwae_plugins.penalties.sinkhorn import sinkhorn
from genzoo_rwae_plugins.penalties.sliced_wasserstein import sliced_wasserstein
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


def two(n=12, m=12, d=3, seed=0, shift=0.5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(n, d, generator=generator, dtype=dtype) * 0.7 + shift
    return q, torch.randn(m, d, generator=generator, dtype=dtype)


# sliced Wasserstein


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_in_one_dimension_every_slice_is_the_wasserstein_distance(power):
    q, p = two(d=1)
    found = sliced_wasserstein(q, p, projections=5, power=power)
    cost = cdist(q.numpy(), p.numpy()) ** power
    row, column = linear_sum_assignment(cost)
    assert found.item() == pytest.approx(cost[row, column].mean(), rel=1e-9)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_sliced_wasserstein_is_that_of_pot(power):
    ot = pytest.importorskip("ot")
    q, p = two(20, 20, 4)
    torch.manual_seed(1)
    found = sliced_wasserstein(q, p, projections=7, power=power)
    torch.manual_seed(1)
    directions = torch.nn.functional.normalize(torch.randn(4, 7, dtype=q.dtype), dim=0)
    root = ot.sliced_wasserstein_distance(
        q.numpy(), p.numpy(), projections=directions.numpy(), p=power
    )
    assert found.item() == pytest.approx(root**power, rel=1e-9)


def test_a_shift_costs_its_square_over_the_width():
    q, _ = two(50, d=5)
    shift = torch.tensor([3.0, 0, 4, 0, 0], dtype=q.dtype)
    torch.manual_seed(0)
    found = sliced_wasserstein(q + shift, q, projections=20_000)
    assert found.item() == pytest.approx(25 / 5, rel=0.05)  # sd of the mean is .7 %


def test_directions_are_drawn_anew_and_follow_the_global_seed():
    q, p = two()
    torch.manual_seed(0)
    first, second = sliced_wasserstein(q, p), sliced_wasserstein(q, p)
    torch.manual_seed(0)
    assert sliced_wasserstein(q, p) == first != second


def test_sliced_wasserstein_is_zero_at_equal_samples_in_any_order():
    q, _ = two()
    assert sliced_wasserstein(q, q.flip(0)) < 1e-20


# Sinkhorn


def entropic_transport(ot, x, y, strength):
    """min_π <π, C> + ε KL(π ‖ a ⊗ b), from POT's plan."""
    n, m = len(x), len(y)
    cost = cdist(x.numpy(), y.numpy(), "sqeuclidean")
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    plan = ot.sinkhorn(a, b, cost, strength, "sinkhorn_log", stopThr=1e-8, warn=False)
    entropy = (plan * np.log(np.maximum(plan, 1e-300) * n * m)).sum()
    return (plan * cost).sum() + strength * entropy


@pytest.mark.parametrize(("n", "m"), [(12, 12), (9, 14)])
@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_sinkhorn_is_made_of_pots_plans(n, m, epsilon):
    ot = pytest.importorskip("ot")
    q, p = two(n, m)
    strength = epsilon * 2 * 3
    wanted = entropic_transport(ot, q, p, strength)
    wanted -= 0.5 * entropic_transport(ot, q, q, strength)
    wanted -= 0.5 * entropic_transport(ot, p, p, strength)
    assert sinkhorn(q, p, epsilon=epsilon, iterations=200).item() == pytest.approx(wanted, rel=1e-5)


def test_little_regularisation_gives_exact_transport():
    q, p = two(shift=2.0)
    cost = cdist(q.numpy(), p.numpy(), "sqeuclidean")
    row, column = linear_sum_assignment(cost)
    found = sinkhorn(q, p, epsilon=5e-4, iterations=2000)
    assert found.item() == pytest.approx(cost[row, column].mean(), rel=1e-3)


def test_much_regularisation_gives_the_distance_of_means():
    q, p = two()
    wanted = (q.mean(0) - p.mean(0)).square().sum().item()
    assert sinkhorn(q, p, epsilon=1e4).item() == pytest.approx(wanted, rel=1e-3)


def test_gaussians_are_as_far_apart_as_in_closed_form():
    """In one dimension, ε against cost |x − y|²; Janati et al., arXiv 2006.02572, Theorem 1."""
    sd_q, sd_p, shift, strength = 0.5, 1.0, 1.0, 0.4

    def transport(a, b):
        # theirs is with 2σ² = ε; D_σ = (4 a b + σ⁴)^½
        d = (4 * a * b + (strength / 2) ** 2) ** 0.5
        s2 = strength / 2
        return a + b - d + s2 * (1 - np.log(2 * s2)) + s2 * np.log(d + s2)

    a, b = sd_q**2, sd_p**2
    wanted = shift**2 + transport(a, b) - 0.5 * transport(a, a) - 0.5 * transport(b, b)
    # quantiles in place of draws: no noise
    levels = (np.arange(600) + 0.5) / 600
    q = torch.tensor(stats.norm.ppf(levels, shift, sd_q))[:, None]
    p = torch.tensor(stats.norm.ppf(levels, 0, sd_p))[:, None]
    found = sinkhorn(q, p, epsilon=strength / 2, iterations=50)
    assert found.item() == pytest.approx(wanted, rel=5e-3)


@pytest.mark.parametrize("of_p", [False, True])
def test_gradient_of_sinkhorn_is_the_slope_of_its_value(of_p):
    q, p = two(6, 6, 2)
    q.requires_grad_(), p.requires_grad_()

    def value(x):
        return sinkhorn(q, x, iterations=300) if of_p else sinkhorn(x, p, iterations=300)

    assert torch.autograd.gradcheck(value, [p if of_p else q], eps=1e-5, atol=1e-6)


def test_thirty_iterations_have_converged():
    q, p = two(100, 100, 8, dtype=torch.float32)
    q.requires_grad_()
    few, many = (torch.autograd.grad(sinkhorn(q, p, iterations=count), q)[0] for count in (30, 500))
    assert (few - many).norm() < 1e-5 * many.norm()


@pytest.mark.parametrize("epsilon", [0.05, 0.2, 2.0])
def test_sinkhorn_is_zero_at_equal_samples_and_symmetric(epsilon):
    q, p = two()
    assert abs(sinkhorn(q, q.flip(0), epsilon=epsilon, iterations=500).item()) < 3e-5
    there, back = (sinkhorn(*x, epsilon=epsilon, iterations=500) for x in ((q, p), (p, q)))
    assert there.item() == pytest.approx(back.item(), rel=1e-6)
    assert there > 0


def test_sinkhorn_weights_are_replication():
    q, p = two(5, 5)
    weights = torch.tensor([1.0, 3, 0, 2, 1])
    twice = weights.long()
    found = sinkhorn(q, p, weights, iterations=100)
    wanted = sinkhorn(q.repeat_interleave(twice, 0), p.repeat_interleave(twice, 0), iterations=100)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-8)


def test_sinkhorn_refuses_nan():
    q, p = two()
    q[1] = torch.nan
    with pytest.raises(ValueError, match="1 of the 12 rows of x hold NaN or inf"):
        sinkhorn(q, p)


# energy


@pytest.mark.parametrize("power", [0.5, 1.0, 1.7])
def test_energy_is_made_of_mean_distances(power):
    q, p = two(7, 9)
    across, of_q, of_p = (cdist(x.numpy(), y.numpy()) ** power for x, y in ((q, p), (q, q), (p, p)))
    biased = 2 * across.mean() - of_q.mean() - of_p.mean()
    unbiased = 2 * across.mean() - of_q.sum() / (7 * 6) - of_p.sum() / (9 * 8)
    found = energy(q, p, power=power, estimator="biased")
    assert found.item() == pytest.approx(biased, rel=1e-9)
    assert energy(q, p, power=power).item() == pytest.approx(unbiased, rel=1e-9)


def test_energy_in_one_dimension_is_scipys():
    q, p = two(7, 9, 1)
    found = energy(q, p, estimator="biased")
    wanted = stats.energy_distance(q[:, 0].numpy(), p[:, 0].numpy()) ** 2
    assert found.item() == pytest.approx(wanted, rel=1e-9)


def test_pairs_that_share_a_history_are_left_out():
    q, p = two(6, 6)
    distances = [cdist(x.numpy(), y.numpy()) for x, y in ((q, p), (q, q), (p, p))]
    for matrix in distances:
        np.fill_diagonal(matrix, 0)
    across, of_q, of_p = (matrix.sum() / 30 for matrix in distances)
    assert energy(q, p, True).item() == pytest.approx(2 * across - of_q - of_p, rel=1e-9)
    assert energy(q, q.clone(), True).item() == pytest.approx(0, abs=1e-12)
    biased = [energy(q, p, paired, estimator="biased") for paired in (False, True)]
    assert biased[0] == biased[1]


def test_unbiased_energy_has_zero_mean_between_equal_laws():
    torch.manual_seed(0)
    values = energy(torch.randn(2000, 5, 2), torch.randn(2000, 5, 2))
    error = values.std() / 2000**0.5
    assert abs(values.mean()) < 4 * error
    assert (energy(torch.randn(2000, 5, 2), torch.randn(2000, 5, 2), estimator="biased") > 0).all()


def test_weights_of_biased_energy_are_replication():
    q, p = two(4, 4)
    counts = torch.tensor([1, 3, 0, 2])
    found = energy(q, p, False, counts.double(), estimator="biased")
    wanted = energy(
        q.repeat_interleave(counts, 0), p.repeat_interleave(counts, 0), estimator="biased"
    )
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9)


def test_energy_has_a_finite_gradient_where_rows_coincide():
    q = torch.zeros(4, 2, requires_grad=True)
    energy(q, torch.zeros(4, 2)).backward()
    assert (q.grad == 0).all()


# moments


@pytest.mark.parametrize("reference", ["sample", "standard"])
def test_moments_are_numpys(reference):
    q, p = two(9, 9)
    mean_p, cov_p = (np.zeros(3), np.eye(3)) if reference == "standard" else (
        p.mean(0).numpy(), np.cov(p.numpy().T)
    )  # fmt: skip
    mean = np.square(q.mean(0).numpy() - mean_p).sum()
    gap = np.square(np.cov(q.numpy().T) - cov_p)
    for moments, wanted in (
        ("mean", mean),
        ("variance", mean + np.trace(gap)),
        ("covariance", mean + gap.sum()),
    ):
        found = moment_matching(q, p, moments=moments, reference=reference)
        assert found.item() == pytest.approx(wanted, rel=1e-9), moments


def test_moments_of_weighted_rows_are_numpys():
    q, p = two(5, 5)
    weights = torch.tensor([1.0, 0.5, 0, 2, 3], dtype=q.dtype)

    def of(x):
        mean = np.average(x.numpy(), axis=0, weights=weights.numpy())
        return mean, np.cov(x.numpy().T, aweights=weights.numpy())

    (mean_q, cov_q), (mean_p, cov_p) = of(q), of(p)
    wanted = np.square(mean_q - mean_p).sum() + np.square(cov_q - cov_p).sum()
    assert moment_matching(q, p, weights).item() == pytest.approx(wanted, rel=1e-9)


def test_moments_far_from_zero_are_exact():
    q, p = two(50, 50, dtype=torch.float32)
    near, far = moment_matching(q, p), moment_matching(q + 1024, p + 1024)
    assert far.item() == pytest.approx(near.item(), rel=1e-3)


def test_covariances_are_seen_by_covariance_matching_alone():
    torch.manual_seed(0)
    u = torch.randn(5000, 1)
    q, p = torch.cat([u, u], 1), torch.randn(5000, 2)
    found = {m: moment_matching(q, p, moments=m).item() for m in ("variance", "covariance")}
    assert found["variance"] < 0.02
    assert found["covariance"] == pytest.approx(2, rel=0.15)
