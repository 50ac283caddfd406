"""Energy distance as a penalty.

Shapes: N rows, D code width, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from genzoo_rwae_kernels import Energy, mmd2_biased, mmd2_unbiased
from genzoo_rwae_kernels.samples import check_samples
from pydantic import Field
from torch import Tensor

from genzoo_rwae.components import hookimpl, penalty
from genzoo_rwae_plugins.penalties.rows import rows_that_count

__all__ = ["energy"]


@penalty("energy", batched=True)
def energy(
    q_TND: Tensor,
    p_TND: Tensor,
    paired: bool = False,
    weights_N: Tensor | None = None,
    /,
    *,
    power: Annotated[float, Field(gt=0, lt=2)] = 1.0,
    estimator: Literal["unbiased", "biased"] = "unbiased",
) -> Tensor:
    """Energy distance of two samples: distances across less distances within.

    2 E‖x − y‖^power − E‖x − x'‖^power − E‖y − y'‖^power

    [N, D] twice to a scalar, [T, N, D] to [T]; the samples may differ in size where no weights are
    given. Twice the squared MMD of the distance's kernel: no bandwidth to choose, and a pull that
    does not fade with the distance. In one dimension and power 1 it is twice Cramér's distance.

    Args:
        power: exponent of the distance, between 0 and 2.
        estimator: `unbiased` is the U-statistic (mean 0 between equal laws, may be negative, needs
            two rows; where row i of both samples shares a history, pairs (q_i, p_i) are left out);
            `biased` is the V-statistic (never negative, pulled up by 1/N).

    Raises:
        OptionError: the unbiased estimator and a batch of one row.

    Source: Székely & Rizzo, J. Statist. Plann. Inference 143 (2013), Eq. (5) and (6); as an MMD:
        Sejdinovic et al., arXiv 1207.6076, Sec. 4.
    """
    check_samples("energy", q_TND, p_TND)
    unbiased = estimator == "unbiased"
    needs, name = (2 if unbiased else 1), f"the {estimator} estimator of the energy distance"
    rows = rows_that_count(q_TND, weights_N, fewest=needs, statistic=name, option="estimator")
    rows_that_count(p_TND, weights_N, fewest=needs, statistic=name, option="estimator")
    shares_TN = None if weights_N is None else rows.share_TN
    kernel = Energy(beta=power)
    if unbiased:
        mmd2_T = mmd2_unbiased(
            q_TND, p_TND, kernel, paired=paired, x_weights=shares_TN, y_weights=shares_TN
        )
    else:
        mmd2_T = mmd2_biased(q_TND, p_TND, kernel, x_weights=shares_TN, y_weights=shares_TN)
    return 2.0 * mmd2_T * rows.enough_T.to(mmd2_T.dtype)


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield energy
