"""Sliced Wasserstein distance as a penalty.

Shapes: N rows, D code width, T time, L directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from genzoo_rwae_kernels.precision import in_working_precision
from genzoo_rwae_kernels.samples import check_samples
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import hookimpl, penalty

__all__ = ["sliced_wasserstein"]


@penalty("sliced-wasserstein", batched=True)
def sliced_wasserstein(
    q_TND: Tensor,
    p_TND: Tensor,
    /,
    *,
    projections: PositiveInt = 64,
    power: Annotated[float, Field(ge=1)] = 2.0,
) -> Tensor:
    """Sliced Wasserstein distance to the p-th power, over random directions.

    mean_θ mean_i |⟨θ, q⟩_(i) − ⟨θ, p⟩_(i)|^p over sorted projections, θ uniform on the sphere

    [N, D] twice to a scalar, [T, N, D] to [T]; N rows in both. For N(μ, I) against N(0, I) and
    p = 2 it tends to ‖μ‖²/D: a D-th of W_2². Directions are drawn from the global generator at
    every call, the same ones for every t.

    Args:
        projections: directions per call.
        power: the p, 1 or more.

    Raises:
        ValueError: the samples differ in their numbers of rows.

    Source: Kolouri et al., Sliced-Wasserstein Autoencoder, arXiv 1804.01947, Eq. (8) and (15);
        Bonneel et al., J. Math. Imaging Vis. 51 (2015).
    """
    check_samples("sliced-wasserstein", q_TND, p_TND)
    if q_TND.shape[-2] != p_TND.shape[-2]:
        raise ValueError(
            f"sliced-wasserstein: {q_TND.shape[-2]} rows of q and {p_TND.shape[-2]} of p; wanted "
            "equal numbers, which are matched in sorted order: draw one prior row for each code"
        )
    q, p = in_working_precision(q_TND, p_TND)
    theta_DL = torch.randn(q.shape[-1], projections, dtype=q.dtype, device=q.device)
    theta_DL = nn.functional.normalize(theta_DL, dim=0)
    gap_TNL = (q @ theta_DL).sort(dim=-2).values - (p @ theta_DL).sort(dim=-2).values
    cost_TNL = gap_TNL.square() if power == 2 else gap_TNL.abs().pow(power)
    return cost_TNL.mean((-2, -1)).to(q_TND.dtype)


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield sliced_wasserstein
