"""The dynamic prior of R-WAE.

Shapes: B batch, T time, D code width, C width of the context, S width of the state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, Draw, DynamicPrior
from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae.errors import OptionError

__all__ = ["LstmPrior"]


@prior("lstm")
class LstmPrior(DynamicPrior):
    """P(z_t | z_<t) = N(μ, diag σ²) of an LSTM over the codes so far, bounded and anchored.

    Args:
        hidden: width of the LSTM's state.
        bound: largest absolute mean; unbounded, codes drift to standard deviations of 7.
        smallest_sd: smallest standard deviation.
        largest_sd: largest standard deviation.
        first: law of the first code: `standard` is N(0, I), which anchors the scale; `learnt` is
            the LSTM's.

    Raises:
        OptionError: the smallest standard deviation is above the largest.

    Source: arXiv 2101.07496, Sec. 3. Bounds and anchor are additions.
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
        first: Literal["standard", "learnt"] = "standard",
    ) -> None:
        super().__init__()
        if smallest_sd > largest_sd:
            raise OptionError(
                f"smallest_sd is {smallest_sd}, above largest_sd: {largest_sd}; wanted it below",
                option="smallest_sd",
            )
        self.size, self.hidden, self.bound, self.first = size, hidden, bound, first
        self.lowest, self.highest = 2 * math.log(smallest_sd), 2 * math.log(largest_sd)
        self.lstm = nn.LSTM(size + context, hidden, batch_first=True)
        self.mean = nn.Linear(hidden, size)
        self.log_variance = nn.Linear(hidden, size)

    def along(
        self, z_BTD: Tensor, context_BC: Tensor | None = None
    ) -> tuple[DiagonalGaussian, Tensor]:
        """Teacher-forced laws [B, T, D] and states [B, T, S]; step t has seen z_<t."""
        before_BTD = torch.cat([torch.zeros_like(z_BTD[:, :1]), z_BTD[:, :-1]], dim=1)
        state_BTS = self.lstm(_beside(before_BTD, context_BC))[0].float()
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
        z_B1D = self.mean.weight.new_zeros(count, 1, self.size)
        memory: tuple[Tensor, Tensor] | None = None
        starts = start_BTD is None
        if start_BTD is not None:
            seen_BTD = torch.cat([z_B1D, start_BTD], dim=1)
            memory = self.lstm(_beside(seen_BTD[:, :-1], context_BC))[1]
            z_B1D = seen_BTD[:, -1:]
        path = []
        for _ in range(length):
            state_B1S, memory = self.lstm(_beside(z_B1D, context_BC), memory)
            z_B1D = draw(self._law(state_B1S.float(), starts=starts))
            starts = False
            path.append(z_B1D)
        return torch.cat(path, dim=1)

    def _law(self, state_BTS: Tensor, *, starts: bool) -> DiagonalGaussian:
        mean_BTD = self.bound * torch.tanh(self.mean(state_BTS).float() / self.bound)
        share_BTD = torch.sigmoid(self.log_variance(state_BTS).float())
        log_variance_BTD = self.lowest + (self.highest - self.lowest) * share_BTD
        if starts and self.first == "standard":
            keep_T1 = (torch.arange(state_BTS.shape[1], device=state_BTS.device) > 0)[:, None]
            mean_BTD, log_variance_BTD = mean_BTD * keep_T1, log_variance_BTD * keep_T1
        return DiagonalGaussian(mean_BTD, log_variance_BTD)


def _beside(z_BTD: Tensor, context_BC: Tensor | None) -> Tensor:
    """Codes with the context beside them at every step."""
    if context_BC is None:
        return z_BTD
    return torch.cat([z_BTD, context_BC[:, None].expand(-1, z_BTD.shape[1], -1)], dim=-1)


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield LstmPrior
