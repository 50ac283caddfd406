"""The dynamic prior of R-WAE."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from genzoo_rwae.components import hookimpl, prior
from genzoo_rwae_plugins.priors.recurrent import RecurrentPrior

__all__ = ["LstmPrior"]


@prior("lstm")
class LstmPrior(RecurrentPrior):
    """P(z_t | z_<t) = N(μ, diag σ²) of an LSTM over the codes so far, bounded and anchored.

    Source: arXiv 2101.07496, Sec. 3. Bounds and anchor are additions.
    """

    recurrence = nn.LSTM


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield LstmPrior
