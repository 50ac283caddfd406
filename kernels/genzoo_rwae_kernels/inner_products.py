"""Kernels of the inner product.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.samples import check_samples

__all__ = ["Linear", "Polynomial"]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Linear kernel: MMD^2 compares means alone.

    k(x, y) = x . y,   so that the V-statistic is |mean(x) - mean(y)|^2

    Neither this kernel nor `Polynomial` is blind to an offset: in float32 one of a thousand times
    the spread leaves no digits of an MMD.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, sec. 2 (the mean embedding).

    Example:
        >>> Linear()(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
        tensor([[11.]])
    """

    def __call__(self, x_ND: Tensor, y_MD: Tensor, /) -> Tensor:
        """The kernel between all rows.

        Args:
            x_ND: [..., N, D], floating.
            y_MD: [..., M, D], floating, the same batch dimensions.

        Returns:
            [..., N, M], the promoted dtype of x and y.

        Raises:
            TypeError: a sample is not floating.
            ValueError: a sample is empty, or the two do not fit together.
        """
        return _inner_products("Linear", x_ND, y_MD)


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """Polynomial kernel: MMD^2 compares moments up to its degree.

    k(x, y) = (scale * x . y + offset)^degree

    The defaults are those of the kernel inception distance, (x . y / D + 1)^3.

    Attributes:
        degree: exponent, >= 1.
        offset: weight of the lower moments, >= 0; at 0 those of `degree` count alone.
        scale: factor on the inner product, > 0; None: 1/D.

    Source: Bińkowski et al., Demystifying MMD GANs, arXiv 1801.01401, sec. 4.

    Example:
        >>> x, y = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 3.0]])
        >>> Polynomial(degree=2)(x, y)  # (4/2 + 1)^2
        tensor([[9.]])
    """

    degree: int = 3
    offset: float = 1.0
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.degree != int(self.degree) or self.degree < 1:
            raise ValueError(f"Polynomial: degree is {self.degree}; wanted a whole number >= 1")
        if not (math.isfinite(self.offset) and self.offset >= 0):
            raise ValueError(
                f"Polynomial: offset is {self.offset}; wanted a finite number >= 0: below 0 the "
                f"kernel is not positive definite"
            )
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"Polynomial: scale is {self.scale}; wanted a positive, finite number, or None "
                f"for one over the width of the rows"
            )

    def __call__(self, x_ND: Tensor, y_MD: Tensor, /) -> Tensor:
        """The kernel between all rows.

        Args:
            x_ND: [..., N, D], floating.
            y_MD: [..., M, D], floating, the same batch dimensions.

        Returns:
            [..., N, M], the promoted dtype of x and y.

        Raises:
            TypeError: a sample is not floating.
            ValueError: a sample is empty, or the two do not fit together.
        """
        scale = 1.0 / x_ND.shape[-1] if self.scale is None else self.scale
        return _inner_products(
            "Polynomial", x_ND, y_MD, lambda k_NM: (scale * k_NM + self.offset) ** self.degree
        )


def _inner_products(
    caller: str, x_ND: Tensor, y_MD: Tensor, profile: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    check_samples(caller, x_ND, y_MD)
    working_ND, working_MD = in_working_precision(x_ND, y_MD)
    with outside_autocast(x_ND.device):
        k_NM = working_ND @ working_MD.mT
        k_NM = k_NM if profile is None else profile(k_NM)
    return k_NM.to(torch.promote_types(x_ND.dtype, y_MD.dtype))
