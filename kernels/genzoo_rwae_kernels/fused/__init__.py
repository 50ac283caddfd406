"""Pair sums on the CPU in compiled code: value, gradients and potentials in one sweep.

Shapes: B batch, N rows of x, M rows of y, D width of a row.

Needs a C++ compiler, once: the code is built for the machine at first use (about five seconds) and
kept in genzoo-rwae/ in XDG_CACHE_HOME, or in ~/.cache. GENZOO_FUSED=0 switches off all code that is
compiled so, normalisation of maps as well.

float32, on torch.get_num_threads() threads, with O((N + M) D) memory. The result does not depend
on the number of threads.
"""

import torch
from torch import Tensor

from genzoo_rwae_kernels.fused.library import PAIR_SUMS
from genzoo_rwae_kernels.fused.profiles import profile_of, refuses_kernel
from genzoo_rwae_kernels.sweeps import Kinds, Sums, Wanted

__all__ = ["across", "available", "contrast", "refuses", "why_not", "within"]


def why_not() -> str:
    """Why this backend cannot be had here, in a sentence; empty if it can."""
    return PAIR_SUMS.why_not()


def available() -> bool:
    """Whether this backend works here; the first call builds it.

    Example:
        >>> available() == (why_not() == "")
        True
    """
    return not why_not()


def refuses(kernel: object, dtype: torch.dtype, device: torch.device, /) -> str:
    """Why this backend cannot sum a kernel, in a sentence; empty if it can.

    Args:
        kernel: any kernel.
        dtype: of the rows.
        device: of the rows.

    Example:
        >>> refuses(lambda x, y: x @ y.mT, torch.float32, torch.device("cpu"))
        'the kernel is not one of the radial kernels that it knows'
    """
    if device.type != "cpu":
        return f"it runs on the CPU, and the rows are on {device}"
    if dtype != torch.float32:
        return f"it computes in float32, and the rows are {dtype}"
    return refuses_kernel(kernel) or why_not()


def within(x_BND: Tensor, w_BN: Tensor, kernel: object, /) -> tuple[Tensor, Tensor, Tensor]:
    """Sum over the pairs of one sample, sum_{i != j} w_i w_j k(x_i, x_j), and its derivatives.

    Args:
        x_BND: [B, N, D], float32, N >= 1.
        w_BN: [B, N], floating.
        kernel: one that `refuses` does not refuse.

    Returns:
        value [B], float64; its gradient with respect to x, [B, N, D], float32; the potentials
        p_i = sum_{j != i} w_j k(x_i, x_j), [B, N], float64, half its gradient with respect to w.
        None carries a graph.

    Raises:
        ValueError: this backend refuses the input, or shapes do not fit.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), first and second sum.
    """
    _check("within", x_BND, w_BN, kernel)
    found = _sums(x_BND, x_BND[:, :0], w_BN, None, kernel, Kinds.WITHIN_X)
    assert found.x_gradient_BND is not None
    assert found.a_gradient_BN is not None
    return found.sums_B3[:, 0], found.x_gradient_BND, 0.5 * found.a_gradient_BN


