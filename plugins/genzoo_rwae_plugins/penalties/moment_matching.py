"""Matching of means and covariances as a penalty.

Shapes: N rows, D code width, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from genzoo_rwae_kernels.precision import wide_dtype
from genzoo_rwae_kernels.samples import check_samples
from torch import Tensor

from genzoo_rwae.components import hookimpl, penalty
from genzoo_rwae_plugins.penalties.rows import Rows, rows_that_count

__all__ = ["moment_matching"]


@penalty("moment-matching", batched=True)
def moment_matching(
    q_TND: Tensor,
    p_TND: Tensor,
    weights_N: Tensor | None = None,
    /,
    *,
    moments: Literal["mean", "variance", "covariance"] = "covariance",
    reference: Literal["sample", "standard"] = "sample",
) -> Tensor:
    """Squared distance of means and of covariances.

    ‖μ_q − μ_p‖² + ‖Σ_q − Σ_p‖²_F, with Σ over N − 1 (weighted: over 1 − Σ a_i², Σ a_i = 1)

    [N, D] twice to a scalar, [T, N, D] to [T]. Necessary, not sufficient: laws with equal moments
    are not told apart.

    Args:
        moments: `mean` alone; `variance`: means and the covariances' diagonals; `covariance`: means
            and whole covariances.
        reference: `sample`: the moments of the prior's sample, whose noise is part of the value;
            `standard`: those of N(0, I), whatever the prior is.

    Raises:
        OptionError: one row, and more than means are to match.

    Source: Sun & Saenko, Deep CORAL, arXiv 1607.01719, Eq. (1), without its factor 1/(4D²);
        `standard`: Kumar et al., DIP-VAE, arXiv 1711.00848, Sec. 2.2, with equal weights on
        diagonal and rest.
    """
    check_samples("moment-matching", q_TND, p_TND)
    rows = rows_that_count(
        q_TND,
        weights_N,
        fewest=1 if moments == "mean" else 2,
        statistic=f"a {moments}",
        option="moments",
    )
    mean_q_TD, cov_q_TDD = _moments(q_TND, rows)
    if reference == "sample":
        of_p = rows if weights_N is not None else rows_that_count(p_TND, None)
        mean_p_TD, cov_p_TDD = _moments(p_TND, of_p)
    else:
        mean_p_TD = torch.zeros_like(mean_q_TD)
        cov_p_TDD = torch.eye(q_TND.shape[-1], dtype=cov_q_TDD.dtype, device=cov_q_TDD.device)
    value_T = (mean_q_TD - mean_p_TD).square().sum(-1)
    gap_TDD = (cov_q_TDD - cov_p_TDD).square()
    if moments == "variance":
        value_T = value_T + gap_TDD.diagonal(dim1=-2, dim2=-1).sum(-1)
    if moments == "covariance":
        value_T = value_T + gap_TDD.sum((-2, -1))
    return (value_T * rows.enough_T).to(q_TND.dtype)


def _moments(x_TND: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """Weighted mean [T, D] and unbiased covariance [T, D, D], in the widest dtype."""
    x_TND = x_TND.to(wide_dtype(x_TND.device))
    share_TN1 = rows.share_TN[..., None]
    mean_T1D = (share_TN1 * x_TND).sum(-2, keepdim=True)
    centred_TND = x_TND - mean_T1D
    freedom_T = (1.0 - rows.share_TN.square().sum(-1)).clamp_min(torch.finfo(x_TND.dtype).eps)
    cov_TDD = (share_TN1 * centred_TND).mT @ centred_TND / freedom_T[..., None, None]
    return mean_T1D.squeeze(-2), cov_TDD


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield moment_matching
