"""Maximum mean discrepancy as a penalty; the maths is in genzoo_rwae_kernels.

Shapes: N samples, D code width, T time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from genzoo_rwae_kernels import mmd2_biased, mmd2_unbiased
from torch import Tensor

from genzoo_rwae.components import Use, hookimpl, penalty
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.kernels.radial import Imq

__all__ = ["mmd"]


@penalty("mmd", batched=True)
def mmd(
    q_TND: Tensor,
    p_TND: Tensor,
    paired: bool = False,
    /,
    *,
    kernel: Annotated[Callable[..., Tensor], Use("kernel")] = Imq(),
    estimator: Literal["unbiased", "biased"] = "unbiased",
) -> Tensor:
    """Squared maximum mean discrepancy of two samples.

    Args:
        kernel: the kernel.
        estimator: `unbiased` is the U-statistic (mean 0 between equal laws, may be negative, needs
            two rows); `biased` is the V-statistic (never negative, pulled up by 1/N).

    [N, D] twice to a scalar, [T, N, D] to [T]. Where row i of both samples shares a history
    (`paired`), the U-statistic leaves the cross kernel's diagonal out as well.

    Source: Gretton et al., JMLR 13 (2012), eq. 3 and 5; arXiv 1711.01558, Algorithm 2.
    """
    if estimator == "biased":
        return mmd2_biased(q_TND, p_TND, kernel)
    rows = q_TND.shape[-2]
    if rows < 2:
        raise OptionError(
            f"the unbiased estimator compares pairs of rows and the batch has {rows}; wanted 2 or "
            "more: raise data.batch, or take estimator: biased",
            option="estimator",
        )
    return mmd2_unbiased(q_TND, p_TND, kernel, paired=paired)


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield mmd
