"""Pair sums on CUDA in one Triton kernel: value, gradients and potentials, memory O((N + M) D).

Shapes: B batch, N rows of x, M rows of y, D width of a row; I, J and K rows and coordinates of a
tile.

One program owns I rows of x and goes over all rows of y, so nothing is added atomically and the
result is the same every time. It gives

    potential_i = sum_j b_j f(|x_i - y_j|^2),   pull_i = sum_j b_j f'(|x_i - y_j|^2) (x_i - y_j),

from which value and gradients follow row by row. Distances and pulls are sums of differences in
float32, tiles are added in float64. Triton is imported at the first use.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genzoo_rwae_kernels.radial import ScaleMixture

__all__ = ["across", "refuses", "within"]

# Rows of x, rows of y and coordinates that one step holds as differences: 4,096 in registers.
_I, _J, _K = 16, 32, 8

_IMQ, _RBF = 0, 1
_PROFILES = {"imq": _IMQ, "rbf": _RBF}

# 1 / width and d2 / width stay far inside float32.
_LEAST, _MOST = 1e-12, 1e12

# Triton looks for these among the globals of a program's module; set when it is imported.
tl: Any = None  # triton.language
if TYPE_CHECKING:
    constexpr = Any


def refuses(kernel: object, dtype: torch.dtype, device: torch.device, /) -> str:
    """Why this backend cannot compute pair sums of a kernel; empty if it can.

    Args:
        kernel: any kernel.
        dtype: of the rows.
        device: of the rows.

    Returns:
        A clause, or "".

    Example:
        >>> refuses(lambda x, y: x @ y.mT, torch.float32, torch.device("cuda"))
        'the kernel is not one of the radial kernels that it knows'
    """
    if not isinstance(kernel, ScaleMixture) or kernel.profile not in _PROFILES:
        return "the kernel is not one of the radial kernels that it knows"
    if not kernel.has_constant_width:
        return "the kernel's width is a tensor, for which it has no gradient"
    if not all(_LEAST <= c <= _MOST for c in kernel.widths(1)):
        return "the kernel has a width that is too extreme for float32"
    if dtype != torch.float32:
        return f"it computes in float32, and the rows are {dtype}"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device.type != "cuda" and not _interpreted():
        return f"it runs on CUDA, and the rows are on {device}"
    return ""


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
    potential_BN, pull_BND = _sweep(x_BND, x_BND, w_BN, kernel, skip_diagonal=True)
    w_BN = w_BN.detach().double()
    # 2 of d(d2)/dx = 2 (x - y), 2 as each pair counts in both of its orders.
    gradient_BND = (4.0 * w_BN[..., None] * pull_BND).float()
    return (w_BN * potential_BN).sum(dim=-1), gradient_BND, potential_BN


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
    _check("across", y_BMD, b_BM, kernel)
    if x_BND.shape[0] != y_BMD.shape[0] or x_BND.shape[2] != y_BMD.shape[2]:
        raise ValueError(
            f"triton_sums.across: x {list(x_BND.shape)} and y {list(y_BMD.shape)}; wanted one "
            f"batch size and one width: [B, N, D] and [B, M, D]"
        )
    of_x_BN, pull_BND = _sweep(x_BND, y_BMD, b_BM, kernel, skip_diagonal=skip_diagonal)
    a_BN, b_BM = a_BN.detach().double(), b_BM.detach().double()
    x_gradient_BND = (2.0 * a_BN[..., None] * pull_BND).float()
    del pull_BND
    of_y_BM, pull_BMD = _sweep(y_BMD, x_BND, a_BN, kernel, skip_diagonal=skip_diagonal)
    y_gradient_BMD = (2.0 * b_BM[..., None] * pull_BMD).float()
    return (a_BN * of_x_BN).sum(dim=-1), x_gradient_BND, y_gradient_BMD, of_x_BN, of_y_BM


def _sweep(
    x_BND: Tensor, y_BMD: Tensor, b_BM: Tensor, kernel: object, *, skip_diagonal: bool
) -> tuple[Tensor, Tensor]:
    """Potentials [B, N] and pulls [B, N, D] of the rows of x, float64."""
    assert isinstance(kernel, ScaleMixture)
    (B, n, D), m = x_BND.shape, y_BMD.shape[1]
    # The largest weight apart, so that small ones do not underflow in float32.
    largest_B1 = b_BM.detach().double().abs().amax(dim=1, keepdim=True)
    largest_B1 = torch.where(largest_B1 > 0, largest_B1, 1.0)
    scaled_BM = (b_BM.detach().double() / largest_B1).float().contiguous()
    inverse_S = torch.tensor([1.0 / c for c in kernel.widths(D)], device=x_BND.device)
    potential_BN = torch.empty(B, n, dtype=torch.float64, device=x_BND.device)
    pull_BND = torch.zeros(B, n, D, dtype=torch.float64, device=x_BND.device)
    blocks = -(-n // _I)
    if B:
        _compiled()[(B * blocks,)](
            x_BND.detach().contiguous(),
            y_BMD.detach().contiguous(),
            scaled_BM,
            inverse_S,
            potential_BN,
            pull_BND,
            *(n, m, D, len(inverse_S), blocks),
            SKIP=skip_diagonal,
            PROFILE=_PROFILES[kernel.profile],
            I=_I,
            J=_J,
            K=_K,
            enable_fp_fusion=True,
        )
    return potential_BN * largest_B1, pull_BND * largest_B1[..., None]


def _rows(  # type: ignore[no-untyped-def]
    x_at,
    y_at,
    weights_at,
    inverse_at,
    potential_at,
    pull_at,
    n,
    m,
    D,
    scales,
    blocks,
    SKIP: constexpr,
    PROFILE: constexpr,
    I: constexpr,
    J: constexpr,
    K: constexpr,
):
    """Program of I rows of x; compiled by Triton, never called as a Python function."""
    b = (tl.program_id(0) // blocks).to(tl.int64)
    i_I = (tl.program_id(0) % blocks) * I + tl.arange(0, I)
    x_at += b * n * D
    y_at += b * m * D
    pull_at += b * n * D
    potential_I = tl.zeros([I], dtype=tl.float64)
    for j in range(0, m, J):
        j_J = j + tl.arange(0, J)
        d2_IJ = tl.zeros([I, J], dtype=tl.float32)
        for k in range(0, D, K):
            k_K = k + tl.arange(0, K)
            x_at_IK = x_at + i_I.to(tl.int64)[:, None] * D + k_K[None, :]
            y_at_JK = y_at + j_J.to(tl.int64)[:, None] * D + k_K[None, :]
            x_IK = tl.load(x_at_IK, mask=(i_I < n)[:, None] & (k_K < D)[None, :], other=0.0)
            y_JK = tl.load(y_at_JK, mask=(j_J < m)[:, None] & (k_K < D)[None, :], other=0.0)
            difference_IJK = x_IK[:, None, :] - y_JK[None, :, :]
            d2_IJ += tl.sum(difference_IJK * difference_IJK, axis=2)
        value_IJ = tl.zeros([I, J], dtype=tl.float32)
        slope_IJ = tl.zeros([I, J], dtype=tl.float32)
        for s in range(scales):
            inverse = tl.load(inverse_at + s)
            if PROFILE == 0:
                term_IJ = 1.0 / (1.0 + d2_IJ * inverse)
                slope_IJ -= term_IJ * term_IJ * inverse
            else:
                term_IJ = tl.exp(-d2_IJ * inverse)
                slope_IJ -= term_IJ * inverse
            value_IJ += term_IJ
        weight_J = tl.load(weights_at + b * m + j_J, mask=j_J < m, other=0.0)
        value_IJ *= weight_J[None, :]
        slope_IJ *= weight_J[None, :]
        if SKIP:
            counted_IJ = i_I[:, None] != j_J[None, :]
            value_IJ = tl.where(counted_IJ, value_IJ, 0.0)
            slope_IJ = tl.where(counted_IJ, slope_IJ, 0.0)
        potential_I += tl.sum(value_IJ, axis=1).to(tl.float64)
        for k in range(0, D, K):
            k_K = k + tl.arange(0, K)
            inside_IK = (i_I < n)[:, None] & (k_K < D)[None, :]
            at_IK = i_I.to(tl.int64)[:, None] * D + k_K[None, :]
            y_at_JK = y_at + j_J.to(tl.int64)[:, None] * D + k_K[None, :]
            x_IK = tl.load(x_at + at_IK, mask=inside_IK, other=0.0)
            y_JK = tl.load(y_at_JK, mask=(j_J < m)[:, None] & (k_K < D)[None, :], other=0.0)
            difference_IJK = x_IK[:, None, :] - y_JK[None, :, :]
            pull_IK = tl.sum(slope_IJ[:, :, None] * difference_IJK, axis=1)
            # These rows are this program's alone.
            sum_IK = tl.load(pull_at + at_IK, mask=inside_IK, other=0.0) + pull_IK.to(tl.float64)
            tl.store(pull_at + at_IK, sum_IK, mask=inside_IK)
    tl.store(potential_at + b * n + i_I, potential_I, mask=i_I < n)


@cache
def _compiled() -> Any:
    triton = importlib.import_module("triton")
    language = importlib.import_module("triton.language")
    globals().update(tl=language, constexpr=language.constexpr)
    return triton.jit(_rows)


def _interpreted() -> bool:
    """Whether Triton runs its programs as Python, on any device."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _check(caller: str, rows_BND: Tensor, weights_BN: Tensor, kernel: object) -> None:
    reason = refuses(kernel, rows_BND.dtype, rows_BND.device)
    if reason:
        raise ValueError(f"triton_sums.{caller}: {reason}; wanted what refuses lets pass")
    if rows_BND.dim() != 3 or 0 in rows_BND.shape[1:]:
        raise ValueError(
            f"triton_sums.{caller}: rows of shape {list(rows_BND.shape)}; wanted [B, N, D] with "
            f"at least one row and one column"
        )
    if weights_BN.shape != rows_BND.shape[:2]:
        raise ValueError(
            f"triton_sums.{caller}: weights of shape {list(weights_BN.shape)} for rows of shape "
            f"{list(rows_BND.shape)}; wanted one weight for each row, {list(rows_BND.shape[:2])}"
        )
