"""Kernels of the inner product, sums and products of kernels, as a spec can name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import genzoo_rwae_kernels as kernels
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from genzoo_rwae.components import Use, hookimpl, kernel
from genzoo_rwae_plugins.kernels.placed import Placed

__all__ = ["Linear", "Polynomial", "Product", "Sum"]


@kernel("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(kernels.Linear):
    """Linear kernel: compares means alone.

    k(x, y) = x·y; the biased MMD² is the squared distance of the two means.

    Source: Gretton et al., JMLR 13 (2012), Sec. 2.
    """


@kernel("polynomial")
@dataclass(frozen=True, kw_only=True)
class Polynomial(Placed, kernels.Polynomial):
    """Polynomial kernel: compares moments up to its degree.

    k(x, y) = (scale x·y + offset)^degree; the defaults are those of the kernel inception distance.

    Args:
        degree: exponent: the highest moment that is compared.
        offset: weight of the lower moments.
        scale: factor on the inner product; 1/D where none is given.

    Source: Bińkowski et al., Demystifying MMD GANs, arXiv 1801.01401, Sec. 4.
    """

    degree: PositiveInt = 3
    offset: NonNegativeFloat = 1.0
    scale: PositiveFloat | None = None


@kernel("sum")
@dataclass(frozen=True, kw_only=True)
class Sum(Placed, kernels.Sum):
    """Weighted sum of kernels.

    k(x, y) = Σ_i w_i k_i(x, y)

    Args:
        of: the kernels k_i.
        weights: the w_i, one for each; all 1 where none are given.

    Source: Berlinet & Thomas-Agnan, Reproducing Kernel Hilbert Spaces in Probability and
        Statistics (2004), ch. 1.
    """

    of: Annotated[tuple[Callable[..., Tensor], ...], Use("kernel", many=True)]
    weights: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] | None = None


@kernel("product")
@dataclass(frozen=True, kw_only=True)
class Product(Placed, kernels.Product):
    """Product of kernels.

    k(x, y) = Π_i k_i(x, y)

    Args:
        of: the kernels k_i; each positive definite, which `energy` is not.

    Source: Berlinet & Thomas-Agnan, Reproducing Kernel Hilbert Spaces in Probability and
        Statistics (2004), ch. 1.
    """

    of: Annotated[tuple[Callable[..., Tensor], ...], Use("kernel", many=True)]


@hookimpl
def genzoo_kernels() -> Iterator[object]:
    yield Linear
    yield Polynomial
    yield Sum
    yield Product
