"""Kernels of the distance, as a spec can name them; the maths is in genzoo_rwae_kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import genzoo_rwae_kernels as kernels
from pydantic import Field, PositiveFloat

from genzoo_rwae.components import hookimpl, kernel

__all__ = ["Imq", "Rbf"]

Scales = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
_WAE_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@kernel("imq")
@dataclass(frozen=True, kw_only=True)
class Imq(kernels.Imq):
    """Inverse multiquadric kernel, summed over scales.

    k(x, y) = Σ_s C_s / (C_s + ‖x − y‖²) with C_s = 2 D σ² s, so that scale 1 is at ½ where two
    draws of N(0, σ²I) typically are.

    Args:
        scales: the s.
        sigma: standard deviation of a coordinate under the prior.

    Source: Tolstikhin et al., arXiv 1711.01558, Sec. 4.
    """

    scales: Scales = _WAE_SCALES
    sigma: PositiveFloat = 1.0


@kernel("rbf")
@dataclass(frozen=True, kw_only=True)
class Rbf(kernels.Rbf):
    """Gaussian kernel, summed over scales.

    k(x, y) = Σ_s exp(−‖x − y‖² / (2 b_s²)) with b_s² = D σ² s, so that scale 1 is at 1/e where two
    draws of N(0, σ²I) typically are.

    Args:
        scales: the s.
        sigma: standard deviation of a coordinate under the prior.

    Source: Gretton et al., JMLR 13 (2012).
    """

    scales: Scales = _WAE_SCALES
    sigma: PositiveFloat = 1.0


@hookimpl
def genzoo_kernels() -> Iterator[object]:
    yield Imq
    yield Rbf
