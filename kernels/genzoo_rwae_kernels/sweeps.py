"""What is asked of sums over all pairs of rows of two samples, and what is given back.

Shapes: B batch, N rows of x, M rows of y, D code width.
"""

from enum import IntFlag
from typing import NamedTuple

from torch import Tensor

__all__ = ["ALL", "EVERYTHING", "Coefficients", "Contrast", "Kinds", "Sums", "Wanted"]


class Coefficients(NamedTuple):
    """What the sums within x, within y and across count in a contrast; numbers or [...]."""

    x: float | Tensor
    y: float | Tensor
    across: float | Tensor


class Contrast(NamedTuple):
    """A contrast and what it is made of.

    Attributes:
        value: [...], float64 where the device has it, or the dtype that was asked for.
        sums: [..., 3], float64 where the device has it: within x, within y and across; without a
            graph.
    """

    value: Tensor
    sums: Tensor


class Kinds(IntFlag):
    """The sums that are asked for; the numbers are those of the compiled code."""

    WITHIN_X = 1
    WITHIN_Y = 2
    ACROSS = 4


ALL = Kinds.WITHIN_X | Kinds.WITHIN_Y | Kinds.ACROSS


class Wanted(NamedTuple):
    """Which gradients are asked for: of the rows of x and of y, of their weights a and b."""

    x: bool = True
    y: bool = True
    a: bool = True
    b: bool = True


EVERYTHING = Wanted()


class Sums(NamedTuple):
    """What one sweep gives; none of it carries a graph.

    Attributes:
        value_B: the sums times their coefficients, float64.
        sums_B3: within x, within y (i != j) and across, float64; 0 where not asked for.
        x_gradient_BND, y_gradient_BMD: of the value, in the dtype of the rows.
        a_gradient_BN, b_gradient_BM: likewise, float64. None: not asked for.
    """

    value_B: Tensor
    sums_B3: Tensor
    x_gradient_BND: Tensor | None
    y_gradient_BMD: Tensor | None
    a_gradient_BN: Tensor | None
    b_gradient_BM: Tensor | None
