"""Pair sums by torch.compile of the formula, value and gradients at once; memory O(N M).

Shapes: B batch, N rows of x, M rows of y, D code width.

Its first call for a kernel takes seconds to minutes, later ones are faster than the formula as it
stands and slower than one sweep; "auto" never takes it.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from genzoo_rwae_kernels import eager
from genzoo_rwae_kernels.samples import Kernel

__all__ = ["across", "refuses", "within"]


def refuses(kernel: Kernel, dtype: torch.dtype, device: torch.device, /) -> str:
    """Why this backend cannot compute pair sums of a kernel; empty if it can.

    Compiles a line of code for the device, once.

    Args:
        kernel: k(x_ND, y_MD) -> [..., N, M].
        dtype: of the samples.
        device: of the samples.

    Returns:
        A clause, or "".

    Example:
        >>> from genzoo_rwae_kernels import Imq
        >>> learnt = Imq(sigma=torch.ones((), requires_grad=True))
        >>> refuses(learnt, torch.float32, torch.device("cpu"))
        "the kernel's width is a tensor, for which it has no gradient"
    """
    if not getattr(kernel, "has_constant_width", True):
        return "the kernel's width is a tensor, for which it has no gradient"
    return _broken_compiler(device.type)


def within(
    x_BND: Tensor, w_BN: Tensor, kernel: Kernel, /, *, diagonal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of w_i w_j k(x_i, x_j) over the pairs of one sample, i != j unless `diagonal`.

    Args:
        x_BND: [B, N, D], float32 or float64.
        w_BN: [B, N].
        kernel: k(x_ND, y_MD) -> [..., N, M].
        diagonal: add the pairs of a row and itself.

    Returns:
        The value [B], float64; its gradient in x, [B, N, D]; the potential [B, N], half of its
        gradient in w.

    Example:
        Not run here, for it compiles:

        >>> within(x_BND, w_BN, Imq())  # doctest: +SKIP
    """
    x_BND, w_BN = _leaf(x_BND), _leaf(w_BN)
    with torch.enable_grad():
        value_B = _compiled(eager.within)(x_BND, w_BN, kernel, diagonal=diagonal)
        x_gradient, w_gradient = torch.autograd.grad(value_B.sum(), (x_BND, w_BN))
    return value_B.detach(), x_gradient, 0.5 * w_gradient


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
        kernel: k(x_ND, y_MD) -> [..., N, M].
        skip_diagonal: leave out the pairs (x_i, y_i); N = M.

    Returns:
        The value [B], float64; its gradients in x, y, a and b.

    Example:
        Not run here, for it compiles:

        >>> across(x_BND, y_BMD, a_BN, b_BM, Imq())  # doctest: +SKIP
    """
    leaves = (_leaf(x_BND), _leaf(y_BMD), _leaf(a_BN), _leaf(b_BM))
    with torch.enable_grad():
        value_B = _compiled(eager.across)(*leaves, kernel, skip_diagonal=skip_diagonal)
        x_gradient, y_gradient, a_gradient, b_gradient = torch.autograd.grad(value_B.sum(), leaves)
    return value_B.detach(), x_gradient, y_gradient, a_gradient, b_gradient


def _leaf(given: Tensor) -> Tensor:
    return given.detach().requires_grad_()


@cache
def _compiled(formula: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(formula)


@cache
def _broken_compiler(device: str) -> str:
    try:
        torch.compile(torch.square)(torch.ones(2, device=device))
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        return f"torch.compile does not work here ({type(error).__name__}: {first_line})"
    return ""
