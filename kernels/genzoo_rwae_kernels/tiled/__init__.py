"""Pair sums tile by tile in plain torch: value and gradients in one sweep, memory O(N D).

Shapes: B batch, N rows of x, M rows of y, D code width.

Tiles stay in the cache, and each pair of them is met once, for both of its ends. Radial kernels are
functions of a product of matrices, as are their gradients, and many small batch elements take each
step together. Any other kernel goes through autograd, one tile at a time.
"""

import torch
from torch import Tensor

from genzoo_rwae_kernels.eager import kernel_values
from genzoo_rwae_kernels.precision import outside_autocast, wide_dtype
from genzoo_rwae_kernels.radial import Radial
from genzoo_rwae_kernels.samples import Kernel
from genzoo_rwae_kernels.sweeps import Kinds, Wanted
from genzoo_rwae_kernels.tiled.by_autograd import PlainSample, sweep_by_autograd
from genzoo_rwae_kernels.tiled.radial_sweep import sweep

__all__ = ["across", "contrast", "has_own_gradients", "refuses", "within"]


def refuses(kernel: Kernel, dtype: torch.dtype, device: torch.device, /) -> str:
    """Why this backend cannot compute pair sums of a kernel; empty if it can.

    Args:
        kernel: k(x_ND, y_MD) -> [..., N, M].
        dtype: of the samples.
        device: of the samples.

    Returns:
        A clause, or "".

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> refuses(Imq(), torch.float32, torch.device("mps"))
        'its sums need float64, which mps lacks'
    """
    if wide_dtype(device) != torch.float64:
        return f"its sums need float64, which {device.type} lacks"
    if not getattr(kernel, "has_constant_width", True):
        return "the kernel's width is a tensor, for which it has no gradient"
    return ""


def has_own_gradients(x_ND: Tensor, kernel: Kernel, /) -> bool:
    """Whether a kernel depends on tensors of its own that want gradients, such as parameters.

    Args:
        x_ND: [..., N, D]; one row of it is put into the kernel.
        kernel: k(x_ND, y_MD) -> [..., N, M].

    Returns:
        True if a value wants gradients though the row does not.

    Example:
        >>> slope = torch.ones((), requires_grad=True)
        >>> has_own_gradients(torch.ones(1, 1), lambda x, y: slope * (x @ y.mT))
        True
    """
    row_1D = x_ND[..., :1, :].detach()
    with torch.enable_grad():
        return kernel_values(row_1D, row_1D, kernel).requires_grad


