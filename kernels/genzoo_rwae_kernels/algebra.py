"""Sums and products of kernels.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.

`kernel_sum` and `kernel_product` of radial kernels are radial again, so that fast backends take
them in one sweep. `Sum` and `Product` become that when they are fitted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from genzoo_rwae_kernels.members import (
    Member,
    checked_members,
    fitted_member,
    member_values,
)
from genzoo_rwae_kernels.radial import Radial

__all__ = [
    "Product",
    "RadialProduct",
    "RadialSum",
    "Sum",
    "kernel_product",
    "kernel_sum",
]


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Weighted sum of kernels.

    k(x, y) = sum_i w_i k_i(x, y)

    Attributes:
        of: kernels: any callables k(x_ND, y_MD) -> [..., N, M].
        weights: the w_i, >= 0 and not all 0, one for each kernel; None: all 1.

    Source: Berlinet & Thomas-Agnan, Reproducing Kernel Hilbert Spaces in Probability and Statistics
        (2004), ch. 1, Theorem 5 (a sum of kernels is a kernel).

    Example:
        >>> from genzoo_rwae_kernels import Linear, Polynomial
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> Sum(of=[Linear(), Polynomial(degree=1)], weights=[1.0, 2.0])(x, x)  # 5 + 2 (5/2 + 1)
        tensor([[12.]])
    """

    of: Sequence[Member]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "of", checked_members(name, self.of))
        if self.weights is None:
            return
        object.__setattr__(self, "weights", tuple(self.weights))
        if len(self.weights) != len(self.of):
            raise ValueError(
                f"{name}: {len(self.weights)} weights for {len(self.of)} kernels; wanted one for "
                f"each, or none"
            )
        if not all(math.isfinite(w) and w >= 0 for w in self.weights) or not any(self.weights):
            raise ValueError(
                f"{name}: weights are {list(self.weights)}; wanted finite numbers >= 0, not all 0: "
                f"a difference of kernels is not positive definite"
            )

    @property
    def _weights(self) -> tuple[float, ...]:
        return (1.0,) * len(self.of) if self.weights is None else tuple(self.weights)

    @property
    def is_positive_definite(self) -> bool:
        """Whether the sum is, as far as its members say; a plain function counts as one that is."""
        return all(_is_positive_definite(member) for member in self.of)

    def fitted(
        self,
        x_ND: Tensor,
        y_MD: Tensor,
        /,
        x_weights_N: Tensor | None = None,
        y_weights_M: Tensor | None = None,
    ) -> "Sum | RadialSum":
        """The sum of the fitted members; radial where they all are.

        Args:
            x_ND: [..., N, D].
            y_MD: [..., M, D].
            x_weights_N: [N] or [..., N]; rows of weight 0 are absent.
            y_weights_M: [M] or [..., M], likewise.
        """
        members = [fitted_member(k, x_ND, y_MD, x_weights_N, y_weights_M) for k in self.of]
        return kernel_sum(*members, weights=self.weights)

    def __call__(self, x_ND: Tensor, y_MD: Tensor, /) -> Tensor:
        """The kernel between all rows.

        Args:
            x_ND: [..., N, D], floating.
            y_MD: [..., M, D], floating, the same batch dimensions.

        Returns:
            [..., N, M], the promoted dtype of x and y.

        Raises:
            TypeError: a sample is not floating.
            ValueError: a sample is empty, the two do not fit together, or a member returns another
                shape.
        """
        k_NM, *others = member_values(type(self).__name__, self.of, x_ND, y_MD)
        first, *weights = self._weights
        k_NM = first * k_NM
        for weight, other_NM in zip(weights, others, strict=True):
            k_NM = k_NM + weight * other_NM
        return k_NM.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


