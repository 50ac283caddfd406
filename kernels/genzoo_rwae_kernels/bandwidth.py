"""Scales for kernels: ladders of them, and the median of the distances in a sample.

Shapes: N rows of x, M rows of y, P rows of both, D code width; any leading batch dimensions.
"""

import math

import torch
from torch import Tensor

from genzoo_rwae_kernels.distances import squared_distances
from genzoo_rwae_kernels.samples import check_samples

__all__ = ["median_squared_distance", "scale_ladder"]

# Half a million pairs: their median is known to a few per cent long before.
_MOST_ROWS = 1024

# Share of the largest squared distance that may be rounding alone.
_COINCIDE = 1e-12


def scale_ladder(count: int, /, *, ratio: float = 2.0, middle: float = 1.0) -> tuple[float, ...]:
    """Scales in a geometric progression around a middle one, ascending.

    s_i = middle * ratio^(i - (count - 1)/2),   i = 0, ..., count - 1

    Args:
        count: number of scales, >= 1.
        ratio: of a scale to the one before, > 1.
        middle: geometric mean of the scales, > 0.

    Returns:
        `count` positive numbers, for the option `scales` of a kernel.

    Raises:
        ValueError: count, ratio or middle is out of its range.

    Source: Li et al., Generative Moment Matching Networks, arXiv 1502.02761, sec. 4 (mixtures over
        several bandwidths); the ladder itself is a convention.

    Example:
        >>> scale_ladder(5)
        (0.25, 0.5, 1.0, 2.0, 4.0)
    """
    if count < 1:
        raise ValueError(f"scale_ladder: count is {count}; wanted 1 or more")
    if not (math.isfinite(ratio) and ratio > 1):
        raise ValueError(f"scale_ladder: ratio is {ratio}; wanted a finite number above 1")
    if not (math.isfinite(middle) and middle > 0):
        raise ValueError(f"scale_ladder: middle is {middle}; wanted a positive, finite number")
    return tuple(middle * ratio ** (step - (count - 1) / 2) for step in range(count))


def median_squared_distance(
    x_ND: Tensor,
    y_MD: Tensor,
    /,
    *,
    x_weights_N: Tensor | None = None,
    y_weights_M: Tensor | None = None,
) -> Tensor:
    """Median of the squared distances between the rows of both samples together.

    median { |z_i - z_j|^2 : i < j },   z = the rows of x and of y

    The lower of the two middle values where the number of pairs is even. It is a constant: no
    gradient flows through it. Of more than 1,024 rows, 1,024 at equal intervals are taken.

    Args:
        x_ND: [..., N, D], floating.
        y_MD: [..., M, D], floating, the same batch dimensions. The tensor x itself (``y is x``)
            counts once.
        x_weights_N: [N] or [..., N]; rows of weight 0 are absent, all others count the same.
        y_weights_M: [M] or [..., M], likewise.

    Returns:
        [...], the promoted dtype of x and y; one value for each element of the batch.

    Raises:
        TypeError: a sample is not floating.
        ValueError: a sample is empty, the two do not fit together, or the median is not a positive
            number, because rows coincide, there is only one, or they hold NaN.

    Source: Gretton et al. 2012, JMLR 13, p. 723-773, sec. 8; Garreau et al., Large Sample Analysis
        of the Median Heuristic, arXiv 1707.07269.

    Example:
        >>> median_squared_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]]))
        tensor(4.)
    """
    check_samples("median_squared_distance", x_ND, y_MD)
    samples = ((x_ND, x_weights_N),) if y_MD is x_ND else ((x_ND, x_weights_N), (y_MD, y_weights_M))
    z_PD = torch.cat([sample.detach() for sample, _ in samples], dim=-2)
    rows = z_PD.shape[-2]
    taken_P = torch.arange(min(rows, _MOST_ROWS), device=z_PD.device)
    taken_P = taken_P * rows // len(taken_P)
    z_PD, rows = z_PD[..., taken_P, :], len(taken_P)
    if rows < 2:
        raise ValueError(
            "median_squared_distance: one row beside itself; wanted at least two rows: enlarge "
            "the batch"
        )
    weighted = x_weights_N is not None or y_weights_M is not None
    if weighted:
        counted_P = torch.cat([_counted(*sample) for sample in samples], dim=-1)[..., taken_P]
        # Whatever an absent row holds, it must not reach the others.
        z_PD = z_PD.masked_fill(~counted_P.unsqueeze(-1), 0.0)
    first, second = torch.triu_indices(rows, rows, offset=1, device=z_PD.device)
    d2_pairs = squared_distances(z_PD, z_PD).flatten(-2).index_select(-1, first * rows + second)
    counted = d2_pairs.shape[-1]
    if weighted:
        counted_pairs = counted_P[..., first] & counted_P[..., second]
        counted = int(counted_pairs.sum(dim=-1).min())
        d2_pairs = d2_pairs.masked_fill(~counted_pairs, math.nan)
    median = d2_pairs.nanmedian(dim=-1).values
    rounding = _COINCIDE * d2_pairs.nan_to_num(nan=0.0).amax(dim=-1)
    if not bool((median.isfinite() & (median > rounding)).all()):
        raise ValueError(
            f"median_squared_distance: {counted} pairs of rows have the median "
            f"{float(median.min()):.3g}; wanted a positive, finite number: enlarge the "
            f"batch, see that its rows do not coincide, or take a kernel relative to the prior"
        )
    return median


def _counted(sample_ND: Tensor, weights_N: Tensor | None) -> Tensor:
    if weights_N is None:
        return torch.ones(sample_ND.shape[:-1], dtype=torch.bool, device=sample_ND.device)
    return (weights_N > 0).expand(sample_ND.shape[:-1])
