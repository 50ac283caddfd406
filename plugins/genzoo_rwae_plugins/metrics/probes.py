"""What can be read off each code by a linear probe: leakage, plainly.

Shapes: N sequences, T time, D code width, F features.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from einops import rearrange
from pydantic import PositiveInt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Splits, encode_split
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.sequence_model import SequenceModel

__all__ = ["probes"]


@metric("probes")
def probes(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    fitted: PositiveInt = 2_000,
    tested: PositiveInt = 1_000,
) -> Figures:
    """Accuracy of linear probes of every factor from both codes, beside chance.

    A disentangled model has its static factors in the static code and not in the dynamic ones, and
    the other way round: what should not be there is good when it is at chance. Not measured of a
    factor of whose test labels the training split has none, as speakers where splits are by them.

    Args:
        fitted: most training sequences that the probes are fitted on.
        tested: most test sequences that they are scored on.
    """
    train = encode_split(model, splits.train, fitted)
    test = encode_split(model, splits.test, tested)
    codes = {
        "static code": (train.static_ND.numpy(), test.static_ND.numpy()),
        "dynamic codes": (_paths(train.dynamic_NTD), _paths(test.dynamic_NTD)),
    }
    figures: dict[str, dict[str, Figure]] = {name: {} for name in codes}
    for factor in model.info.factors:
        y_train, y_test = train.factors[factor.name].numpy(), test.factors[factor.name].numpy()
        if not set(y_test) & set(y_train):
            note = "no class of the test split is in the training split"
            for name in codes:
                figures[name][factor.name] = Figure(None, note=note)
            continue
        chance = float(np.bincount(y_test).max() / len(y_test))
        for name, (x_train, x_test) in codes.items():
            belongs = name.startswith(factor.code)
            figures[name][factor.name] = Figure(
                _accuracy(x_train, y_train, x_test, y_test),
                chance=chance,
                good="higher" if belongs else "lower",
                note=f"{factor.code} factor" + ("" if belongs else ": what is above chance leaks"),
            )
    return figures


def _paths(dynamic_NTD: object) -> np.ndarray:
    paths: np.ndarray = np.asarray(rearrange(dynamic_NTD, "n t d -> n (t d)"))
    return paths


def _accuracy(
    x_NF: np.ndarray, y_N: np.ndarray, x_test_NF: np.ndarray, y_test_N: np.ndarray
) -> float:
    if len(np.unique(y_N)) < 2:
        return float((y_test_N == y_N[0]).mean())
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=1.0))
    with warnings.catch_warnings():
        # a probe of noise need not converge to be at chance
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(x_NF, y_N)
    return float(probe.score(x_test_NF, y_test_N))


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield probes
