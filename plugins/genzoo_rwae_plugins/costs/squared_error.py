"""The reconstruction cost of R-WAE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genzoo_rwae.components import cost, hookimpl

__all__ = ["squared_error"]


@cost("squared-error")
def squared_error(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    """Squared L2 distance, summed over a frame.

    c(x, x̂) = ‖x − x̂‖²: [B, T, ...] twice to [B, T].

    Source: arXiv 2101.07496, Sec. 3; arXiv 1711.01558.
    """
    cost_BT: Tensor = _SquaredError.apply(x_BT, x_hat_BT)[0]  # type: ignore[no-untyped-call]
    return cost_BT


class _SquaredError(torch.autograd.Function):
    """‖x̂ − x‖² and x̂ − x: frames are gone through twice, and once on the way back.

    x̂ comes first, as what is computed lies in memory like the first of the two; no flattening:
    frames may be channels-last, and it would copy them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x_BT: Tensor, x_hat_BT: Tensor) -> tuple[Tensor, Tensor]:
        error_BT = x_hat_BT - x_BT
        of_frames = error_BT[..., None]  # which have an axis at least
        axes = tuple(range(2, of_frames.dim()))
        return torch.linalg.vector_norm(of_frames, dim=axes).square(), error_BT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # of the error there is none, and zeros are as large
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if gradients[0] is None:
            return None, None
        x_BT, x_hat_BT, error_BT = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            error_BT = x_hat_BT - x_BT
        g_BT = gradients[0].reshape(*error_BT.shape[:2], *(1,) * (error_BT.dim() - 2))
        pull_BT = error_BT * (2.0 * g_BT)
        of_x, of_x_hat = ctx.needs_input_grad
        return -pull_BT if of_x else None, pull_BT if of_x_hat else None


@hookimpl
def genzoo_costs() -> Iterator[object]:
    yield squared_error
