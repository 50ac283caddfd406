"""Normalisation of channels-last maps and the leaky ReLU after it, in compiled code.

Shapes: N maps, C channels, H W a map, G groups, S what is normalised: N · G groups, or C channels
of the whole batch.
"""

from __future__ import annotations

import ctypes
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor

from genzoo_rwae_kernels.fused.loading import Compiled, at, numbered

__all__ = ["NORMALISED", "Gradients", "How", "Made", "Normalised"]

_GRAIN = 2**19  # numbers that are worth a thread of their own: about 0.1 ms


class How(NamedTuple):
    """What is asked for.

    Attributes:
        groups: G; 0: over the batch.
        eps: on the variance.
        slope: of the leaky ReLU below 0; 1: none.
    """

    groups: int
    eps: float
    slope: float


class Made(NamedTuple):
    """Maps [N, C, H, W] in the dtype of x; mean and variance [S] of what came in, float32."""

    y_NCHW: Tensor
    mean_S: Tensor
    variance_S: Tensor


class Gradients(NamedTuple):
    """Of maps, in their dtype, of weight and of bias, float32."""

    x_NCHW: Tensor
    weight_C: Tensor
    bias_C: Tensor


class Normalised:
    """The functions of a compiled library.

    Maps are bfloat16 or float32, all of one dtype, channels-last and on the CPU, weights and biases
    float32. Nothing carries a graph. The result does not depend on the number of threads.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        """The functions of a library.

        Raises:
            AttributeError: it has none.
        """
        self._forward = library.genzoo_normalised
        self._backward = library.genzoo_normalised_gradients
        whole, real, where = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
        sizes, how = (ctypes.c_int, *(whole,) * 4), (real, real, ctypes.c_int)
        for function, given, made in ((self._forward, 3, 3), (self._backward, 4, 5)):
            function.restype = ctypes.c_int
            function.argtypes = [*sizes, *(where,) * given, *how, *(where,) * made]

    def __call__(
        self, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, how: How, threads: int | None = None
    ) -> Made:
        """The maps, and the statistics of what came in.

        Raises:
            MemoryError: there is none for the sums.
        """
        N, C = x_NCHW.shape[:2]
        y_NCHW = torch.empty_like(x_NCHW)
        statistics = torch.empty(2, N * how.groups or C, dtype=torch.float32, device="cpu")
        code = self._forward(
            *_sizes(x_NCHW, how),
            *(at(x_NCHW), at(weight_C), at(bias_C)),
            *(how.eps, how.slope, threads or _threads(x_NCHW)),
            *(at(statistics[0]), at(statistics[1]), at(y_NCHW)),
        )
        _check(code, x_NCHW)
        return Made(y_NCHW, *statistics.unbind())

    def gradients(
        self,
        g_NCHW: Tensor,
        x_NCHW: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        mean_S: Tensor,
        variance_S: Tensor,
        how: How,
        threads: int | None = None,
    ) -> Gradients:
        """Of a value whose gradient with respect to the maps that were made is g.

        Raises:
            MemoryError: there is none for the sums.
        """
        d_x_NCHW = torch.empty_like(x_NCHW)
        d_weight_C, d_bias_C = (
            torch.empty(x_NCHW.shape[1], dtype=torch.float32, device="cpu") for _ in range(2)
        )
        code = self._backward(
            *_sizes(x_NCHW, how),
            *(at(x_NCHW), at(g_NCHW), at(weight_C), at(bias_C)),
            *(how.eps, how.slope, threads or _threads(x_NCHW)),
            *(at(mean_S), at(variance_S), at(d_x_NCHW), at(d_weight_C), at(d_bias_C)),
        )
        _check(code, x_NCHW)
        return Gradients(d_x_NCHW, d_weight_C, d_bias_C)


def _sizes(x_NCHW: Tensor, how: How) -> tuple[int, int, int, int, int]:
    N, C, H, W = x_NCHW.shape
    return x_NCHW.dtype == torch.float32, N, H * W, C, how.groups


def _threads(x_NCHW: Tensor) -> int:
    return max(1, min(torch.get_num_threads(), x_NCHW.numel() // _GRAIN))


def _check(code: int, x_NCHW: Tensor) -> None:
    if code != 0:
        raise MemoryError(f"fused: no memory for the sums of maps {list(x_NCHW.shape)}")


def _wrong(normalised: Normalised) -> str:
    """What the library gets wrong on small maps that leave a rest beside whole vectors, and on some
    that are several parts; empty if nothing.
    """
    weight_C, bias_C = 1.0 + 0.1 * numbered(6), 0.3 * numbered(6).sin()
    cases = product((0, 3), (torch.bfloat16, torch.float32), ((3, 7, 5), (2, 79, 73)))
    for groups, dtype, (N, H, W) in cases:
        places = numbered(N * 6 * H * W).reshape(N, H, W, 6)
        x_NCHW, g_NCHW = (
            rearrange(numbers.to(dtype), "n h w c -> n c h w")
            for numbers in ((0.7 * places).sin() + 0.5, places.cos())
        )
        how = How(groups, 1e-3, 0.2)
        made = normalised(x_NCHW, weight_C, bias_C, how, threads=2)
        found = normalised.gradients(
            g_NCHW, x_NCHW, weight_C, bias_C, made.mean_S, made.variance_S, how, threads=2
        )
        leaves = [part.double().requires_grad_() for part in (x_NCHW, weight_C, bias_C)]
        wanted = _formula(how, *leaves)
        gradients = torch.autograd.grad(wanted.y_NCHW, leaves, g_NCHW.double())
        names = ("maps", "mean", "variance", "gradient of x", "of weight", "of bias")
        for name, got, right in zip(names, (*made, *found), (*wanted, *gradients), strict=True):
            error = float((got - right.detach()).norm() / right.detach().norm())
            if not error < (2.0**-8 if got.dtype == torch.bfloat16 else 1e-4):
                return f"{name} of {groups} groups in {dtype}: off by {error:.1e}"
    return ""


def _formula(how: How, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor) -> Made:
    maps, channels = x_NCHW.shape[:2]
    if how.groups:
        apart, back = "n (g c) h w -> (n g) (c h w)", "(n g) -> n (g c) 1 1"
        sizes = {"n": maps, "g": how.groups, "c": channels // how.groups}
    else:
        apart, back, sizes = "n c h w -> c (n h w)", "c -> n c 1 1", {"n": maps, "c": channels}
    values = rearrange(x_NCHW, apart, **sizes)
    mean_S, variance_S = values.mean(-1), values.var(-1, correction=0)
    mean, variance = (repeat(of_S, back, **sizes) for of_S in (mean_S, variance_S))
    z_NCHW = (x_NCHW - mean) / (variance + how.eps).sqrt()
    z_NCHW = z_NCHW * weight_C[:, None, None] + bias_C[:, None, None]
    y_NCHW = torch.where(z_NCHW > 0, z_NCHW, how.slope * z_NCHW)
    return Made(y_NCHW, mean_S, variance_S)


NORMALISED = Compiled(
    Path(__file__).with_name("normalised.cpp"), "normalisation of maps", Normalised, _wrong
)
