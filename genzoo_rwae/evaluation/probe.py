"""Probes: what can be read off features by a fitted predictor, and nothing of ours in between.

scikit-learn takes a second to import, so it is imported where something is fitted: whoever checks a
spec of probes need not wait for it.

Shapes: N fitted rows, M tested rows, F features, K classes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from genzoo_rwae.other_threads import torchs_threads

__all__ = [
    "UNSEEN",
    "boosted_probe",
    "chance_of",
    "fitted_probe",
    "linear_probe",
    "score_probe",
    "unseen",
]

UNSEEN = "no class of the test split is in the training split"
"""Why a factor of such labels is not measured."""

_MOST_COLUMNS = 64  # of boosted trees: their time grows with the columns, what they find hardly


def linear_probe(*, strength: float = 1.0, scale: bool = True) -> Any:
    """An unfitted logistic regression.

    Args:
        strength: C, the inverse of the weight of ½‖w‖².
        scale: features are brought to mean 0 and sd 1 first.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = LogisticRegression(max_iter=500, C=strength)
    return make_pipeline(StandardScaler(), head) if scale else head


def boosted_probe(rows: int, features: int, *, trees: int = 40, seed: int = 0) -> Any:
    """Unfitted boosted trees of bounded cost.

    Args:
        rows: N.
        features: F; beyond 64 the trees see as many principal components.
        trees: rounds of boosting; each fits a tree for every class.
        seed: of the components' solver.

    Source: Friedman, Annals of Statistics 29 (2001); histograms as in Ke et al., NeurIPS 2017.
    """
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = HistGradientBoostingClassifier(
        max_iter=trees,
        learning_rate=0.15,
        max_leaf_nodes=15,
        early_stopping=False,
        random_state=seed,
    )
    if features <= _MOST_COLUMNS:
        return head
    components = PCA(min(_MOST_COLUMNS, rows), random_state=seed)
    return make_pipeline(StandardScaler(), components, head)


def score_probe(
    probe: Any,
    x_NF: np.ndarray,
    y_N: np.ndarray,
    x_test_MF: np.ndarray,
    y_test_M: np.ndarray,
) -> float:
    """Accuracy on tested rows of a probe that was fitted on others.

    Where one class alone was fitted, that class is the answer.

    Args:
        probe: an unfitted one, as from `linear_probe`.
        x_NF, y_N: fitted rows and their labels.
        x_test_MF, y_test_M: tested ones.
    """
    if len(np.unique(y_N)) < 2:
        return float((y_test_M == y_N[0]).mean())
    fitted = fitted_probe(probe, x_NF, y_N)
    with torchs_threads():
        return float(fitted.score(x_test_MF, y_test_M))


def fitted_probe(probe: Any, x_NF: np.ndarray, y_N: np.ndarray) -> Any:
    """The probe, fitted to rows and their labels."""
    from sklearn.exceptions import ConvergenceWarning

    # one of noise need not converge to be at chance
    with warnings.catch_warnings(), torchs_threads():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(x_NF, y_N)


def chance_of(y_test_M: np.ndarray) -> float:
    """Accuracy of always answering with the tested rows' most frequent class."""
    return float(np.bincount(y_test_M).max() / len(y_test_M))


def unseen(y_N: np.ndarray, y_test_M: np.ndarray) -> bool:
    """Whether no tested label was fitted, as of speakers where splits are by them."""
    return not set(y_N) & set(y_test_M)
