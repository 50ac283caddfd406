"""The reconstruction cost of R-WAE."""

from __future__ import annotations

from collections.abc import Iterator

from einops import reduce
from torch import Tensor

from genzoo_rwae.components import cost, hookimpl

__all__ = ["squared_error"]


@cost("squared-error")
def squared_error(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    """Squared L2 distance, summed over a frame.

    c(x, x̂) = ‖x − x̂‖²: [B, T, ...] twice to [B, T].

    Source: arXiv 2101.07496, Sec. 3; arXiv 1711.01558.
    """
    # x̂ first, as its gradient lies in memory like the first of the two; no flattening: frames may
    # be channels-last, and it would copy them
    return reduce((x_hat_BT - x_BT).square(), "b t ... -> b t", "sum")


@hookimpl
def genzoo_costs() -> Iterator[object]:
    yield squared_error
