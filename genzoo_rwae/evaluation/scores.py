"""What is computed from a judge's word: certainty and variety of its predictions, distances.

All in float64 and natural logarithms.

Shapes: N M sequences, K classes, F features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "InceptionScore",
    "balanced_rows",
    "class_accuracy",
    "frechet_distance",
    "inception_score",
]


@dataclass(frozen=True)
class InceptionScore:
    """How certain a judge is of each sequence, and how varied its words are over all of them.

    Attributes:
        score: exp(mean_j KL(p_j ‖ p̄)) = exp(H(y) − H(y|x)), between 1 and K.
        conditional_entropy: H(y|x) = mean_j H(p_j); 0 where the judge is certain.
        marginal_entropy: H(y) = H(p̄); ln K where every class is as frequent.
        kl_to_uniform: mean_j KL(p_j ‖ uniform) = ln K − H(y|x).

    Source: Salimans et al., arXiv 1606.03498 (the score).
    """

    score: float
    conditional_entropy: float
    marginal_entropy: float
    kl_to_uniform: float


def inception_score(p_NK: Tensor) -> InceptionScore:
    """The inception score of predictions, in one split, and the entropies that it is made of.

    Args:
        p_NK: probabilities, N >= 1; rows sum to 1.

    >>> found = inception_score(torch.eye(4))
    >>> found.score, found.conditional_entropy
    (4.0, 0.0)
    """
    p_NK = p_NK.double()
    mean_K = p_NK.mean(0)
    conditional = torch.special.entr(p_NK).sum(-1).mean().item()
    marginal = torch.special.entr(mean_K).sum().item()
    gain_N = (torch.special.xlogy(p_NK, p_NK) - torch.special.xlogy(p_NK, mean_K)).sum(-1)
    score = gain_N.mean().exp().item()
    classes = p_NK.shape[-1]
    assert math.isclose(score, math.exp(marginal - conditional), rel_tol=1e-9)
    assert score <= classes * (1 + 1e-9)
    return InceptionScore(score, conditional, marginal, math.log(classes) - conditional)


def balanced_rows(labels_N: Tensor) -> Tensor:
    """Places [M] of the first n rows of every class, n the size of the smallest class there is.

    >>> balanced_rows(torch.tensor([1, 0, 1, 1, 0, 0]))
    tensor([0, 1, 2, 3, 4, 5])
    >>> balanced_rows(torch.tensor([1, 0, 1, 1]))
    tensor([0, 1])
    """
    counts_K = labels_N.bincount()
    fewest = int(counts_K[counts_K > 0].min())
    of_class = [
        (labels_N == k).nonzero().squeeze(-1)[:fewest] for k in counts_K.nonzero().squeeze(-1)
    ]
    return torch.cat(of_class).sort().values


def class_accuracy(said_N: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    """Share of the rows of every class that were called so [K]; NaN of classes without rows."""
    rows_K = labels_N.bincount(minlength=classes).double()
    right_K = labels_N[said_N == labels_N].bincount(minlength=classes).double()
    return right_K / rows_K


def frechet_distance(x_NF: Tensor, y_MF: Tensor) -> float:
    """Squared Fréchet (2-Wasserstein) distance of Gaussians with the moments of two samples.

    ‖μ − ν‖² + tr(S + R − 2 (S^½ R S^½)^½), with unbiased covariances S and R.

    The estimate grows as samples get smaller: compare only those of equal size.

    Args:
        x_NF: N >= 2 rows.
        y_MF: M >= 2 rows of the same features.

    Raises:
        ValueError: a sample has one row, or the widths differ.

    Source: Dowson and Landau, J. Multivariate Analysis 12 (1982); for samples of images Heusel et
        al., arXiv 1706.08500.
    """
    if min(len(x_NF), len(y_MF)) < 2 or x_NF.shape[1:] != y_MF.shape[1:]:
        raise ValueError(
            f"samples {list(x_NF.shape)} and {list(y_MF.shape)}; wanted two rows or more of each, "
            "with the same features"
        )
    x_NF, y_MF = x_NF.double(), y_MF.double()
    gap = (x_NF.mean(0) - y_MF.mean(0)).square().sum()
    a_RF, b_RF = _covariance_factor(x_NF), _covariance_factor(y_MF)
    # the trace of the root is the sum of singular values of A Bᵀ, for S = AᵀA and R = BᵀB: nothing
    # has to be rooted, so that covariances without full rank cost no digits
    shared = torch.linalg.svdvals(a_RF @ b_RF.mT).sum()
    distance = gap + a_RF.square().sum() + b_RF.square().sum() - 2 * shared
    return max(0.0, float(distance.item()))


def _covariance_factor(z_NF: Tensor) -> Tensor:
    """A [R, F], R = min(N, F), whose AᵀA is the unbiased covariance."""
    centred_NF = (z_NF - z_NF.mean(0)) / math.sqrt(len(z_NF) - 1)
    factor_RF: Tensor = torch.linalg.qr(centred_NF, mode="r").R
    return factor_RF
