"""Scores of predictions and distances of features: a published vector, closed forms, scipy.

Shapes: N M rows, K classes, F features.
"""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from genzoo_rwae.evaluation.scores import (
    balanced_rows,
    class_accuracy,
    frechet_distance,
    inception_score,
)

P_NK = torch.tensor(
    [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.05, 0.05, 0.9]], dtype=torch.float64
)


def random_predictions(rows=50, classes=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(rows, classes, generator=generator)).double().softmax(-1)


def test_scores_of_the_published_vector():
    found = inception_score(P_NK)
    assert found.conditional_entropy == pytest.approx(0.6963796607, abs=1e-9)
    assert found.marginal_entropy == pytest.approx(1.0782375765, abs=1e-9)
    assert found.score == pytest.approx(1.4650039165, abs=1e-9)
    assert found.kl_to_uniform == pytest.approx(0.4022326279, abs=1e-9)


def test_certain_and_balanced_predictions_score_the_number_of_classes():
    found = inception_score(torch.eye(9).repeat(4, 1))
    assert found.score == pytest.approx(9.0)
    assert found.conditional_entropy == 0.0
    assert found.marginal_entropy == pytest.approx(math.log(9))
    assert found.kl_to_uniform == pytest.approx(math.log(9))


def test_predictions_that_are_all_alike_score_one():
    found = inception_score(random_predictions()[:1].expand(20, -1))
    assert found.score == pytest.approx(1.0)
    assert found.marginal_entropy == pytest.approx(found.conditional_entropy)


def test_kl_to_uniform_is_that_of_scipy():
    from scipy.stats import entropy

    p_NK = random_predictions()
    uniform_K = np.full(6, 1 / 6)
    by_scipy = np.mean([entropy(p_K, uniform_K) for p_K in p_NK.numpy()])
    assert inception_score(p_NK).kl_to_uniform == pytest.approx(by_scipy, rel=1e-12)


def test_balancing_keeps_the_first_rows_of_every_class_that_there_is():
    labels_N = torch.tensor([3, 0, 0, 3, 0, 3, 1, 1, 3])  # 0: 3, 1: 2, 2: none, 3: 4
    rows_M = balanced_rows(labels_N)
    assert rows_M.tolist() == [0, 1, 2, 3, 6, 7]
    assert labels_N[rows_M].bincount().tolist() == [2, 2, 0, 2]


def test_accuracy_of_each_class_is_over_its_own_rows():
    labels_N = torch.tensor([0, 0, 0, 0, 1, 1])
    said_N = torch.tensor([0, 0, 0, 1, 1, 0])
    found_K = class_accuracy(said_N, labels_N, 3)
    assert found_K[:2].tolist() == [0.75, 0.5]
    assert found_K[2].isnan()


# -- Fréchet ----------------------------------------------------------------------------------


def with_moments(mean_F, covariance_FF, rows=400, seed=0):
    """A sample whose mean and unbiased covariance are these exactly."""
    generator = torch.Generator().manual_seed(seed)
    z_NF = torch.randn(rows, len(mean_F), generator=generator, dtype=torch.float64)
    z_NF = z_NF - z_NF.mean(0)
    whitened_NF = torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.atleast_2d(torch.cov(z_NF.mT))), z_NF.mT, upper=False
    ).mT
    return whitened_NF @ torch.linalg.cholesky(covariance_FF).mT + mean_F


def covariance(size, seed):
    generator = torch.Generator().manual_seed(seed)
    a_FF = torch.randn(size, size + 2, generator=generator, dtype=torch.float64)
    return a_FF @ a_FF.mT / size


def test_frechet_distance_of_gaussians_with_diagonal_covariances_is_the_closed_form():
    mu, nu = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.0, 1.0, 0.5]).double()
    s, r = torch.tensor([1.0, 4.0, 0.25]).double(), torch.tensor([9.0, 1.0, 0.25]).double()
    closed = ((mu - nu) ** 2 + (s.sqrt() - r.sqrt()) ** 2).sum().item()
    found = frechet_distance(with_moments(mu, s.diag()), with_moments(nu, r.diag(), 300, 1))
    assert found == pytest.approx(closed, rel=1e-9)


@pytest.mark.parametrize("size", [1, 2, 17])
def test_frechet_distance_is_that_by_scipys_matrix_root(size):
    s_FF, r_FF = covariance(size, 1), covariance(size, 2)
    mu_F = torch.zeros(size, dtype=torch.float64)
    nu_F = torch.full((size,), 0.3, dtype=torch.float64)
    root = sqrtm(s_FF.numpy() @ r_FF.numpy())
    by_scipy = 0.09 * size + np.trace(s_FF.numpy() + r_FF.numpy() - 2 * root.real)
    found = frechet_distance(with_moments(mu_F, s_FF), with_moments(nu_F, r_FF, 500, 3))
    assert found == pytest.approx(by_scipy, rel=1e-8)


def test_frechet_distance_of_a_sample_from_itself_is_zero_even_without_full_rank():
    x_NF = torch.randn(5, 30, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(x_NF, x_NF) == pytest.approx(0.0, abs=1e-12)


def test_frechet_distance_needs_two_rows_of_the_same_features():
    with pytest.raises(ValueError, match=r"samples \[1, 3\] and \[5, 3\]"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))
    with pytest.raises(ValueError, match="the same features"):
        frechet_distance(torch.zeros(5, 2), torch.zeros(5, 3))
