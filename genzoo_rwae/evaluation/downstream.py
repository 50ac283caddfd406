"""Tasks on top of features: a class or a number from a linear head and from a forest.

Shapes: N fitted rows, M tested rows, F features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from genzoo_rwae.evaluation.probe import fitted_probe

__all__ = ["HEADS", "Classification", "Head", "Regression", "Task"]

Head = Literal["linear", "forest"]
HEADS: tuple[Head, ...] = ("linear", "forest")
_TREES = 100
_FEWEST_IN_LEAF = 5


class Task(ABC):
    """What is asked of features, with labels to fit on and labels to score on.

    Attributes:
        good: score -> which way is better.
    """

    good: Mapping[str, Literal["higher", "lower"]]

    @abstractmethod
    def constant(self) -> dict[str, dict[str, float]]:
        """Score -> name of an answer that sees no features -> what it scores."""

    @abstractmethod
    def scores(self, head: Head, x_NF: np.ndarray, x_test_MF: np.ndarray) -> dict[str, float]:
        """Scores of a head that is fitted on some rows, on others.

        A missing feature (NaN) is its mean to a linear head, and a branch of its own to a forest.
        """


class Classification(Task):
    """A class from features: accuracy, and of two classes the area under the ROC curve.

    Args:
        y_N: labels to fit on.
        y_test_M: labels to score on.
        seed: of forests.
    """

    def __init__(self, y_N: np.ndarray, y_test_M: np.ndarray, *, seed: int = 0) -> None:
        self.y_N, self.y_test_M, self.seed = y_N, y_test_M, seed
        two = set(np.unique(y_N)) == set(np.unique(y_test_M)) and len(np.unique(y_N)) == 2
        self.good = {"accuracy": "higher", **({"AUROC": "higher"} if two else {})}

    def constant(self) -> dict[str, dict[str, float]]:
        usual = np.bincount(self.y_N).argmax()
        found = {"accuracy": {"most frequent class": float((self.y_test_M == usual).mean())}}
        return found | ({"AUROC": {"constant": 0.5}} if "AUROC" in self.good else {})

    def scores(self, head: Head, x_NF: np.ndarray, x_test_MF: np.ndarray) -> dict[str, float]:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score

        if len(np.unique(self.y_N)) < 2:
            return {"accuracy": float((self.y_test_M == self.y_N[0]).mean())}
        probe = _pipeline(
            head,
            LogisticRegression(max_iter=500),
            RandomForestClassifier(
                _TREES, min_samples_leaf=_FEWEST_IN_LEAF, random_state=self.seed
            ),
        )
        fitted_probe(probe, x_NF, self.y_N)
        p_MK = probe.predict_proba(x_test_MF)
        found = {"accuracy": float((probe.classes_[p_MK.argmax(1)] == self.y_test_M).mean())}
        if "AUROC" in self.good:
            positive_M = self.y_test_M == probe.classes_[1]
            found["AUROC"] = float(roc_auc_score(positive_M, p_MK[:, 1]))
        return found


class Regression(Task):
    """A number from features: mean absolute error.

    Args:
        y_N: numbers to fit on.
        y_test_M: numbers to score on.
        seed: of forests.
    """

    good: Mapping[str, Literal["higher", "lower"]] = {"MAE": "lower"}

    def __init__(self, y_N: np.ndarray, y_test_M: np.ndarray, *, seed: int = 0) -> None:
        self.y_N, self.y_test_M, self.seed = y_N, y_test_M, seed

    def constant(self) -> dict[str, dict[str, float]]:
        answers = {"training mean": self.y_N.mean(), "training median": np.median(self.y_N)}
        return {
            "MAE": {name: float(np.abs(self.y_test_M - y).mean()) for name, y in answers.items()}
        }

    def scores(self, head: Head, x_NF: np.ndarray, x_test_MF: np.ndarray) -> dict[str, float]:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.linear_model import Ridge

        probe = _pipeline(
            head,
            Ridge(),
            RandomForestRegressor(
                _TREES,
                min_samples_leaf=_FEWEST_IN_LEAF,
                max_features=1 / 3,
                random_state=self.seed,
            ),
        )
        said_M = fitted_probe(probe, x_NF, self.y_N).predict(x_test_MF)
        return {"MAE": float(np.abs(said_M - self.y_test_M).mean())}


def _pipeline(head: Head, linear: Any, forest: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if head == "forest":
        return forest
    impute = SimpleImputer(keep_empty_features=True)  # the mean; 0 where nothing is there
    return make_pipeline(impute, StandardScaler(), linear)
