"""The processes that train one model together, and what they tell each other.

Every rank has a part of the batch's rows in its nets. Before anything is compared, codes are
gathered over ranks, so that every penalty sees the whole batch and needs to know nothing of ranks.
The collectives here are true adjoints in backward: the gradient of Σ_r loss_r, in what rank r put
in, arrives at rank r. With the same loss on every rank, and gradients of weights averaged over
ranks (as DDP does), each weight gets the gradient of one rank that has the whole batch.

Shapes: B rows of the whole batch, b of them on this rank.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from genzoo_rwae.errors import PluginError

__all__ = ["Ranks", "RowShares"]

T = TypeVar("T")


class Ranks:
    """Some ranks, of which this process is one; without a group it is the only one.

    Args:
        group: their process group, whose backend moves tensors of `device`.
        device: where tensors have to be to be sent.
    """

    def __init__(
        self, group: dist.ProcessGroup | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.group, self.device = group, torch.device(device)
        self.number = dist.get_rank(group) if group else 0
        self.count = dist.get_world_size(group) if group else 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.number == 0

    def of_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, on every rank.

        Whatever it raises is raised there alone; all others leave without a word, with the exit
        code of that error.
        """
        if self.count == 1:
            return make()
        outcome: list[Any] = [None, None]
        error: Exception | None = None
        if self.is_first:
            try:
                outcome[0] = make()
            except Exception as raised:  # also a service's or the system's: else all wait for it
                outcome[1], error = getattr(raised, "exit_code", 1), raised
        dist.broadcast_object_list(outcome, group=self.group, group_src=0)
        if error:
            raise error
        if outcome[1] is not None:
            raise self.silent_exit(outcome[1])
        return cast("T", outcome[0])

    def silent_exit(self, exit_code: int) -> SystemExit:
        """How a rank leaves for an error that the first one says.

        Under torchrun with the error's code, which its other nodes have to know. A child of the
        first rank leaves with 0: for any other code Fabric kills the first rank in mid-word.
        """
        return SystemExit(exit_code if dist.is_torchelastic_launched() else 0)

    def meet(self) -> None:
        """Wait until all ranks are here."""
        self.largest(0)

    def largest(self, *numbers: int) -> list[int]:
        """The largest of each number over all ranks."""
        if self.count == 1:
            return list(numbers)
        sent = torch.tensor(numbers, dtype=torch.int64, device=self.device)
        dist.all_reduce(sent, dist.ReduceOp.MAX, group=self.group)
        return cast("list[int]", sent.tolist())

    def sum(self, part: Tensor) -> Tensor:
        """The sum over all ranks of tensors of one shape; differentiable."""
        if self.count == 1:
            return part
        return cast("Tensor", _Sum.apply(part, self))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class RowShares:
    """A batch whose rows are spread over ranks.

    >>> RowShares(Ranks(), 10).rows
    slice(0, 10, None)
    """

    ranks: Ranks
    total: int

    @property
    def rows(self) -> slice:
        """The rows that are this rank's."""
        return self.rows_of(self.ranks.number)

    def rows_of(self, number: int) -> slice:
        """The rows of one rank; ranks have as many, or one more."""
        count = self.ranks.count
        return slice(self.total * number // count, self.total * (number + 1) // count)

    def gather(self, part: T) -> T:
        """The rows of all ranks in order, of a tensor or of all tensors in a dataclass.

        Differentiable. Every tensor is [b, ...] and becomes [B, ...], on its own device.

        Raises:
            PluginError: a law or a code is no dataclass of tensors with a row for each sequence.
        """
        if self.ranks.count == 1:
            return part
        found: list[Tensor] = []
        _visit(part, found.append)
        gathered = iter(self._gathered(found))
        return cast("T", _visit(part, lambda _: next(gathered)))

    def _gathered(self, parts: list[Tensor]) -> list[Tensor]:
        """One collective for all tensors of a dtype: they travel side by side."""
        own = self.rows.stop - self.rows.start
        if wrong := [list(part.shape) for part in parts if part.shape[:1] != (own,)]:
            raise PluginError(
                f"a tensor {wrong[0]} among the codes of {own} sequences cannot be gathered over "
                f"ranks; wanted [{own}, ...], a row for each sequence"
            )
        whole: dict[int, Tensor] = {}
        for dtype in dict.fromkeys(part.dtype for part in parts):
            chosen = [i for i, part in enumerate(parts) if part.dtype == dtype]
            flat = [parts[i].detach().reshape(own, -1).to(self.ranks.device) for i in chosen]
            rows_BF = self._received(torch.cat(flat, dim=1))
            columns = torch.split(rows_BF, [one.shape[1] for one in flat], dim=1)
            for i, column in zip(chosen, columns, strict=True):
                whole[i] = column.reshape(self.total, *parts[i].shape[1:]).to(parts[i].device)
        # one node each: what no term looks at has to stay without a gradient, as on one rank
        return [
            cast("Tensor", _Rows.apply(part, whole[i], self)) if part.requires_grad else whole[i]  # type: ignore[no-untyped-call]
            for i, part in enumerate(parts)
        ]

    def _received(self, part_bF: Tensor) -> Tensor:
        of_ranks = [self.rows_of(number) for number in range(self.ranks.count)]
        counts = [rows.stop - rows.start for rows in of_ranks]
        # collectives want one shape: shorter parts are filled up
        filled = part_bF.new_zeros(max(counts), part_bF.shape[1])
        filled[: len(part_bF)] = part_bF
        received = [torch.empty_like(filled) for _ in counts]
        dist.all_gather(received, filled, group=self.ranks.group)
        return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])


class _Rows(torch.autograd.Function):
    """[b, ...] of every rank, gathered already; the gradient is summed over ranks and cut."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, whole: Tensor, shares: RowShares) -> Tensor:
        ctx.shares = shares
        return whole.view_as(whole)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        total = _summed(upstream[0], ctx.shares.ranks)
        return total[ctx.shares.rows], None, None


class _Sum(torch.autograd.Function):
    """Σ_r x_r on every rank; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return _summed(part, ranks)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return _summed(upstream[0], ctx.ranks), None


def _summed(part: Tensor, ranks: Ranks) -> Tensor:
    total = part.detach().to(ranks.device).clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=ranks.group)
    return total.to(part.device)


def _visit(thing: Any, change: Callable[[Tensor], Any]) -> Any:
    """A thing with all its tensors changed."""
    if isinstance(thing, Tensor):
        return change(thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        changed = {
            field.name: _visit(getattr(thing, field.name), change) for field in fields(thing)
        }
        return replace(thing, **changed)
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    raise PluginError(
        f"a {type(thing).__name__} among the codes cannot be gathered over ranks; wanted a frozen "
        "dataclass of tensors [B, ...], as DiagonalGaussian is"
    )
