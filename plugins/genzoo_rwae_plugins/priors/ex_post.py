"""A static prior that is fitted to the codes when training is over.

Shapes: B rows, N codes, K components, D code width.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from einops import einsum
from pydantic import Field, PositiveInt
from torch import Tensor

from genzoo_rwae.codes import Categorical, DiagonalGaussian, Law, StaticPrior
from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae.draws import normal_draws
from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.other_threads import torchs_threads

__all__ = ["ExPostMixture", "FullMixture"]

_FEWEST = 5  # codes of a component for each value of its mean: with 2, held-out codes fit far worse


@dataclass(frozen=True)
class FullMixture:
    """One mixture of Gaussians with full covariances, in every row.

    Attributes:
        count: B.
        log_weights: [K], normalised; −inf: no such component.
        mean: [K, D].
        root: [K, D, D], lower triangular; a component's covariance is root rootᵀ.

    >>> root = torch.tensor([[[1.0, 0.0], [0.5, 1.0]]])
    >>> FullMixture(3, torch.zeros(1), torch.tensor([[2.0, 0.0]]), root).typical().shape
    torch.Size([3, 2])
    """

    count: int
    log_weights: Tensor
    mean: Tensor
    root: Tensor

    def typical(self) -> Tensor:
        """Its mean Σ_k w_k μ_k [B, D], which may lie between the modes."""
        return (self.log_weights.exp() @ self.mean).expand(self.count, -1)

    def log_density(self, z: Tensor) -> Tensor:
        """ln Σ_k w_k N(z; μ_k, Σ_k) of values [..., D], in nats: [...]."""
        # rows side by side, so that there is one root for all of them
        from_mean_KDN = z.reshape(-1, z.shape[-1]).T - self.mean[..., None]
        scaled_KDN = torch.linalg.solve_triangular(self.root, from_mean_KDN, upper=False)
        volume_K = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant_K = self.log_weights - volume_K - 0.5 * z.shape[-1] * math.log(2 * math.pi)
        log_p_KN = constant_K[:, None] - 0.5 * scaled_KDN.square().sum(1)
        log_density: Tensor = log_p_KN.logsumexp(0).reshape(z.shape[:-1])
        return log_density

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """μ_k + root_k ε [B, D] of one component k for every row, drawn by the weights."""
        chosen = Categorical(self.log_weights.expand(self.count, -1), hard=True).sample(generator)
        k_B = chosen.argmax(-1)
        mean_BD = self.mean[k_B]
        noise_BD = normal_draws(
            mean_BD.shape, generator, dtype=mean_BD.dtype, device=mean_BD.device
        )
        return mean_BD + einsum(self.root[k_B], noise_BD, "b d e, b e -> b d")


@prior("ex-post-mixture")
class ExPostMixture(StaticPrior):
    """N(0, I) in training; then P(z^c) = Σ_k w_k N(μ_k, Σ_k), fitted to the codes there are.

    Penalties and prices never see the mixture. What codes were pulled towards they seldom reach:
    there are holes where N(0, I) says that codes are, and what is decoded from them is nothing
    that was ever learnt. The mixture is fitted to draws of Q(z^c | x) for training sequences by
    expectation maximisation (scikit-learn's), from the same start whenever the codes are the same.
    Until then, and in the weights of the best validation loss, the prior is N(0, I).

    Args:
        components: K; fewer where there are not five times as many codes as K D, as 25 for 8,000
            codes of width 64. The console says how many there are.
        sequences: most training sequences whose codes are fitted, spread evenly.
        smallest_sd: in any direction, of any component.

    Source: Ghosh et al., "From variational to deterministic autoencoders", ICLR 2020,
        arXiv 1903.12436, Sec. 4 (ex-post density estimation).
    """

    fitted: Tensor
    log_weights: Tensor
    mean: Tensor
    root: Tensor

    def __init__(
        self,
        size: int,
        /,
        *,
        components: PositiveInt = 40,
        sequences: Annotated[int, Field(ge=2)] = 8_000,
        smallest_sd: Annotated[float, Field(ge=1e-3)] = 0.03,
    ) -> None:
        super().__init__()
        self.sequences, self.smallest_sd = sequences, smallest_sd
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("log_weights", torch.full((components,), -math.log(components)))
        self.register_buffer("mean", torch.zeros(components, size))
        self.register_buffer("root", torch.eye(size).repeat(components, 1, 1))

    def law(self, count: int) -> Law:
        """N(0, I), or what was fitted, `count` times: [B, D]."""
        if self.training or not self.fitted:
            zero_BD = self.mean.new_zeros(count, self.mean.shape[1])
            return DiagonalGaussian(zero_BD, zero_BD)
        return FullMixture(count, self.log_weights, self.mean, self.root)

    def fit_to(self, draws: Callable[[int], Tensor]) -> str | None:
        """The mixture, by expectation maximisation; whatever was fitted before is forgotten.

        Warns:
            GenzooWarning: it cannot be fitted, as to one code alone; the prior stays N(0, I).
        """
        from sklearn.exceptions import ConvergenceWarning  # a second to import
        from sklearn.mixture import GaussianMixture

        self.fitted.fill_(False)
        z_ND = draws(self.sequences).double().cpu().numpy()
        most, (count, size) = len(self.mean), z_ND.shape
        used = max(1, min(most, count // (_FEWEST * size)))
        fit = GaussianMixture(used, reg_covar=self.smallest_sd**2, max_iter=100, random_state=0)
        try:
            with warnings.catch_warnings(), torchs_threads():
                # a hundred rounds are enough whether or not the last one still changed something
                warnings.simplefilter("ignore", ConvergenceWarning)
                fit.fit(z_ND)
        except ValueError as error:
            warnings.warn(
                f"no mixture can be fitted to {count:,} codes of width {size} ({error}); the "
                "prior stays N(0, I). A larger smallest_sd, or more sequences, may mend it",
                GenzooWarning,
                stacklevel=2,
            )
            return None
        self.log_weights.fill_(-math.inf)[:used] = torch.from_numpy(fit.weights_).log()
        self.mean.zero_()[:used] = torch.from_numpy(fit.means_)
        roots_KDD = torch.linalg.cholesky(torch.from_numpy(fit.covariances_))
        self.root.copy_(torch.eye(size))[:used] = roots_KDD
        self.fitted.fill_(True)
        fewer = f" in place of {most}, which want more" if used < most else ""
        laws = "Gaussian" if used == 1 else "Gaussians"
        return f"{used} {laws}{fewer}, fitted to {count:,} codes of width {size}"


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield ExPostMixture
