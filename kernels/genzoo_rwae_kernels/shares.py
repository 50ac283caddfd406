"""The squared maximum mean discrepancy in parts, for several processes that have the whole samples.

Shapes: N rows of both samples, D code width; any leading batch dimensions, one value for each of
their elements.

The rows fall into as many blocks as there are parts. Part p sums over the pairs within block p of
each sample, over those of block p with the blocks that follow it (half of them: the other half have
p among those that follow), and over block p of x with all of y. So the parts have equal numbers of
pairs, no pair is summed twice, and each takes O(N²/parts) time and O(N D) memory.
"""

from itertools import pairwise

from torch import Tensor

from genzoo_rwae_kernels.pair_sums import across, within
from genzoo_rwae_kernels.precision import outside_autocast, wide_dtype
from genzoo_rwae_kernels.samples import Kernel, check_finite, check_samples, fitted_kernel
from genzoo_rwae_kernels.weights import WeightedSample, paired_total, weighted_sample

__all__ = ["mmd2_unbiased_part"]


def mmd2_unbiased_part(
    x_ND: Tensor,
    y_ND: Tensor,
    /,
    kernel: Kernel,
    *,
    part: int,
    parts: int,
    paired: bool = False,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """One of several parts that add up to `mmd2_unbiased`, in value and gradients.

    Args:
        x_ND: [..., N, D], floating, finite, N >= 2; the whole sample in every part.
        y_ND: [..., N, D], likewise.
        kernel: as that of `mmd2_unbiased`.
        part: which one, from 0.
        parts: how many there are.
        paired: as that of `mmd2_unbiased`.
        x_weights: as those of `mmd2_unbiased`.
        y_weights: likewise.
        backend: who sums over the pairs, see `pair_sums`.

    Returns:
        [...], float64 where the device has it. A part by itself means nothing.

    Raises:
        TypeError: as `mmd2_unbiased`.
        ValueError: as `mmd2_unbiased`; samples of unequal size; there is no such part.

    Source: as `mmd2_unbiased`.

    Example:
        >>> import torch
        >>> from genzoo_rwae_kernels import Imq, mmd2_unbiased
        >>> x, y = torch.tensor([[0.0], [2.0], [3.0]]), torch.tensor([[0.0], [2.0], [5.0]])
        >>> whole = mmd2_unbiased(x, y, Imq())
        >>> of_two = [mmd2_unbiased_part(x, y, Imq(), part=p, parts=2) for p in (0, 1)]
        >>> torch.allclose(sum(of_two).float(), whole)
        True
    """
    check_samples("mmd2_unbiased_part", x_ND, y_ND)
    n, m = x_ND.shape[-2], y_ND.shape[-2]
    if n != m or n < 2:
        raise ValueError(
            f"mmd2_unbiased_part: x has {n} and y has {m} rows; wanted equal numbers of at least 2"
        )
    if not 0 <= part < parts:
        raise ValueError(f"mmd2_unbiased_part: part {part} of {parts}; wanted 0 to {parts - 1}")
    with outside_autocast(x_ND.device):
        x = weighted_sample("mmd2_unbiased_part", "x", x_ND, x_weights, least=2)
        y = weighted_sample("mmd2_unbiased_part", "y", y_ND, y_weights, least=2)
        check_finite("mmd2_unbiased_part", x.rows_ND, y.rows_ND)
        kernel = fitted_kernel(kernel, x.rows_ND, y.rows_ND, x_weights, y_weights)
        blocks = _blocks(n, parts)
        own = blocks[part]
        between = _between(x, own, y, own, kernel, backend, skip_diagonal=paired)
        for columns in (slice(0, own.start), slice(own.stop, n)):
            between = between + _between(x, own, y, columns, kernel, backend)
        pairs_across = x.total * y.total - (paired_total(x, y) if paired else 0)
        value: Tensor = -2.0 / pairs_across * between
        for sample in (x, y):
            pairs = sample.total_off_diagonal
            value = value + 1.0 / pairs * _within_part(sample, blocks, part, kernel, backend)
        return value


def _within_part(
    x: WeightedSample, blocks: list[slice], part: int, kernel: Kernel, backend: str
) -> Tensor:
    """This part of Σ_{i≠j} w_i w_j k(x_i, x_j)."""
    parts, own = len(blocks), blocks[part]
    rows_ND, w_N = _rows(x, own)
    value = rows_ND.new_zeros(rows_ND.shape[:-2], dtype=wide_dtype(rows_ND.device))
    if rows_ND.shape[-2]:
        value = value + within(rows_ND, w_N, kernel, backend=backend)
    last = part + (parts - 1) // 2  # of those that follow, counted on past the end
    meets = [(own, slice(own.stop, blocks[min(last, parts - 1)].stop))]
    if last >= parts:
        meets.append((own, slice(0, blocks[last - parts].stop)))
    if parts % 2 == 0:
        # the block opposite has this one opposite: each takes half of the lower one's rows
        lower, upper = sorted((part, (part + parts // 2) % parts))
        start, stop = blocks[lower].start, blocks[lower].stop
        middle = (start + stop) // 2
        half = slice(start, middle) if part == lower else slice(middle, stop)
        meets.append((half, blocks[upper]))
    for rows, columns in meets:
        value = value + 2.0 * _between(x, rows, x, columns, kernel, backend)
    return value


def _between(
    x: WeightedSample,
    rows: slice,
    y: WeightedSample,
    columns: slice,
    kernel: Kernel,
    backend: str,
    *,
    skip_diagonal: bool = False,
) -> Tensor:
    """Σ_ij a_i b_j k(x_i, y_j) of some rows of x and some of y; there may be none."""
    (x_ND, a_N), (y_MD, b_M) = _rows(x, rows), _rows(y, columns)
    if not x_ND.shape[-2] or not y_MD.shape[-2]:
        return x_ND.new_zeros(x_ND.shape[:-2], dtype=wide_dtype(x_ND.device))
    return across(x_ND, y_MD, a_N, b_M, kernel, skip_diagonal=skip_diagonal, backend=backend)


def _rows(x: WeightedSample, rows: slice) -> tuple[Tensor, Tensor | None]:
    weights_N = None if x.weights_N is None else x.weights_N[..., rows]
    return x.rows_ND[..., rows, :], weights_N


def _blocks(rows: int, parts: int) -> list[slice]:
    """Blocks of equal size, or nearly, in order."""
    bounds = [rows * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]