@dataclass(frozen=True, kw_only=True)
class Product:
    """Product of kernels.

    k(x, y) = prod_i k_i(x, y)

    Attributes:
        of: positive definite kernels: any callables k(x_ND, y_MD) -> [..., N, M].

    Source: Berlinet & Thomas-Agnan, Reproducing Kernel Hilbert Spaces in Probability and Statistics
        (2004), ch. 1, sec. 4.1 (a product of kernels is a kernel, by Schur).

    Example:
        >>> from genzoo_rwae_kernels import Linear
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> Product(of=[Linear(), Linear()])(x, x)  # 5 * 5
        tensor([[25.]])
    """

    of: Sequence[Member]

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", checked_members(type(self).__name__, self.of))
        _check_factors(type(self).__name__, self.of)

    def fitted(
        self,
        x_ND: Tensor,
        y_MD: Tensor,
        /,
        x_weights_N: Tensor | None = None,
        y_weights_M: Tensor | None = None,
    ) -> "Product | RadialProduct":
        """The product of the fitted members; radial where they all are.

        Args:
            x_ND: [..., N, D].
            y_MD: [..., M, D].
            x_weights_N: [N] or [..., N]; rows of weight 0 are absent.
            y_weights_M: [M] or [..., M], likewise.
        """
        members = [fitted_member(k, x_ND, y_MD, x_weights_N, y_weights_M) for k in self.of]
        return kernel_product(*members)

    def __call__(self, x_ND: Tensor, y_MD: Tensor, /) -> Tensor:
        """The kernel between all rows.

        Args:
            x_ND: [..., N, D], floating.
            y_MD: [..., M, D], floating, the same batch dimensions.

        Returns:
            [..., N, M], the promoted dtype of x and y.

        Raises:
            TypeError: a sample is not floating.
            ValueError: a sample is empty, the two do not fit together, or a member returns another
                shape.
        """
        k_NM, *others = member_values(type(self).__name__, self.of, x_ND, y_MD)
        for other_NM in others:
            k_NM = k_NM * other_NM
        return k_NM.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


@dataclass(frozen=True, kw_only=True)
class _OfRadials(Radial):
    """What a sum and a product of radial kernels have in common."""

    of: Sequence[Radial]

    @property
    def has_constant_width(self) -> bool:
        return all(member.has_constant_width for member in self.of)

    @property
    def has_kink(self) -> bool:
        return any(member.has_kink for member in self.of)

    def fitted(
        self,
        x_ND: Tensor,
        y_MD: Tensor,
        /,
        x_weights_N: Tensor | None = None,
        y_weights_M: Tensor | None = None,
    ) -> Self:
        """The same of the fitted members."""
        if self.has_constant_width:
            return self
        members = [k.fitted(x_ND, y_MD, x_weights_N, y_weights_M) for k in self.of]
        return replace(self, of=members)


@dataclass(frozen=True, kw_only=True)
class RadialSum(_OfRadials, Sum):
    """A `Sum` of radial kernels, itself radial: one sweep over the distances for all members.

    Attributes:
        of: radial kernels.
        weights: as those of `Sum`.

    Source: as `Sum`.

    Example:
        >>> from genzoo_rwae_kernels import Imq, Rbf
        >>> kernel = RadialSum(of=[Imq(scales=[1.0]), Rbf(scales=[1.0])])
        >>> kernel(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))  # 1/2 + 1/e
        tensor([[0.8679]])
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_radial(type(self).__name__, self.of)

    @property
    def is_positive_definite(self) -> bool:
        return all(member.is_positive_definite for member in self.of)

    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        k_NM = torch.zeros_like(d2_NM)
        for weight, member in zip(self._weights, self.of, strict=True):
            k_NM = k_NM + weight * member.value(d2_NM, width)
        return k_NM

    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        k_NM, slope_NM = torch.zeros_like(d2_NM), torch.zeros_like(d2_NM)
        with torch.no_grad():
            for weight, member in zip(self._weights, self.of, strict=True):
                its_k_NM, its_slope_NM = member.value_and_slope(d2_NM, width)
                k_NM.add_(its_k_NM, alpha=weight)
                slope_NM.add_(its_slope_NM, alpha=weight)
        return k_NM, slope_NM

    def at_zero(self, width: int, /) -> float:
        pairs = zip(self._weights, self.of, strict=True)
        return math.fsum(weight * member.at_zero(width) for weight, member in pairs)


@dataclass(frozen=True, kw_only=True)
class RadialProduct(_OfRadials, Product):
    """A `Product` of radial kernels, itself radial: one sweep over the distances for all members.

    Attributes:
        of: radial, positive definite kernels.

    Source: as `Product`.

    Example:
        >>> from genzoo_rwae_kernels import Imq, Rbf
        >>> kernel = RadialProduct(of=[Imq(scales=[1.0]), Rbf(scales=[1.0])])
        >>> kernel(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]))  # 1/2 * 1/e
        tensor([[0.1839]])
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_radial(type(self).__name__, self.of)

    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        k_NM = torch.ones_like(d2_NM)
        for member in self.of:
            k_NM = k_NM * member.value(d2_NM, width)
        return k_NM

    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        k_NM, slope_NM = torch.ones_like(d2_NM), torch.zeros_like(d2_NM)
        with torch.no_grad():
            for member in self.of:
                its_k_NM, its_slope_NM = member.value_and_slope(d2_NM, width)
                slope_NM = slope_NM * its_k_NM + k_NM * its_slope_NM
                k_NM = k_NM * its_k_NM
        return k_NM, slope_NM

    def at_zero(self, width: int, /) -> float:
        return math.prod(member.at_zero(width) for member in self.of)


