"""Weights of the rows of a sample: what is asked of them, and rows that do not count.

Shapes: N rows, D code width; any leading batch dimensions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from genzoo_rwae_kernels.precision import wide_dtype

__all__ = ["WeightedSample", "paired_total", "weighted_sample"]


@dataclass(frozen=True)
class WeightedSample:
    """A sample and how often each of its rows counts.

    Attributes:
        rows_ND: [..., N, D]; rows that do not count are copies of one that does.
        weights_N: [..., N], the largest 1; None: every row counts once.
    """

    rows_ND: Tensor
    weights_N: Tensor | None

    @property
    def total(self) -> Tensor | int:
        """Sum of the weights, [...] or a number."""
        if self.weights_N is None:
            return self.rows_ND.shape[-2]
        return self.weights_N.sum(dim=-1, dtype=wide_dtype(self.weights_N.device))

    @property
    def total_off_diagonal(self) -> Tensor | int:
        """Sum of w_i w_j over i != j, [...] or a number."""
        return self.total**2 - paired_total(self, self)


def paired_total(x: WeightedSample, y: WeightedSample, /) -> Tensor | int:
    """Sum of a_i b_i over the rows of two samples of equal size.

    Args:
        x: N rows with weights a.
        y: N rows with weights b.

    Returns:
        [...], or a number where neither has weights.

    Example:
        >>> x = WeightedSample(torch.zeros(3, 1), None)
        >>> paired_total(x, x)
        3
    """
    if x.weights_N is None:
        return y.total
    if y.weights_N is None:
        return x.total
    wide = wide_dtype(x.weights_N.device)
    return (x.weights_N.to(wide) * y.weights_N.to(wide)).sum(dim=-1)


def weighted_sample(
    caller: str, name: str, rows_ND: Tensor, weights_N: Tensor | None, /, *, least: int
) -> WeightedSample:
    """A sample with checked weights, its rows of weight 0 replaced by one that counts.

    Replaced, they may hold anything, NaN as well, and take no part in what is computed from the
    rows: spread, centre, finiteness.

    Args:
        caller: name that the error begins with.
        name: of the sample in it.
        rows_ND: [..., N, D], floating.
        weights_N: [N] or [..., N], >= 0, real; bool masks too. None: every row counts once.
        least: how many rows have to count in every element of the batch.

    Returns:
        The sample, its weights in float32, or in float64 if the rows are.

    Raises:
        TypeError: complex weights.
        ValueError: weights of another shape or device, negative or not finite, or too few rows
            that count.

    Example:
        >>> x = weighted_sample(
        ...     "mmd2_biased", "x", torch.tensor([[torch.nan], [3.0]]), torch.tensor([0.0, 2.0]),
        ...     least=1,
        ... )
        >>> x.rows_ND.tolist(), x.weights_N.tolist()
        ([[3.0], [3.0]], [0.0, 1.0])
    """
    if weights_N is None:
        return WeightedSample(rows_ND, None)
    argument = f"{caller}: {name}_weights"
    if weights_N.is_complex():
        raise TypeError(f"{argument} has dtype {weights_N.dtype}; wanted real numbers")
    shape = rows_ND.shape[:-1]
    if weights_N.shape not in (shape, shape[-1:]):
        raise ValueError(
            f"{argument} has shape {list(weights_N.shape)}; wanted {list(shape)}, one for each row "
            f"of {name}"
        )
    if weights_N.device != rows_ND.device:
        raise ValueError(
            f"{argument} is on {weights_N.device} and {name} on {rows_ND.device}; wanted one "
            f"device: move the weights with .to({name}.device)"
        )
    weights_N = weights_N.to(torch.promote_types(torch.float32, rows_ND.dtype)).expand(shape)
    wrong_N = ~(weights_N.isfinite() & (weights_N >= 0))
    if bool(wrong_N.any()):
        raise ValueError(
            f"{argument}: {int(wrong_N.sum())} of {wrong_N.numel()} are negative, NaN or inf; "
            f"wanted finite numbers >= 0: 0 leaves a row out"
        )
    counts_N = weights_N > 0
    fewest = int(counts_N.sum(dim=-1).min())
    if fewest < least:
        where = "a batch element has" if weights_N.dim() > 1 else "there are"
        raise ValueError(
            f"{argument}: {where} {fewest} rows with a positive weight; wanted at least {least}: "
            f"leave such elements out of the batch, or give more rows a weight"
        )
    if not bool(counts_N.all()):
        first_N11 = counts_N.to(torch.uint8).argmax(dim=-1)[..., None, None]
        filling_1D = rows_ND.detach().take_along_dim(first_N11, dim=-2)
        rows_ND = torch.where(counts_N.unsqueeze(-1), rows_ND, filling_1D)
    # The scale of the weights is arbitrary; this one neither overflows nor underflows.
    return WeightedSample(rows_ND, weights_N / weights_N.detach().amax(dim=-1, keepdim=True))
