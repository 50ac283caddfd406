"""Directions of a code: the principal ones, and those along which a factor lies.

Shapes: N sequences, B batch, D code width, R directions, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from genzoo_rwae.evaluation.codes import encode_split
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import SequenceData

__all__ = ["Directions", "Subspace", "factor_subspace", "factor_subspaces", "principal_directions"]

_RIDGE = 1e-6  # share of the mean variance; a code may not use all of its entries


@dataclass(frozen=True)
class Directions:
    """Principal directions of codes, largest variance first.

    Attributes:
        mean_D: of the codes.
        axes_RD: unit vectors, orthogonal to each other.
        sd_R: standard deviations along them.
        share_R: of the codes' whole variance.
    """

    mean_D: Tensor
    axes_RD: Tensor
    sd_R: Tensor
    share_R: Tensor

    def shift(self, places_R: Tensor) -> Tensor:
        """How far a code [D] moves that moves along all directions at once.

        Σ_r place_r sd_r axis_r

        Args:
            places_R: in standard deviations of each direction.
        """
        return (places_R.to(self.sd_R) * self.sd_R) @ self.axes_RD


@dataclass(frozen=True)
class Subspace:
    """Where a factor lies in a code.

    Attributes:
        onto_DR: directions in which the code moves with the factor.
        read_RD: what reads the place along them off a code; read · onto = 1.
        told_R: share of the variance along each that the factor explains.
    """

    onto_DR: Tensor
    read_RD: Tensor
    told_R: Tensor

    def exchange(self, z_BD: Tensor, donor_BD: Tensor) -> Tensor:
        """Codes with the factor of other codes and all else their own.

        z + onto · read · (donor − z)

        Args:
            z_BD: [..., D] codes to keep.
            donor_BD: [..., D] codes that give the factor.
        """
        read_RD, onto_DR = self.read_RD.to(z_BD), self.onto_DR.to(z_BD)
        return z_BD + (donor_BD - z_BD) @ read_RD.T @ onto_DR.T


def principal_directions(z_ND: Tensor, count: int) -> Directions:
    """The first principal directions of codes, at most `count` and D of them.

    Each points to where its largest entry is positive, so that it is the same on every machine.

    Args:
        z_ND: codes, N >= 2.
        count: how many.
    """
    z_ND = z_ND.double().cpu()
    mean_D = z_ND.mean(0)
    _, size_R, axes_RD = torch.linalg.svd(z_ND - mean_D, full_matrices=False)
    variance_R = size_R.square() / (len(z_ND) - 1)
    largest_R1 = axes_RD.abs().argmax(1, keepdim=True)
    axes_RD = axes_RD * axes_RD.gather(1, largest_R1).sign()
    tiny = torch.finfo(torch.float64).tiny
    share_R = variance_R / variance_R.sum().clamp_min(tiny)
    return Directions(
        mean_D.float(),
        axes_RD[:count].float(),
        variance_R[:count].sqrt().float(),
        share_R[:count].float(),
    )


def factor_subspace(z_ND: Tensor, y_N: Tensor, *, seed: int = 0) -> Subspace:
    """The directions along which class means differ by more than permuted labels make them.

    With S the covariance of the class means and Σ that of all codes, S v = λ Σ v and v'Σv = 1: v
    reads, Σv is what it reads. λ is the share of the variance along v that the factor explains.
    Where a code is a sum of one vector for each factor's class and the factors are independent, the
    exchange along these directions moves no other factor: v'm = 0 for the means m of others.

    Args:
        z_ND: codes.
        y_N: labels.
        seed: of the permutation of labels; directions that explain no more than its best are noise.

    Source: Fisher, Annals of Eugenics 7 (1936).
    """
    codes_ND = z_ND.double().cpu().numpy()
    total_DD = np.atleast_2d(np.cov(codes_ND, rowvar=False))
    width = total_DD.shape[0]
    scale = max(np.trace(total_DD) / width, np.finfo(np.float64).tiny)
    total_DD = total_DD + _RIDGE * scale * np.eye(width)
    labels_N = y_N.cpu().numpy()
    told_D, read_DD = eigh(_between(codes_ND, labels_N), total_DD)
    permuted_N = np.random.default_rng(seed).permutation(labels_N)
    noise = eigh(_between(codes_ND, permuted_N), total_DD, eigvals_only=True)[-1]
    # K class means span at most K - 1 directions
    most = min(width, len(np.unique(labels_N)) - 1)
    kept = [d for d in range(width - 1, width - 1 - most, -1) if told_D[d] > noise]
    read_DR = read_DD[:, kept]
    return Subspace(
        torch.from_numpy(total_DD @ read_DR).float(),
        torch.from_numpy(read_DR.T.copy()).float(),
        torch.from_numpy(told_D[kept]).float(),
    )


def factor_subspaces(
    model: SequenceModel, data: SequenceData, most: int = 2_000
) -> Mapping[str, Subspace]:
    """Static factor -> where it lies in the static codes (posterior means) of a split.

    Args:
        model: what encodes.
        data: labelled sequences, those of training.
        most: how many, spread evenly.
    """
    codes = encode_split(model, data, most)
    return {
        factor.name: factor_subspace(codes.static_ND, codes.factors[factor.name])
        for factor in data.info.factors
        if factor.code == "static"
    }


def _between(z_ND: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """Covariance of the class means, every class as heavy as it is frequent."""
    classes, counts_K = np.unique(y_N, return_counts=True)
    mean_KD = np.stack([z_ND[y_N == label].mean(0) for label in classes]) - z_ND.mean(0)
    return np.asarray((mean_KD.T * counts_K) @ mean_KD / (len(z_ND) - 1))