def within(
    x_BND: Tensor, w_BN: Tensor, kernel: Kernel, /, *, diagonal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of w_i w_j k(x_i, x_j) over the pairs of one sample, i != j unless `diagonal`.

    Args:
        x_BND: [B, N, D], float32 or float64.
        w_BN: [B, N].
        kernel: symmetric k(x_ND, y_MD) -> [..., N, M], a function of pairs of rows.
        diagonal: add the pairs of a row and itself.

    Returns:
        The value [B], float64; its gradient in x, [B, N, D]; the potential [B, N], float64:
        potential_i = sum_j w_j k(x_i, x_j) over the same pairs.

    Example:
        >>> x_BND, w_BN = torch.tensor([[[1.0], [2.0]]]), torch.ones(1, 2)
        >>> value_B, gradient_BND, potential_BN = within(x_BND, w_BN, lambda x, y: x @ y.mT)
        >>> value_B.item(), gradient_BND.flatten().tolist(), potential_BN.tolist()
        (4.0, [4.0, 2.0], [[2.0, 2.0]])
    """
    with torch.no_grad(), outside_autocast(x_BND.device):
        if not isinstance(kernel, Radial):
            plain = PlainSample.of(x_BND, w_BN)
            sweep_by_autograd(plain, plain, kernel, skip_diagonal=not diagonal)
            return plain.value(), plain.gradient(), plain.potential_BN
        once_B3 = _alone(Kinds.WITHIN_X, x_BND)
        found = sweep(x_BND, x_BND[:, :0], w_BN, None, once_B3, kernel, kinds=Kinds.WITHIN_X)
        assert found.x_gradient_BND is not None
        assert found.a_gradient_BN is not None
        value_B, potential_BN = found.value_B, 0.5 * found.a_gradient_BN
        if diagonal:
            own_BN = kernel.at_zero(x_BND.shape[-1]) * w_BN.double()
            value_B, potential_BN = value_B + (own_BN * w_BN).sum(-1), potential_BN + own_BN
        return value_B, found.x_gradient_BND, potential_BN


def across(
    x_BND: Tensor,
    y_BMD: Tensor,
    a_BN: Tensor,
    b_BM: Tensor,
    kernel: Kernel,
    /,
    *,
    skip_diagonal: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Sum of a_i b_j k(x_i, y_j) over the pairs of two samples.

    Args:
        x_BND: [B, N, D], float32 or float64.
        y_BMD: [B, M, D], the dtype of x.
        a_BN: [B, N].
        b_BM: [B, M].
        kernel: symmetric k(x_ND, y_MD) -> [..., N, M], a function of pairs of rows.
        skip_diagonal: leave out the pairs (x_i, y_i); N = M.

    Returns:
        The value [B], float64; its gradients in x, [B, N, D], and in y, [B, M, D]; the potentials
        [B, N] and [B, M], float64: sum_j b_j k(x_i, y_j) and sum_i a_i k(x_i, y_j).

    Example:
        >>> x_BND, y_BMD = torch.tensor([[[1.0]]]), torch.tensor([[[2.0], [3.0]]])
        >>> value_B, *_ = across(
        ...     x_BND, y_BMD, torch.ones(1, 1), torch.ones(1, 2), lambda x, y: x @ y.mT
        ... )
        >>> value_B
        tensor([5.], dtype=torch.float64)
    """
    with torch.no_grad(), outside_autocast(x_BND.device):
        if not isinstance(kernel, Radial):
            x, y = PlainSample.of(x_BND, a_BN), PlainSample.of(y_BMD, b_BM)
            sweep_by_autograd(x, y, kernel, skip_diagonal=skip_diagonal)
            return x.value(), x.gradient(), y.gradient(), x.potential_BN, y.potential_BN
        found = sweep(
            *(x_BND, y_BMD, a_BN, b_BM, _alone(Kinds.ACROSS, x_BND), kernel),
            kinds=Kinds.ACROSS,
            skip_diagonal=skip_diagonal,
        )
        assert found.x_gradient_BND is not None
        assert found.y_gradient_BMD is not None
        assert found.a_gradient_BN is not None
        assert found.b_gradient_BM is not None
        gradients = found.x_gradient_BND, found.y_gradient_BMD
        return found.value_B, *gradients, found.a_gradient_BN, found.b_gradient_BM


def contrast(
    x_BND: Tensor,
    y_BMD: Tensor,
    a_BN: Tensor | None,
    b_BM: Tensor | None,
    coefficients_B3: Tensor,
    kernel: Radial,
    /,
    *,
    skip_diagonal: bool = False,
    wanted: tuple[bool, bool, bool, bool] = (True, True, True, True),
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """A combination of the sums within x, within y (i != j) and across, and its derivatives.

    Args:
        x_BND: [B, N, D], float32 or float64, N >= 1.
        y_BMD: [B, M, D], the dtype of x, M >= 1.
        a_BN: [B, N]; None: all 1.
        b_BM: [B, M]; None: all 1.
        coefficients_B3: of the three sums, float64.
        kernel: one of a constant width.
        skip_diagonal: leave the pairs (x_i, y_i) out of the sum across.
        wanted: which of the gradients with respect to x, y, a and b.

    Returns:
        value [B], the sums times their coefficients, float64; the sums [B, 3], its gradient with
        respect to the coefficients; its gradients with respect to x and y, in their dtype, and to a
        and b, float64; None: not wanted. None of them carries a graph.

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> x_BND, once_B3 = torch.tensor([[[0.0], [2.0]]]), torch.ones(1, 3).double()
        >>> value_B, sums_B3, *_ = contrast(x_BND, x_BND, None, None, once_B3, Imq(scales=[2.0]))
        >>> value_B.item(), sums_B3.tolist()  # 1/2 twice, the same, 1 + 1/2 twice
        (5.0, [[1.0, 1.0, 3.0]])
    """
    with torch.no_grad(), outside_autocast(x_BND.device):
        return sweep(
            *(x_BND, y_BMD, a_BN, b_BM, coefficients_B3, kernel),
            skip_diagonal=skip_diagonal,
            wanted=Wanted(*wanted),
        )


def _alone(kind: Kinds, x_BND: Tensor) -> Tensor:
    """Coefficients [B, 3] of one of the sums."""
    alone = [float(kind == one) for one in (Kinds.WITHIN_X, Kinds.WITHIN_Y, Kinds.ACROSS)]
    alone_3 = torch.tensor(alone, dtype=torch.float64, device=x_BND.device)
    return alone_3.expand(len(x_BND), 3)
