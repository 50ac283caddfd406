"""All pairs of rows under any kernel, one tile at a time through autograd.

Shapes: B batch, N rows of x, M rows of y, D code width; I and J rows of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genzoo_rwae_kernels.eager import kernel_values
from genzoo_rwae_kernels.samples import Kernel

__all__ = ["PlainSample", "sweep_by_autograd"]

_TILE = 256
_PAIRS = _TILE**2


@dataclass(frozen=True)
class PlainSample:
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
    def of(cls, x_BND: Tensor, w_BN: Tensor, /) -> "PlainSample":
        """A sample [B, N, D] with weights [B, N] of which nothing is collected yet."""
        return cls(
            rows_BND=x_BND,
            weights_BN=w_BN.to(x_BND.dtype),
            gradient_BND=torch.zeros_like(x_BND, dtype=torch.float64),
            potential_BN=torch.zeros_like(w_BN, dtype=torch.float64),
        )

    def value(self) -> Tensor:
        """The sum over all pairs of its rows, [B]."""
        return (self.weights_BN * self.potential_BN).sum(dim=-1)

    def gradient(self) -> Tensor:
        """That of the sum, [B, N, D], in the dtype of the rows."""
        return self.gradient_BND.to(self.rows_BND.dtype)


def sweep_by_autograd(
    x: PlainSample, y: PlainSample, kernel: Kernel, /, *, skip_diagonal: bool
) -> None:
    """Fills what both samples collect; one sample given twice is met by itself.

    Args:
        x: one sample.
        y: the other, or x itself.
        kernel: symmetric k(x_ND, y_MD) -> [..., N, M], a function of pairs of rows.
        skip_diagonal: leave out the pairs of rows with one number.
    """
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
