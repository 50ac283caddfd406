"""Rows that count: what `weights_N` means to the penalties of this package.

Shapes: T steps (any leading dimensions, or none), N rows, D code width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from genzoo_rwae_kernels.precision import wide_dtype
from torch import Tensor

from genzoo_rwae.errors import OptionError

__all__ = ["Rows", "rows_that_count"]


@dataclass(frozen=True)
class Rows:
    """How much every row counts.

    Attributes:
        share_TN: non-negative, sums to 1 over the rows of a step; 0: the row is absent.
        enough_T: 1 at steps with rows enough for the statistic; 0 at steps without, whose shares
            are all the same so that what is computed from them is finite.

    >>> rows = rows_that_count(torch.zeros(2, 3, 1), torch.tensor([[1.0, 1, 0], [0, 0, 0]]))
    >>> rows.mean(torch.tensor([[2.0, 4, 9], [1, 1, 1]]))
    tensor([3., 0.])
    """

    share_TN: Tensor
    enough_T: Tensor

    def mean(self, value_TN: Tensor) -> Tensor:
        """Weighted mean over the rows [T], in the values' dtype; 0 at steps without enough rows."""
        mean_T = (self.share_TN * value_TN).sum(-1) * self.enough_T
        return mean_T.to(value_TN.dtype)

    def mean_of_steps(self, value_T: Tensor) -> Tensor:
        """Mean over the steps that have rows enough, a scalar."""
        enough_T = self.enough_T.to(value_T.dtype)
        return (value_T * enough_T).sum() / enough_T.sum()


def rows_that_count(
    sample_TND: Tensor,
    weights_N: Tensor | None,
    /,
    *,
    fewest: int = 1,
    statistic: str = "a penalty",
    option: str | None = None,
) -> Rows:
    """Shares of the rows of a sample.

    Args:
        sample_TND: [T, N, D] or [N, D].
        weights_N: [N] or [T, N], non-negative and finite; None: all rows count the same.
        fewest: rows that the statistic needs at a step.
        statistic: what needs them, for the message.
        option: the option to blame.

    Raises:
        OptionError: no step has rows enough.
        ValueError: the weights are of another shape, negative or not finite.
    """
    shape, device = sample_TND.shape[:-1], sample_TND.device
    dtype = wide_dtype(device)
    if weights_N is None:
        weights_TN = torch.ones(shape, dtype=dtype, device=device)
        counts, enough_T = [shape[-1]], torch.full(shape[:-1], shape[-1] >= fewest, device=device)
        some = shape[-1] >= fewest
    else:
        if weights_N.shape not in (shape, shape[-1:]):
            raise ValueError(
                f"weights of shape {list(weights_N.shape)} for rows {list(sample_TND.shape)}; "
                f"wanted {list(shape[-1:])} or {list(shape)}: one for every row"
            )
        if not bool((weights_N.isfinite() & (weights_N >= 0)).all()):
            raise ValueError(
                f"weights from {weights_N.min():g} to {weights_N.max():g}; wanted finite numbers "
                "of 0 or more: 0 where a row is absent"
            )
        weights_TN = weights_N.to(device, dtype).expand(shape)
        count_T = (weights_TN > 0).sum(-1)
        enough_T = count_T >= fewest
        some = bool(enough_T.any())
        counts = count_T.reshape(-1).tolist() if not some else []
    if not some:
        raise OptionError(
            f"{statistic} needs {fewest} rows or more and the batch has {max(counts)}; raise "
            "data.batch" + (f", or change `{option}`" if option else ""),
            option=option,
        )
    weights_TN = torch.where(enough_T[..., None], weights_TN, 1.0)
    return Rows(weights_TN / weights_TN.sum(-1, keepdim=True), enough_T.to(dtype))
