"""A GAN's discriminator on codes as a penalty.

Shapes: N rows, D code width, T time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from genzoo_rwae_kernels.samples import check_samples
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import softplus

from genzoo_rwae.adversarial import AdversarialPenalty
from genzoo_rwae.components import hookimpl, penalty
from genzoo_rwae_plugins.penalties.critics import CodeCritic, Steps
from genzoo_rwae_plugins.penalties.rows import rows_that_count

__all__ = ["Decay", "Gan"]

Decay = Annotated[float, Field(ge=0, lt=1)]


@penalty("gan", batched=True)
class Gan(AdversarialPenalty):
    """A discriminator on codes, non-saturating.

    critic: E_p s(−h) + E_q s(h) + ½ r1 E_p ‖∇h‖²;  model: E_q s(−h) + E_p s(h);
    s(x) = ln(1 + eˣ), h the critic's logit for 'drawn from the prior'

    [N, D] twice to a scalar, [T, N, D] to [T]. The second half of the model's loss moves priors
    that are learnt; at fixed ones it is a constant. 2 ln 2 = 1.386 where the critic cannot tell.

    Args:
        hidden: width of the critic's layers.
        layers: its hidden layers.
        spectral: spectral normalisation of its weights.
        r1: weight of the squared gradient at the prior's sample; 0: none.
        steps: `pooled`: one critic for all steps, that cannot tell them apart: it bounds the sum
            over t from below, by codes of all steps together; `told`: it knows t.
        lr: learning rate of its Adam.
        betas: decay rates of its Adam.
        updates: its steps for one of the model.

    Source: Tolstikhin et al., Wasserstein Auto-Encoders, arXiv 1711.01558, Algorithm 1 and
        Appendix (four layers of 512, lr 5e-4, β1 = .5), with leaky rectifiers, and without its
        log-prior offset, which needs the prior's density: of a learnt path's marginals there is
        none in closed form. R1: Mescheder et al., arXiv 1801.04406, Eq. (9).
    """

    def __init__(
        self,
        width: int,
        /,
        *,
        hidden: PositiveInt = 512,
        layers: PositiveInt = 4,
        spectral: bool = False,
        r1: NonNegativeFloat = 0.0,
        steps: Steps = "pooled",
        lr: PositiveFloat = 5e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.999),
        updates: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.critic_lr, self.critic_betas, self.critic_steps = lr, betas, updates
        self.r1 = r1
        self.critic = CodeCritic(
            width, outputs=1, hidden=hidden, layers=layers, spectral=spectral, steps=steps
        )

    def forward(self, q_TND: Tensor, p_TND: Tensor, weights_N: Tensor | None = None, /) -> Tensor:
        """The model's loss."""
        check_samples("gan", q_TND, p_TND)
        rows = rows_that_count(q_TND, weights_N)
        of_p = rows if weights_N is not None else rows_that_count(p_TND, None)
        h_q_TN, h_p_TN = self.critic(q_TND).squeeze(-1), self.critic(p_TND).squeeze(-1)
        return (rows.mean(softplus(-h_q_TN)) + of_p.mean(softplus(h_p_TN))).to(q_TND.dtype)

    def critic_loss(
        self, q_TND: Tensor, p_TND: Tensor, weights_N: Tensor | None = None, /
    ) -> Tensor:
        """The critic's loss, mean over steps."""
        check_samples("gan", q_TND, p_TND)
        rows = rows_that_count(q_TND, weights_N)
        of_p = rows if weights_N is not None else rows_that_count(p_TND, None)
        h_q_TN, h_p_TN = self.critic(q_TND).squeeze(-1), self.critic(p_TND).squeeze(-1)
        loss_T = rows.mean(softplus(h_q_TN)) + of_p.mean(softplus(-h_p_TN))
        if self.r1:
            loss_T = loss_T + 0.5 * self.r1 * of_p.mean(self.critic.slopes(p_TND))
        return rows.mean_of_steps(loss_T)


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield Gan