def kernel_sum(*kernels: Member, weights: Sequence[float] | None = None) -> Sum | RadialSum:
    """Sum of kernels; radial, and so known to fast backends, if they all are.

    Args:
        kernels: callables k(x_ND, y_MD) -> [..., N, M].
        weights: >= 0, one for each kernel; None: all 1.

    Returns:
        A kernel.

    Raises:
        ValueError: no kernels, or weights that do not fit.

    Source: as `Sum`.

    Example:
        >>> from genzoo_rwae_kernels import Imq, Linear, Rbf
        >>> type(kernel_sum(Imq(), Rbf())).__name__, type(kernel_sum(Imq(), Linear())).__name__
        ('RadialSum', 'Sum')
    """
    radial = [kernel for kernel in kernels if isinstance(kernel, Radial)]
    if kernels and len(radial) == len(kernels):
        return RadialSum(of=radial, weights=weights)
    return Sum(of=kernels, weights=weights)


def kernel_product(*kernels: Member) -> Product | RadialProduct:
    """Product of kernels; radial, and so known to fast backends, if they all are.

    Args:
        kernels: positive definite callables k(x_ND, y_MD) -> [..., N, M].

    Returns:
        A kernel.

    Raises:
        ValueError: no kernels, or one that says it is not positive definite.

    Source: as `Product`.

    Example:
        >>> from genzoo_rwae_kernels import Imq, Linear, Rbf
        >>> kernel = kernel_product(Imq(), Rbf())
        >>> type(kernel).__name__, type(kernel_product(Imq(), Linear())).__name__
        ('RadialProduct', 'Product')
    """
    radial = [kernel for kernel in kernels if isinstance(kernel, Radial)]
    if kernels and len(radial) == len(kernels):
        return RadialProduct(of=radial)
    return Product(of=kernels)


def _is_positive_definite(kernel: Member) -> bool:
    return bool(getattr(kernel, "is_positive_definite", True))


def _check_factors(name: str, kernels: Sequence[Member]) -> None:
    for kernel in kernels:
        if not _is_positive_definite(kernel):
            raise ValueError(
                f"{name}: {kernel!r} is only conditionally positive definite, so that products "
                f"with it are not; wanted positive definite kernels: take it into a Sum"
            )


def _check_radial(name: str, kernels: Sequence[object]) -> None:
    for kernel in kernels:
        if not isinstance(kernel, Radial):
            raise TypeError(
                f"{name}: {kernel!r} is not radial; wanted kernels derived from Radial: use "
                f"kernel_{name.removeprefix('Radial').lower()}, which takes any"
            )
