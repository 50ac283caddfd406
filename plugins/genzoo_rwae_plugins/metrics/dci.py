"""Does every entry of the codes tell one factor, and one entry every factor?

Shapes: N sequences, D entries of [z^c, mean z^m], K factors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt
from scipy.stats import special_ortho_group

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.evaluation import EncodedSplit, Figure, Splits, encode_split
from genzoo_rwae.evaluation.dci import Dci, Importances, dci, importances
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.evaluation.probe import UNSEEN, boosted_probe, chance_of, score_probe, unseen
from genzoo_rwae.sequence_model import SequenceModel

__all__ = ["dci_of_codes"]


@metric("dci")
def dci_of_codes(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    predictor: Importances = "boosted",
    fitted: Annotated[int, Field(ge=2)] = 2_000,
    tested: PositiveInt = 1_000,
    seed: NonNegativeInt = 0,
) -> Figures:
    """Disentanglement, completeness and informativeness of the entries of both codes.

    Of posterior means [z^c, mean over the true steps of z^m] against all factors. The mean over
    time keeps entries apart and forgets the order of the steps: what a motion shows in its order
    alone is not told by it (the probes see whole paths). A prior N(0, I) and an MMD do not change
    when the code is rotated, so nothing asks such a model for entries that mean something: beside
    each score stands that of the same codes, each rotated at random.

    Args:
        predictor: importances by `boosted` trees or by `lasso`.
        fitted: most training sequences that importances and probes are fitted on.
        tested: most test sequences that informativeness is scored on.
        seed: of the trees and the rotation.

    Source: Eastwood and Williams, ICLR 2018, Sec. 2.
    """
    factors = model.info.factors
    if not factors:
        return {}
    train, test = (
        encode_split(model, data, most)
        for data, most in ((splits.train, fitted), (splits.test, tested))
    )
    x_ND, x_test_ND = _entries(train), _entries(test)
    width = train.static_ND.shape[1]
    labels = [train.factors[factor.name].numpy() for factor in factors]
    importance_DK = _importances(x_ND, labels, predictor, seed)
    scores = dci(importance_DK)
    rotated = dci(_importances(_rotated(x_ND, width, seed), labels, predictor, seed))
    note = f"importances: {predictor}, {len(x_ND):,} training sequences"
    figures: dict[str, Figure | dict[str, Figure]] = {
        "disentanglement": _figure(scores.disentanglement, rotated.disentanglement, note),
        "completeness": _figure(scores.completeness, rotated.completeness, note),
    }
    inform: dict[str, Figure] = {}
    belong: dict[str, Figure] = {}
    complete: dict[str, Figure] = {}
    for k, factor in enumerate(factors):
        y_test_N = test.factors[factor.name].numpy()
        if unseen(labels[k], y_test_N):
            inform[factor.name] = Figure(None, good="higher", note=UNSEEN)
        else:
            probe = boosted_probe(*x_ND.shape, seed=seed)
            inform[factor.name] = Figure(
                score_probe(probe, x_ND, labels[k], x_test_ND, y_test_N),
                chance=chance_of(y_test_N),
                good="higher",
                note="accuracy of boosted trees",
            )
        own_D = (np.arange(len(importance_DK)) < width) == (factor.code == "static")
        total = importance_DK[:, k].sum()
        belong[factor.name] = Figure(
            float(importance_DK[own_D, k].sum() / total) if total > 0 else None,
            chance=float(own_D.mean()),
            good="higher",
            note=f"share of its importance that is in the {factor.code} code",
        )
        complete[factor.name] = _figure(_at(scores, k), _at(rotated, k), note)
    return {
        **figures,
        "completeness of a factor": complete,
        "informativeness": inform,
        "in its own code": belong,
    }


def _entries(codes: EncodedSplit) -> np.ndarray:
    return np.concatenate([codes.static_ND.cpu().numpy(), codes.dynamic_mean().cpu().numpy()], 1)


def _importances(
    x_ND: np.ndarray, labels: list[np.ndarray], predictor: Importances, seed: int
) -> np.ndarray:
    return np.stack([importances(x_ND, y_N, predictor, seed=seed) for y_N in labels], 1)


def _rotated(x_ND: np.ndarray, width: int, seed: int) -> np.ndarray:
    """Both codes at unit variance, each turned at random by itself."""
    scaled_ND = (x_ND - x_ND.mean(0)) / np.maximum(x_ND.std(0), np.finfo(x_ND.dtype).tiny)
    draw = np.random.default_rng(seed)
    turned = []
    for code_ND in (scaled_ND[:, :width], scaled_ND[:, width:]):
        size = code_ND.shape[1]
        turn_DD = special_ortho_group(size, seed=draw).rvs() if size > 1 else np.ones((1, 1))
        turned.append(code_ND @ turn_DD)
    return np.concatenate(turned, 1)


def _at(scores: Dci, k: int) -> float | None:
    value = scores.completeness_K[k]
    return None if np.isnan(value) else float(value)


def _figure(value: float | None, rotated: float | None, note: str) -> Figure:
    baselines = {} if rotated is None else {"codes rotated": rotated}
    if value is None:
        note = "needs two factors, two entries, and labels that vary"
    return Figure(value, baselines=baselines, good="higher", note=note)


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield dci_of_codes
