"""Pair sums tile by tile in plain torch: value and gradients in one sweep, memory O(N D).

Shapes: B batch, N rows of x, M rows of y, D code width; I and J rows of a tile.

A tile of squared distances is one matrix product of centred rows. A radial kernel turns it into
values K_BIJ and slopes G_BIJ = dk/d(d2), and the gradient is one more product,

    d/dx_i sum_j w_j k_ij = 2 (sum_j G_ij w_j) x_i - 2 sum_j G_ij w_j x_j.

Tiles stay in the cache, those below the diagonal mirror those above, and many small batch elements
share a tile. Any other kernel goes through autograd, one tile at a time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from genzoo_rwae_kernels.eager import kernel_values
from genzoo_rwae_kernels.precision import outside_autocast, wide_dtype
from genzoo_rwae_kernels.radial import Radial, ScaleMixture
from genzoo_rwae_kernels.samples import Kernel

__all__ = ["across", "float32_reach", "has_own_gradients", "refuses", "within"]

# Measured on one core with 2 MB of second-level cache.
_TILE = 256
_PAIRS = _TILE**2

# Products in float32 lose about eps |z|^2 of a squared distance, so eps |z|^2 max|k'| of a value.
# Up to this part of k(0) the gradients stay within 5e-6 (measured); beyond, products are float64.
_ROUNDING = 1e-6

# Below this part of the largest |z|^2 a kernel with a kink gets sums of squared differences.
_NEAR = 1e-8


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


def float32_reach(kernel: Radial, width: int, /) -> float:
    """Largest |z|^2 of centred rows up to which products of float32 are exact enough.

    Args:
        kernel: any radial kernel.
        width: of the rows.

    Returns:
        A squared distance; 0 for a kernel of which nothing is known.

    Example:
        >>> from genzoo_rwae_kernels import Energy, Imq
        >>> round(float32_reach(Imq(scales=[1.0]), 16)), float32_reach(Energy(), 16)
        (268, 0.0)
    """
    # The slope of these mixtures is steepest at 0; of other kernels nothing is known.
    if not _is_known_mixture(kernel):
        return 0.0
    widths = kernel.widths(width)
    steepest = sum(1.0 / c for c in widths)
    return _ROUNDING * len(widths) / (torch.finfo(torch.float32).eps * steepest)


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
        if isinstance(kernel, Radial):
            (x,) = _centred(kernel, (x_BND, w_BN))
            _sweep(x, x, kernel, skip_diagonal=not diagonal)
            # Each pair was met once from either end, which is half of the gradient.
            return x.value(), x.gradient(4.0), x.potential_BN
        plain = _Plain.of(x_BND, w_BN)
        _sweep_by_autograd(plain, plain, kernel, skip_diagonal=not diagonal)
        return plain.value(), plain.gradient(), plain.potential_BN


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
        if isinstance(kernel, Radial):
            x, y = _centred(kernel, (x_BND, a_BN), (y_BMD, b_BM))
            _sweep(x, y, kernel, skip_diagonal=skip_diagonal)
            gradients = x.gradient(2.0), y.gradient(2.0)
            return x.value(), *gradients, x.potential_BN, y.potential_BN
        p, q = _Plain.of(x_BND, a_BN), _Plain.of(y_BMD, b_BM)
        _sweep_by_autograd(p, q, kernel, skip_diagonal=skip_diagonal)
        return p.value(), p.gradient(), q.gradient(), p.potential_BN, q.potential_BN


@dataclass(frozen=True)
class _Centred:
    """A sample under a radial kernel, and what a sweep collects for it (in float64).

    Attributes:
        rows_BNE: [z, 1, |z|^2] of the centred rows z, in the dtype of the products.
        weights_BN: in the dtype of the kernel's values.
        unit: whether all weights are 1.
        pull_BND: collects sum_j H_ij z_j with H_ij = w_i G_ij w_j.
        slope_BN: collects sum_j H_ij.
        potential_BN: collects sum_j w_j k_ij.
    """

    rows_BNE: Tensor
    weights_BN: Tensor
    unit: bool
    pull_BND: Tensor
    slope_BN: Tensor
    potential_BN: Tensor

    @property
    def z(self) -> Tensor:
        return self.rows_BNE[..., :-2]

    def value(self) -> Tensor:
        return (self.weights_BN * self.potential_BN).sum(dim=-1)

    def gradient(self, factor: float) -> Tensor:
        """`factor` times sum_j H_ij (z_i - z_j); uses up the pull."""
        gradient_BND = self.pull_BND.neg_().addcmul_(self.z, self.slope_BN.unsqueeze(-1))
        return gradient_BND.mul_(factor).to(self.weights_BN.dtype)


def _centred(kernel: Radial, *samples: tuple[Tensor, Tensor]) -> list[_Centred]:
    dtype, width = samples[0][0].dtype, samples[0][0].shape[-1]
    totals_B1D = [x_BND.sum(dim=-2, keepdim=True, dtype=torch.float64) for x_BND, _ in samples]
    rows = sum(x_BND.shape[-2] for x_BND, _ in samples)
    centre_B1D = torch.stack(totals_B1D).sum(dim=0).div_(rows).to(dtype)
    tables = [_table(x_BND, centre_B1D) for x_BND, _ in samples]
    if dtype == torch.float32:
        largest = max(float(rows_BNE[..., -1].amax()) for rows_BNE in tables)
        if not largest <= float32_reach(kernel, width):
            tables = [_table(x_BND, centre_B1D.double()) for x_BND, _ in samples]
    return [
        _Centred(
            rows_BNE=rows_BNE,
            weights_BN=w_BN.to(dtype),
            unit=bool((w_BN == 1).all()),
            pull_BND=torch.zeros_like(x_BND, dtype=torch.float64),
            slope_BN=torch.zeros_like(w_BN, dtype=torch.float64),
            potential_BN=torch.zeros_like(w_BN, dtype=torch.float64),
        )
        for (x_BND, w_BN), rows_BNE in zip(samples, tables, strict=True)
    ]


def _table(x_BND: Tensor, centre_B1D: Tensor) -> Tensor:
    """[z, 1, |z|^2] of the rows, in the dtype of the centre."""
    *rows, width = x_BND.shape
    rows_BNE = centre_B1D.new_empty(*rows, width + 2)
    z_BND = torch.sub(x_BND, centre_B1D, out=rows_BNE[..., :width])
    rows_BNE[..., width] = 1.0
    torch.sum(z_BND.square(), dim=-1, out=rows_BNE[..., width + 1])
    return rows_BNE


def _sweep(x: _Centred, y: _Centred, kernel: Radial, *, skip_diagonal: bool) -> None:
    width = x.z.shape[-1]
    values, products = x.weights_BN.dtype, x.rows_BNE.dtype
    near = 0.0
    if kernel.has_kink:
        near = _NEAR * max(float(side.rows_BNE[..., -1].amax()) for side in (x, y))
    scratch = torch.empty(_PAIRS, dtype=products, device=x.rows_BNE.device)
    narrow = scratch if values == products else torch.empty_like(scratch, dtype=values)
    buffers = torch.empty(3, _PAIRS, dtype=values, device=scratch.device)
    for elements, I, columns in _strips(x.potential_BN, y.potential_BN, mirror=x is y):
        z_BID, one_BI1, square_BI1 = torch.split(x.rows_BNE[elements, I], [width, 1, 1], dim=-1)
        left_BIE = torch.cat([-2.0 * z_BID, square_BI1, one_BI1], dim=-1)
        for J in columns:
            itself = x is y and I == J
            y_BJE = y.rows_BNE[elements, J]
            shape = (*left_BIE.shape[:-1], y_BJE.shape[-2])
            pairs = math.prod(shape)
            d2_BIJ = scratch[:pairs].view(shape)
            torch.bmm(left_BIE, y_BJE.mT, out=d2_BIJ).clamp_(min=0.0)
            if kernel.has_kink:
                b, i, j = (d2_BIJ < near).nonzero(as_tuple=True)
                d2_BIJ[b, i, j] = (z_BID[b, i] - y_BJE[b, j, :width]).square_().sum(dim=-1)
            if itself:
                d2_BIJ.diagonal(dim1=-2, dim2=-1).zero_()
            if values != products:
                d2_BIJ = narrow[:pairs].view(shape).copy_(d2_BIJ)
            k_BIJ, slope_BIJ = _value_and_slope(kernel, d2_BIJ, width, buffers)
            if skip_diagonal and I == J:
                k_BIJ.diagonal(dim1=-2, dim2=-1).zero_()
                slope_BIJ.diagonal(dim1=-2, dim2=-1).zero_()
            x_weights_BI1 = x.weights_BN[elements, I].unsqueeze(-1)
            y_weights_BJ1 = y.weights_BN[elements, J].unsqueeze(-1)
            if not x.unit:
                slope_BIJ.mul_(x_weights_BI1)
            if not y.unit:
                slope_BIJ.mul_(y_weights_BJ1.mT)
            if values != products:
                slope_BIJ = scratch[:pairs].view(shape).copy_(slope_BIJ)
            # Sums over a whole row are pairwise, more exact than a column in a matrix product.
            x.potential_BN[elements, I] += _row_sums(k_BIJ, y_weights_BJ1, y.unit)
            x.slope_BN[elements, I] += slope_BIJ.sum(dim=-1)
            x.pull_BND[elements, I] += torch.bmm(slope_BIJ, y.z[elements, J])
            if not itself:
                y.potential_BN[elements, J] += _row_sums(k_BIJ.mT, x_weights_BI1, x.unit)
                y.slope_BN[elements, J] += slope_BIJ.sum(dim=-2)
                y.pull_BND[elements, J] += torch.bmm(slope_BIJ.mT, z_BID)


def _value_and_slope(
    kernel: Radial, d2_BIJ: Tensor, width: int, buffers: Tensor
) -> tuple[Tensor, Tensor]:
    if not _is_known_mixture(kernel):
        return kernel.value_and_slope(d2_BIJ, width)
    term_BIJ, k_BIJ, slope_BIJ = (b[: d2_BIJ.numel()].view(d2_BIJ.shape) for b in buffers)
    k_BIJ.zero_()
    slope_BIJ.zero_()
    one = torch.ones((), dtype=d2_BIJ.dtype)
    for c in kernel.widths(width):
        if kernel.profile == "imq":
            torch.add(one, d2_BIJ, alpha=1.0 / c, out=term_BIJ).reciprocal_()
            slope_BIJ.addcmul_(term_BIJ, term_BIJ, value=-1.0 / c)
        else:
            torch.mul(d2_BIJ, -1.0 / c, out=term_BIJ).exp_()
            slope_BIJ.add_(term_BIJ, alpha=-1.0 / c)
        k_BIJ.add_(term_BIJ)
    return k_BIJ, slope_BIJ


def _is_known_mixture(kernel: Radial) -> TypeGuard[ScaleMixture]:
    return isinstance(kernel, ScaleMixture) and kernel.profile in ("imq", "rbf")


def _row_sums(k_BIJ: Tensor, weights_BJ1: Tensor, unit: bool) -> Tensor:
    return k_BIJ.sum(dim=-1) if unit else torch.bmm(k_BIJ, weights_BJ1).squeeze(-1)


@dataclass(frozen=True)
class _Plain:
    """A sample under any kernel, and what a sweep collects for it.

    Attributes:
        rows_BND: the rows.
        weights_BN: in their dtype.
        gradient_BND: collects the gradient of the value, float64.
        potential_BN: collects sum_j w_j k_ij, float64.
    """

    rows_BND: Tensor
    weights_BN: Tensor
    gradient_BND: Tensor
    potential_BN: Tensor

    @classmethod
    def of(cls, x_BND: Tensor, w_BN: Tensor) -> "_Plain":
        return cls(
            rows_BND=x_BND,
            weights_BN=w_BN.to(x_BND.dtype),
            gradient_BND=torch.zeros_like(x_BND, dtype=torch.float64),
            potential_BN=torch.zeros_like(w_BN, dtype=torch.float64),
        )

    def value(self) -> Tensor:
        return (self.weights_BN * self.potential_BN).sum(dim=-1)

    def gradient(self) -> Tensor:
        return self.gradient_BND.to(self.rows_BND.dtype)


def _sweep_by_autograd(x: _Plain, y: _Plain, kernel: Kernel, *, skip_diagonal: bool) -> None:
    for elements, I, columns in _strips(x.potential_BN, y.potential_BN, mirror=x is y):
        x_weights_BI1 = x.weights_BN[elements, I].unsqueeze(-1)
        for J in columns:
            itself = x is y and I == J
            x_BID = x.rows_BND[elements, I].detach().requires_grad_()
            y_BJD = x_BID if itself else y.rows_BND[elements, J].detach().requires_grad_()
            with torch.enable_grad():
                k_BIJ = _values(x_BID, y_BJD, kernel)
            y_weights_BJ1 = y.weights_BN[elements, J].unsqueeze(-1)
            # Off the diagonal a tile stands for its mirror image as well.
            twice = 2.0 if x is y and not itself else 1.0
            upstream_BIJ = twice * x_weights_BI1 * y_weights_BJ1.mT
            value_BIJ = k_BIJ.detach()
            if skip_diagonal and I == J:
                value_BIJ = value_BIJ.clone()
                value_BIJ.diagonal(dim1=-2, dim2=-1).zero_()
                upstream_BIJ.diagonal(dim1=-2, dim2=-1).zero_()
            if k_BIJ.requires_grad:
                leaves = (x_BID,) if itself else (x_BID, y_BJD)
                gradients = torch.autograd.grad(
                    k_BIJ, leaves, upstream_BIJ.to(k_BIJ.dtype), materialize_grads=True
                )
                x.gradient_BND[elements, I] += gradients[0]
                if not itself:
                    y.gradient_BND[elements, J] += gradients[1]
            x.potential_BN[elements, I] += torch.bmm(value_BIJ, y_weights_BJ1).squeeze(-1)
            if not itself:
                y.potential_BN[elements, J] += torch.bmm(value_BIJ.mT, x_weights_BI1).squeeze(-1)


def _values(x_BID: Tensor, y_BJD: Tensor, kernel: Kernel) -> Tensor:
    if len(x_BID) > 1:
        return kernel_values(x_BID, y_BJD, kernel)
    # A function that knows no batches sees none.
    x_ID = x_BID[0]
    return kernel_values(x_ID, x_ID if y_BJD is x_BID else y_BJD[0], kernel).unsqueeze(0)


def _strips(
    x_BN: Tensor, y_BM: Tensor, *, mirror: bool
) -> Iterator[tuple[slice, slice, list[slice]]]:
    """Batch elements, a strip of rows and the tiles of columns that it meets.

    With `mirror` the tiles below the diagonal are left out.
    """
    row_tiles, column_tiles = _tiles(x_BN.shape[-1]), _tiles(y_BM.shape[-1])
    pairs = (row_tiles[0].stop) * (column_tiles[0].stop)
    for elements in _slices(len(x_BN), max(1, _PAIRS // pairs)):
        for I in row_tiles:
            yield elements, I, [J for J in column_tiles if not mirror or J.start >= I.start]


def _tiles(rows: int) -> list[slice]:
    tiles = -(-rows // _TILE)
    return _slices(rows, -(-rows // tiles))


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]
