"""The nets of adversarial penalties.

Shapes: N rows, D code width, T time, K outputs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["CodeCritic", "Steps"]

Steps = Literal["pooled", "told"]
_SLOPE = 0.2  # of the leaky rectifier, as in DCGAN's discriminator (arXiv 1511.06434)


class CodeCritic(nn.Module):
    """A multilayer perceptron on codes, one for all steps.

    Rows do not see each other. Codes of any dtype; the net works in its own.

    Args:
        width: D of the codes.
        outputs: K.
        hidden: width of the hidden layers.
        layers: number of hidden layers.
        spectral: every weight is divided by its largest singular value (Miyato et al., arXiv
            1802.05957), found by one step of the power iteration at every call in training.
        steps: `pooled`: the critic is blind to t; `told`: ln(1 + t) is a further input, so that
            steps are compared each by itself.
        offset: the last layer has a bias; without where only differences of outputs count.
    """

    def __init__(
        self,
        width: int,
        *,
        outputs: int,
        hidden: int,
        layers: int,
        spectral: bool,
        steps: Steps,
        offset: bool = True,
    ) -> None:
        super().__init__()
        self.told = steps == "told"
        widths = [width + self.told, *[hidden] * layers]
        parts: list[nn.Module] = []
        for before, after in pairwise(widths):
            parts += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE)]
        parts.append(nn.Linear(widths[-1], outputs, bias=offset))
        if spectral:
            parts = [spectral_norm(p) if isinstance(p, nn.Linear) else p for p in parts]
        self.net = nn.Sequential(*parts)

    def forward(self, z_TND: Tensor) -> Tensor:
        """[N, D] to [N, K], [T, N, D] to [T, N, K]."""
        z_TND = z_TND.to(next(self.parameters()).dtype)
        if self.told:
            count = z_TND.shape[0] if z_TND.dim() == 3 else 1
            time_T = torch.arange(count, dtype=z_TND.dtype, device=z_TND.device).log1p()
            time_TN1 = time_T[:, None, None].expand(count, z_TND.shape[-2], 1)
            z_TND = torch.cat([z_TND, time_TN1.reshape(*z_TND.shape[:-1], 1)], dim=-1)
        out: Tensor = self.net(z_TND)
        return out

    def slopes(self, z_TND: Tensor) -> Tensor:
        """Squared norm of every row's Jacobian ‖dK/dz‖²_F [T, N]; differentiable in the weights."""
        z_TND = z_TND.detach().requires_grad_()
        with torch.enable_grad():
            out_TNK = self(z_TND)
            gradients = (
                torch.autograd.grad(out_TNK[..., k].sum(), z_TND, create_graph=True)[0]
                for k in range(out_TNK.shape[-1])
            )
            return torch.stack([g.square().sum(-1) for g in gradients]).sum(0)
