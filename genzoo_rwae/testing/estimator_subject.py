"""An estimator of the squared MMD as its properties see it, and the kernels that it is tried with.

Shapes: N rows of x, M rows of y, D code width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.testing.oracle import imq_pair, linear_pair, mmd2_by_loops
from genzoo_rwae.testing.strategies import Pair, pairs_of_samples

__all__ = ["KERNELS", "Case", "Estimator", "EstimatorSubject", "PairedKernel"]

Estimator = Callable[..., Tensor]
"""f(x_ND, y_MD, kernel) -> scalar; [T, N, D] and [T, M, D] -> [T]."""

Row = Sequence[float]


@dataclass(frozen=True)
class PairedKernel:
    """A kernel on tensors, and on two rows of numbers."""

    name: str
    call: Callable[[Tensor, Tensor], Tensor]
    pair: Callable[[Row, Row], float]
    moves: bool  # whether it depends on the differences of rows alone

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _imq(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """C / (C + |x - y|^2), C = 2 D: differences first, so that it is right at any offset."""
    d2_NM = (x_ND[..., :, None, :] - y_MD[..., None, :, :]).square().sum(-1)
    c = 2.0 * x_ND.shape[-1]
    return c / (c + d2_NM)


def _linear(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return x_ND @ y_MD.mT


KERNELS = (
    PairedKernel("imq, C = 2 D", _imq, partial(imq_pair, scales=[1.0]), moves=True),
    PairedKernel("x . y", _linear, linear_pair, moves=False),  # its diagonal is no constant
)


@dataclass(frozen=True)
class Case:
    """Two samples and the kernel that compares them."""

    kernel: PairedKernel
    x: Tensor
    y: Tensor
    x_weights: Tensor | None = field(default=None)
    y_weights: Tensor | None = field(default=None)


@dataclass
class EstimatorSubject:
    """An estimator and the kernels that it is tried with."""

    function: Estimator
    estimator: Literal["biased", "unbiased"]
    kernels: Sequence[PairedKernel]

    @property
    def biased(self) -> bool:
        return self.estimator == "biased"

    @property
    def fewest(self) -> int:
        return 1 if self.biased else 2

    def of(self, case: Case, **extras: Any) -> Tensor:
        if case.x_weights is not None:
            extras = {"x_weights": case.x_weights, "y_weights": case.y_weights, **extras}
        return self.function(case.x, case.y, case.kernel.call, **extras)

    def takes(self, *names: str) -> bool:
        return set(names) <= set(inspect.signature(self.function).parameters)

    def by_loops(self, case: Case, *, paired: bool = False) -> Tensor:
        x, y = case.x.double().tolist(), case.y.double().tolist()
        shares = [None if w is None else w.tolist() for w in (case.x_weights, case.y_weights)]
        value = mmd2_by_loops(x, y, case.kernel.pair, self.estimator, paired, *shares)
        return torch.tensor(value, dtype=torch.float64)

    def cases(
        self, rows: int = 5, *, moves: bool = False, dtype: torch.dtype = torch.float64, **how: Any
    ) -> SearchStrategy[Case]:
        kernels = [kernel for kernel in self.kernels if kernel.moves or not moves]
        how = {"equal_sizes": False, **how}
        pairs = pairs_of_samples(rows=(self.fewest, rows), dtypes=[dtype], **how)
        return st.builds(_case, st.sampled_from(kernels), pairs)

    def size(self, case: Case) -> float:
        """The largest entry of the kernel: what errors are measured by."""
        with torch.no_grad():
            within = (case.kernel.call(x.double(), x.double()) for x in (case.x, case.y))
            return max(1.0, *(float(k.abs().max()) for k in within))


def _case(kernel: PairedKernel, pair: Pair) -> Case:
    return Case(kernel, pair.q, pair.p)
