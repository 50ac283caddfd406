"""Squared maximum mean discrepancy as a penalty; the maths is in genzoo_rwae_kernels.

Shapes: T steps, N rows, D code width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Literal

import torch
from genzoo_rwae_kernels import (
    mmd2_biased,
    mmd2_block,
    mmd2_linear,
    mmd2_random_features,
    mmd2_unbiased,
    mmd2_unbiased_part,
)
from pydantic import Field, PositiveInt
from torch import Tensor

from genzoo_rwae.components import Use, hookimpl, penalty
from genzoo_rwae.errors import OptionError
from genzoo_rwae.ranks import Ranks
from genzoo_rwae_plugins.kernels.radial import Imq

__all__ = ["mmd"]


@penalty("mmd", batched=True)
def mmd(
    q_TND: Tensor,
    p_TND: Tensor,
    paired: bool = False,
    weights_N: Tensor | None = None,
    ranks: Ranks | None = None,
    /,
    *,
    kernel: Annotated[Callable[..., Tensor], Use("kernel")] = Imq(),
    estimator: Literal["unbiased", "biased", "block", "linear", "random-features"] = "unbiased",
    block: Annotated[int, Field(ge=2)] | None = None,
    features: PositiveInt | None = None,
    backend: Literal["auto", "eager", "tiled", "fused", "triton", "compiled"] = "auto",
) -> Tensor:
    """Squared maximum mean discrepancy of two samples.

    Args:
        kernel: the kernel.
        estimator: `unbiased` is the U-statistic (mean 0 between equal laws, may be negative, needs
            two rows); `biased` is the V-statistic (never negative, pulled up by 1/N); `block`
            averages U-statistics of blocks of rows, `linear` of neighbouring pairs alone, for
            batches of many thousands; `random-features` replaces the kernel by random waves.
        block: (estimator `block`) rows of a block, at most all; null: the batch's square root.
        features: (estimator `random-features`) number of waves; null: 1024.
        backend: who sums over the pairs of rows; `auto` chooses by size, kernel and device.

    [N, D] twice to a scalar, [T, N, D] to [T]. Where row i of both samples shares a history
    (`paired`), the pairs (q_i, p_i) are left out; the V-statistic and random features keep them.
    On R ranks each sums over an R-th of the unbiased estimator's pairs.

    Source: Gretton et al., JMLR 13 (2012), eq. 3, 5 and Sec. 6; arXiv 1711.01558, Algorithm 2;
        blocks: Zaremba et al., arXiv 1307.1954; waves: Rahimi and Recht, NeurIPS 2007.
    """
    for name, value, user in (
        ("block", block, "block"),
        ("features", features, "random-features"),
    ):
        if value is not None and estimator != user:
            raise OptionError(
                f"`{name}` is an option of estimator: {user}, and the estimator is {estimator}; "
                "leave one of them out",
                option=name,
            )
    if estimator in ("unbiased", "block", "linear") and q_TND.shape[-2] < 2:
        raise OptionError(
            f"the {estimator} estimator compares pairs of rows and the batch has "
            f"{q_TND.shape[-2]}; wanted 2 or more: raise data.batch, or take estimator: biased",
            option="estimator",
        )
    weights = {"x_weights": weights_N, "y_weights": weights_N}
    if estimator == "biased":
        return mmd2_biased(q_TND, p_TND, kernel, backend=backend, **weights)
    if estimator == "unbiased" and ranks is not None and ranks.count > 1:
        part_T = mmd2_unbiased_part(
            q_TND,
            p_TND,
            kernel,
            part=ranks.number,
            parts=ranks.count,
            paired=paired,
            x_weights=weights_N,
            y_weights=weights_N,
            backend=backend,
        )
        return ranks.sum(part_T).to(q_TND.dtype)
    if estimator == "unbiased":
        return mmd2_unbiased(q_TND, p_TND, kernel, paired=paired, backend=backend, **weights)
    if estimator == "linear":
        call = partial(mmd2_linear, kernel=kernel, backend=backend)
    elif estimator == "block":
        call = partial(_in_blocks, kernel=kernel, block=block, paired=paired, backend=backend)
    else:
        call = partial(mmd2_random_features, kernel=kernel, features=features or 1024)
    return _on_rows_that_count(call, q_TND, p_TND, weights_N)


def _in_blocks(q_TND: Tensor, p_TND: Tensor, *, block: int | None, **options: Any) -> Tensor:
    rows = q_TND.shape[-2]
    return mmd2_block(q_TND, p_TND, block=min(block, rows) if block else None, **options)


def _on_rows_that_count(
    call: Callable[[Tensor, Tensor], Tensor], q_TND: Tensor, p_TND: Tensor, weights_N: Tensor | None
) -> Tensor:
    """An estimator without weights, step by step on the rows whose weight is not 0."""
    if weights_N is None:
        return call(q_TND, p_TND)
    if q_TND.dim() == 2:
        return call(q_TND[weights_N > 0], p_TND[weights_N > 0])
    steps = zip(q_TND, p_TND, weights_N.expand(q_TND.shape[:-1]), strict=True)
    return torch.stack([_on_rows_that_count(call, q, p, w) for q, p, w in steps])


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield mmd
