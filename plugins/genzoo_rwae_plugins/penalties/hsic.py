"""Hilbert-Schmidt independence criterion as a penalty on the dependence of two codes.

Shapes: N rows, D width of both codes together, T time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import torch
from genzoo_rwae_kernels.precision import wide_dtype
from genzoo_rwae_kernels.samples import check_samples, fitted_kernel
from torch import Tensor

from genzoo_rwae.components import Use, hookimpl, penalty
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.kernels.radial import Imq
from genzoo_rwae_plugins.penalties.rows import Rows, rows_that_count

__all__ = ["hsic"]


@penalty("hsic", batched=True, fewest=4)
def hsic(
    q_TND: Tensor,
    p_TND: Tensor,
    split: int = 0,
    weights_N: Tensor | None = None,
    /,
    *,
    kernel: Annotated[Callable[..., Tensor], Use("kernel")] = Imq(),
    estimator: Literal["unbiased", "biased"] = "unbiased",
) -> Tensor:
    """Hilbert-Schmidt independence criterion between the two codes of a row.

    HSIC = E k l + E k E l − 2 E[E' k E'' l],  k of the first codes, l of the second

    0 for independent codes alone (characteristic kernels, as imq and rbf). Rows are [u, v] with u
    `split` wide, [N, D] to a scalar, [T, N, D] to [T]; only q is looked at. It is the squared MMD,
    with the product kernel, between the rows and all their recombinations.

    Args:
        kernel: of both codes, each on its own width.
        estimator: `unbiased`: over distinct rows (mean 0 for independent codes, may be negative,
            needs four rows; steps that fewer reach count 0); `biased`: tr(KHLH)/N², never
            negative, pulled up by 1/N.

    Raises:
        OptionError: the rows are not split into two codes, or are too few.

    Source: Gretton et al., ALT 2005, Definition 2 (biased, over N² as usual since); Song et al.,
        JMLR 13 (2012), Eq. (4) (unbiased).
    """
    check_samples("hsic", q_TND, q_TND)
    width = q_TND.shape[-1]
    if not 0 < split < width:
        raise OptionError(
            f"hsic: rows of {width} columns split at {split}; wanted two codes side by side, the "
            "first 1 or more wide and narrower than the row: hsic measures the dependence of two "
            "codes; use it in objective.independence"
        )
    fewest = 4 if estimator == "unbiased" else 1
    rows = rows_that_count(
        q_TND,
        weights_N,
        fewest=fewest,
        statistic=f"the {estimator} estimator of hsic",
        option="estimator",
    )
    dtype = wide_dtype(q_TND.device)
    grams = []
    for part_TND in (q_TND[..., :split].contiguous(), q_TND[..., split:].contiguous()):
        fitted = fitted_kernel(kernel, part_TND, part_TND, weights_N, weights_N)
        grams.append(fitted(part_TND, part_TND).to(dtype))
    K_TNN, L_TNN = grams
    value_T = (_unbiased if estimator == "unbiased" else _biased)(K_TNN, L_TNN, rows)
    return (value_T * rows.enough_T).to(q_TND.dtype)


def _biased(K_TNN: Tensor, L_TNN: Tensor, rows: Rows) -> Tensor:
    a_TN = rows.share_TN
    Ka_TN, La_TN = _times(K_TNN, a_TN), _times(L_TNN, a_TN)
    together_T = (a_TN * _times(K_TNN * L_TNN, a_TN)).sum(-1)
    apart_T = (a_TN * Ka_TN).sum(-1) * (a_TN * La_TN).sum(-1)
    return together_T + apart_T - 2.0 * (a_TN * Ka_TN * La_TN).sum(-1)


def _unbiased(K_TNN: Tensor, L_TNN: Tensor, rows: Rows) -> Tensor:
    # For equal weights these are the three terms of Eq. (4); other weights are what they are to
    # any U-statistic, factors of the distinct rows that meet in a term.
    own_NN = torch.eye(K_TNN.shape[-1], dtype=torch.bool, device=K_TNN.device)
    K_TNN, L_TNN = K_TNN.masked_fill(own_NN, 0.0), L_TNN.masked_fill(own_NN, 0.0)
    ones_NN = (~own_NN).to(K_TNN.dtype).expand(K_TNN.shape)
    found = _sums_over_distinct_rows(K_TNN, L_TNN, rows.share_TN)
    possible = _sums_over_distinct_rows(ones_NN, ones_NN, rows.share_TN)
    two_T, three_T, four_T = (a / b for a, b in zip(found, possible, strict=True))
    return two_T + four_T - 2.0 * three_T


def _sums_over_distinct_rows(
    K_TNN: Tensor, L_TNN: Tensor, a_TN: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Σ a_i a_j K_ij L_ij, Σ a_i a_j a_k K_ij L_ik, Σ a_i a_j a_k a_l K_ij L_kl: [T] each.

    Over rows that are all distinct; both diagonals are 0.
    """
    Ka_TN, La_TN = _times(K_TNN, a_TN), _times(L_TNN, a_TN)
    KL_TNN, a2_TN = K_TNN * L_TNN, a_TN.square()
    same_TN = _times(KL_TNN, a2_TN)  # terms with j = k
    two_T = (a_TN * _times(KL_TNN, a_TN)).sum(-1)
    three_T = (a_TN * (Ka_TN * La_TN - same_TN)).sum(-1)
    once_T = (a2_TN * (Ka_TN * La_TN - same_TN)).sum(-1)  # pairs that share one row
    twice_T = (a2_TN * same_TN).sum(-1)  # pairs that share both
    all_T = (a_TN * Ka_TN).sum(-1) * (a_TN * La_TN).sum(-1)
    return two_T, three_T, all_T - 4.0 * once_T - 2.0 * twice_T


def _times(K_TNN: Tensor, a_TN: Tensor) -> Tensor:
    return (K_TNN @ a_TN[..., None]).squeeze(-1)


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield hsic
