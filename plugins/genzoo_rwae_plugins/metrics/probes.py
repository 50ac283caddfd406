"""What can be read off each code by a probe: leakage, plainly.

Shapes: N sequences, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Splits, encode_split
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.evaluation.probe import (
    UNSEEN,
    boosted_probe,
    chance_of,
    linear_probe,
    score_probe,
    unseen,
)
from genzoo_rwae.evaluation.raw import RawFeatures, raw_features
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Factor

__all__ = ["boosted_probes", "probes"]

_COMPONENTS = "principal components, as many"


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
    the other way round: what should not be there is good when it is at chance. Beside each figure
    stands what the same probe finds in the raw data, and in as many principal components of them as
    the code has numbers. Not measured of a factor of whose test labels the training split has none,
    as speakers where splits are by them.

    Args:
        fitted: most training sequences that the probes are fitted on.
        tested: most test sequences that they are scored on.
    """

    def answers(train: Pair, test: Pair, raw: RawFeatures) -> tuple[float, dict[str, float]]:
        few_NF, few_test_NF = raw.first(train[0].shape[1])
        unscaled = (raw.train_NR, train[1], raw.test_MR, test[1])  # scaled before their rotation
        return score_probe(linear_probe(), *train, *test), {
            "raw data": score_probe(linear_probe(scale=False), *unscaled),
            _COMPONENTS: score_probe(linear_probe(), few_NF, train[1], few_test_NF, test[1]),
        }

    return _probed(model, splits, fitted, tested, answers)


@metric("boosted-probes")
def boosted_probes(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    fitted: PositiveInt = 2_000,
    tested: PositiveInt = 1_000,
    trees: PositiveInt = 40,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Accuracy of boosted trees for every factor from both codes, beside chance.

    What a linear probe does not find may still be there: trees see thresholds and interactions.
    Beside each figure stands what they find in 64 principal components of the raw data.

    Args:
        fitted: most training sequences that the trees are fitted on.
        tested: most test sequences that they are scored on.
        trees: rounds of boosting.
        seed: of the solver of principal components; codes of more than 64 numbers are cut to them.
    """

    def answers(train: Pair, test: Pair, raw: RawFeatures) -> tuple[float, dict[str, float]]:
        few_NF, few_test_NF = raw.first(64)
        probe = boosted_probe(*train[0].shape, trees=trees, seed=seed)
        raw_probe = boosted_probe(*few_NF.shape, trees=trees, seed=seed)
        return score_probe(probe, *train, *test), {
            "principal components": score_probe(raw_probe, few_NF, train[1], few_test_NF, test[1])
        }

    return _probed(model, splits, fitted, tested, answers)


Pair = tuple[np.ndarray, np.ndarray]
"""Features [N, F] and labels [N]."""


def _probed(
    model: SequenceModel,
    splits: Splits,
    fitted: int,
    tested: int,
    answers: Callable[[Pair, Pair, RawFeatures], tuple[float, dict[str, float]]],
) -> Figures:
    """Figures of every factor from both codes; `answers` gives a value and its baselines."""
    train = encode_split(model, splits.train, fitted)
    test = encode_split(model, splits.test, tested)
    figures: dict[str, dict[str, Figure]] = {name: {} for name in train.features()}
    if not model.info.factors:
        return figures
    raw = raw_features(splits.train, splits.test, fitted, tested)
    test_features = test.features()
    for factor in model.info.factors:
        y_N, y_test_N = train.factors[factor.name].numpy(), test.factors[factor.name].numpy()
        if unseen(y_N, y_test_N):
            for group in figures.values():
                group[factor.name] = Figure(None, note=UNSEEN)
            continue
        for code, x_NF in train.features().items():
            value, baselines = answers((x_NF, y_N), (test_features[code], y_test_N), raw)
            figures[code][factor.name] = _figure(
                factor, code, value, chance_of(y_test_N), baselines
            )
    return figures


def _figure(
    factor: Factor, code: str, value: float, chance: float, baselines: dict[str, float]
) -> Figure:
    belongs = code.startswith(factor.code)
    return Figure(
        value,
        chance=chance,
        baselines=baselines,
        good="higher" if belongs else "lower",
        note=f"{factor.code} factor" + ("" if belongs else ": what is above chance leaks"),
    )


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield probes
    yield boosted_probes
