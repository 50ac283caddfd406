"""Squared distances between the rows of two samples, exact to the dtype's rounding.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.

The textbook form |x|^2 + |y|^2 - 2 x.y subtracts nearly equal numbers: in float32 it is off by
percents at an offset of 1,000, and centring does not help two clusters that lie far apart. In
float64 and centred it loses about 1e-16 of the squared spread, less than float32 can show up to
spreads of 1e4 times the distances, at a small part of the memory of the N x M x D differences.
So it is computed in float64, value and gradient. Devices without float64 take the differences.
"""

import torch
from torch import Tensor

from genzoo_rwae_kernels.precision import in_working_precision, outside_autocast, wide_dtype
from genzoo_rwae_kernels.samples import check_samples

__all__ = ["squared_distances"]


def squared_distances(x_ND: Tensor, y_MD: Tensor, /) -> Tensor:
    """Squared Euclidean distances between every row of x and every row of y.

    d2[i, j] = sum_k (x[i, k] - y[j, k])^2

    Never negative; the diagonal is exactly 0 when x and y are the same tensor (``x is y``).
    Derivatives of any order are those of the formula, also where rows coincide.

    Args:
        x_ND: [..., N, D], floating.
        y_MD: [..., M, D], floating, the same batch dimensions.

    Returns:
        [..., N, M], the promoted dtype of x and y; half precision is rounded once, at the end.

    Raises:
        TypeError: a sample is not floating.
        ValueError: a sample is empty, or the two do not fit together.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, sec. 2 (the argument of a radial kernel).

    Example:
        >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[3.0, 0.0]]))
        tensor([[ 9.],
                [16.]])
    """
    check_samples("squared_distances", x_ND, y_MD)
    dtype = torch.promote_types(x_ND.dtype, y_MD.dtype)
    working_ND, working_MD = in_working_precision(x_ND, y_MD)
    with outside_autocast(x_ND.device):
        if wide_dtype(x_ND.device) == torch.float64:
            d2_NM = _by_products(working_ND.double(), working_MD.double()).to(dtype)
        else:
            d2_NM = _by_differences(working_ND, working_MD).to(dtype)
        # Lifts rounding below 0 in the value alone. A plain clamp would also drop the second
        # derivative (2, not 0) of pairs that coincide.
        d2_NM = d2_NM - d2_NM.detach().clamp(max=0.0)
        if x_ND is y_MD:
            same_NN = torch.eye(d2_NM.shape[-1], dtype=torch.bool, device=d2_NM.device)
            d2_NM = d2_NM.masked_fill(same_NN, 0.0)
    return d2_NM


def _by_products(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    rows = x_ND.shape[-2] + y_MD.shape[-2]
    total_1D = x_ND.sum(dim=-2, keepdim=True) + y_MD.sum(dim=-2, keepdim=True)
    # Distances do not depend on the centre, so no derivative passes through it.
    centre_1D = total_1D.detach() / rows
    x_ND = x_ND - centre_1D
    y_MD = y_MD - centre_1D
    x2_N1 = x_ND.square().sum(dim=-1, keepdim=True)
    y2_1M = y_MD.square().sum(dim=-1, keepdim=True).mT
    return (x_ND @ y_MD.mT).mul_(-2.0).add_(x2_N1).add_(y2_1M)


def _by_differences(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return (x_ND.unsqueeze(-2) - y_MD.unsqueeze(-3)).square().sum(dim=-1)
