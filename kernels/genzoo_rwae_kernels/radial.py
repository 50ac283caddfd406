"""Radial kernels: functions of the squared distance of two rows.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.

A kernel is an object that is made of its options and called with two samples. Mixtures over scales
s share one convention for the width,

    C_s = 2 D sigma^2 s,

the mean squared distance between two draws of N(0, sigma^2 I_D), times s. At that distance the
scale s = 1 stands at half of its height (`Imq`) or at 1/e (`Rbf`), whatever the width of the code.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo_rwae_kernels.distances import squared_distances
from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.samples import check_samples

__all__ = ["WAE_SCALES", "Imq", "Radial", "Rbf", "ScaleMixture"]

# Tolstikhin et al., arXiv 1711.01558, the authors' code (wae.py, mmd_penalty).
WAE_SCALES: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Radial(ABC):
    """A kernel k(x, y) = f(|x - y|^2); f may depend on the width D of the rows.

    Attributes:
        profile: the name under which compiled backends know f; empty if they do not.
    """

    profile: ClassVar[str] = ""

    @abstractmethod
    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        """f of squared distances [..., N, M] between rows of `width` coordinates.

        Differentiable any number of times.
        """

    @abstractmethod
    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        """f and df/d(d2), both [..., N, M], without a graph."""

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
        check_samples(type(self).__name__, x_ND, y_MD)
        working_ND, working_MD = in_working_precision(x_ND, y_MD)
        with outside_autocast(x_ND.device):
            k_NM = self.value(squared_distances(working_ND, working_MD), x_ND.shape[-1])
        return k_NM.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


@dataclass(frozen=True, kw_only=True)
class ScaleMixture(Radial):
    """A radial kernel summed over scales of the typical squared distance.

    Attributes:
        scales: multiples s of the typical squared distance, > 0.
        sigma: standard deviation of a code's coordinate under the prior, > 0.
    """

    scales: Sequence[float] = WAE_SCALES
    sigma: float = 1.0

    def __post_init__(self) -> None:
        name = type(self).__name__
        if len(self.scales) == 0:
            raise ValueError(f"{name}: no scales given; wanted at least one, such as scales=[1.0]")
        for scale in self.scales:
            if not (math.isfinite(scale) and scale > 0):
                raise ValueError(
                    f"{name}: scale {scale} in scales={list(self.scales)}; wanted positive, finite "
                    f"numbers: remove it"
                )
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ValueError(
                f"{name}: sigma is {self.sigma}; wanted a positive, finite number: the prior's "
                f"standard deviation, 1.0 for N(0, I)"
            )

    def widths(self, width: int, /) -> tuple[float, ...]:
        """C_s of every scale, for rows of `width` coordinates."""
        return tuple(2.0 * width * self.sigma**2 * scale for scale in self.scales)


@dataclass(frozen=True, kw_only=True)
class Imq(ScaleMixture):
    """Inverse multiquadric kernel, summed over scales.

    k(x, y) = sum_s C_s / (C_s + |x - y|^2),   C_s = 2 D sigma^2 s

    Heavy tails: codes far from the prior still feel a pull. k(x, x) = len(scales).

    Source: Tolstikhin et al., Wasserstein Auto-Encoders, arXiv 1711.01558, sec. 4.

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # squared distance 4 = 2 D sigma^2 from 0
        >>> Imq(scales=[1.0])(torch.zeros(1, 2), typical)
        tensor([[0.5000]])
    """

    profile: ClassVar[str] = "imq"

    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        k_NM = torch.zeros_like(d2_NM)
        # Scales one by one: folded into one rational function the gradient overflows float32.
        for c in self.widths(width):
            k_NM += d2_NM.div(c).add_(1.0).reciprocal_()
        return k_NM

    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        k_NM, slope_NM = torch.zeros_like(d2_NM), torch.zeros_like(d2_NM)
        for c in self.widths(width):
            term_NM = d2_NM.div(c).add_(1.0).reciprocal_()
            k_NM += term_NM
            slope_NM.addcmul_(term_NM, term_NM, value=-1.0 / c)
        return k_NM, slope_NM


@dataclass(frozen=True, kw_only=True)
class Rbf(ScaleMixture):
    """Gaussian kernel, summed over scales.

    k(x, y) = sum_s exp(-|x - y|^2 / C_s),   C_s = 2 D sigma^2 s

    In the form exp(-|x - y|^2 / (2 b^2)) the squared bandwidth is b^2 = D sigma^2 s, so that a
    pair at the typical squared distance 2 D sigma^2 has the exponent -1/s. k(x, x) = len(scales).

    Source: Gretton et al. 2012, JMLR 13, p. 723-773 (the kernel); the width is that of `Imq`,
        a choice of this package.

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # squared distance 4 = 2 D sigma^2 from 0
        >>> Rbf(scales=[1.0])(torch.zeros(1, 2), typical)  # 1/e
        tensor([[0.3679]])
    """

    profile: ClassVar[str] = "rbf"

    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        k_NM = torch.zeros_like(d2_NM)
        for c in self.widths(width):
            k_NM += d2_NM.div(-c).exp_()
        return k_NM

    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        k_NM, slope_NM = torch.zeros_like(d2_NM), torch.zeros_like(d2_NM)
        for c in self.widths(width):
            term_NM = d2_NM.div(-c).exp_()
            k_NM += term_NM
            slope_NM.add_(term_NM, alpha=-1.0 / c)
        return k_NM, slope_NM
