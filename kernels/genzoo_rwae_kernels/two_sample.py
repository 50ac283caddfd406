"""Two-sample test by permutations: do two samples have one law?

Shapes: N rows of x, M rows of y, L = N + M rows of both, D code width, P permutations.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genzoo_rwae_kernels.eager import kernel_values
from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast, wide_dtype
from genzoo_rwae_kernels.samples import Kernel, check_finite, check_samples, fitted_kernel

__all__ = ["TwoSampleTest", "two_sample_test"]

# Bytes of the kernel between all rows that are allowed, and of the tables beside it.
_KERNEL_BYTES = 2**31
_TABLE_BYTES = 2**26
# Statistics closer than this to the observed one count as ties, in units of the rounding of K.
_TIE = 4.0


@dataclass(frozen=True)
class TwoSampleTest:
    """What a two-sample test found.

    Attributes:
        statistic: MMD^2 of the two samples.
        p_value: share of the labellings, the given one counted, whose statistic is as large: in
            [1 / (P + 1), 1]. Under one law, P(p_value <= a) <= a for every a.
        null_P: [P] statistics of the permuted labellings, float64, on the CPU.
    """

    statistic: float
    p_value: float
    null_P: Tensor

    def null_quantile(self, level: float, /) -> float:
        """Statistic below which a share `level` of the permuted ones lies.

        Example:
            >>> TwoSampleTest(0.5, 1.0, torch.tensor([0.0, 1.0, 2.0])).null_quantile(0.5)
            1.0
        """
        return float(self.null_P.quantile(level))


@torch.no_grad()
def two_sample_test(
    x_ND: Tensor,
    y_MD: Tensor,
    /,
    kernel: Kernel,
    *,
    permutations: int = 999,
    generator: torch.Generator | None = None,
    estimator: Literal["unbiased", "biased"] = "unbiased",
) -> TwoSampleTest:
    """Permutation test of the hypothesis that two samples come from one law, by their MMD.

    p = (1 + #{permuted statistics >= the observed one}) / (P + 1)

    All permutations are columns of one matrix product K S with S in {1/N, -1/M}. Exact at every
    sample size, whatever the kernel; a kernel that takes its width from the data takes it from both
    samples in a random order. Rows have to be independent draws: paired samples need another test.

    Args:
        x_ND: [N, D], floating, finite, N >= 2.
        y_MD: [M, D], floating, finite, M >= 2.
        kernel: as that of `mmd2_unbiased`.
        permutations: P, >= 1.
        generator: draws the permutations, on its device; None: torch's global one on the CPU.
        estimator: of MMD^2. The two order permutations alike if N = M.

    Returns:
        The statistic, the p-value and the statistics of the permutations.

    Raises:
        TypeError: a sample is not floating.
        ValueError: samples with batch dimensions, fewer than two rows, NaN or inf, no permutations,
            another estimator, or more rows than the kernel's values have room for.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, sec. 5; Schrab et al., MMD Aggregated
        Two-Sample Test, arXiv 2110.15073, app. C (permutations as a matrix product); Phipson &
        Smyth, SAGMB 9 (2010), arXiv 1603.05766 (the observed labelling counts).

    Example:
        >>> from genzoo_rwae_kernels import Rbf
        >>> x, y = torch.linspace(0, 1, 20)[:, None], torch.linspace(3, 4, 20)[:, None]
        >>> found = two_sample_test(x, y, Rbf(), generator=torch.Generator().manual_seed(0))
        >>> found.p_value, found.statistic > found.null_quantile(0.99)
        (0.001, True)
    """
    n, m = _check(x_ND, y_MD, permutations, estimator)
    rows = n + m
    with outside_autocast(x_ND.device):
        x_ND, y_MD = in_working_precision(x_ND, y_MD)
        z_LD = torch.cat([x_ND, y_MD])
        k_LL = _kernel_matrix(z_LD, kernel, n, generator)
        wide = wide_dtype(z_LD.device)
        diagonal_L = k_LL.diagonal().to(wide).clone()
        k_LL.fill_diagonal_(0.0)
        by_row_L = k_LL.sum(dim=-1, dtype=wide)
        at_once = max(1, _TABLE_BYTES // (8 * rows))
        statistics = []
        for start in range(0, permutations + 1, at_once):
            columns = min(at_once, permutations + 1 - start)
            in_x_LP = _labellings(n, rows, columns, generator).to(z_LD.device)
            if start == 0:
                in_x_LP[:, 0] = torch.arange(rows, device=z_LD.device) < n
            statistics.append(
                _statistics(k_LL, by_row_L, diagonal_L, in_x_LP.to(wide), n, m, estimator)
            )
        statistics_P = torch.cat(statistics).double().cpu()
        tie = _TIE * torch.finfo(k_LL.dtype).eps * float(by_row_L.abs().mean()) / rows / min(n, m)
    observed, null_P = float(statistics_P[0]), statistics_P[1:]
    as_large = int((null_P >= observed - tie).sum())
    return TwoSampleTest(observed, (1 + as_large) / (permutations + 1), null_P)


def _check(x_ND: Tensor, y_MD: Tensor, permutations: int, estimator: str) -> tuple[int, int]:
    check_samples("two_sample_test", x_ND, y_MD)
    if x_ND.dim() != 2:
        raise ValueError(
            f"two_sample_test: x has shape {list(x_ND.shape)}; wanted [rows, width]: test the "
            f"elements of a batch one by one"
        )
    n, m = x_ND.shape[0], y_MD.shape[0]
    if n < 2 or m < 2:
        raise ValueError(
            f"two_sample_test: x has {n} and y has {m} rows; wanted at least 2 of each"
        )
    if permutations < 1:
        raise ValueError(
            f"two_sample_test: permutations is {permutations}; wanted 1 or more: the smallest "
            f"p-value is 1 / (permutations + 1)"
        )
    if estimator not in ("unbiased", "biased"):
        raise ValueError(f"two_sample_test: estimator {estimator!r}; wanted 'unbiased' or 'biased'")
    dtype = torch.promote_types(x_ND.dtype, y_MD.dtype)
    itemsize = torch.promote_types(torch.float32, dtype).itemsize
    if (n + m) ** 2 * itemsize > _KERNEL_BYTES:
        most = int((_KERNEL_BYTES / itemsize) ** 0.5)
        raise ValueError(
            f"two_sample_test: {n + m} rows, whose kernel takes {(n + m) ** 2 * itemsize:.1e} "
            f"bytes; wanted at most {most}: test part of the rows, or compare mmd2_block with the "
            f"square root of mmd2_block_variance, which needs no permutations"
        )
    check_finite("two_sample_test", x_ND, y_MD)
    return n, m


def _kernel_matrix(
    z_LD: Tensor, kernel: Kernel, n: int, generator: torch.Generator | None
) -> Tensor:
    rows = len(z_LD)
    # In an order that knows nothing of the labels, or the test would not be exact.
    shuffled_LD = z_LD[_random_order(rows, 1, generator)[:, 0].to(z_LD.device)]
    kernel = fitted_kernel(kernel, shuffled_LD[:n], shuffled_LD[n:])
    k_LL = torch.empty(rows, rows, dtype=z_LD.dtype, device=z_LD.device)
    strip = max(1, _TABLE_BYTES // (8 * rows))
    for start in range(0, rows, strip):
        k_LL[start : start + strip] = kernel_values(z_LD[start : start + strip], z_LD, kernel)
    return k_LL


def _random_order(rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    device = generator.device if generator is not None else torch.device("cpu")
    return torch.rand(
        rows, columns, generator=generator, dtype=torch.float64, device=device
    ).argsort(dim=0)


def _labellings(n: int, rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    order_LP = _random_order(rows, columns, generator)
    return order_LP < n


def _statistics(
    k_LL: Tensor,
    by_row_L: Tensor,
    diagonal_L: Tensor,
    in_x_LP: Tensor,
    n: int,
    m: int,
    estimator: str,
) -> Tensor:
    """MMD^2 of every labelling; K without its diagonal, which is given apart."""
    s_LP = in_x_LP * (1.0 / n + 1.0 / m) - 1.0 / m
    strip = max(1, _TABLE_BYTES // (8 * len(k_LL)))
    ks_LP = torch.cat([rows.to(s_LP.dtype) @ s_LP for rows in torch.split(k_LL, strip)])
    quadratic_P = (s_LP * ks_LP).sum(dim=0)
    if estimator == "biased":
        return quadratic_P + diagonal_L @ s_LP.square()
    # The quadratic form divides by N^2 and M^2; what is missing to N (N - 1) and M (M - 1) follows
    # from the sums xx, xy and yy of K over the pairs of each kind.
    x_rows_P, all_rows_P = (in_x_LP * ks_LP).sum(dim=0), by_row_L @ in_x_LP  # xx/N - xy/M, xx + xy
    xx_P = (x_rows_P + all_rows_P / m) / (1.0 / n + 1.0 / m)
    yy_P = by_row_L.sum() - 2.0 * all_rows_P + xx_P
    return quadratic_P + xx_P / (n**2 * (n - 1)) + yy_P / (m**2 * (m - 1))
