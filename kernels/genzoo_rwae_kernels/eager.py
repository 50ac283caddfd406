"""Pair sums by the formula, in plain torch: any kernel, every derivative, memory O(N M).

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.
"""

import torch
from torch import Tensor

from genzoo_rwae_kernels.precision import wide_dtype
from genzoo_rwae_kernels.samples import Kernel

__all__ = ["across", "kernel_values", "refuses", "within"]


def refuses(kernel: Kernel, dtype: torch.dtype, device: torch.device, /) -> str:
    """Why this backend cannot compute pair sums of a kernel: never, so always empty.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> refuses(Imq(), torch.float32, torch.device("cpu"))
        ''
    """
    return ""


def kernel_values(x_ND: Tensor, y_MD: Tensor, kernel: Kernel, /) -> Tensor:
    """The kernel between all rows, its shape checked.

    Args:
        x_ND: [..., N, D].
        y_MD: [..., M, D], the same batch dimensions.
        kernel: k(x_ND, y_MD) -> [..., N, M].

    Returns:
        [..., N, M].

    Raises:
        ValueError: the kernel returns another shape.

    Example:
        >>> kernel_values(torch.ones(2, 1), torch.ones(3, 1), lambda x, y: x @ y.mT)
        tensor([[1., 1., 1.],
                [1., 1., 1.]])
    """
    k_NM = kernel(x_ND, y_MD)
    wanted = [*x_ND.shape[:-1], y_MD.shape[-2]]
    if list(k_NM.shape) != wanted:
        raise ValueError(
            f"pair sums: the kernel returned shape {list(k_NM.shape)} for {x_ND.shape[-2]} and "
            f"{y_MD.shape[-2]} rows; wanted {wanted}: one value for each pair of rows"
        )
    return k_NM


def within(
    x_ND: Tensor, w_N: Tensor | None, kernel: Kernel, /, *, diagonal: bool = False
) -> Tensor:
    """Sum of w_i w_j k(x_i, x_j) over the pairs of one sample, i != j unless `diagonal`.

    Args:
        x_ND: [..., N, D], float32 or float64.
        w_N: [..., N]; None counts every row once.
        kernel: k(x_ND, y_MD) -> [..., N, M].
        diagonal: add the pairs of a row and itself.

    Returns:
        [...], float64 where the device has it.

    Example:
        >>> within(torch.tensor([[1.0], [2.0]]), None, lambda x, y: x @ y.mT)
        tensor(4., dtype=torch.float64)
    """
    k_NN = kernel_values(x_ND, x_ND, kernel)
    total = _weighted_total(k_NN, w_N, w_N)
    return total if diagonal else total - _weighted_diagonal(k_NN, w_N, w_N)


def across(
    x_ND: Tensor,
    y_MD: Tensor,
    a_N: Tensor | None,
    b_M: Tensor | None,
    kernel: Kernel,
    /,
    *,
    skip_diagonal: bool = False,
) -> Tensor:
    """Sum of a_i b_j k(x_i, y_j) over the pairs of two samples.

    Args:
        x_ND: [..., N, D], float32 or float64.
        y_MD: [..., M, D], the dtype and batch dimensions of x.
        a_N: [..., N]; None counts every row once.
        b_M: [..., M]; None counts every row once.
        kernel: k(x_ND, y_MD) -> [..., N, M].
        skip_diagonal: leave out the pairs (x_i, y_i); N = M.

    Returns:
        [...], float64 where the device has it.

    Example:
        >>> across(torch.ones(2, 1), torch.ones(3, 1), None, None, lambda x, y: x @ y.mT)
        tensor(6., dtype=torch.float64)
    """
    k_NM = kernel_values(x_ND, y_MD, kernel)
    total = _weighted_total(k_NM, a_N, b_M)
    return total - _weighted_diagonal(k_NM, a_N, b_M) if skip_diagonal else total


def _weighted_total(k_NM: Tensor, a_N: Tensor | None, b_M: Tensor | None) -> Tensor:
    wide = wide_dtype(k_NM.device)
    if a_N is None and b_M is None:
        return k_NM.sum(dim=(-2, -1), dtype=wide)
    k_NM = k_NM.to(wide)
    by_row_N = k_NM.sum(dim=-1) if b_M is None else (k_NM @ b_M.to(wide).unsqueeze(-1)).squeeze(-1)
    return (by_row_N if a_N is None else by_row_N * a_N.to(wide)).sum(dim=-1)


def _weighted_diagonal(k_NN: Tensor, a_N: Tensor | None, b_N: Tensor | None) -> Tensor:
    wide = wide_dtype(k_NN.device)
    diagonal_N = k_NN.diagonal(dim1=-2, dim2=-1).to(wide)
    for weights_N in (a_N, b_N):
        if weights_N is not None:
            diagonal_N = diagonal_N * weights_N.to(wide)
    return diagonal_N.sum(dim=-1)
