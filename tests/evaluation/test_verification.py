"""Equal error rates by hand, by scikit-learn's curve, and where they are known.

Shapes: U recordings, D code width.
"""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_curve
from sklearn.metrics.pairwise import cosine_similarity

from genzoo_rwae.evaluation.verification import (
    Pairs,
    all_pairs,
    equal_error_rate,
    mean_of_groups,
)


def pairs(similarities, same):
    return Pairs(np.array(similarities, float), np.array(same, bool))


@pytest.mark.parametrize(
    ("similarities", "same", "rate"),
    [
        ([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], 0.0),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 1.0),
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], 0.5),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 1, 0, 1, 0, 0], 1 / 3),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0], 0.5),  # all accepted together, or none
        ([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], 0.25),  # half way from (0, 1/2) to (1/2, 0)
    ],
)
def test_rate_by_hand(similarities, same, rate):
    assert equal_error_rate(pairs(similarities, same)) == pytest.approx(rate)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "with ties"])
def test_rate_is_where_scikit_learns_curve_crosses(seed, rounded):
    draw = np.random.default_rng(seed)
    same = draw.random(400) < 0.3
    scores = draw.normal(same * 1.0)
    scores = scores.round(1) if rounded else scores
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    wanted = brentq(lambda x: 1 - x - interp1d(false, true)(x), 0, 1)
    assert equal_error_rate(pairs(scores, same)) == pytest.approx(wanted, abs=1e-9)


def test_rate_of_two_gaussians_is_the_normal_tail():
    draw = np.random.default_rng(0)
    same = np.arange(40_000) % 2 == 0
    found = equal_error_rate(pairs(draw.normal(same * 2.0), same))
    assert found == pytest.approx(norm.sf(1.0), abs=0.01)


def test_rate_sees_only_the_order_of_similarities():
    draw = np.random.default_rng(0)
    same = draw.random(300) < 0.5
    scores = draw.normal(same)
    there = equal_error_rate(pairs(scores, same))
    assert equal_error_rate(pairs(np.exp(3 * scores), same)) == pytest.approx(there)
    assert equal_error_rate(pairs(-scores, ~same)) == pytest.approx(there)


@pytest.mark.parametrize("same", [[True, True], [False, False], []])
def test_without_pairs_of_both_kinds_there_is_no_rate(same):
    assert equal_error_rate(pairs([0.1] * len(same), same)) is None


def test_pairs_are_every_two_codes_once_by_their_cosine():
    z_UD = np.random.default_rng(0).normal(size=(6, 3))
    who_U = np.array([0, 0, 1, 1, 2, 2])
    found = all_pairs(z_UD, who_U)
    places = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    cosines = cosine_similarity(z_UD)
    assert found.similarity_P == pytest.approx([cosines[i, j] for i, j in places])
    assert found.same_P.tolist() == [who_U[i] == who_U[j] for i, j in places]
    assert found.same_P.sum() == 3


def test_codes_that_are_zero_are_like_nothing():
    found = all_pairs(np.array([[0.0, 0], [1, 0], [0, 0]]), np.arange(3))
    assert found.similarity_P.tolist() == [0, 0, 0]


def test_groups_are_averaged_wherever_their_rows_are():
    x_ND = np.array([[1.0, 0], [10, 4], [3, 2], [20, 8]])
    z_UD, who_U = mean_of_groups(x_ND, np.array([5, 7, 5, 7]), np.array([9, 2, 9, 2]))
    assert z_UD.tolist() == [[15, 6], [2, 1]]
    assert who_U.tolist() == [7, 5]
    whole_ND, _ = mean_of_groups(x_ND, np.arange(4), None)
    assert whole_ND is x_ND
