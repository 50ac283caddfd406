"""Estimators of MMD^2 that look at part of the pairs: blocks of rows, down to two rows each.

Shapes: N rows of both samples, P blocks of them, D code width; any leading batch dimensions, one
value for each of their elements.

They are for streams and for tests without permutations: block values are independent, so that
their mean comes with an estimate of its variance. They vary more than the U-statistic of all pairs;
as a loss on a batch that fits, take that.
"""

import math

import torch
from einops import rearrange
from torch import Tensor

from genzoo_rwae_kernels.mmd import mmd2_unbiased
from genzoo_rwae_kernels.samples import Kernel, check_finite, check_samples, fitted_kernel

__all__ = ["mmd2_block", "mmd2_block_variance", "mmd2_linear", "mmd2_linear_variance"]


def mmd2_block(
    x_ND: Tensor,
    y_ND: Tensor,
    /,
    kernel: Kernel,
    *,
    block: int | None = None,
    paired: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Squared MMD, mean of the U-statistics of blocks of rows: unbiased, in O(N block) time.

    mean_p U(x_p, y_p),   x_p and y_p rows p block, ..., (p + 1) block - 1

    One block of all rows is `mmd2_unbiased`. Rows that fill no block are left out.

    Args:
        x_ND: [..., N, D], floating, finite.
        y_ND: [..., N, D], floating, finite, as many rows.
        kernel: as that of `mmd2_unbiased`.
        block: rows per block, 2 to N; None: the square root of N, at least 2.
        paired: as that of `mmd2_unbiased`; the published statistic is the paired one.
        backend: who sums over the pairs, see `pair_sums`.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating.
        ValueError: samples of unequal size, a block that is too small or too large, or what
            `mmd2_unbiased` refuses.

    Source: Zaremba, Gretton, Blaschko, B-tests: Low Variance Kernel Two-Sample Tests, NeurIPS 2013,
        arXiv 1307.1954, sec. 2.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.zeros(4, 1), torch.tensor([[0.0], [2.0], [0.0], [2.0]])
        >>> mmd2_block(x, y, Imq(scales=[2.0]), block=2)  # 1 + 1/2 - 2 (1 + 1/2) / 2, twice
        tensor(0.)
    """
    values = _block_values("mmd2_block", x_ND, y_ND, kernel, block, paired, backend)
    return values.mean(dim=0).to(torch.promote_types(x_ND.dtype, y_ND.dtype))


def mmd2_block_variance(
    x_ND: Tensor,
    y_ND: Tensor,
    /,
    kernel: Kernel,
    *,
    block: int | None = None,
    paired: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Estimated variance of `mmd2_block`: the variance between blocks over their number, unbiased.

    sum_p (U_p - mean U)^2 / (P (P - 1))

    `mmd2_block` over its square root is standard normal for equal laws and many blocks.

    Args:
        x_ND: as `mmd2_block`.
        y_ND: as `mmd2_block`.
        kernel: as `mmd2_block`.
        block: as `mmd2_block`, but at most N/2: two blocks have to vary.
        paired: as `mmd2_block`.
        backend: as `mmd2_block`.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: as `mmd2_block`.
        ValueError: as `mmd2_block`; fewer than two blocks.

    Source: Zaremba et al., arXiv 1307.1954, sec. 2 and 3.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.zeros(4, 1), torch.tensor([[0.0], [0.0], [0.0], [2.0]])
        >>> kernel = Imq(scales=[2.0])
        >>> values = [mmd2_unbiased(x[i : i + 2], y[i : i + 2], kernel) for i in (0, 2)]
        >>> values, mmd2_block_variance(x, y, kernel, block=2)
        ([tensor(0.), tensor(0.)], tensor(0.))
    """
    values = _block_values("mmd2_block_variance", x_ND, y_ND, kernel, block, paired, backend)
    if len(values) < 2:
        raise ValueError(
            f"mmd2_block_variance: one block of the {x_ND.shape[-2]} rows; wanted two blocks or "
            f"more to vary: make block smaller"
        )
    variance = values.var(dim=0) / len(values)
    return variance.to(torch.promote_types(x_ND.dtype, y_ND.dtype))


def mmd2_linear(x_ND: Tensor, y_ND: Tensor, /, kernel: Kernel, *, backend: str = "auto") -> Tensor:
    """Squared MMD in linear time, from N/2 independent quadruples of rows: unbiased.

    mean_p k(x, x') + k(y, y') - k(x, y') - k(x', y),   x = x_2p, x' = x_2p+1, y and y' likewise

    For streams: no pair of rows but neighbours is looked at. It is `mmd2_block` with paired blocks
    of 2. A row without a neighbour is left out.

    Args:
        x_ND: [..., N, D], floating, finite, N >= 2.
        y_ND: [..., N, D], floating, finite, as many rows.
        kernel: as that of `mmd2_unbiased`.
        backend: who sums over the pairs, see `pair_sums`.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: a sample is not floating.
        ValueError: samples of unequal size, or what `mmd2_unbiased` refuses.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, sec. 6, Lemma 14.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [0.0]])
        >>> mmd2_linear(x, y, Imq(scales=[2.0]))  # 1/2 + 1 - 1 - 1/2
        tensor(0.)
    """
    values = _block_values("mmd2_linear", x_ND, y_ND, kernel, 2, True, backend)
    return values.mean(dim=0).to(torch.promote_types(x_ND.dtype, y_ND.dtype))


def mmd2_linear_variance(
    x_ND: Tensor, y_ND: Tensor, /, kernel: Kernel, *, backend: str = "auto"
) -> Tensor:
    """Estimated variance of `mmd2_linear`: the variance of its terms over their number, unbiased.

    Args:
        x_ND: as `mmd2_linear`, N >= 4.
        y_ND: as `mmd2_linear`.
        kernel: as `mmd2_linear`.
        backend: as `mmd2_linear`.

    Returns:
        [...], the promoted dtype of x and y.

    Raises:
        TypeError: as `mmd2_linear`.
        ValueError: as `mmd2_linear`; fewer than four rows.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, sec. 6, Theorem 15 and Eq. (15).

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x, y = torch.zeros(4, 1), torch.tensor([[0.0], [0.0], [2.0], [2.0]])
        >>> mmd2_linear_variance(x, y, Imq(scales=[2.0]))  # terms 0 and 1: 1/2 over 2
        tensor(0.2500)
    """
    return mmd2_block_variance(x_ND, y_ND, kernel, block=2, paired=True, backend=backend)


def _block_values(
    caller: str,
    x_ND: Tensor,
    y_ND: Tensor,
    kernel: Kernel,
    block: int | None,
    paired: bool,
    backend: str,
) -> Tensor:
    """U-statistic of every block, [P, ...], in float32 or float64."""
    check_samples(caller, x_ND, y_ND)
    n, m = x_ND.shape[-2], y_ND.shape[-2]
    if n != m:
        raise ValueError(
            f"{caller}: x has {n} and y has {m} rows; wanted equal numbers: drop rows of the "
            f"larger sample, or use mmd2_unbiased"
        )
    if block is None:
        block = max(2, math.isqrt(n))
    if not 2 <= block <= n:
        raise ValueError(
            f"{caller}: block is {block} with {n} rows; wanted 2 to {n}: U needs two rows, and the "
            f"samples have to fill a block"
        )
    check_finite(caller, x_ND, y_ND)
    kernel = fitted_kernel(kernel, x_ND, y_ND)
    blocks = n // block
    dtype = torch.promote_types(torch.float32, torch.promote_types(x_ND.dtype, y_ND.dtype))
    # Blocks come first, so that a kernel fitted to each element of a batch still meets its own.
    x_blocks, y_blocks = (
        rearrange(sample[..., : blocks * block, :].to(dtype), "... (p b) d -> p ... b d", b=block)
        for sample in (x_ND, y_ND)
    )
    return mmd2_unbiased(x_blocks, y_blocks, kernel, paired=paired, backend=backend)
