"""A static prior with several modes.

Shapes: B batch, K components, D code width, ... rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import einsum
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from genzoo_rwae.codes import Categorical, DiagonalGaussian, StaticPrior
from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae_plugins.priors.bounds import Variances, bounded_mean

__all__ = ["GaussianMixture", "MixturePrior"]


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of diagonal Gaussians in every row.

    Attributes:
        logits: [..., K], unnormalised log-weights of the components.
        mean: [..., K, D].
        log_variance: [..., K, D].

    >>> mean = torch.tensor([[[-1.0], [3.0]]])
    >>> GaussianMixture(torch.zeros(1, 2), mean, torch.zeros_like(mean)).typical()
    tensor([[1.]])
    """

    logits: Tensor
    mean: Tensor
    log_variance: Tensor

    def typical(self) -> Tensor:
        """Its mean Σ_k w_k μ_k [..., D], which may lie between the modes."""
        return einsum(self.logits.softmax(-1), self.mean, "... k, ... k d -> ... d")

    def log_density(self, z: Tensor) -> Tensor:
        """ln Σ_k w_k N(z; μ_k, diag σ_k²) of values [..., D], in nats: [...]."""
        components = DiagonalGaussian(self.mean, self.log_variance)
        log_p = self.logits.log_softmax(-1) + components.log_density(z[..., None, :])
        return log_p.logsumexp(-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """μ_k + σ_k ε [..., D] of one component k for every row, drawn by the weights.

        Gradients reach mean and variance of the component that was drawn, exactly. The weights get
        the straight-through gradient of a relaxed choice, which is biased (arXiv 1611.01144);
        theirs is exact in `log_density`.
        """
        chosen = Categorical(self.logits, hard=True).sample(generator)
        sd = (0.5 * self.log_variance).exp()
        mean, sd = (einsum(chosen, x, "... k, ... k d -> ... d") for x in (self.mean, sd))
        standard = DiagonalGaussian(torch.zeros_like(mean), torch.zeros_like(mean))
        return mean + sd * standard.sample(generator)


@prior("mixture")
class MixturePrior(StaticPrior):
    """P(z^c) = Σ_k w_k N(μ_k, diag σ_k²) with learnt weights, means and variances: clusters.

    Not a single Gaussian: penalties of Gaussian laws (`kl`, `aggregate-kl`) refuse it, those of
    samples take it, and the price on information is estimated from samples. At the start its
    components lie as far apart as gives the whole about unit variance.

    Args:
        components: K.
        bound: largest absolute mean of a component.
        smallest_sd: smallest standard deviation of a component.
        largest_sd: largest standard deviation of a component.

    Raises:
        OptionError: the smallest standard deviation is above the largest.

    Source: Dilokthanakul et al., arXiv 1611.02648 (mixture priors for clusters); Tomczak and
        Welling, arXiv 1705.07120 (a learnt mixture, as what the VampPrior is compared with).
        Bounds are additions.
    """

    def __init__(
        self,
        size: int,
        /,
        *,
        components: PositiveInt = 10,
        bound: PositiveFloat = 3.0,
        smallest_sd: PositiveFloat = 0.05,
        largest_sd: PositiveFloat = 1.5,
    ) -> None:
        super().__init__()
        self.bound, self.variances = bound, Variances(smallest_sd, largest_sd)
        middle_variance = smallest_sd * largest_sd  # where the variances start
        apart = max(1.0 - middle_variance, 0.1) ** 0.5
        self.logits = nn.Parameter(torch.zeros(components))
        share_KD = apart * torch.randn(components, size) / bound
        self.mean = nn.Parameter(bound * share_KD.clamp(-0.95, 0.95).atanh())
        self.log_variance = nn.Parameter(torch.zeros(components, size))

    def law(self, count: int) -> GaussianMixture:
        """The mixture `count` times: [B, D]."""
        mean_KD = bounded_mean(self.mean, self.bound)
        log_variance_KD = self.variances.log_variance(self.log_variance)
        return GaussianMixture(
            self.logits.float().expand(count, -1),
            mean_KD.expand(count, -1, -1),
            log_variance_KD.expand(count, -1, -1),
        )


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield MixturePrior
