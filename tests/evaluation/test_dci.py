"""Disentanglement, completeness and importances, by hand and by scipy's entropies.

Shapes: N rows, D entries, K factors.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import entropy

from genzoo_rwae.evaluation.dci import dci, importances

HOW = ("boosted", "lasso")


def planted(count=1500, seed=0):
    """Entry 0 tells the first factor, entries 1 and 2 tell the second, entry 3 is noise."""
    draw = np.random.default_rng(seed)
    first, second = draw.integers(4, size=count), draw.integers(2, size=count)
    noise = draw.normal(size=(count, 4))
    told = np.stack([first, second, second, np.zeros(count)], 1)
    return 3.0 * told + 1.5 * noise * [0.2, 1, 1, 1], first, second


def test_one_entry_a_factor_is_perfect_in_any_order_and_scale():
    scores = dci(np.diag([5.0, 0.1, 1.0])[[2, 0, 1]])
    assert scores.disentanglement == pytest.approx(1)
    assert scores.completeness == pytest.approx(1)


def test_entries_that_tell_all_factors_alike_score_nothing():
    scores = dci(np.ones((4, 3)))
    assert scores.disentanglement == pytest.approx(0)
    assert scores.completeness == pytest.approx(0)


def test_two_entries_for_each_factor_are_disentangled_and_half_complete():
    scores = dci(np.repeat(np.eye(2), 2, 0))
    assert scores.disentanglement == pytest.approx(1)
    assert scores.completeness == pytest.approx(0.5)  # ln 2 of ln 4


def test_scores_are_those_of_scipys_entropies():
    r_DK = np.random.default_rng(0).gamma(0.5, size=(7, 3))
    weight_D = r_DK.sum(1) / r_DK.sum()
    wanted = weight_D @ [1 - entropy(row, base=3) for row in r_DK]
    scores = dci(r_DK)
    assert scores.disentanglement == pytest.approx(wanted)
    assert scores.completeness_K == pytest.approx([1 - entropy(c, base=7) for c in r_DK.T])


def test_entries_that_tell_nothing_weigh_nothing_and_untold_factors_are_left_out():
    r_DK = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    scores = dci(r_DK)
    assert scores.disentanglement == pytest.approx(1)
    assert np.isnan(scores.completeness_K[2])
    assert scores.completeness == pytest.approx(1)


def test_nothing_is_said_where_there_is_nothing_to_tell_apart():
    assert dci(np.ones((4, 1))).disentanglement is None
    assert dci(np.zeros((4, 2))).disentanglement is None
    assert dci(np.zeros((4, 2))).completeness is None
    assert dci(np.ones((1, 3))).completeness is None


@pytest.mark.parametrize("how", HOW)
def test_importances_are_where_a_factor_was_planted(how):
    x_ND, first, second = planted()
    one, other = (importances(x_ND, y_N, how) for y_N in (first, second))
    assert one.sum() == pytest.approx(1)
    assert one[0] > 0.95
    assert other[1] + other[2] > 0.9
    assert min(other[1], other[2]) > 0.25


@pytest.mark.parametrize("how", HOW)
def test_importances_do_not_see_the_scale_of_entries(how):
    x_ND, _, second = planted()
    there = importances(x_ND, second, how)
    assert importances(x_ND * [1e3, 1e-3, 10, 1] + 5, second, how) == pytest.approx(there, abs=0.02)


def test_factor_that_does_not_vary_has_no_importances():
    assert importances(np.random.default_rng(0).normal(size=(9, 3)), np.ones(9, int), "boosted") \
        .tolist() == [0, 0, 0]  # fmt: skip


def test_importances_below_zero_by_rounding_are_none(monkeypatch):
    def fitted(probe, x_ND, y_N):
        return SimpleNamespace(feature_importances_=np.array([1.0, -1e-17]))

    monkeypatch.setattr("genzoo_rwae.evaluation.dci.fitted_probe", fitted)
    found_D = importances(np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 2, "boosted")
    assert found_D.tolist() == [1.0, 0.0]
    assert dci(np.stack([found_D, found_D[::-1]], 1)).disentanglement == 1.0
