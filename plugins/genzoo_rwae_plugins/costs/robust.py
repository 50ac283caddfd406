"""Reconstruction costs that large errors pull less than the squared one."""

from __future__ import annotations

from collections.abc import Iterator

from einops import reduce
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn.functional import huber_loss

from genzoo_rwae.components import cost, hookimpl

__all__ = ["absolute", "huber"]


@cost("absolute")
def absolute(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    """Absolute error, summed over a frame.

    c(x, x̂) = Σ |x − x̂|: [B, T, ...] twice to [B, T]. Its minimum is the median, not the mean, of
    what x may be, which is sharper where that is one of two things.
    """
    # x̂ first: see squared_error
    return reduce((x_hat_BT - x_BT).abs(), "b t ... -> b t", "sum")


@cost("huber")
def huber(x_BT: Tensor, x_hat_BT: Tensor, /, *, delta: PositiveFloat = 0.1) -> Tensor:
    """Squared error of small errors, absolute error of large ones, summed over a frame.

    c(x, x̂) = Σ h(x − x̂),  h(e) = ½ e² where |e| ≤ δ, else δ (|e| − ½ δ): [B, T, ...] twice to
    [B, T].

    Args:
        delta: where the one becomes the other, in units of the data.

    Source: Huber, Robust Estimation of a Location Parameter, 1964.
    """
    wrong_BT = huber_loss(x_hat_BT, x_BT, reduction="none", delta=delta)
    return reduce(wrong_BT, "b t ... -> b t", "sum")


@hookimpl
def genzoo_costs() -> Iterator[object]:
    yield absolute
    yield huber
