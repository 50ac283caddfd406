"""A static head that reads a sequence by attention.

Shapes: B batch, T time, H features, R registers, K width of an attention head.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import rearrange, repeat
from genzoo_rwae_kernels import attention
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.components import hookimpl, static_head
from genzoo_rwae_plugins.heads.posterior import LogVariance, Posterior, posterior_layer
from genzoo_rwae_plugins.steps.transformer import attended_steps, check_heads

__all__ = ["AttentionHead"]


@static_head("attention")
class AttentionHead(nn.Module):
    """Register tokens that attend to the features of the true steps: blind to their order.

    A register is a learnt query; what the registers find goes through one hidden layer.

    Args:
        hidden: width of a register and of the hidden layer; a multiple of `heads`.
        registers: number of registers, each of which may look for something else.
        heads: attention heads of a register.
        log_variance: the posterior's log-variance at the start.
        floor: smallest log-variance; a higher floor leaves less room for information.
        ceiling: largest log-variance; one below the prior's makes every entry carry information.
        posterior: `gaussian`, or `deterministic`: the mean alone, for penalties of samples.

    Raises:
        OptionError: the floor is above the ceiling; `hidden` cannot be shared out among the heads.

    Source: Lee et al., Set Transformer, arXiv 1810.00825, Sec. 3.2 (pooling by attention);
    registers: Darcet et al., arXiv 2309.16588.
    """

    def __init__(
        self,
        features: int,
        size: int,
        /,
        *,
        hidden: PositiveInt = 128,
        registers: PositiveInt = 4,
        heads: PositiveInt = 4,
        log_variance: LogVariance = -4.0,
        floor: LogVariance = -12.0,
        ceiling: LogVariance = 2.0,
        posterior: Posterior = "gaussian",
    ) -> None:
        super().__init__()
        check_heads(hidden, heads)
        self.registers_HRK = nn.Parameter(torch.randn(heads, registers, hidden // heads))
        self.kv = nn.Linear(features, 2 * hidden)
        self.hidden = nn.Sequential(nn.Linear(registers * hidden, hidden), nn.LeakyReLU(0.2))
        self.law = posterior_layer(hidden, size, log_variance, floor, ceiling, posterior)

    def forward(self, features_BTH: Tensor, lengths_B: Tensor) -> DiagonalGaussian:
        """[B, T, H] to a law over [B, size]."""
        both = rearrange(
            self.kv(features_BTH), "b t (two h k) -> two b h t k", two=2, h=len(self.registers_HRK)
        )
        k_BHTK, v_BHTK = both.unbind(0)
        q_BHRK = repeat(self.registers_HRK, "h r k -> b h r k", b=len(features_BTH)).to(
            k_BHTK.dtype
        )
        there_BT = attended_steps(features_BTH, lengths_B)
        mask = None if there_BT is None else there_BT[:, None, None]
        found_BHRK = attention(q_BHRK, k_BHTK, v_BHTK, mask=mask)
        law: DiagonalGaussian = self.law(self.hidden(rearrange(found_BHRK, "b h r k -> b (r h k)")))
        return law


@hookimpl
def genzoo_static_heads() -> Iterator[object]:
    yield AttentionHead
