"""A dynamic prior that is linear in the last code: its modes are eigenvectors.

Shapes: B batch, T time, D code width, C width of the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae_plugins.priors.bounds import Variances
from genzoo_rwae_plugins.priors.markov import MarkovPrior

__all__ = ["LinearPrior"]

Radius = Annotated[float, Field(gt=0, le=1)]


@prior("linear")
class LinearPrior(MarkovPrior):
    """z_t = A z_t−1 + B a + σ ε_t, from N(0, I), with all |eigenvalues of A| ≤ `radius` ≤ 1.

    A = radius · M / max(1, ‖M‖₂) with a free matrix M. The largest singular value bounds every
    eigenvalue and |A^t z| ≤ radius^t |z|, so that no roll-out grows exponentially. Below radius 1
    its mean and variance stay bounded; at 1 pushes may add up, and noise to a random walk. B a is a
    push that the context, if there is one, gives at every step.

    Args:
        radius: largest singular value of A. At 1, what never fades away is allowed.
        sd: σ of every entry at the start; every entry learns its own.
        smallest_sd: smallest σ.
        largest_sd: largest σ.

    Raises:
        OptionError: the smallest standard deviation is above the largest.

    Source: linear dynamics of codes that disentangle by their spectrum: Berman et al.,
        arXiv 2303.17264, there fitted to every batch, here learnt. Division by the largest singular
        value is spectral normalisation, Miyato et al., arXiv 1802.05957, Sec. 2.1, here of matrices
        alone that need it.
    """

    def __init__(
        self,
        size: int,
        context: int = 0,
        /,
        *,
        radius: Radius = 1.0,
        sd: PositiveFloat = 0.3,
        smallest_sd: PositiveFloat = 0.05,
        largest_sd: PositiveFloat = 1.5,
    ) -> None:
        super().__init__(size)
        self.radius = radius
        self.variances = Variances(smallest_sd, largest_sd)
        # near a slow decay; the asymmetric part is what rotations grow from
        start_DD = 0.9 * torch.eye(size) + 0.1 * torch.randn(size, size) / size**0.5
        self.free = nn.Parameter(start_DD)
        self.said = nn.Parameter(torch.full((size,), self.variances.said(sd)))
        self.push = nn.Linear(context, size, bias=False) if context else None

    def transition_matrix(self) -> Tensor:
        """A [D, D]."""
        free_DD = self.free.float()
        norm: Tensor = torch.linalg.matrix_norm(free_DD, ord=2)
        return self.radius * free_DD / norm.clamp_min(1.0)

    @torch.no_grad()
    def eigenvalues(self) -> Tensor:
        """Those of A, complex [D], the slowest to fade first.

        A mode with the eigenvalue r · e^(iω) fades by the factor r a step and turns by ω.
        """
        found_D: Tensor = torch.linalg.eigvals(self.transition_matrix().cpu())
        return found_D[found_D.abs().argsort(descending=True)]

    def transition(self, before_BTD: Tensor, context_BC: Tensor | None) -> DiagonalGaussian:
        """N(A z_t−1 + B a, diag σ²)."""
        with torch.autocast(before_BTD.device.type, enabled=False):
            mean_BTD = before_BTD @ self.transition_matrix().mT
            if self.push is not None and context_BC is not None:
                mean_BTD = mean_BTD + self.push(context_BC.float())[:, None]
        log_variance_D = self.variances.log_variance(self.said)
        return DiagonalGaussian(mean_BTD, log_variance_D.expand_as(mean_BTD))


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield LinearPrior
