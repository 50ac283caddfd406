"""Do the actions that a model found by itself agree with the true ones?

Shapes: N sequences, T time, D code width, A clusters, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from genzoo_rwae.components import hookimpl, metric
from genzoo_rwae.errors import OptionError
from genzoo_rwae.evaluation import EncodedSplit, Figure, Splits, encode_split
from genzoo_rwae.evaluation.figure import Figures
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Factor

__all__ = ["chosen_factor", "clusters", "matched_accuracy", "matched_classes"]

Score = Callable[[np.ndarray, np.ndarray], float]


@metric("clusters")
def clusters(
    model: SequenceModel,
    splits: Splits,
    /,
    *,
    factor: str | None = None,
    sequences: PositiveInt = 10_000,
    permutations: PositiveInt = 100,
    seed: NonNegativeInt = 0,
) -> Figures:
    """How well the likeliest actions of test sequences agree with a true factor.

    Clusters have no names: the accuracy is that of the best one-to-one match of actions and
    classes; the mutual information (divided by the mean entropy) and the Rand index (adjusted for
    chance) need no match. Beside each stands what k-means makes of the dynamic codes, averaged over
    time, with as many clusters: what the model knows without its actions. Chance is what clusters
    of the same sizes reach whose sequences are drawn at random. Models without actions have none
    of it.

    Args:
        factor: the true one; by default the first dynamic factor of the data.
        sequences: most test sequences to measure, spread evenly.
        permutations: draws of random clusters, whose mean is chance.
        seed: of those draws, and of k-means.

    Raises:
        OptionError: the data have no such factor.

    Source: accuracy: Kuhn, "The Hungarian method for the assignment problem", 1955; Rand index:
        Hubert and Arabie, "Comparing partitions", 1985.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if not model.actions:
        return {}
    true = chosen_factor(model.info.factors, factor)
    codes = encode_split(model, splits.test, sequences)
    assert codes.action_NA is not None
    found_N = codes.action_NA.argmax(-1).cpu().numpy()
    used = Figure(
        float(len(np.unique(found_N))),
        note=f"of {model.actions}, by {len(found_N):,} test sequences",
    )
    if true is None:
        return {"actions used": used}
    true_N = codes.factors[true.name].numpy()
    plain_N = _k_means(codes, model.actions, seed)
    note = f"{true.name}: {len(true.classes)} classes, {len(true_N):,} test sequences"
    figures: dict[str, Figure] = {}
    scores: dict[str, Score] = {
        "accuracy": matched_accuracy,
        "mutual information": normalized_mutual_info_score,
        "rand index": adjusted_rand_score,
    }
    for name, score in scores.items():
        draw = np.random.default_rng(seed)
        chance = [score(true_N, draw.permutation(found_N)) for _ in range(permutations)]
        baselines = {"k-means of the dynamic codes": float(score(true_N, plain_N))}
        if name == "accuracy":
            baselines["one cluster"] = float(score(true_N, np.zeros_like(true_N)))
        figures[name] = Figure(
            float(score(true_N, found_N)),
            chance=float(np.mean(chance)),
            baselines=baselines,
            good="higher",
            note=note,
        )
    return {**figures, "actions used": used}


def matched_accuracy(true_N: np.ndarray, found_N: np.ndarray) -> float:
    """Share of sequences that the best one-to-one match of clusters and classes gets right."""
    return float(
        (matched_classes(true_N, found_N, int(found_N.max()) + 1)[found_N] == true_N).mean()
    )


def matched_classes(true_N: np.ndarray, found_N: np.ndarray, clusters: int) -> np.ndarray:
    """The class of every cluster [A] by their best one-to-one match.

    −1 of those that are left over, and of those that have no sequence of what was left for them.
    """
    from scipy.optimize import linear_sum_assignment

    count_AK = np.zeros((clusters, int(true_N.max()) + 1), dtype=np.int64)
    np.add.at(count_AK, (found_N, true_N), 1)
    matched, classes = linear_sum_assignment(count_AK, maximize=True)
    is_seen = count_AK[matched, classes] > 0
    class_A = np.full(clusters, -1)
    class_A[matched[is_seen]] = classes[is_seen]
    return class_A


def chosen_factor(factors: tuple[Factor, ...], name: str | None) -> Factor | None:
    """A factor by its name; without one the first dynamic factor, None if there is none.

    Raises:
        OptionError: there is no such factor.
    """
    if name is None:
        return next((factor for factor in factors if factor.code == "dynamic"), None)
    for factor in factors:
        if factor.name == name:
            return factor
    known = ", ".join(factor.name for factor in factors) or "none"
    raise OptionError(f"the data have no factor '{name}'; known: {known}", option="factor")


def _k_means(codes: EncodedSplit, count: int, seed: int) -> np.ndarray:
    """Clusters [N] of the dynamic codes' means over the true steps."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    # codes beyond the true lengths are 0
    sums_ND = codes.dynamic_NTD.sum(1).cpu().numpy()
    mean_ND = sums_ND / codes.lengths_N.numpy()[:, None]
    with warnings.catch_warnings():
        # fewer different codes than clusters: some stay empty
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(min(count, len(mean_ND)), n_init=10, random_state=seed)
        found_N: np.ndarray = means.fit_predict(mean_ND)
    return found_N


@hookimpl
def genzoo_metrics() -> Iterator[object]:
    yield clusters