def across(
    x_BND: Tensor,
    y_BMD: Tensor,
    a_BN: Tensor,
    b_BM: Tensor,
    kernel: object,
    /,
    skip_diagonal: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Sum over the pairs across two samples, sum_ij a_i b_j k(x_i, y_j), and its derivatives.

    Args:
        x_BND: [B, N, D], float32, N >= 1.
        y_BMD: [B, M, D], float32, M >= 1.
        a_BN: [B, N], floating.
        b_BM: [B, M], floating.
        kernel: one that `refuses` does not refuse.
        skip_diagonal: leave out the pairs i = j.

    Returns:
        value [B], float64; its gradients with respect to x, [B, N, D], and y, [B, M, D], float32;
        the potentials sum_j b_j k(x_i, y_j), [B, N], and sum_i a_i k(x_i, y_j), [B, M], float64,
        its gradients with respect to a and b. None carries a graph.

    Raises:
        ValueError: this backend refuses the input, or shapes do not fit.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3), third sum.
    """
    _check("across", x_BND, a_BN, kernel)
    _check_pair("across", x_BND, y_BMD, b_BM)
    found = _sums(x_BND, y_BMD, a_BN, b_BM, kernel, Kinds.ACROSS, skip_diagonal)
    assert found.x_gradient_BND is not None
    assert found.y_gradient_BMD is not None
    assert found.a_gradient_BN is not None
    assert found.b_gradient_BM is not None
    return (
        found.sums_B3[:, 2],
        found.x_gradient_BND,
        found.y_gradient_BMD,
        found.a_gradient_BN,
        found.b_gradient_BM,
    )


def contrast(
    x_BND: Tensor,
    y_BMD: Tensor,
    a_BN: Tensor | None,
    b_BM: Tensor | None,
    coefficients_B3: Tensor,
    kernel: object,
    /,
    *,
    skip_diagonal: bool = False,
    wanted: tuple[bool, bool, bool, bool] = (True, True, True, True),
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """A combination of the sums within x, within y (i != j) and across, and its derivatives.

    Args:
        x_BND: [B, N, D], float32, N >= 1.
        y_BMD: [B, M, D], float32, M >= 1.
        a_BN: [B, N], floating; None: all 1.
        b_BM: [B, M], floating; None: all 1.
        coefficients_B3: of the three sums.
        kernel: one that `refuses` does not refuse.
        skip_diagonal: leave the pairs (x_i, y_i) out of the sum across.
        wanted: which of the gradients with respect to x, y, a and b.

    Returns:
        value [B], the sums times their coefficients, float64; the sums [B, 3], its gradient with
        respect to the coefficients; its gradients with respect to x and y, float32, and to a and
        b, float64; None: not wanted. None of them carries a graph.

    Raises:
        ValueError: this backend refuses the input, or shapes do not fit.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, Eq. (3).
    """
    _check_shapes("contrast", x_BND, a_BN)
    _check_pair("contrast", x_BND, y_BMD, b_BM)
    profile = profile_of(kernel, x_BND.shape[-1])
    return PAIR_SUMS.load()(
        *(profile, x_BND, y_BMD, a_BN, b_BM, coefficients_B3),
        skip_diagonal=skip_diagonal,
        wanted=Wanted(*wanted),
    )


def _sums(
    x_BND: Tensor,
    y_BMD: Tensor,
    a_BN: Tensor,
    b_BM: Tensor | None,
    kernel: object,
    kind: Kinds,
    skip_diagonal: bool = False,
) -> Sums:
    alone = [float(kind == one) for one in (Kinds.WITHIN_X, Kinds.WITHIN_Y, Kinds.ACROSS)]
    alone_B3 = torch.tensor(alone, dtype=torch.float64, device=x_BND.device).expand(len(x_BND), 3)
    profile = profile_of(kernel, x_BND.shape[-1])
    return PAIR_SUMS.load()(
        profile, x_BND, y_BMD, a_BN, b_BM, alone_B3, kinds=kind, skip_diagonal=skip_diagonal
    )


def _check(caller: str, rows_BND: Tensor, weights_BN: Tensor | None, kernel: object) -> None:
    reason = refuses(kernel, rows_BND.dtype, rows_BND.device)
    if reason:
        raise ValueError(f"fused.{caller}: {reason}; wanted what fused.refuses lets pass")
    _check_shapes(caller, rows_BND, weights_BN)


def _check_pair(caller: str, x_BND: Tensor, y_BMD: Tensor, b_BM: Tensor | None) -> None:
    _check_shapes(caller, y_BMD, b_BM)
    if x_BND.shape[0] != y_BMD.shape[0] or x_BND.shape[2] != y_BMD.shape[2]:
        raise ValueError(
            f"fused.{caller}: x {list(x_BND.shape)} and y {list(y_BMD.shape)}; wanted one batch "
            f"size and one width: [B, N, D] and [B, M, D]"
        )
    if not x_BND.dtype == y_BMD.dtype == torch.float32 or not x_BND.is_cpu or not y_BMD.is_cpu:
        raise ValueError(
            f"fused.{caller}: x is {x_BND.dtype} on {x_BND.device} and y {y_BMD.dtype} on "
            f"{y_BMD.device}; wanted float32 on the CPU"
        )


def _check_shapes(caller: str, rows_BND: Tensor, weights_BN: Tensor | None) -> None:
    if rows_BND.dim() != 3 or 0 in rows_BND.shape[1:]:
        raise ValueError(
            f"fused.{caller}: rows of shape {list(rows_BND.shape)}; wanted [B, N, D] with at "
            f"least one row and one column"
        )
    if weights_BN is not None and weights_BN.shape != rows_BND.shape[:2]:
        raise ValueError(
            f"fused.{caller}: weights of shape {list(weights_BN.shape)} for rows of shape "
            f"{list(rows_BND.shape)}; wanted one weight for each row, {list(rows_BND.shape[:2])}"
        )
