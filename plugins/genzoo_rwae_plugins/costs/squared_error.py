"""The reconstruction cost of R-WAE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
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
    # x̂ first, as its gradient lies in memory like the first of the two
    cost_BT: Tensor = _Squares.apply(x_hat_BT - x_BT)  # type: ignore[no-untyped-call]
    return cost_BT


class _Squares(torch.autograd.Function):
    """‖e‖² of frames, which are gone through once on the way back: torch's own square takes more.

    No flattening: frames may be channels-last, and it would copy them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(error_BT: Tensor) -> Tensor:
        return reduce(error_BT.square(), "b t ... -> b t", "sum")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (error_BT,) = ctx.saved_tensors
        (g_BT,) = gradients
        pull_BT: Tensor = error_BT * (2.0 * g_BT).reshape(*g_BT.shape, *(1,) * (error_BT.dim() - 2))
        return pull_BT

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        (error_BT,) = ctx.saved_tensors
        (tangent_BT,) = tangents
        slope_BT: Tensor = reduce(2.0 * error_BT * tangent_BT, "b t ... -> b t", "sum")
        return slope_BT


@hookimpl
def genzoo_costs() -> Iterator[object]:
    yield squared_error
