"""Kernels of the squared distance, as a spec can name them; the maths is in genzoo_rwae_kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import genzoo_rwae_kernels as kernels
from pydantic import Field, PositiveFloat

from genzoo_rwae.components import hookimpl, kernel
from genzoo_rwae_plugins.kernels.placed import Placed

__all__ = ["Imq", "RationalQuadratic", "Rbf"]

Scales = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
_WAE_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@kernel("imq")
@dataclass(frozen=True, kw_only=True)
class Imq(Placed, kernels.Imq):
    """Inverse multiquadric kernel, summed over scales.

    k(x, y) = Σ_s C_s / (C_s + ‖x − y‖²) with C_s = 2 D σ² s, so that scale 1 is at ½ where two
    draws of N(0, σ²I) typically are.

    Args:
        scales: the s: multiples of the typical squared distance.
        sigma: standard deviation of a coordinate under the prior.
        relative_to: what is typical: the prior's 2 D σ², or the median of the batch's pairs.

    Source: Tolstikhin et al., arXiv 1711.01558, Sec. 4.
    """

    scales: Scales = _WAE_SCALES
    sigma: PositiveFloat = 1.0
    relative_to: Literal["prior", "median"] = "prior"


@kernel("rbf")
@dataclass(frozen=True, kw_only=True)
class Rbf(Placed, kernels.Rbf):
    """Gaussian kernel, summed over scales.

    k(x, y) = Σ_s exp(−‖x − y‖² / (2 b_s²)) with b_s² = D σ² s, so that scale 1 is at 1/e where two
    draws of N(0, σ²I) typically are. `{scales: [1.0], relative_to: median}` is the median
    heuristic: b² is half the median squared distance of all codes that are compared.

    Args:
        scales: the s: multiples of the typical squared distance.
        sigma: standard deviation of a coordinate under the prior.
        relative_to: what is typical: the prior's 2 D σ², or the median of the batch's pairs.

    Source: Gretton et al., JMLR 13 (2012); Garreau et al., arXiv 1707.07269 (the median heuristic).
    """

    scales: Scales = _WAE_SCALES
    sigma: PositiveFloat = 1.0
    relative_to: Literal["prior", "median"] = "prior"


@kernel("rational-quadratic")
@dataclass(frozen=True, kw_only=True)
class RationalQuadratic(Placed, kernels.RationalQuadratic):
    """Rational quadratic kernel, summed over scales: between `imq` and `rbf`, or heavier in tails.

    k(x, y) = Σ_s (1 + ‖x − y‖² / (α C_s))^(−α) with C_s = 2 D σ² s. α = 1 is `imq`, and a large α
    tends to `rbf`.

    Args:
        alpha: exponent of the tails; the smaller, the heavier.
        scales: the s: multiples of the typical squared distance.
        sigma: standard deviation of a coordinate under the prior.
        relative_to: what is typical: the prior's 2 D σ², or the median of the batch's pairs.

    Source: Bińkowski et al., Demystifying MMD GANs, arXiv 1801.01401, Sec. 4.
    """

    alpha: PositiveFloat = 0.5
    scales: Scales = _WAE_SCALES
    sigma: PositiveFloat = 1.0
    relative_to: Literal["prior", "median"] = "prior"


@hookimpl
def genzoo_kernels() -> Iterator[object]:
    yield Imq
    yield Rbf
    yield RationalQuadratic
