"""Squared maximum mean discrepancy between two samples: V- and U-statistic, any kernel.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions, one value for each
of their elements. K_NN, K_MM and K_NM are the kernel within x, within y and across.

Computed outside autocast: kernels in float32 or better, their sums in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast, wide_dtype
from genzoo_rwae_kernels.samples import check_finite, check_samples

__all__ = ["Kernel", "mmd2_biased", "mmd2_unbiased"]

Kernel = Callable[[Tensor, Tensor], Tensor]

# Rounding of the biased estimate, in units of the dtype's epsilon times the kernel's means.
_ROUNDINGS = 16.0


def mmd2_biased(x_ND: Tensor, y_MD: Tensor, /, kernel: Kernel) -> Tensor:
    """Squared MMD, V-statistic: the distance of the two empirical laws; never negative.

    V = mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j)

    Its mean exceeds MMD^2 by (k0 - E k(x, x'))/N + (k0 - E k(y, y'))/M. Values below 0 within
    rounding are lifted to 0; a value further below, which only an indefinite kernel gives, is
    returned as it is.

    Args:
        x_ND: [..., N, D], floating, finite.
        y_MD: [..., M, D], floating, finite, the same batch dimensions; M may differ from N.
        kernel: positive definite k(x_ND, y_MD) -> [..., N, M]; sees float32 or float64. Options
            are bound with functools.partial.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating.
        ValueError: a sample is empty or holds NaN or inf, the two do not fit together, or the
            kernel returns another shape.

    Source: Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13, p. 723-773, Eq. (5).

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0]]), torch.tensor([[2.0]])
        >>> mmd2_biased(x, y, Imq(scales=[2.0]))  # 1 + 1 - 2 * 4 / (4 + 4)
        tensor(1.)
    """
    check_samples("mmd2_biased", x_ND, y_MD)
    check_finite("mmd2_biased", x_ND, y_MD)
    n, m = x_ND.shape[-2], y_MD.shape[-2]
    with outside_autocast(x_ND.device):
        k = _kernel_blocks("mmd2_biased", x_ND, y_MD, kernel)
        within_x = _total(k.K_NN) / n**2
        within_y = _total(k.K_MM) / m**2
        mmd2 = within_x + within_y - 2.0 * _total(k.K_NM) / (n * m)
        rounding = _ROUNDINGS * torch.finfo(k.K_NM.dtype).eps * (within_x.abs() + within_y.abs())
        # In the value alone: at its minimum the estimate keeps its second derivatives.
        below = mmd2.detach().clamp(max=0.0)
        mmd2 = mmd2 - torch.where(-below <= rounding.detach(), below, 0.0)
    return mmd2.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


def mmd2_unbiased(x_ND: Tensor, y_MD: Tensor, /, kernel: Kernel, *, paired: bool = False) -> Tensor:
    """Squared MMD, U-statistic: its mean is MMD^2 at any sample size, so it can be negative.

    U = sum_{i != j} k(x_i, x_j) / (N (N - 1)) + sum_{i != j} k(y_i, y_j) / (M (M - 1))
        - 2 mean_ij k(x_i, y_j)

    paired=True replaces the last term by - 2 sum_{i != j} k(x_i, y_j) / (N (N - 1)).

    Args:
        x_ND: [..., N, D], floating, finite, N >= 2.
        y_MD: [..., M, D], floating, finite, the same batch dimensions, M >= 2.
        kernel: symmetric k(x_ND, y_MD) -> [..., N, M]; sees float32 or float64. Options are
            bound with functools.partial.
        paired: rows i of x and of y share a history (such as z^m_<t), rows i and j do not: the
            pairs (x_i, y_i) are then no draws from the product of the two laws, and are left out.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating.
        ValueError: fewer than two rows, NaN or inf, samples that do not fit together, paired
            samples of unequal size, or a kernel that returns another shape.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), and Eq. (4) if paired; Tolstikhin
        et al., arXiv 1711.01558, Algorithm 2 (Eq. (3) with N = M).

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [2.0]])
        >>> kernel = Imq(scales=[2.0])  # 1 at 0, 1/2 at a distance of 2
        >>> mmd2_unbiased(x, y, kernel), mmd2_unbiased(x, y, kernel, paired=True)
        (tensor(-0.5000), tensor(0.))
    """
    check_samples("mmd2_unbiased", x_ND, y_MD)
    n, m = x_ND.shape[-2], y_MD.shape[-2]
    if n < 2 or m < 2:
        raise ValueError(
            f"mmd2_unbiased: x has {n} and y has {m} rows; wanted at least 2 of each: enlarge the "
            f"batch, or use mmd2_biased, which takes 1"
        )
    if paired and n != m:
        raise ValueError(
            f"mmd2_unbiased: paired samples with {n} rows of x and {m} rows of y; wanted equal "
            f"numbers: give row i of y the history of row i of x, or leave paired out"
        )
    check_finite("mmd2_unbiased", x_ND, y_MD)
    with outside_autocast(x_ND.device):
        k = _kernel_blocks("mmd2_unbiased", x_ND, y_MD, kernel)
        within_x = _total_off_diagonal(k.K_NN) / (n * (n - 1))
        within_y = _total_off_diagonal(k.K_MM) / (m * (m - 1))
        across = _total_off_diagonal(k.K_NM) / (n * (n - 1)) if paired else _total(k.K_NM) / (n * m)
        mmd2 = within_x + within_y - 2.0 * across
    return mmd2.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


@dataclass(frozen=True)
class _KernelBlocks:
    K_NN: Tensor
    K_MM: Tensor
    K_NM: Tensor


def _kernel_blocks(caller: str, x_ND: Tensor, y_MD: Tensor, kernel: Kernel) -> _KernelBlocks:
    x_ND, y_MD = in_working_precision(x_ND, y_MD)
    blocks = _KernelBlocks(
        K_NN=kernel(x_ND, x_ND), K_MM=kernel(y_MD, y_MD), K_NM=kernel(x_ND, y_MD)
    )
    n, m = x_ND.shape[-2], y_MD.shape[-2]
    for block, rows, columns in ((blocks.K_NN, n, n), (blocks.K_MM, m, m), (blocks.K_NM, n, m)):
        wanted = [*x_ND.shape[:-2], rows, columns]
        if list(block.shape) != wanted:
            raise ValueError(
                f"{caller}: the kernel returned shape {list(block.shape)} for {rows} and "
                f"{columns} rows; wanted {wanted}: one value for each pair of rows"
            )
    return blocks


def _total(K_NM: Tensor) -> Tensor:
    return K_NM.sum(dim=(-2, -1), dtype=wide_dtype(K_NM.device))


def _total_off_diagonal(K_NN: Tensor) -> Tensor:
    diagonal_N = K_NN.diagonal(dim1=-2, dim2=-1)
    return _total(K_NN) - diagonal_N.sum(dim=-1, dtype=wide_dtype(K_NN.device))
