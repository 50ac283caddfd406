"""A dynamic prior that attends to all codes so far.

Shapes: B batch, T time, D code width, C width of the context, H width of the net.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, Draw
from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae_plugins.priors.bounded import BoundedPrior
from genzoo_rwae_plugins.priors.bounds import First, before, beside
from genzoo_rwae_plugins.steps.transformer import Tokens, TransformerLayers

__all__ = ["TransformerPrior"]


@prior("transformer")
class TransformerPrior(BoundedPrior):
    """P(z_t | z_<t) = N(μ, diag σ²) of causal attention over the codes so far.

    Positions are rotations, so that paths have any length. The state of a step is the last hidden
    vector. A roll-out runs the net on the whole path at every step.

    Args:
        hidden: width of the net, and of the state; a multiple of twice the heads.
        layers: number of layers.
        heads: attention heads of a layer.

    Raises:
        OptionError: the smallest standard deviation is above the largest; `hidden` cannot be
            shared out among the heads.

    Source: Vaswani et al., arXiv 1706.03762, in place of R-WAE's LSTM; rotary positions:
    arXiv 2104.09864.
    """

    def __init__(
        self,
        size: int,
        context: int = 0,
        /,
        *,
        hidden: PositiveInt = 128,
        layers: PositiveInt = 2,
        heads: PositiveInt = 4,
        bound: PositiveFloat = 3.0,
        smallest_sd: PositiveFloat = 0.05,
        largest_sd: PositiveFloat = 1.5,
        first: First = "standard",
    ) -> None:
        super().__init__(
            size, bound=bound, smallest_sd=smallest_sd, largest_sd=largest_sd, first=first
        )
        self.into = nn.Linear(size + context, hidden)
        self.start = nn.Parameter(0.02 * torch.randn(hidden))
        self.layers = TransformerLayers(
            Tokens(
                hidden=hidden,
                layers=layers,
                heads=heads,
                attends="causal",
                positions="rotary",
                longest=1,  # of learnt positions, which rotary ones do without
                backend="auto",
            )
        )
        self.read_off(hidden)

    def along(
        self, z_BTD: Tensor, context_BC: Tensor | None = None
    ) -> tuple[DiagonalGaussian, Tensor]:
        """Teacher-forced laws [B, T, D] and states [B, T, H]; step t has seen z_<t."""
        h_BTH = self.into(beside(before(z_BTD), context_BC))
        # no code is before the first step, which is not the same as a code of zeros
        h_BTH = torch.cat([h_BTH[:, :1] + self.start, h_BTH[:, 1:]], dim=1)
        state_BTH = self.layers(h_BTH).float()
        return self._law(state_BTH, starts=True), state_BTH

    def roll_out(
        self,
        count: int,
        length: int,
        draw: Draw,
        start_BTD: Tensor | None = None,
        context_BC: Tensor | None = None,
    ) -> Tensor:
        """Paths [B, length, D], each step fed back; after `start_BTD` if there is one."""
        z_B1D = self.start.new_zeros(count, 1, self.size)
        path = [] if start_BTD is None else [start_BTD]
        for _ in range(length):
            # what stands at the step itself is not seen
            law, _ = self.along(torch.cat([*path, z_B1D], dim=1), context_BC)
            path.append(draw(DiagonalGaussian(law.mean[:, -1:], law.log_variance[:, -1:])))
        return torch.cat(path, dim=1)[:, -length:]


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield TransformerPrior
