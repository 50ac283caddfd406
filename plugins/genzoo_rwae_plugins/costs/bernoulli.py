"""A cost of values that are probabilities."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import reduce
from torch import Tensor

from genzoo_rwae.components import cost, hookimpl
from genzoo_rwae.errors import OptionError

__all__ = ["bernoulli"]


@cost("bernoulli")
def bernoulli(x_BT: Tensor, x_hat_BT: Tensor, /) -> Tensor:
    """Binary cross-entropy of values in [0, 1], summed over a frame, in nats.

    c(x, x̂) = −Σ [x ln x̂ + (1 − x) ln(1 − x̂)]: [B, T, ...] twice to [B, T]. Smallest at x̂ = x, where
    it is the entropy of x: 0 for black and white, more for grey. Logarithms stop at that of the
    smallest number that the dtype has (−87 in float32).

    Raises:
        OptionError: a value is outside [0, 1].

    Source: Kingma and Welling, arXiv 1312.6114, Appendix C.1.
    """
    for name, values in (("the data", x_BT), ("the reconstruction", x_hat_BT)):
        if bool(((values < 0) | (values > 1)).any()):
            raise OptionError(
                f"{name} have values from {values.min():.3g} to {values.max():.3g}; wanted them "
                "in [0, 1], as of images; take a cost for any numbers, as squared-error"
            )
    # equal values pull at nothing, also at 0 and 1, where a logarithm would
    x_hat_BT = torch.where(x_hat_BT == x_BT, x_hat_BT.detach(), x_hat_BT)
    least = torch.finfo(x_hat_BT.dtype).tiny
    ln_1 = x_hat_BT.clamp_min(least).log()
    ln_0 = (1 - x_hat_BT).clamp_min(least).log()
    return -reduce(x_BT * ln_1 + (1 - x_BT) * ln_0, "b t ... -> b t", "sum")


@hookimpl
def genzoo_costs() -> Iterator[object]:
    yield bernoulli
