"""Adam and its variants, in torch's fused form: every parameter is gone through once a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat

from genzoo_rwae.components import hookimpl, optimizer

__all__ = ["adam", "adamw"]

Beta = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@optimizer("adamw")
def adamw(
    parameters: Iterable[torch.nn.Parameter],
    /,
    *,
    lr: Rate = 1e-3,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    weight_decay: NonNegativeFloat = 1e-4,
) -> torch.optim.Optimizer:
    """AdamW: Adam with decoupled weight decay.

    Args:
        lr: learning rate.
        betas: decay of the running means of gradient and squared gradient.
        weight_decay: decoupled weight decay.

    Source: Loshchilov and Hutter, arXiv 1711.05101.
    """
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


@optimizer("adam")
def adam(
    parameters: Iterable[torch.nn.Parameter],
    /,
    *,
    lr: Rate = 1e-3,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Adam; WAE's own setting has betas (0.5, 0.999).

    Args:
        lr: learning rate.
        betas: decay of the running means of gradient and squared gradient.

    Source: Kingma and Ba, arXiv 1412.6980.
    """
    return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=True)


@hookimpl
def genzoo_optimizers() -> Iterator[object]:
    yield adamw
    yield adam
