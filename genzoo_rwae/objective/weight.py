"""The weight of a term over a run: warm-up, schedule, control towards a target value."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genzoo_rwae.spec.sections import TermSlot

__all__ = ["TermWeight"]

_WIDEST = math.log(1e4)  # most that control moves a weight, either way


class TermWeight(nn.Module):
    """weight x warm-up x schedule x a factor that control has found.

    Control multiplies the weight by exp(rate · clip(value / target − 1, −1, 1)) after every step of
    training: it rises while the value is above its target and falls below it. While warm-up and
    schedule hold the weight down, so they do the control's rate.

    Source: control by a multiplier: Rezende and Viola, Taming VAEs, arXiv 1810.00597, Algorithm 1;
        annealing in cycles: Fu et al., arXiv 1903.10145.
    """

    log_factor: Tensor

    def __init__(self, slot: TermSlot) -> None:
        super().__init__()
        self.slot = slot
        self.register_buffer("log_factor", torch.zeros((), dtype=torch.float64))

    @property
    def changes(self) -> bool:
        """Whether the weight is another at different steps."""
        slot = self.slot
        return bool(slot.warm_up or slot.schedule or slot.target)

    def at(self, progress: float) -> float:
        """The weight when the share `progress` of the run is over."""
        return self.slot.weight * self.slot.factor(progress) * math.exp(self.log_factor.item())

    def learn(self, value: Tensor, progress: float) -> None:
        """Note the term's value of one step of training."""
        if self.slot.target is None:
            return
        error = (value.detach().double() / self.slot.target - 1.0).clamp(-1.0, 1.0)
        rate = self.slot.target_rate * min(1.0, self.slot.factor(progress))
        moved = self.log_factor + rate * error.to(self.log_factor.device)
        self.log_factor.copy_(moved.clamp(-_WIDEST, _WIDEST))
