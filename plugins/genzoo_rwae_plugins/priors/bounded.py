"""What priors over a net share: laws that are read off its states, bounded and anchored.

Shapes: B batch, T time, D code width, S width of the state.
"""

from __future__ import annotations

from torch import Tensor, nn

from genzoo_rwae.codes import DiagonalGaussian, DynamicPrior
from genzoo_rwae_plugins.priors.bounds import First, Variances, anchored, bounded_mean

__all__ = ["BoundedPrior"]


class BoundedPrior(DynamicPrior):
    """P(z_t | z_<t) = N(μ, diag σ²) of a net over the codes so far.

    A prior of one's own is a subclass that makes its net, calls `read_off`, and says how codes
    become states.

    Args:
        bound: largest absolute mean; unbounded, codes drift to standard deviations of 7.
        smallest_sd: smallest standard deviation.
        largest_sd: largest standard deviation.
        first: law of the first code: `standard` is N(0, I), which anchors the scale; `learnt` is
            the net's.

    Raises:
        OptionError: the smallest standard deviation is above the largest.
    """

    mean: nn.Linear
    log_variance: nn.Linear

    def __init__(
        self, size: int, *, bound: float, smallest_sd: float, largest_sd: float, first: First
    ) -> None:
        super().__init__()
        self.size, self.bound, self.first = size, bound, first
        self.variances = Variances(smallest_sd, largest_sd)

    def read_off(self, width: int) -> None:
        """Make the layers that read laws off states [..., width]."""
        self.mean = nn.Linear(width, self.size)
        self.log_variance = nn.Linear(width, self.size)

    def _law(self, state_BTS: Tensor, *, starts: bool) -> DiagonalGaussian:
        """Laws [B, T, D] of states; `starts`: the first of them is that of the first code."""
        mean_BTD = bounded_mean(self.mean(state_BTS), self.bound)
        law = DiagonalGaussian(mean_BTD, self.variances.log_variance(self.log_variance(state_BTS)))
        return anchored(law) if starts and self.first == "standard" else law
