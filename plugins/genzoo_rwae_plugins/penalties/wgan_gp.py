"""A Wasserstein critic with a gradient penalty on codes.

Shapes: N rows, D code width, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from genzoo_rwae_kernels.samples import check_samples
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from genzoo_rwae.adversarial import AdversarialPenalty
from genzoo_rwae.components import hookimpl, penalty
from genzoo_rwae_plugins.penalties.critics import CodeCritic, Steps
from genzoo_rwae_plugins.penalties.gan import Decay
from genzoo_rwae_plugins.penalties.rows import rows_that_count

__all__ = ["WganGp"]


@penalty("wgan-gp", batched=True)
class WganGp(AdversarialPenalty):
    """Wasserstein-1 distance by a critic whose gradients are held near norm 1.

    model: E_p f − E_q f;  critic: E_q f − E_p f + gradient_weight E (‖∇f(ẑ)‖ − 1)²
    with ẑ = u p + (1 − u) q, u uniform, drawn for every row from the global generator

    [N, D] twice to a scalar, [T, N, D] to [T]; N rows in both. An estimate of W_1 once the critic
    has learnt, rubbish (of either sign) before.

    Args:
        hidden: width of the critic's layers.
        layers: its hidden layers.
        gradient_weight: of the gradient penalty.
        sided: `two`: norms below 1 are penalised as those above, as published; `one`: those above
            alone, max(0, ‖∇f‖ − 1)². Take `one` for codes one wide: the slope of a two-sided critic
            would have to pass through 0, which is penalised, to turn round.
        steps: `pooled`: one critic for all steps, that cannot tell them apart: it bounds the sum
            over t from below, by codes of all steps together; `told`: it knows t.
        lr: learning rate of its Adam.
        betas: decay rates of its Adam.
        updates: its steps for one of the model.

    Raises:
        ValueError: the samples differ in their numbers of rows.

    Source: Gulrajani et al., Improved Training of Wasserstein GANs, arXiv 1704.00028, Eq. (3) and
        Algorithm 1 (weight 10, five updates, lr 1e-4, betas 0 and .9); one-sided: Petzka et al.,
        arXiv 1709.08894, Eq. (8).
    """

    def __init__(
        self,
        width: int,
        /,
        *,
        hidden: PositiveInt = 512,
        layers: PositiveInt = 3,
        gradient_weight: NonNegativeFloat = 10.0,
        sided: Literal["two", "one"] = "two",
        steps: Steps = "pooled",
        lr: PositiveFloat = 1e-4,
        betas: tuple[Decay, Decay] = (0.0, 0.9),
        updates: PositiveInt = 5,
    ) -> None:
        super().__init__()
        self.critic_lr, self.critic_betas, self.critic_steps = lr, betas, updates
        self.gradient_weight, self.sided = gradient_weight, sided
        self.critic = CodeCritic(
            width,
            outputs=1,
            hidden=hidden,
            layers=layers,
            spectral=False,
            steps=steps,
            offset=False,
        )

    def forward(self, q_TND: Tensor, p_TND: Tensor, weights_N: Tensor | None = None, /) -> Tensor:
        """The estimated distance, which the model minimises."""
        _check("wgan-gp", q_TND, p_TND)
        rows = rows_that_count(q_TND, weights_N)
        gap_TN = (self.critic(p_TND) - self.critic(q_TND)).squeeze(-1)
        return rows.mean(gap_TN).to(q_TND.dtype)

    def critic_loss(
        self, q_TND: Tensor, p_TND: Tensor, weights_N: Tensor | None = None, /
    ) -> Tensor:
        """The critic's loss, mean over steps."""
        _check("wgan-gp", q_TND, p_TND)
        rows = rows_that_count(q_TND, weights_N)
        gap_TN = (self.critic(p_TND) - self.critic(q_TND)).squeeze(-1)
        u_TN1 = torch.rand(*q_TND.shape[:-1], 1, dtype=q_TND.dtype, device=q_TND.device)
        slope2_TN = self.critic.slopes(u_TN1 * p_TND + (1.0 - u_TN1) * q_TND)
        # the norm has no derivative at 0, where its target of 1 gives no direction either
        flat_TN = slope2_TN == 0
        norm_TN = torch.where(flat_TN, 1.0, slope2_TN).sqrt().masked_fill(flat_TN, 0.0)
        excess_TN = norm_TN - 1.0
        if self.sided == "one":
            excess_TN = excess_TN.clamp_min(0.0)
        return rows.mean_of_steps(rows.mean(self.gradient_weight * excess_TN.square() - gap_TN))


def _check(name: str, q_TND: Tensor, p_TND: Tensor) -> None:
    check_samples(name, q_TND, p_TND)
    if q_TND.shape[-2] != p_TND.shape[-2]:
        raise ValueError(
            f"{name}: {q_TND.shape[-2]} rows of q and {p_TND.shape[-2]} of p; wanted equal "
            "numbers, which the gradient penalty pairs: draw one prior row for each code"
        )


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield WganGp
