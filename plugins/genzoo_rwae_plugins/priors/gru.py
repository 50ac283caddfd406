"""The dynamic prior of R-WAE with fewer gates."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae_plugins.priors.recurrent import RecurrentPrior

__all__ = ["GruPrior"]


@prior("gru")
class GruPrior(RecurrentPrior):
    """P(z_t | z_<t) = N(μ, diag σ²) of a GRU over the codes so far, bounded and anchored.

    Source: Cho et al., arXiv 1406.1078, Sec. 2.3, in place of R-WAE's LSTM.
    """

    recurrence = nn.GRU


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield GruPrior
