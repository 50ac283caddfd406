"""Penalties with a critic that is trained against the model.

Shapes: N rows compared, T steps, D code width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

__all__ = ["AdversarialPenalty"]


class AdversarialPenalty(nn.Module, ABC):
    """A divergence of two samples that is estimated by a critic of its own.

    The host minimises `forward` over the model, with the critic's parameters frozen, and after
    every step of the model `critic_loss` over the critic, `critic_steps` times on the same codes,
    with an Adam of its own whose state is in the checkpoint.

    Both methods get the same arguments; what else may be wired after the two samples (`paired`,
    `weights_N`) is that of any penalty.

    Attributes:
        critic_lr: learning rate of the critic's Adam.
        critic_betas: its decay rates.
        critic_steps: steps of the critic for one of the model.

    Source: Goodfellow et al., Generative Adversarial Nets, arXiv 1406.2661; on codes: Tolstikhin et
        al., Wasserstein Auto-Encoders, arXiv 1711.01558, Algorithm 1.
    """

    critic_lr: float = 1e-3
    critic_betas: tuple[float, float] = (0.5, 0.999)
    critic_steps: int = 1

    @abstractmethod
    def forward(self, q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
        """What the model minimises: a scalar for [N, D], one value per step for [T, N, D]."""

    @abstractmethod
    def critic_loss(self, q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
        """What the critic minimises: a scalar. The samples carry no graph."""
