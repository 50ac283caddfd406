"""Training the critics of adversarial penalties, after every step of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genzoo_rwae.adversarial import AdversarialPenalty
from genzoo_rwae.objective.wiring import WiredPenalty

__all__ = ["Critic"]


class Critic:
    """The critic of one slot and its optimiser.

    Args:
        penalty: adversarial; remembers from now on what it compares in training.
    """

    def __init__(self, penalty: WiredPenalty) -> None:
        assert penalty.critic is not None
        self.penalty = penalty
        self.module: AdversarialPenalty = penalty.critic
        self.optimizer = torch.optim.Adam(
            self.module.parameters(), lr=self.module.critic_lr, betas=self.module.critic_betas
        )

    def step(self) -> Tensor | None:
        """Train on what the penalty compared last; the loss of the last step, before it.

        None if nothing was compared.
        """
        compared, self.penalty.compared = self.penalty.compared, []
        loss: Tensor | None = None
        for _ in range(self.module.critic_steps if compared else 0):
            losses = [self.module.critic_loss(*one.arguments) for one in compared]
            loss = torch.stack(losses).mean()
            if not bool(loss.isfinite()):
                return loss.detach()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return None if loss is None else loss.detach()

    def state(self) -> dict[str, Any]:
        """The optimiser's state."""
        return self.optimizer.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.optimizer.load_state_dict(state)
