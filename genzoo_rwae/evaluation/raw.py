"""The raw data as features: what a probe finds without any model.

Shapes: N M sequences, T time, P values of a sequence or a frame, R directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from genzoo_rwae.evaluation.codes import spread_indices, taken
from genzoo_rwae.other_threads import torchs_threads
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequences import SequenceData

__all__ = ["RawFeatures", "mean_frames", "raw_features"]

_BLOCK = 8192  # values that are floats at once: a clip of images has 100,000, as bytes
_LEAST = 1e-6  # share of the largest variance below which a direction is rounding


@dataclass(frozen=True)
class RawFeatures:
    """Sequences in the directions that the fitted ones span, largest variance first.

    A rotation of all their values, each at mean 0 and sd 1: what depends on inner products alone,
    such as a logistic regression with a penalty on ‖w‖², finds in them exactly what it finds in
    the values. The first columns are the principal components.

    Attributes:
        train_NR: fitted sequences.
        test_MR: tested ones.
    """

    train_NR: np.ndarray
    test_MR: np.ndarray

    def first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first principal components of both, as many as there are up to `count`."""
        return self.train_NR[:, :count], self.test_MR[:, :count]


def raw_features(train: SequenceData, test: SequenceData, fitted: int, tested: int) -> RawFeatures:
    """All values of sequences, padding too, rotated to at most N columns.

    Missing values become their column's mean.

    Args:
        train: whose sequences the columns' means, scales and directions are those of.
        test: whose are brought into the same columns.
        fitted: most sequences of the one, spread evenly.
        tested: most of the other.
    """
    x_NP, test_MP = _values(train, fitted), _values(test, tested)
    gram_NN = np.zeros((len(x_NP), len(x_NP)))
    cross_MN = np.zeros((len(test_MP), len(x_NP)))
    with torchs_threads():
        for start in range(0, x_NP.shape[1], _BLOCK):
            columns = slice(start, start + _BLOCK)
            block_NP, test_block_MP = _standardised(x_NP[:, columns], test_MP[:, columns])
            gram_NN += block_NP @ block_NP.T
            cross_MN += test_block_MP @ block_NP.T
        variances_N, rotation_NN = np.linalg.eigh(gram_NN)
    kept = variances_N > _LEAST * max(variances_N[-1], np.finfo(np.float64).tiny)
    scale_R = np.sqrt(variances_N[kept][::-1])
    rotation_NR = rotation_NN[:, kept][:, ::-1]
    return RawFeatures(rotation_NR * scale_R, cross_MN @ rotation_NR / scale_R)


def mean_frames(data: SequenceData, indices_N: np.ndarray) -> np.ndarray:
    """The mean over true steps of each value of a frame that is there [N, P]; NaN where none is.

    Args:
        data: whose sequences.
        indices_N: their places in the split.
    """
    means = []
    for batch in taken(data, indices_N):
        x_BTP = batch.x_BT.flatten(2).double()
        true_BT = true_steps(x_BTP.shape[1], batch.lengths_B)
        means.append(torch.where(true_BT[..., None], x_BTP, torch.nan).nanmean(1).numpy())
    return np.concatenate(means)


def _values(data: SequenceData, most: int) -> np.ndarray:
    """[N, P] of the source's own dtype."""
    batches = taken(data, spread_indices(len(data), most))
    return np.concatenate([batch.x_BT.flatten(1).numpy() for batch in batches])


def _standardised(x_NP: np.ndarray, test_MP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x_NP, test_MP = x_NP.astype(np.float32), test_MP.astype(np.float32)
    there_NP = ~np.isnan(x_NP)
    count_P = np.maximum(there_NP.sum(0), 1)
    mean_P = np.where(there_NP, x_NP, 0).sum(0, dtype=np.float64) / count_P
    x_NP = np.where(there_NP, x_NP - mean_P, 0)
    sd_P = np.sqrt(np.square(x_NP).sum(0, dtype=np.float64) / count_P)
    scale_P = np.divide(1.0, sd_P, out=np.zeros_like(sd_P), where=sd_P > 1e-6)
    test_MP = np.nan_to_num(test_MP - mean_P, nan=0.0)
    return (x_NP * scale_P).astype(np.float32), (test_MP * scale_P).astype(np.float32)
