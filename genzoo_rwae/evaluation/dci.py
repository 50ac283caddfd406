"""Disentanglement, completeness and informativeness, from a matrix of importances.

Shapes: N fitted rows, D entries of a code, K factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import entr

from genzoo_rwae.evaluation.probe import fitted_probe

__all__ = ["Dci", "Importances", "dci", "importances"]

Importances = Literal["boosted", "lasso"]


@dataclass(frozen=True)
class Dci:
    """What a matrix of importances says; None where there is nothing to say.

    Attributes:
        disentanglement: Σ_d ρ_d (1 − H_K(P_d)): 1 where every entry of the code tells one factor,
            0 where every entry tells all alike; None for a single factor.
        completeness_K: 1 − H_D(P_k): 1 where one entry tells the factor, 0 where all do alike;
            NaN for a factor that nothing tells.
    """

    disentanglement: float | None
    completeness_K: np.ndarray

    @property
    def completeness(self) -> float | None:
        """Mean over the factors that something tells."""
        told_K = self.completeness_K[~np.isnan(self.completeness_K)]
        return float(told_K.mean()) if len(told_K) else None


def dci(importance_DK: np.ndarray) -> Dci:
    """Scores of a matrix of importances.

    With P_dk = R_dk / Σ_k R_dk in disentanglement, R_dk / Σ_d R_dk in completeness, entropies to
    the base of the number of alternatives, and ρ_d the share of entry d in all importance.

    Args:
        importance_DK: R >= 0, how much entry d tells of factor k.

    Source: Eastwood and Williams, ICLR 2018, Sec. 2.

    >>> dci(np.eye(3)).disentanglement
    1.0
    """
    entries, factors = importance_DK.shape
    total = importance_DK.sum()
    score = None
    if factors > 1 and total > 0:
        weight_D = importance_DK.sum(1) / total
        score = float(weight_D @ (1 - _entropy(importance_DK, factors)))
    told_K = importance_DK.sum(0) > 0
    completeness_K = np.full(factors, np.nan)
    if entries > 1:
        completeness_K[told_K] = 1 - _entropy(importance_DK[:, told_K].T, entries)
    return Dci(score, completeness_K)


def importances(
    x_ND: np.ndarray, y_N: np.ndarray, predictor: Importances, *, trees: int = 30, seed: int = 0
) -> np.ndarray:
    """How much each entry tells of one factor: [D], >= 0, of sum 1 or 0.

    Args:
        x_ND: codes.
        y_N: labels.
        predictor: `boosted`, the impurity that splits of boosted trees on an entry take away;
            `lasso`, mean |weight| of an entry of unit variance in a logistic regression with a
            penalty on ‖w‖_1.
        trees: rounds of boosting.
        seed: of the trees.
    """
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(y_N)) < 2:
        return np.zeros(x_ND.shape[1])
    x_ND = StandardScaler().fit_transform(x_ND)
    if predictor == "boosted":
        probe = GradientBoostingClassifier(
            n_estimators=trees, learning_rate=0.2, subsample=0.7, random_state=seed
        )
        found_D = fitted_probe(probe, x_ND, y_N).feature_importances_
    else:
        probe = LogisticRegression(C=0.1, l1_ratio=1.0, solver="saga", max_iter=300)
        found_D = np.abs(fitted_probe(probe, x_ND, y_N).coef_).mean(0)
    found_D = np.maximum(found_D, 0.0)  # splits that take nothing away come out below 0 by rounding
    total = found_D.sum()
    return np.asarray(found_D / total if total > 0 else found_D)


def _entropy(weights_AB: np.ndarray, base: int) -> np.ndarray:
    """Of each row's shares, to a base: [A]; 0 of rows without weight, which weigh nothing."""
    total_A1 = weights_AB.sum(1, keepdims=True)
    shares_AB = np.divide(weights_AB, total_A1, out=np.zeros_like(weights_AB), where=total_A1 > 0)
    return np.asarray(entr(shares_AB).sum(1) / np.log(base))
