"""The static prior of R-WAE."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genzoo_rwae.codes import DiagonalGaussian, StaticPrior
from genzoo_rwae.components import hookimpl, prior

__all__ = ["GaussianPrior"]


@prior("gaussian")
class GaussianPrior(StaticPrior):
    """P(z^c) = N(0, I), fixed.

    Source: arXiv 2101.07496, Sec. 3.
    """

    zero: Tensor

    def __init__(self, size: int, /) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(size))

    def law(self, count: int) -> DiagonalGaussian:
        """N(0, I) `count` times: [B, D]."""
        zero_BD = self.zero.expand(count, -1)
        return DiagonalGaussian(zero_BD, zero_BD)


@hookimpl
def genzoo_priors() -> Iterator[object]:
    yield GaussianPrior
