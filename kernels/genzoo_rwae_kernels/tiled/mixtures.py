"""Mixtures over scales in place, pass by pass over a tile; how far rows may lie apart for float32.

Shapes: P meetings of tiles, I rows of the one and J rows of the other.
"""

import math
from functools import lru_cache
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor

from genzoo_rwae_kernels.radial import Radial, ScaleMixture

__all__ = ["float32_reach", "value_and_slope"]

# Products in float32 lose about eps |z|^2 of a squared distance, so eps |z|^2 max|k'| of a value.
# Up to this part of k(0) the gradients stay within 5e-6 (measured); beyond, products are float64.
_ROUNDING = 1e-6

# Each squaring doubles the relative error.
_MOST_SQUARINGS = 4

_LOG2_E = 1.0 / math.log(2.0)


def float32_reach(kernel: Radial, width: int, /) -> float:
    """Largest |z|^2 of centred rows up to which products of float32 are exact enough.

    Args:
        kernel: any radial kernel.
        width: of the rows.

    Returns:
        A squared distance; 0 for a kernel of which nothing is known.

    Example:
        >>> from genzoo_rwae_kernels import Energy, Imq
        >>> round(float32_reach(Imq(scales=[1.0]), 16)), float32_reach(Energy(), 16)
        (268, 0.0)
    """
    # The slope of these mixtures is steepest at 0; of other kernels nothing is known.
    if not _is_known(kernel):
        return 0.0
    widths = _widths(kernel, width)
    steepest = sum(1.0 / c for c in widths)
    return _ROUNDING * len(widths) / (torch.finfo(torch.float32).eps * steepest)


def value_and_slope(
    kernel: Radial, d2_PIJ: Tensor, width: int, buffers_3P: Tensor, /
) -> tuple[Tensor, Tensor]:
    """The kernel and its derivative in the squared distance, in buffers where the kernel is known.

    Args:
        kernel: any radial kernel.
        d2_PIJ: squared distances.
        width: of the rows.
        buffers_3P: [3, at least as many numbers], of the dtype of the distances.

    Returns:
        Both [P, I, J].

    Example:
        >>> from genzoo_rwae_kernels import Rbf
        >>> kernel, buffers = Rbf(scales=[1.0]), torch.empty(3, 1)
        >>> value_and_slope(kernel, torch.full((1, 1, 1), 2.0), 1, buffers)  # 1/e, and -1/2 of it
        (tensor([[[0.3679]]]), tensor([[[-0.1839]]]))
    """
    if not _is_known(kernel):
        return kernel.value_and_slope(d2_PIJ, width)
    term, k, slope = (buffer[: d2_PIJ.numel()].view(d2_PIJ.shape) for buffer in buffers_3P)
    if kernel.profile == "imq":
        _imq(d2_PIJ, _widths(kernel, width), term, k, slope)
    else:
        _rbf(d2_PIJ, _ladders(_widths(kernel, width)), term, k, slope)
    return k, slope


@lru_cache(maxsize=64)
def _widths(kernel: ScaleMixture, width: int) -> tuple[float, ...]:
    return kernel.widths(width)


def _is_known(kernel: Radial) -> TypeGuard[ScaleMixture]:
    return isinstance(kernel, ScaleMixture) and kernel.profile in ("imq", "rbf")


def _imq(d2: Tensor, widths: tuple[float, ...], term: Tensor, k: Tensor, slope: Tensor) -> None:
    zero, one = d2.new_zeros(()), d2.new_ones(())
    first, *others = widths
    torch.add(one, d2, alpha=1.0 / first, out=k).reciprocal_()
    torch.addcmul(zero, k, k, value=-1.0 / first, out=slope)
    for c in others:
        torch.add(one, d2, alpha=1.0 / c, out=term).reciprocal_()
        slope.addcmul_(term, term, value=-1.0 / c)
        k.add_(term)


class _Ladder(NamedTuple):
    """A scale, and how many others are each of half the width of the one before: its squares."""

    width: float
    squarings: int


@lru_cache(maxsize=64)
def _ladders(widths: tuple[float, ...]) -> tuple[_Ladder, ...]:
    left = sorted(widths, reverse=True)
    found = []
    while left:
        width = widest = left.pop(0)
        squarings = 0
        while squarings < _MOST_SQUARINGS:
            at = next((i for i, c in enumerate(left) if math.isclose(2 * c, width)), None)
            if at is None:
                break
            width = left.pop(at)
            squarings += 1
        found.append(_Ladder(widest, squarings))
    return tuple(found)


def _rbf(d2: Tensor, ladders: tuple[_Ladder, ...], term: Tensor, k: Tensor, slope: Tensor) -> None:
    # Powers of 2 take a third of the time of those of e.
    for number, (width, squarings) in enumerate(ladders):
        rate = -1.0 / width
        height = k if number == 0 else term
        torch.mul(d2, rate * _LOG2_E, out=height).exp2_()
        if number == 0:
            torch.mul(height, rate, out=slope)
        else:
            k.add_(height)
            slope.add_(height, alpha=rate)
        for _ in range(squarings):
            rate *= 2.0
            height = torch.mul(height, height, out=term)
            k.add_(height)
            slope.add_(height, alpha=rate)
