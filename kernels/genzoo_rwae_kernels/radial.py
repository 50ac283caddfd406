"""Radial kernels: mixtures over scales of a profile of the squared distance.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.

Every kernel here is a sum over scales s of profile(d2 / C_s) with one convention for the width,

    C_s = 2 D sigma^2 s,

the mean squared distance between two draws of N(0, sigma^2 I_D), times s. At that distance the
scale s = 1 stands at half of its height (imq) or at 1/e (rbf), whatever the width of the code.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from genzoo_rwae_kernels.distances import squared_distances
from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.samples import check_samples

__all__ = ["WAE_SCALES", "imq", "rbf"]

# Tolstikhin et al., arXiv 1711.01558, the authors' code (wae.py, mmd_penalty).
WAE_SCALES: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def imq(
    x_ND: Tensor, y_MD: Tensor, /, *, scales: Sequence[float] = WAE_SCALES, sigma: float = 1.0
) -> Tensor:
    """Inverse multiquadric kernel, summed over scales.

    k(x, y) = sum_s C_s / (C_s + |x - y|^2),   C_s = 2 D sigma^2 s

    Heavy tails: codes far from the prior still feel a pull. k(x, x) = len(scales).

    Args:
        x_ND: [..., N, D], floating.
        y_MD: [..., M, D], floating, the same batch dimensions.
        scales: multiples of the typical squared distance, > 0.
        sigma: standard deviation of a code's coordinate under the prior, > 0.

    Returns:
        [..., N, M] in (0, len(scales)], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating.
        ValueError: a sample is empty, the two do not fit together, there is no scale, or a scale
            or sigma is not positive and finite.

    Source: Tolstikhin et al., Wasserstein Auto-Encoders, arXiv 1711.01558, sec. 4.

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # squared distance 4 = 2 D sigma^2 from 0
        >>> imq(torch.zeros(1, 2), typical, scales=[1.0])
        tensor([[0.5000]])
    """
    check_samples("imq", x_ND, y_MD)
    widths = _widths("imq", x_ND.shape[-1], scales, sigma)
    working_ND, working_MD = in_working_precision(x_ND, y_MD)
    with outside_autocast(x_ND.device):
        d2_NM = squared_distances(working_ND, working_MD)
        k_NM = torch.zeros_like(d2_NM)
        # Scales one by one: folded into one rational function the gradient overflows float32.
        for width in widths:
            k_NM += d2_NM.div(width).add_(1.0).reciprocal_()
    return k_NM.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


def rbf(
    x_ND: Tensor, y_MD: Tensor, /, *, scales: Sequence[float] = WAE_SCALES, sigma: float = 1.0
) -> Tensor:
    """Gaussian kernel, summed over scales.

    k(x, y) = sum_s exp(-|x - y|^2 / C_s),   C_s = 2 D sigma^2 s

    In the form exp(-|x - y|^2 / (2 b^2)) the squared bandwidth is b^2 = D sigma^2 s, so that a
    pair at the typical squared distance 2 D sigma^2 has the exponent -1/s. k(x, x) = len(scales).

    Args:
        x_ND: [..., N, D], floating.
        y_MD: [..., M, D], floating, the same batch dimensions.
        scales: multiples of the typical squared distance, > 0.
        sigma: standard deviation of a code's coordinate under the prior, > 0.

    Returns:
        [..., N, M] in [0, len(scales)], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating.
        ValueError: a sample is empty, the two do not fit together, there is no scale, or a scale
            or sigma is not positive and finite.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773 (the kernel); the width is that of `imq`,
        a choice of this package.

    Example:
        >>> typical = torch.tensor([[2.0, 0.0]])  # squared distance 4 = 2 D sigma^2 from 0
        >>> rbf(torch.zeros(1, 2), typical, scales=[1.0])  # 1/e
        tensor([[0.3679]])
    """
    check_samples("rbf", x_ND, y_MD)
    widths = _widths("rbf", x_ND.shape[-1], scales, sigma)
    working_ND, working_MD = in_working_precision(x_ND, y_MD)
    with outside_autocast(x_ND.device):
        d2_NM = squared_distances(working_ND, working_MD)
        k_NM = torch.zeros_like(d2_NM)
        for width in widths:
            k_NM += d2_NM.div(-width).exp_()
    return k_NM.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


def _widths(caller: str, code_width: int, scales: Sequence[float], sigma: float) -> list[float]:
    if len(scales) == 0:
        raise ValueError(f"{caller}: no scales given; wanted at least one, such as scales=[1.0]")
    for scale in scales:
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(
                f"{caller}: scale {scale} in scales={list(scales)}; wanted positive, finite "
                f"numbers: remove it"
            )
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(
            f"{caller}: sigma is {sigma}; wanted a positive, finite number: the prior's standard "
            f"deviation, 1.0 for N(0, I)"
        )
    return [2.0 * code_width * sigma**2 * scale for scale in scales]
