"""Kernels of the distance itself, as a spec can name them; the maths is in genzoo_rwae_kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import genzoo_rwae_kernels as kernels
from pydantic import Field, PositiveFloat

from genzoo_rwae.components import hookimpl, kernel
from genzoo_rwae_plugins.kernels.placed import Placed

__all__ = ["Energy", "Laplacian", "Matern"]

Scales = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
_WAE_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@kernel("laplacian")
@dataclass(frozen=True, kw_only=True)
class Laplacian(Placed, kernels.Laplacian):
    """Laplacian kernel of the Euclidean distance, summed over scales.

    k(x, y) = Σ_s exp(−‖x − y‖ / ℓ_s) with ℓ_s² = 2 D σ² s, so that scale 1 is at 1/e where two
    draws of N(0, σ²I) typically are. Sharp at 0: it sees finer differences of laws than `rbf`.

    Args:
        scales: the s: multiples of the typical squared distance.
        sigma: standard deviation of a coordinate under the prior.
        relative_to: what is typical: the prior's 2 D σ², or the median of the batch's pairs.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), Eq. (4.18).
    """

    scales: Scales = _WAE_SCALES
    sigma: PositiveFloat = 1.0
    relative_to: Literal["prior", "median"] = "prior"


@kernel("matern")
@dataclass(frozen=True, kw_only=True)
class Matern(Placed, kernels.Matern):
    """Matérn kernel, summed over scales: between `laplacian` and a Gaussian in smoothness.

    k(x, y) = Σ_s h(√(2ν) ‖x − y‖ / ℓ_s) with ℓ_s² = 2 D σ² s; h(u) is exp(−u) for ν = 0.5,
    (1 + u) exp(−u) for 1.5 and (1 + u + u²/3) exp(−u) for 2.5.

    Args:
        nu: smoothness; 0.5 is `laplacian`.
        scales: the s: multiples of the typical squared distance.
        sigma: standard deviation of a coordinate under the prior.
        relative_to: what is typical: the prior's 2 D σ², or the median of the batch's pairs.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), Eq. (4.16)-(4.18).
    """

    nu: Literal[0.5, 1.5, 2.5] = 1.5  # type: ignore[valid-type]
    scales: Scales = _WAE_SCALES
    sigma: PositiveFloat = 1.0
    relative_to: Literal["prior", "median"] = "prior"


@kernel("energy")
@dataclass(frozen=True, kw_only=True)
class Energy(Placed, kernels.Energy):
    """Distance-induced kernel: no bandwidth, and 2 MMD² is the energy distance.

    k(x, y) = −‖x − y‖^β / 2. It is positive definite for weights that sum to 0 alone, which is
    what an MMD needs; a product with other kernels is refused.

    Args:
        beta: exponent of the distance, below 2.

    Source: Sejdinovic et al., Ann. Statist. 41 (2013), arXiv 1207.6076.
    """

    beta: Annotated[float, Field(gt=0, lt=2)] = 1.0


@hookimpl
def genzoo_kernels() -> Iterator[object]:
    yield Laplacian
    yield Matern
    yield Energy
