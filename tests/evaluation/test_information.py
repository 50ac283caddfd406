"""Lower bounds on mutual information, where it is known.

Shapes: N rows, K classes.
"""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import mutual_info_score

from genzoo_rwae.evaluation.information import entropy_of, information_bound


def split(x_N, y_N):
    half = len(y_N) // 2
    return x_N[:half], y_N[:half], x_N[half:], y_N[half:]


def labels(count, classes, seed=0):
    return np.random.default_rng(seed).integers(classes, size=count)


def test_entropy_is_that_of_the_frequencies():
    assert entropy_of(np.array([0, 1, 2, 3])) == pytest.approx(math.log(4))
    assert entropy_of(np.array([1, 1, 1])) == 0
    y_N = labels(100, 5)
    assert entropy_of(y_N) == pytest.approx(mutual_info_score(y_N, y_N))


@pytest.mark.parametrize("gap", [0.5, 1.0, 2.0, 4.0])
def test_bound_on_two_gaussians_is_just_below_the_integral(gap):
    y_N = labels(8000, 2)
    x_N = np.random.default_rng(1).normal(y_N * gap)[:, None]

    def integrand(x):
        densities = norm.pdf(x), norm.pdf(x - gap)
        mean = sum(densities) / 2
        return sum(0.5 * p * math.log(p / mean) for p in densities if p > 0)

    known = quad(integrand, -8, gap + 8)[0]
    # the standard error of a mean of 4,000 log-ratios is about .01
    assert known - 0.05 < information_bound(*split(x_N, y_N)) < known + 0.03


def test_code_that_names_the_class_tells_all_there_is_and_never_more():
    y_N = labels(3000, 6)
    x_N = np.eye(6)[y_N]
    bound = information_bound(*split(x_N, y_N))
    assert 0.98 * math.log(6) < bound <= entropy_of(y_N[1500:])


def test_class_in_an_interaction_is_found_too():
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (4000, 2))
    y_N = (signs.prod(1) > 0).astype(int)  # no linear probe finds it
    x_N = signs + np.random.default_rng(1).normal(0, 0.1, signs.shape)
    assert information_bound(*split(x_N, y_N)) > 0.9 * math.log(2)


@pytest.mark.parametrize("features", [1, 40])
def test_noise_tells_nothing(features):
    x_N = np.random.default_rng(1).normal(size=(2000, features))
    assert information_bound(*split(x_N, labels(2000, 4))) < 0.02


def test_code_that_tells_the_wrong_class_in_the_test_does_not_go_below_zero():
    y_N = labels(400, 2)
    x, y, x_test, y_test = split(np.eye(2)[y_N], y_N)
    assert information_bound(x, y, x_test, 1 - y_test) == 0.0


def test_factor_of_one_class_and_a_class_that_was_not_fitted_are_taken():
    x_N = np.random.default_rng(1).normal(size=(60, 2))
    zeros = np.zeros(30, int)
    assert information_bound(x_N[:30], zeros, x_N[30:], zeros) == 0.0
    y, y_test = labels(30, 2), labels(30, 4)
    assert math.isfinite(information_bound(x_N[:30], y, x_N[30:], y_test))


def test_probes_that_are_too_sure_are_mixed_with_the_marginal():
    bounds = []
    for seed in range(3):
        draw = np.random.default_rng(seed)
        y_N = draw.integers(0, 2, 4400)
        x_ND = draw.normal(size=(4400, 150))  # 150 entries, and 400 rows to fit and choose on
        x_ND[:, 0] += 2.5 * y_N
        bounds.append(information_bound(x_ND[:400], y_N[:400], x_ND[400:], y_N[400:]))
    assert np.mean(bounds) > 0.17  # as they are, they come to 0.151
