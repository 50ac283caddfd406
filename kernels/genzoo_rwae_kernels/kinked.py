"""Radial kernels of the distance itself: not smooth (or not twice so) where two rows coincide.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.

At coinciding rows the gradient is 0, the middle of its values around, and nothing is added under
the root: elsewhere values and derivatives are those of the formula.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genzoo_rwae_kernels.radial import Radial, ScaleMixture

__all__ = ["Energy", "Laplacian", "Matern"]

# Here exp(-sqrt(z)) is 0 in float64, and its factors in z are not yet infinite.
_FAR = 1e6


@dataclass(frozen=True, kw_only=True)
class Laplacian(ScaleMixture):
    """Laplacian (exponential) kernel of the Euclidean distance, summed over scales.

    k(x, y) = sum_s exp(-|x - y| / l_s),   l_s^2 = C_s = 2 D sigma^2 s

    At the typical distance the scale s = 1 stands at 1/e, as that of `Rbf` does. `Matern` with
    nu = 0.5 is the same kernel. k(x, x) = len(scales).

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), Eq. (4.18); the
        width is that of `Imq`, a choice of this package.

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # distance 2 = sqrt(2 D) sigma from 0
        >>> Laplacian(scales=[1.0])(torch.zeros(1, 2), typical)  # 1/e
        tensor([[0.3679]])
    """

    @property
    def has_kink(self) -> bool:
        return True

    profile: ClassVar[str] = "laplacian"

    def height(self, z_NM: Tensor, /) -> Tensor:
        return (-_root(z_NM)).exp()

    def height_and_fall(self, z_NM: Tensor, /) -> tuple[Tensor, Tensor]:
        root_NM = z_NM.sqrt()
        height_NM = root_NM.neg().exp_()
        return height_NM, _zero_where_zero(root_NM, height_NM / (2.0 * root_NM))


@dataclass(frozen=True, kw_only=True)
class Matern(ScaleMixture):
    """Matérn kernel of half-integer smoothness, summed over scales.

    k(x, y) = sum_s h(sqrt(2 nu) |x - y| / l_s),   l_s^2 = C_s = 2 D sigma^2 s

    h(u) = exp(-u) for nu = 0.5, (1 + u) exp(-u) for 1.5, (1 + u + u^2 / 3) exp(-u) for 2.5

    At the typical distance the scale s = 1 stands at 0.368, 0.483 and 0.524. k(x, x) = len(scales).

    Attributes:
        nu: smoothness: 0.5 (`Laplacian`), 1.5 or 2.5.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), Eq. (4.16), (4.17)
        and (4.18); the width is that of `Imq`, a choice of this package.

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # distance 2 = sqrt(2 D) sigma from 0
        >>> Matern(scales=[1.0], nu=2.5)(torch.zeros(1, 2), typical)
        tensor([[0.5240]])
    """

    profile: ClassVar[str] = "matern"

    nu: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nu not in (0.5, 1.5, 2.5):
            raise ValueError(
                f"{type(self).__name__}: nu is {self.nu}; wanted 0.5, 1.5 or 2.5: only these have "
                f"a short form"
            )

    @property
    def has_kink(self) -> bool:
        return True

    def height(self, z_NM: Tensor, /) -> Tensor:
        u_NM = _root(2.0 * self.nu * z_NM.clamp(max=_FAR))
        if self.nu == 0.5:
            return (-u_NM).exp()
        if self.nu == 1.5:
            height_NM, curvature = (1.0 + u_NM) * (-u_NM).exp(), 1.5
        else:
            height_NM, curvature = (1.0 + u_NM + u_NM.square() / 3.0) * (-u_NM).exp(), 5.0 / 6.0
        # The guarded root has no derivative at 0, but the kernel has: 1 - curvature * z to first
        # order.
        return torch.where(z_NM > 0.0, height_NM, 1.0 - curvature * z_NM)

    def height_and_fall(self, z_NM: Tensor, /) -> tuple[Tensor, Tensor]:
        u_NM = (2.0 * self.nu * z_NM.clamp_(max=_FAR)).sqrt_()
        decay_NM = u_NM.neg().exp_()
        if self.nu == 0.5:
            return decay_NM, _zero_where_zero(u_NM, decay_NM / (2.0 * u_NM))
        if self.nu == 1.5:
            return (1.0 + u_NM) * decay_NM, 1.5 * decay_NM
        fall_NM = (5.0 / 6.0) * (1.0 + u_NM) * decay_NM
        return (1.0 + u_NM + u_NM.square() / 3.0) * decay_NM, fall_NM


@dataclass(frozen=True, kw_only=True)
class Energy(Radial):
    """Distance-induced kernel: with it, 2 MMD^2 is the energy distance.

    k(x, y) = -|x - y|^beta / 2,   0 < beta < 2

    Without a bandwidth: MMD^2 scales with the samples, to the power of beta. It is conditionally
    positive definite: not a Gram matrix K, but w' K w >= 0 for all weights w that sum to 0, which
    those of an MMD do. MMD^2 is that of the positive definite kernels

        k(x, y) + |x - o|^beta / 2 + |y - o|^beta / 2,

    whatever the base point o is; it needs none. k(x, x) = 0.

    Attributes:
        beta: exponent of the distance; 1 is the energy distance. 2 would compare means alone,
            which `Linear` does.

    Source: Sejdinovic et al., Equivalence of Distance-based and RKHS-based Statistics in Hypothesis
        Testing, Ann. Statist. 41 (2013), arXiv 1207.6076, sec. 3 and 4; Székely & Rizzo, Energy
        Statistics, J. Statist. Plann. Inference 143 (2013), p. 1249-1272 (the energy distance).

    Example:
        >>> Energy()(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[-2.5000]])
    """

    profile: ClassVar[str] = "energy"

    beta: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beta) and 0 < self.beta < 2):
            raise ValueError(
                f"{type(self).__name__}: beta is {self.beta}; wanted a number between 0 and 2, "
                f"both excluded: 1.0 for the energy distance, Linear in place of 2"
            )

    @property
    def has_kink(self) -> bool:
        return True

    @property
    def is_positive_definite(self) -> bool:
        return False

    def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
        return -0.5 * _root(d2_NM, self.beta)

    def value_and_slope(self, d2_NM: Tensor, width: int, /) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            value_NM = d2_NM.pow(0.5 * self.beta).mul_(-0.5)
            slope_NM = value_NM / d2_NM * (0.5 * self.beta)
            return value_NM, _zero_where_zero(d2_NM, slope_NM)


def _root(d2_NM: Tensor, power: float = 1.0) -> Tensor:
    """d2^(power / 2), whose derivatives at 0 are 0."""
    away_NM = d2_NM > 0.0
    return torch.where(away_NM, torch.where(away_NM, d2_NM, 1.0).pow(0.5 * power), 0.0)


def _zero_where_zero(distance_NM: Tensor, slope_NM: Tensor) -> Tensor:
    return slope_NM.masked_fill_(distance_NM == 0.0, 0.0)
