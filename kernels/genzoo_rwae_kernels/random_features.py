"""MMD^2 by random Fourier features: linear in the number of rows.

Shapes: N rows of x, M rows of y, D code width, F features; any leading batch dimensions.
"""

from typing import Literal

import torch
from torch import Tensor

from genzoo_rwae_kernels.kinked import Laplacian, Matern
from genzoo_rwae_kernels.precision import outside_autocast, wide_dtype
from genzoo_rwae_kernels.radial import Imq, Rbf, ScaleMixture
from genzoo_rwae_kernels.samples import Kernel, check_finite, check_samples, fitted_kernel

__all__ = ["mmd2_random_features"]

# Features that are held at once where no gradient is wanted.
_CHUNK = 256


def mmd2_random_features(
    x_ND: Tensor,
    y_MD: Tensor,
    /,
    kernel: Kernel,
    *,
    features: int = 1024,
    estimator: Literal["unbiased", "biased"] = "unbiased",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Squared MMD with a stationary kernel replaced by random waves, in O((N + M) F D) time.

    k(x, y) = E cos(w . (x - y)),   the mean taken over F draws of w from the kernel's spectrum

    For samples so large that all pairs take too long: its mean over the draws is the U-statistic
    (or V-statistic) itself, its error falls as F^(-1/2). Scales share the features evenly. With
    gradients, memory is O((N + M) F).

    Args:
        x_ND: [..., N, D], floating, finite, N >= 2 if unbiased.
        y_MD: [..., M, D], floating, finite, the same batch dimensions, M >= 2 if unbiased.
        kernel: `Rbf`, `Imq`, `Laplacian` or `Matern`, of constant width.
        features: F, at least the number of the kernel's scales.
        estimator: whose mean it has: "unbiased" that of `mmd2_unbiased`, "biased" that of
            `mmd2_biased`; the latter is never negative.
        generator: draws the w, on its device; None: torch's global one on the CPU.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating.
        ValueError: a kernel whose spectrum is not known here, too few features or rows, another
            estimator, NaN or inf, or samples that do not fit together.

    Source: Rahimi & Recht, Random Features for Large-Scale Kernel Machines, NeurIPS 2007, Algorithm
        1 (Gaussian spectrum). Sutherland & Schneider, arXiv 1506.02785, sec. 2 (paired cosines and
        sines). `Imq` is a mixture of Gaussians over an exponential law of precisions, the spectrum
        of `Matern` is a t distribution with 2 nu degrees of freedom (Rasmussen & Williams 2006,
        sec. 4.2.1).

    Example:
        >>> from genzoo_rwae_kernels import Rbf, mmd2_unbiased
        >>> x, y = torch.linspace(0, 1, 50)[:, None], torch.linspace(1, 3, 70)[:, None]
        >>> waves = mmd2_random_features(
        ...     x, y, Rbf(), features=7000, generator=torch.Generator().manual_seed(0)
        ... )
        >>> round(float(waves / mmd2_unbiased(x, y, Rbf())), 1)
        1.0
    """
    check_samples("mmd2_random_features", x_ND, y_MD)
    n, m = x_ND.shape[-2], y_MD.shape[-2]
    if estimator not in ("unbiased", "biased"):
        raise ValueError(
            f"mmd2_random_features: estimator {estimator!r}; wanted 'unbiased' or 'biased'"
        )
    if estimator == "unbiased" and min(n, m) < 2:
        raise ValueError(
            f"mmd2_random_features: x has {n} and y has {m} rows; wanted at least 2 of each: "
            f"enlarge the batch, or take estimator='biased'"
        )
    check_finite("mmd2_random_features", x_ND, y_MD)
    with outside_autocast(x_ND.device):
        known = _of_known_spectrum(fitted_kernel(kernel, x_ND, y_MD))
        w_FD = _frequencies(known, features, x_ND.shape[-1], generator).to(x_ND.device)
        share_F = _shares(len(known.scales), features).to(x_ND.device)
        wide = wide_dtype(x_ND.device)
        # Waves do not depend on the centre, but their rounding does.
        centre_1D = torch.cat([x_ND, y_MD], dim=-2).detach().to(wide).mean(dim=-2, keepdim=True)
        x_ND_wide, y_MD_wide = x_ND.to(wide) - centre_1D, y_MD.to(wide) - centre_1D
        mmd2 = torch.zeros(x_ND.shape[:-2], dtype=wide, device=x_ND.device)
        for w_CD, share_C in zip(
            torch.split(w_FD.to(wide), _CHUNK), torch.split(share_F.to(wide), _CHUNK), strict=True
        ):
            x_cos, x_sin = _mean_wave(x_ND_wide, w_CD)
            y_cos, y_sin = _mean_wave(y_MD_wide, w_CD)
            if estimator == "biased":
                term_C = (x_cos - y_cos).square() + (x_sin - y_sin).square()
            else:
                within_x = (n * (x_cos.square() + x_sin.square()) - 1.0) / (n - 1)
                within_y = (m * (y_cos.square() + y_sin.square()) - 1.0) / (m - 1)
                term_C = within_x + within_y - 2.0 * (x_cos * y_cos + x_sin * y_sin)
            mmd2 = mmd2 + (term_C * share_C).sum(dim=-1)
    return mmd2.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


def _mean_wave(x_ND: Tensor, w_FD: Tensor) -> tuple[Tensor, Tensor]:
    phase_NF = x_ND @ w_FD.mT
    return phase_NF.cos().mean(dim=-2), phase_NF.sin().mean(dim=-2)


def _shares(scales: int, features: int) -> Tensor:
    """One over the number of features of the scale of each; the scales take turns."""
    of_scale_F = torch.arange(features) % scales
    return 1.0 / torch.bincount(of_scale_F)[of_scale_F].double()


def _frequencies(
    kernel: ScaleMixture, features: int, width: int, generator: torch.Generator | None
) -> Tensor:
    widths = kernel.widths(width)
    if features < len(widths):
        raise ValueError(
            f"mmd2_random_features: {features} features for {len(widths)} scales; wanted at least "
            f"one for each"
        )
    device = generator.device if generator is not None else torch.device("cpu")

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device=device)

    direction_FD = normal(features, width)
    if isinstance(kernel, Rbf):
        precision_F = torch.full((features,), 2.0, dtype=torch.float64, device=device)
    elif isinstance(kernel, Imq):
        # Half the square of two normals is exponential with mean 1.
        precision_F = normal(features, 2).square().sum(dim=-1)
    else:
        nu = kernel.nu if isinstance(kernel, Matern) else 0.5
        precision_F = 2.0 * nu / normal(features, round(2 * nu)).square().sum(dim=-1)
    c_F = torch.tensor(widths, dtype=torch.float64, device=device)[
        torch.arange(features, device=device) % len(widths)
    ]
    return direction_FD * (precision_F / c_F).sqrt().unsqueeze(-1)


def _of_known_spectrum(kernel: Kernel) -> ScaleMixture:
    if not isinstance(kernel, Rbf | Imq | Laplacian | Matern):
        raise ValueError(
            f"mmd2_random_features: the spectrum of {type(kernel).__name__} is not known; wanted "
            f"Rbf, Imq, Laplacian or Matern: use mmd2_block for other kernels"
        )
    if not kernel.has_constant_width:
        raise ValueError(
            f"mmd2_random_features: {type(kernel).__name__} has a width that is learnt or differs "
            f"by element of the batch; wanted one number: use mmd2_unbiased"
        )
    return kernel
