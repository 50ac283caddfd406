"""Radial kernels: functions of the squared distance of two rows.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.

A kernel is an object that is made of its options and called with two samples. Mixtures over scales
s share one convention for the width,

    C_s = 2 D sigma^2 s,

the mean squared distance between two draws of N(0, sigma^2 I_D), times s. At that distance the
scale s = 1 stands at half of its height (`Imq`) or at 1/e (`Rbf`), whatever the width of the code.
Relative to the median, C_s is the median squared distance of the samples at hand, times s.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from genzoo_rwae_kernels.bandwidth import median_squared_distance
from genzoo_rwae_kernels.distances import squared_distances
from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.samples import check_samples

__all__ = ["WAE_SCALES", "Imq", "Radial", "RationalQuadratic", "Rbf", "ScaleMixture"]

# Tolstikhin et al., arXiv 1711.01558, the authors' code (wae.py, mmd_penalty).
WAE_SCALES: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

# Share of the largest squared distance below which products of float64 are too coarse for a root.
_NEAR = 1e-8


class Radial(ABC):
    """A kernel k(x, y) = f(|x - y|^2); f may depend on the width D of the rows.

    Attributes:
        profile: the name under which compiled backends know f; empty if they do not. A class
            derived from a known one that has a `value` or `height` of its own is not known.
    """

    profile: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if vars(cls).keys() & {"value", "height"} and "profile" not in vars(cls):
            cls.profile = ""

    @property
    def has_constant_width(self) -> bool:
        """Whether f is made of plain numbers: not learnt, not per element of a batch, fitted.

        Backends that take the derivative with respect to the samples alone refuse the others.
        """
        return True

    @property
    def has_kink(self) -> bool:
        """Whether f is not smooth in x where rows coincide, as a root of the squared distance.

        Small squared distances then have to be sums of squared differences.
        """
        return False

    @property
    def is_positive_definite(self) -> bool:
        """Whether every Gram matrix is; if not, those with weights that sum to 0 still are."""
        return True

    @abstractmethod
    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        """f of squared distances [..., N, M] between rows of `width` coordinates.

        Differentiable any number of times.
        """

    @abstractmethod
    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        """f and df/d(d2), both [..., N, M], without a graph; a slope is 0 where it is infinite."""

    def at_zero(self, width: int, /) -> float:
        """k(x, x) = f(0) for rows of `width` coordinates."""
        return float(self.value(torch.zeros((), dtype=torch.float64), width))

    def fitted(
        self,
        x_ND: Tensor,
        y_MD: Tensor,
        /,
        x_weights_N: Tensor | None = None,
        y_weights_M: Tensor | None = None,
    ) -> Self:
        """This kernel with what it takes from the data taken from these samples.

        An estimator calls it once, so that all of its blocks see one kernel. Kernels that take
        nothing from the data are returned as they are.

        Args:
            x_ND: [..., N, D].
            y_MD: [..., M, D].
            x_weights_N: [N] or [..., N]; rows of weight 0 are absent.
            y_weights_M: [M] or [..., M], likewise.
        """
        del x_ND, y_MD, x_weights_N, y_weights_M
        return self

    def __call__(self, x_ND: Tensor, y_MD: Tensor, /) -> Tensor:
        """The kernel between all rows.

        Args:
            x_ND: [..., N, D], floating.
            y_MD: [..., M, D], floating, the same batch dimensions.

        Returns:
            [..., N, M], the promoted dtype of x and y.

        Raises:
            TypeError: a sample is not floating.
            ValueError: a sample is empty, the two do not fit together, or there is no median to
                be relative to.
        """
        check_samples(type(self).__name__, x_ND, y_MD)
        working_ND, working_MD = in_working_precision(x_ND, y_MD)
        with outside_autocast(x_ND.device):
            kernel = self.fitted(working_ND, working_MD)
            d2_NM = squared_distances(working_ND, working_MD)
            if kernel.has_kink:
                d2_NM = _near_by_differences(d2_NM, working_ND, working_MD)
            k_NM = kernel.value(d2_NM, x_ND.shape[-1])
        return k_NM.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


@dataclass(frozen=True, kw_only=True)
class ScaleMixture(Radial):
    """A radial kernel summed over scales: k(x, y) = sum_s h(|x - y|^2 / C_s), h(0) = 1.

    Attributes:
        scales: multiples s of the typical squared distance, > 0.
        sigma: standard deviation of a code's coordinate under the prior, > 0.
        relative_to: whose typical squared distance the scales multiply: two draws of the prior
            N(0, sigma^2 I), or the median over the pairs of the samples that are compared.

    A scale or sigma may be a tensor of no dimensions that requires a gradient (a learnt
    bandwidth); tensors that do not are read once, as numbers.
    """

    scales: Sequence[float | Tensor] = WAE_SCALES
    sigma: float | Tensor = 1.0
    relative_to: Literal["prior", "median"] = "prior"

    def __post_init__(self) -> None:
        name = type(self).__name__
        if isinstance(self.scales, str):
            raise TypeError(
                f"{name}: scales is {self.scales!r}; wanted a list of numbers: the median is "
                f"chosen by scales=[1.0], relative_to='median'"
            )
        object.__setattr__(self, "scales", tuple(_number_if_constant(s) for s in self.scales))
        object.__setattr__(self, "sigma", _number_if_constant(self.sigma))
        if len(self.scales) == 0:
            raise ValueError(f"{name}: no scales given; wanted at least one, such as scales=[1.0]")
        for scale in self.scales:
            if not _is_positive(scale):
                raise ValueError(
                    f"{name}: scale {scale} in scales={list(self.scales)}; wanted positive, finite "
                    f"numbers: remove it"
                )
        if not _is_positive(self.sigma):
            raise ValueError(
                f"{name}: sigma is {self.sigma}; wanted a positive, finite number: the prior's "
                f"standard deviation, 1.0 for N(0, I)"
            )
        for tensor in (*self.scales, self.sigma):
            if isinstance(tensor, Tensor) and tensor.dim() and tensor.shape[-2:] != (1, 1):
                raise ValueError(
                    f"{name}: a scale or sigma has shape {list(tensor.shape)}; wanted a tensor of "
                    f"no dimensions, or [..., 1, 1] for one value per element of a batch"
                )
        if self.relative_to not in ("prior", "median"):
            raise ValueError(
                f"{name}: relative_to is {self.relative_to!r}; wanted 'prior' or 'median'"
            )
        if self.relative_to == "median" and (isinstance(self.sigma, Tensor) or self.sigma != 1.0):
            raise ValueError(
                f"{name}: sigma is {self.sigma} beside relative_to='median', which has no use for "
                f"it; wanted one of them: leave sigma out, or scale by the prior"
            )

    @cached_property
    def has_constant_width(self) -> bool:
        numbers = (*self.scales, self.sigma)
        return self.relative_to == "prior" and not any(isinstance(n, Tensor) for n in numbers)

    def widths(self, width: int, /) -> tuple[float, ...]:
        """C_s of every scale as numbers, for rows of `width` coordinates.

        Raises:
            ValueError: the kernel is relative to a median and not fitted, or has one width per
                element of a batch.
        """
        for tensor in (*self.scales, self.sigma):
            if isinstance(tensor, Tensor) and tensor.numel() > 1:
                raise ValueError(
                    f"{type(self).__name__}: {tensor.numel()} values of one width; wanted a single "
                    f"number: only value and value_and_slope know one width per element of a batch"
                )
        with torch.no_grad():
            return tuple(float(c) for c in self._widths(width))

    def at_zero(self, width: int, /) -> float:
        return float(len(self.scales))

    def fitted(
        self,
        x_ND: Tensor,
        y_MD: Tensor,
        /,
        x_weights_N: Tensor | None = None,
        y_weights_M: Tensor | None = None,
    ) -> Self:
        """This kernel with the median of these samples, if that is what it is relative to."""
        if self.relative_to == "prior":
            return self
        median = median_squared_distance(
            x_ND, y_MD, x_weights_N=x_weights_N, y_weights_M=y_weights_M
        )
        sigma = (median / (2 * x_ND.shape[-1])).sqrt()
        of_batch = float(sigma) if sigma.numel() == 1 else sigma[..., None, None]
        return replace(self, relative_to="prior", sigma=of_batch)

    @abstractmethod
    def height(self, z_NM: Tensor, /) -> Tensor:
        """h of z = |x - y|^2 / C_s; differentiable any number of times. z may be overwritten."""

    @abstractmethod
    def height_and_fall(self, z_NM: Tensor, /) -> tuple[Tensor, Tensor]:
        """h and -dh/dz without a graph; the fall is 0 where it is infinite. z may be overwritten.

        The two may be one tensor.
        """

    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        k_NM = torch.zeros_like(d2_NM)
        # Scales one by one: folded into one rational function the gradient overflows float32.
        for c in self._widths(width):
            k_NM += self.height(d2_NM / _like(c, d2_NM))
        return k_NM

    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        k_NM, slope_NM = torch.zeros_like(d2_NM), torch.zeros_like(d2_NM)
        with torch.no_grad():
            for c in self._widths(width):
                height_NM, fall_NM = self.height_and_fall(d2_NM / _like(c, d2_NM))
                k_NM += height_NM
                if isinstance(c, Tensor):
                    slope_NM -= fall_NM / _like(c, d2_NM)
                else:
                    slope_NM.sub_(fall_NM, alpha=1.0 / c)
        return k_NM, slope_NM

    def _widths(self, width: int) -> tuple[float | Tensor, ...]:
        if self.relative_to == "median":
            raise ValueError(
                f"{type(self).__name__}: the median is not known yet; call "
                f"kernel.fitted(x, y) on the samples first, and use the kernel that it returns"
            )
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

    def height(self, z_NM: Tensor, /) -> Tensor:
        return z_NM.add_(1.0).reciprocal_()

    def height_and_fall(self, z_NM: Tensor, /) -> tuple[Tensor, Tensor]:
        height_NM = z_NM.add_(1.0).reciprocal_()
        return height_NM, height_NM.square()


@dataclass(frozen=True, kw_only=True)
class Rbf(ScaleMixture):
    """Gaussian kernel, summed over scales.

    k(x, y) = sum_s exp(-|x - y|^2 / C_s),   C_s = 2 D sigma^2 s

    In the form exp(-|x - y|^2 / (2 b^2)) the squared bandwidth is b^2 = D sigma^2 s, so that a
    pair at the typical squared distance 2 D sigma^2 has the exponent -1/s. k(x, x) = len(scales).

    Source: Gretton et al. 2012, JMLR 13, p. 723-773 (the kernel); the width is that of `Imq`,
        a choice of this package. Relative to the median, Garreau et al., arXiv 1707.07269:
        2 b^2 = the median squared distance.

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # squared distance 4 = 2 D sigma^2 from 0
        >>> Rbf(scales=[1.0])(torch.zeros(1, 2), typical)  # 1/e
        tensor([[0.3679]])
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]])  # distances 1, 2 and 3
        >>> Rbf(scales=[1.0], relative_to="median")(x, y)  # exp(-9/4), exp(-4/4)
        tensor([[0.1054],
                [0.3679]])
    """

    profile: ClassVar[str] = "rbf"

    def height(self, z_NM: Tensor, /) -> Tensor:
        return z_NM.neg_().exp_()

    def height_and_fall(self, z_NM: Tensor, /) -> tuple[Tensor, Tensor]:
        height_NM = z_NM.neg_().exp_()
        return height_NM, height_NM


@dataclass(frozen=True, kw_only=True)
class RationalQuadratic(ScaleMixture):
    """Rational quadratic kernel, summed over scales.

    k(x, y) = sum_s (1 + |x - y|^2 / (alpha C_s))^(-alpha),   C_s = 2 D sigma^2 s

    The published (1 + |x - y|^2 / (2 alpha l^2))^(-alpha) with 2 l^2 = C_s: alpha = 1 is `Imq`, and
    a large alpha tends to `Rbf`. At the typical squared distance the scale s = 1 stands at
    (1 + 1/alpha)^(-alpha), between 1 and 1/e. k(x, x) = len(scales).

    Attributes:
        alpha: exponent of the tails, > 0: the smaller, the heavier.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), Eq. (4.19);
        Bińkowski et al., Demystifying MMD GANs, arXiv 1801.01401, sec. 4 (for the MMD).

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # squared distance 4 = 2 D sigma^2 from 0
        >>> RationalQuadratic(scales=[1.0], alpha=0.5)(torch.zeros(1, 2), typical)  # 3^(-1/2)
        tensor([[0.5774]])
    """

    profile: ClassVar[str] = "rational-quadratic"

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_positive(self.alpha):
            raise ValueError(
                f"{type(self).__name__}: alpha is {self.alpha}; wanted a positive, finite number, "
                f"such as 0.5; alpha=1 is Imq, and Rbf is its limit"
            )

    def height(self, z_NM: Tensor, /) -> Tensor:
        # A power of 1 + z/alpha would lose the digits of z for a large alpha.
        return (z_NM / self.alpha).log1p_().mul(-self.alpha).exp_()

    def height_and_fall(self, z_NM: Tensor, /) -> tuple[Tensor, Tensor]:
        z_NM = z_NM.div_(self.alpha)
        height_NM = z_NM.log1p().mul_(-self.alpha).exp_()
        return height_NM, height_NM / z_NM.add_(1.0)


def _near_by_differences(d2_NM: Tensor, x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """Squared distances of which those near 0 are summed from squared differences.

    Products leave rows that coincide at about 1e-16 of the largest squared distance, not at 0: a
    root makes 1e-8 of that.
    """
    near_NM = d2_NM.detach() < _NEAR * d2_NM.detach().amax(dim=(-2, -1), keepdim=True)
    *batch, i, j = near_NM.nonzero(as_tuple=True)
    differences_D = x_ND[(*batch, i)] - y_MD[(*batch, j)]
    return d2_NM.index_put((*batch, i, j), differences_D.square().sum(dim=-1).to(d2_NM.dtype))


def _number_if_constant(value: float | Tensor) -> float | Tensor:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.requires_grad:
        return float(value)
    return value


def _is_positive(value: float | Tensor) -> bool:
    if isinstance(value, Tensor):
        return bool((value.detach().isfinite() & (value.detach() > 0)).all())
    return math.isfinite(value) and value > 0


def _like(c: float | Tensor, d2_NM: Tensor) -> float | Tensor:
    return c.to(d2_NM) if isinstance(c, Tensor) else c
