"""How many nats of each factor are in each code.

Shapes: N sequences, F features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import Figure, Splits, encode_split
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.evaluation.information import entropy_of, information_bound
from genzoo_rwae.evaluation.probe import UNSEEN, unseen
from genzoo_rwae.sequence_model import SequenceModel

__all__ = ["mutual_information"]

_NOTE = "nats, lower bound by probes on draws of the posteriors; chance: labels permuted"


@metric("mutual-information")
def mutual_information(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    fitted: PositiveInt = 2_000,
    tested: PositiveInt = 1_000,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Lower bounds on I(code; factor) in nats, beside H(factor) and permuted labels.

    I(z; y) ≥ H(y) − E[−ln q(y|z)]

    with q the best of logistic regressions and boosted trees, mixed with the labels' marginal, and
    the expectation over test sequences. Codes are draws of the posteriors: what a decoder gets.
    Their means, which probes see, may tell more, since differences below the posteriors' spread
    are told apart there.

    Args:
        fitted: most training sequences that q is fitted and chosen on.
        tested: most test sequences that the bound is taken on.
        seed: of the draws and the permutation.

    Source: Barber and Agakov, NeurIPS 2003.
    """
    generator = torch.Generator().manual_seed(seed)
    train = encode_split(model, splits.train, fitted, generator)
    test = encode_split(model, splits.test, tested, generator)
    test_features, permute = test.features(), np.random.default_rng(seed)
    figures: dict[str, dict[str, Figure]] = {name: {} for name in test_features}
    for factor in model.info.factors:
        y_N, y_test_N = train.factors[factor.name].numpy(), test.factors[factor.name].numpy()
        if unseen(y_N, y_test_N):
            for group in figures.values():
                group[factor.name] = Figure(None, note=UNSEEN)
            continue
        permuted_N = permute.permutation(y_N)
        for code, x_NF in train.features().items():
            belongs, x_test_NF = code.startswith(factor.code), test_features[code]
            figures[code][factor.name] = Figure(
                information_bound(x_NF, y_N, x_test_NF, y_test_N, seed=seed),
                chance=information_bound(x_NF, permuted_N, x_test_NF, y_test_N, seed=seed),
                baselines={"all there is, H(factor)": entropy_of(y_test_N)},
                good="higher" if belongs else "lower",
                note=f"{factor.code} factor, {_NOTE}",
            )
    return figures


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield mutual_information
