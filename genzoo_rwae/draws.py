"""Draws that belong to the rows of a batch: on one rank of several those of one rank alone.

A model that is trained on R ranks sees a part of every batch on each of them. What it draws is to
be what it would have drawn for the whole batch: so that is what is drawn, and the part's rows are
kept. Components draw with the functions below in place of torch's own; given a plain generator (or
none) they do what torch does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["RowDraws", "normal_draws", "shared_draws", "uniform_draws"]


class RowDraws(torch.Generator):
    """A generator for some rows of a batch; its numbers come from the whole batch's generator.

    Torch's own functions take it as well, and draw numbers that have nothing to do with those of
    one rank: `is_untouched` tells.

    Args:
        whole: the generator of the whole batch.
        rows: which rows these are.
        total: rows of the whole batch.

    >>> whole = torch.Generator().manual_seed(0)
    >>> part = RowDraws(torch.Generator().manual_seed(0), slice(2, 3), 4)
    >>> torch.equal(uniform_draws((1, 5), part), uniform_draws((4, 5), whole)[2:3])
    True
    """

    def __new__(cls, whole: torch.Generator, rows: slice, total: int) -> RowDraws:
        return super().__new__(cls, device=whole.device)  # type: ignore[call-arg]

    def __init__(self, whole: torch.Generator, rows: slice, total: int) -> None:
        self.whole, self.rows, self.total = whole, rows, total
        self._before = self.get_state()

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has drawn from it with torch's own functions."""
        return torch.equal(self._before, self.get_state())


def normal_draws(
    shape: Sequence[int],
    generator: torch.Generator | None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    axis: int = 0,
) -> Tensor:
    """Standard normal numbers, a row of them for every row of the batch.

    Args:
        shape: [B, ...], B the rows that the caller has.
        generator: they are drawn where it is, so that one serves any device; None: torch's own.
        dtype: of the numbers.
        device: where they are wanted; None: where they were drawn.
        axis: where B stands in the shape, if not in front.

    Raises:
        ValueError: the generator is for another number of rows.
    """
    return _drawn(torch.randn, shape, generator, dtype, device, axis)


def uniform_draws(
    shape: Sequence[int],
    generator: torch.Generator | None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    axis: int = 0,
) -> Tensor:
    """Uniform numbers in [0, 1), as `normal_draws`."""
    return _drawn(torch.rand, shape, generator, dtype, device, axis)


def shared_draws(generator: torch.Generator | None) -> torch.Generator | None:
    """The generator for draws that all rows of a batch share, for torch's own functions."""
    return generator.whole if isinstance(generator, RowDraws) else generator


def _drawn(
    draw: Callable[..., Tensor],
    shape: Sequence[int],
    generator: torch.Generator | None,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
    axis: int,
) -> Tensor:
    where = device if generator is None else generator.device
    if not isinstance(generator, RowDraws):
        return draw(*shape, generator=generator, dtype=dtype, device=where).to(device or where)
    rows = generator.rows
    count = rows.stop - rows.start
    if axis >= len(shape) or shape[axis] != count:
        raise ValueError(
            f"draws of shape {list(shape)} from the generator of {count} rows of a batch of "
            f"{generator.total}; wanted {count} on axis {axis}, a row for each sequence; what all "
            "rows share is drawn by torch itself from shared_draws(generator)"
        )
    whole = [*shape[:axis], generator.total, *shape[axis + 1 :]]
    drawn = draw(*whole, generator=generator.whole, dtype=dtype, device=where)
    return drawn.narrow(axis, rows.start, count).to(device or where)
