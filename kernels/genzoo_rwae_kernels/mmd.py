"""Squared maximum mean discrepancy between two samples: V- and U-statistic, any kernel.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions, one value for each
of their elements.

Computed outside autocast: kernels in float32 or better, their sums in float64.
"""

import torch
from torch import Tensor

from genzoo_rwae_kernels.pair_sums import Coefficients, contrast
from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast
from genzoo_rwae_kernels.samples import Kernel, check_finite, check_samples, fitted_kernel
from genzoo_rwae_kernels.weights import paired_total, weighted_sample

__all__ = ["Kernel", "mmd2_biased", "mmd2_unbiased"]

# Rounding of the biased estimate, in units of the dtype's epsilon times the kernel's means.
_ROUNDINGS = 16.0


def mmd2_biased(
    x_ND: Tensor,
    y_MD: Tensor,
    /,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Squared MMD, V-statistic: the distance of the two empirical laws; never negative.

    V = sum_ij a_i a_j k(x_i, x_j) + sum_ij b_i b_j k(y_i, y_j) - 2 sum_ij a_i b_j k(x_i, y_j)

    with the weights a and b normalised to a sum of 1; without any, a_i = 1/N and b_j = 1/M. Its
    mean exceeds MMD^2 by (k0 - E k(x, x'))/N + (k0 - E k(y, y'))/M. Values below 0 within rounding
    are lifted to 0; a value further below, which only an indefinite kernel gives, is returned as
    it is.

    Args:
        x_ND: [..., N, D], floating, finite.
        y_MD: [..., M, D], floating, finite, the same batch dimensions; M may differ from N.
        kernel: positive definite k(x_ND, y_MD) -> [..., N, M], a function of pairs of rows; sees
            float32 or float64. Options are bound with functools.partial.
        x_weights: [N] or [..., N], >= 0: how often each row of x counts. A row of weight 0 is
            absent and may hold anything: masks of ragged batches are weights.
        y_weights: [M] or [..., M], >= 0, likewise.
        backend: who sums over the pairs, see `pair_sums`.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating, or weights are complex.
        ValueError: a sample is empty or holds NaN or inf, the two do not fit together, weights are
            negative, all 0 or of another shape, the kernel returns another shape, or a backend is
            unknown or cannot.

    Source: Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13, p. 723-773, Eq. (5); weights
        by the empirical laws that it compares.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0]]), torch.tensor([[2.0]])
        >>> mmd2_biased(x, y, Imq(scales=[2.0]))  # 1 + 1 - 2 * 4 / (4 + 4)
        tensor(1.)
    """
    check_samples("mmd2_biased", x_ND, y_MD)
    with outside_autocast(x_ND.device):
        x = weighted_sample("mmd2_biased", "x", x_ND, x_weights, least=1)
        y = weighted_sample("mmd2_biased", "y", y_MD, y_weights, least=1)
        check_finite("mmd2_biased", x.rows_ND, y.rows_ND)
        kernel = fitted_kernel(kernel, x.rows_ND, y.rows_ND, x_weights, y_weights)
        a_ND, b_MD = in_working_precision(x.rows_ND, y.rows_ND)
        coefficients = Coefficients(
            x=1.0 / x.total**2, y=1.0 / y.total**2, across=-2.0 / (x.total * y.total)
        )
        mmd2, sums = contrast(
            *(a_ND, b_MD, x.weights_N, y.weights_N, kernel, coefficients),
            diagonal=True,
            backend=backend,
        )
        # In the value alone: at its minimum the estimate keeps its second derivatives.
        below = mmd2.detach().clamp(max=0.0)
        if bool((below < 0.0).any()):
            within = (coefficients.x * sums[..., 0]).abs() + (coefficients.y * sums[..., 1]).abs()
            rounding = _ROUNDINGS * torch.finfo(a_ND.dtype).eps * within
            mmd2 = mmd2 - torch.where(-below <= rounding, below, 0.0)
    return mmd2.to(torch.promote_types(x_ND.dtype, y_MD.dtype))


def mmd2_unbiased(
    x_ND: Tensor,
    y_MD: Tensor,
    /,
    kernel: Kernel,
    *,
    paired: bool = False,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Squared MMD, U-statistic: its mean is MMD^2 at any sample size, so it can be negative.

    U = sum_{i != j} k(x_i, x_j) / (N (N - 1)) + sum_{i != j} k(y_i, y_j) / (M (M - 1))
        - 2 mean_ij k(x_i, y_j)

    paired=True replaces the last term by - 2 sum_{i != j} k(x_i, y_j) / (N (N - 1)). With weights
    each of the means is a weighted one, sum_{i != j} a_i a_j k(x_i, x_j) / sum_{i != j} a_i a_j.

    Args:
        x_ND: [..., N, D], floating, finite, N >= 2.
        y_MD: [..., M, D], floating, finite, the same batch dimensions, M >= 2.
        kernel: symmetric k(x_ND, y_MD) -> [..., N, M], a function of pairs of rows; sees float32
            or float64. Options are bound with functools.partial.
        paired: rows i of x and of y share a history (such as z^m_<t), rows i and j do not: the
            pairs (x_i, y_i) are then no draws from the product of the two laws, and are left out.
        x_weights: [N] or [..., N], >= 0, at least two of them positive, as in `mmd2_biased`. A
            weight of 2 is not the row twice here: pairs of copies do not count.
        y_weights: [M] or [..., M], likewise.
        backend: who sums over the pairs, see `pair_sums`.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating, or weights are complex.
        ValueError: fewer than two rows that count, NaN or inf, samples that do not fit together,
            paired samples of unequal size, weights that are negative or of another shape, a kernel
            that returns another shape, or a backend that is unknown or cannot.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), and Eq. (4) if paired; Tolstikhin
        et al., arXiv 1711.01558, Algorithm 2 (Eq. (3) with N = M). Weights that do not depend on
        the rows leave it unbiased.

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
    with outside_autocast(x_ND.device):
        x = weighted_sample("mmd2_unbiased", "x", x_ND, x_weights, least=2)
        y = weighted_sample("mmd2_unbiased", "y", y_MD, y_weights, least=2)
        pairs_x, pairs_y = x.total_off_diagonal, y.total_off_diagonal
        for name, pairs in (("x", pairs_x), ("y", pairs_y)):
            if isinstance(pairs, Tensor) and not bool((pairs > 0).all()):
                raise ValueError(
                    f"mmd2_unbiased: {name}_weights: one row outweighs all others beyond "
                    f"float64; wanted two rows that count: raise the small weights"
                )
        check_finite("mmd2_unbiased", x.rows_ND, y.rows_ND)
        kernel = fitted_kernel(kernel, x.rows_ND, y.rows_ND, x_weights, y_weights)
        a_ND, b_MD = in_working_precision(x.rows_ND, y.rows_ND)
        pairs_across = x.total * y.total - (paired_total(x, y) if paired else 0)
        mmd2, _ = contrast(
            *(a_ND, b_MD, x.weights_N, y.weights_N, kernel),
            Coefficients(x=1.0 / pairs_x, y=1.0 / pairs_y, across=-2.0 / pairs_across),
            skip_diagonal=paired,
            backend=backend,
            dtype=torch.promote_types(x_ND.dtype, y_MD.dtype),
        )
    return mmd2
