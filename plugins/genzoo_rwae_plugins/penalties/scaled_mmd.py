"""Scaled MMD: an MMD of learnt features whose slope is divided out.

Shapes: N rows, D code width, T time, K features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from genzoo_rwae_kernels import mmd2_unbiased
from genzoo_rwae_kernels.samples import check_samples
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from genzoo_rwae.adversarial import AdversarialPenalty
from genzoo_rwae.components import Use, hookimpl, penalty
from genzoo_rwae_plugins.kernels.radial import Rbf
from genzoo_rwae_plugins.penalties.critics import CodeCritic, Steps
from genzoo_rwae_plugins.penalties.gan import Decay
from genzoo_rwae_plugins.penalties.rows import Rows, rows_that_count

__all__ = ["ScaledMmd"]

# exp(−|x − y|² / 2K): for one feature the kernel of the paper with unit bandwidth
_KERNEL = Rbf(scales=(1.0,))


@penalty("scaled-mmd", batched=True)
class ScaledMmd(AdversarialPenalty):
    """MMD² of learnt features, divided by one plus their squared slope.

    D = MMD²(φ(q), φ(p)) / (1 + slope_weight · E_p ‖∇φ‖²_F);  the model minimises D, the critic −D

    [N, D] twice to a scalar, [T, N, D] to [T]. Unbiased MMD: may be negative. The divisor keeps the
    critic from growing where it cannot do so but by slope; φ is the critic's net, ∇φ its
    Jacobian, taken at the prior's sample and a constant to the model.

    Args:
        kernel: on features.
        features: K, width of φ.
        hidden: width of the critic's layers.
        layers: its hidden layers.
        slope_weight: of the squared slope.
        spectral: spectral normalisation of its weights (SN-SMMD).
        steps: `pooled`: the same features at every step, whose codes are still compared step by
            step; `told`: the critic knows t.
        lr: learning rate of its Adam.
        betas: decay rates of its Adam.
        updates: its steps for one of the model.

    Raises:
        OptionError: a batch of one row.

    Source: Arbel et al., On gradient regularizers for MMD GANs, arXiv 1805.11565, Sec. 3.3, with
        slope_weight 10 and five updates as in its experiments.
    """

    def __init__(
        self,
        width: int,
        /,
        *,
        kernel: Annotated[Callable[..., Tensor], Use("kernel")] = _KERNEL,
        features: PositiveInt = 1,
        hidden: PositiveInt = 512,
        layers: PositiveInt = 3,
        slope_weight: NonNegativeFloat = 10.0,
        spectral: bool = False,
        steps: Steps = "pooled",
        lr: PositiveFloat = 1e-4,
        betas: tuple[Decay, Decay] = (0.5, 0.9),
        updates: PositiveInt = 5,
    ) -> None:
        super().__init__()
        self.critic_lr, self.critic_betas, self.critic_steps = lr, betas, updates
        self.kernel, self.slope_weight = kernel, slope_weight
        self.critic = CodeCritic(
            width,
            outputs=features,
            hidden=hidden,
            layers=layers,
            spectral=spectral,
            steps=steps,
            offset=False,
        )

    def forward(
        self,
        q_TND: Tensor,
        p_TND: Tensor,
        paired: bool = False,
        weights_N: Tensor | None = None,
        /,
    ) -> Tensor:
        """The scaled MMD, which the model minimises."""
        return self._compare(q_TND, p_TND, paired, weights_N)[0].to(q_TND.dtype)

    def critic_loss(
        self,
        q_TND: Tensor,
        p_TND: Tensor,
        paired: bool = False,
        weights_N: Tensor | None = None,
        /,
    ) -> Tensor:
        """The scaled MMD negated, mean over steps."""
        value_T, rows = self._compare(q_TND, p_TND, paired, weights_N)
        return -rows.mean_of_steps(value_T).to(q_TND.dtype)

    def _compare(
        self, q_TND: Tensor, p_TND: Tensor, paired: bool, weights_N: Tensor | None
    ) -> tuple[Tensor, Rows]:
        check_samples("scaled-mmd", q_TND, p_TND)
        rows = rows_that_count(q_TND, weights_N, fewest=2, statistic="scaled-mmd")
        of_p = rows_that_count(p_TND, weights_N, fewest=2, statistic="scaled-mmd")
        shares_TN = None if weights_N is None else rows.share_TN
        mmd2_T = mmd2_unbiased(
            self.critic(q_TND),
            self.critic(p_TND),
            self.kernel,
            paired=paired,
            x_weights=shares_TN,
            y_weights=shares_TN,
        )
        slope_T = of_p.mean(self.critic.slopes(p_TND))
        value_T = mmd2_T / (1.0 + self.slope_weight * slope_T)
        return value_T * rows.enough_T.to(value_T.dtype), rows


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield ScaledMmd
