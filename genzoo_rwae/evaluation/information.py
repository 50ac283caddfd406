"""How much a code tells of a factor, in nats: a lower bound from what predicts it.

Shapes: N fitted rows, M tested rows, F features, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr

from genzoo_rwae.evaluation.probe import boosted_probe, fitted_probe, linear_probe

__all__ = ["entropy_of", "information_bound"]

_STRENGTHS = (0.01, 1.0)  # of logistic regressions: one for noise, one for codes that tell
_SHARES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)  # of the marginal
_LEAST = 1e-6  # no class is impossible: one miss must not cost more than 14 nats


def entropy_of(y_M: np.ndarray) -> float:
    """H(y) = −Σ_k p_k ln p_k of labels, in nats, by their frequencies."""
    return float(entr(np.bincount(y_M) / len(y_M)).sum())


def information_bound(
    x_NF: np.ndarray, y_N: np.ndarray, x_test_MF: np.ndarray, y_test_M: np.ndarray, *, seed: int = 0
) -> float:
    """A lower bound on I(x; y) in nats, in [0, H(y)].

    I(x; y) = H(y) − H(y|x) ≥ H(y) − E[−ln q(y|x)] for every q

    The q are logistic regressions and boosted trees fitted on two thirds of the rows, each mixed
    with the labels' marginal; the remaining third chooses among them, and the expectation is over
    the tested rows. Where nothing predicts, q is the marginal and the bound is 0: a test of what is
    not there does not go below it. It is loose where no probe finds what the features tell.

    Args:
        x_NF, y_N: rows to fit and to choose on, and their labels.
        x_test_MF, y_test_M: rows that the bound is taken on.
        seed: of the choice of the third.

    Source: Barber and Agakov, NeurIPS 2003; Poole et al., arXiv 1905.06922, Sec. 2.1.
    """
    classes = int(max(y_N.max(), y_test_M.max())) + 1
    order_N = np.random.default_rng(seed).permutation(len(y_N))
    fit_N, choose_N = order_N[len(order_N) // 3 :], order_N[: len(order_N) // 3]
    marginal_K = (np.bincount(y_N, minlength=classes) + 1) / (len(y_N) + classes)
    if len(np.unique(y_N[fit_N])) < 2 or not len(choose_N):
        return 0.0
    probes = [linear_probe(strength=strength) for strength in _STRENGTHS]
    probes.append(boosted_probe(len(fit_N), x_NF.shape[1]))
    found: list[tuple[float, Any, float]] = []
    for probe in probes:
        fitted_probe(probe, x_NF[fit_N], y_N[fit_N])
        q_NK = _probabilities(probe, x_NF[choose_N], classes)
        for share in _SHARES:
            q_mixed_NK = _mixed(q_NK, marginal_K, share)
            found.append((_cost(q_mixed_NK, y_N[choose_N]), probe, share))
    _, probe, share = min(found, key=lambda choice: choice[0])
    if share == 1.0:
        return 0.0
    q_MK = _mixed(_probabilities(probe, x_test_MF, classes), marginal_K, share)
    return max(0.0, entropy_of(y_test_M) - _cost(q_MK, y_test_M))


def _probabilities(probe: Any, x_NF: np.ndarray, classes: int) -> np.ndarray:
    """q(y|x) [N, K], 0 for classes that were not fitted."""
    q_NK = np.zeros((len(x_NF), classes))
    q_NK[:, probe.classes_] = probe.predict_proba(x_NF)
    return q_NK


def _mixed(q_NK: np.ndarray, marginal_K: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * q_NK + share * marginal_K


def _cost(q_NK: np.ndarray, y_N: np.ndarray) -> float:
    """E[−ln q(y|x)], in nats."""
    told_N = q_NK[np.arange(len(y_N)), y_N]
    return float(-np.log(np.maximum(told_N, _LEAST)).mean())
