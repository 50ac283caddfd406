"""What the recurrent priors share: laws read off the state of a recurrent net over the codes.

Shapes: B batch, T time, D code width, C width of the context, S width of the state.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import Draw, DynamicPrior, Law
from genzoo_rwae_plugins.priors.bounded import BoundedPrior
from genzoo_rwae_plugins.priors.bounds import First, before, beside

__all__ = ["OverRecurrence", "RecurrentPrior"]


class OverRecurrence(DynamicPrior):
    """P(z_t | z_<t) of a recurrent net over the codes so far, whatever laws its states say.

    A subclass says which net, calls `add_recurrence`, and reads laws off states.
    """

    recurrence: type[nn.LSTM] | type[nn.GRU]
    size: int

    def add_recurrence(self, width: int, hidden: int) -> None:
        """Make the net over codes and context [..., width]."""
        # in a saved model its weights have the net's own name
        self.name = self.recurrence.__name__.lower()
        self.add_module(self.name, self.recurrence(width, hidden, batch_first=True))

    @abstractmethod
    def _law(self, state_BTS: Tensor, *, starts: bool) -> Law:
        """Laws [B, T, D] of states; `starts`: the first of them is that of the first code."""

    def along(self, z_BTD: Tensor, context_BC: Tensor | None = None) -> tuple[Law, Tensor]:
        """Teacher-forced laws [B, T, D] and states [B, T, S]; step t has seen z_<t."""
        state_BTS, _ = self._run(before(z_BTD), context_BC, None)
        return self._law(state_BTS, starts=True), state_BTS

    def roll_out(
        self,
        count: int,
        length: int,
        draw: Draw,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        """Paths [B, length, D], each step fed back; after `start_BTD` if there is one."""
        z_B1D = next(self.parameters()).new_zeros(count, 1, self.size)
        memory = None
        starts = start_BTD is None
        if start_BTD is not None:
            seen_BTD = torch.cat([z_B1D, start_BTD], dim=1)
            _, memory = self._run(seen_BTD[:, :-1], context_BC, None)
            z_B1D = seen_BTD[:, -1:]
        path = []
        for _ in range(length):
            state_B1S, memory = self._run(z_B1D, context_BC, memory)
            z_B1D = draw(self._law(state_B1S, starts=starts))
            starts = False
            path.append(z_B1D)
        return torch.cat(path, dim=1)

    def _run(self, z_BTD: Tensor, context_BC: Tensor | None, memory: Any) -> tuple[Tensor, Any]:
        """States [B, T, S] in float32, and what to go on from."""
        state_BTS, memory = getattr(self, self.name)(beside(z_BTD, context_BC), memory)
        return state_BTS.float(), memory


class RecurrentPrior(BoundedPrior, OverRecurrence):
    """P(z_t | z_<t) = N(μ, diag σ²) of a recurrent net over the codes so far.

    A prior of one's own is a subclass that says which net. What bounds the laws, and their anchor,
    are those of BoundedPrior.

    Args:
        hidden: width of the net's state.

    Raises:
        OptionError: the smallest standard deviation is above the largest.
    """

    def __init__(
        self,
        size: int,
        context: int = 0,
        /,
        *,
        hidden: PositiveInt = 256,
        bound: PositiveFloat = 3.0,
        smallest_sd: PositiveFloat = 0.05,
        largest_sd: PositiveFloat = 1.5,
        first: First = "standard",
    ) -> None:
        super().__init__(
            size, bound=bound, smallest_sd=smallest_sd, largest_sd=largest_sd, first=first
        )
        self.add_recurrence(size + context, hidden)
        self.read_off(hidden)
