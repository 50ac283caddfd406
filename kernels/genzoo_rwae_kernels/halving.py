"""Convolutions that halve or double a map, faster on small maps and between few channels.

Shapes: N maps, C channels of the large map, S of the small one, H W the large map, h w the small
one, K = 4 the kernel's side, P = N·h·w places.

Both layers have kernels of side 4, a stride of 2 and a border of 1, and one's weight gradient is
the other's. On a CPU in bfloat16, what torch does for it is slower than a product of matrices
where the small map has 4x4 places or fewer and there are many channels; so there it is one: 50 ms
in place of 97 to 110 for 128 maps and 256 to 512 channels (one core of Zen 4, torch 2.13).

What doubles a large map to a few channels, as the last layer of a decoder does, draws four pixels
at every place instead: a convolution of side 3 to four times the channels, with the same weights.
4 ms in place of 7 for 64 maps of 16 x 32 x 32 to 3 channels, there and back, and 1.3 in place of
3.2 there alone (one core of Zen 5, torch 2.13).
"""

from itertools import product
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

__all__ = ["doubling_convolution", "halving_convolution"]

_SIDE = 4
_FEW = 16  # places of a small map up to which the product is the faster one,
_WIDE = 2**19  # and weights from which on (measured at 2^17: as fast, at 2^21: twice as fast)
_NARROW = 2**8  # pairs of channels up to which four pixels at a place are drawn faster,
_MANY = 2**8  # and places of a small map from which on (measured at 2^6: as fast or slower)


def halving_convolution(x_NCHW: Tensor, weight: Tensor, bias_S: Tensor | None = None, /) -> Tensor:
    """A convolution with a kernel of side 4, a stride of 2 and a border of 1.

    Args:
        x_NCHW: [N, C, H, W].
        weight: [S, C, 4, 4].
        bias_S: [S].

    Returns:
        [N, S, h, w], h = ⌊H / 2⌋ and w = ⌊W / 2⌋.

    Example:
        >>> halving_convolution(torch.ones(1, 1, 8, 6), torch.ones(2, 1, 4, 4)).shape
        torch.Size([1, 2, 4, 3])
    """
    places = (x_NCHW.shape[2] // 2) * (x_NCHW.shape[3] // 2)
    if not _is_worth_it(x_NCHW, weight, places):
        return conv2d(x_NCHW, weight, bias_S, 2, 1)
    y_NShw: Tensor = _Halving.apply(*_low(x_NCHW, weight, bias_S))  # type: ignore[no-untyped-call]
    return y_NShw


def doubling_convolution(
    x_NShw: Tensor,
    weight: Tensor,
    bias_C: Tensor | None = None,
    /,
    *,
    odd: tuple[int, int] = (0, 0),
) -> Tensor:
    """A transposed convolution with a kernel of side 4, a stride of 2 and a border of 1.

    Args:
        x_NShw: [N, S, h, w].
        weight: [S, C, 4, 4].
        bias_C: [C].
        odd: 1 for a side that is to have 2 h + 1 pixels, not 2 h.

    Returns:
        [N, C, 2 h, 2 w], or one pixel more.

    Example:
        >>> doubling_convolution(torch.ones(1, 2, 4, 3), torch.ones(2, 1, 4, 4), odd=(0, 1)).shape
        torch.Size([1, 1, 8, 7])
    """
    if odd == (0, 0) and _is_narrow(x_NShw, weight):
        return _by_places(x_NShw, weight, bias_C)
    if not _is_worth_it(x_NShw, weight, x_NShw.shape[2:].numel()):
        return conv_transpose2d(x_NShw, weight, bias_C, 2, 1, odd)
    x_NCHW: Tensor = _Doubling.apply(*_low(x_NShw, weight, bias_C), odd)  # type: ignore[no-untyped-call]
    return x_NCHW


def _is_worth_it(x: Tensor, weight: Tensor, places: int) -> bool:
    if places > _FEW or weight.numel() < _WIDE or not _runs_low(x):
        return False
    return weight.requires_grad and torch.is_grad_enabled()


def _is_narrow(x_NShw: Tensor, weight: Tensor) -> bool:
    places, pairs = x_NShw.shape[2:].numel(), weight.shape[:2].numel()
    if places < _MANY or pairs > _NARROW or not _runs_low(x_NShw):
        return False
    return x_NShw.is_contiguous(memory_format=torch.channels_last)


def _runs_low(x: Tensor) -> bool:
    """Whether these are maps that a CPU convolves in bfloat16."""
    if not x.is_cpu or x.dim() != 4:
        return False
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return dtype == torch.bfloat16


def _by_places(x_NShw: Tensor, weight: Tensor, bias_C: Tensor | None) -> Tensor:
    """Pixel (2 i + a, 2 j + b) is output (a, b) of a convolution at place (i, j)."""
    small = rearrange(weight, "s c y x -> s c (y x)") @ _SPREAD.to(weight.dtype)
    small = rearrange(small, "s c (a b v u) -> (a b c) s v u", a=2, b=2, v=3)
    bias = None if bias_C is None else bias_C.repeat(4)
    drawn = conv2d(x_NShw, small, bias, 1, 1)
    y_NHWC = rearrange(drawn, "n (a b c) h w -> n (h a) (w b) c", a=2, b=2)
    return rearrange(y_NHWC, "n h w c -> n c h w")


def _low(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """In bfloat16, as autocast would have them: it does not see what an autograd function is."""
    return tuple(None if tensor is None else tensor.bfloat16() for tensor in tensors)


def _weight_gradient(small_NShw: Tensor, large_NCHW: Tensor) -> Tensor:
    """Σ over maps and places of small times the 4x4 of large that it meets: [S, C, 4, 4]."""
    height, width = small_NShw.shape[2:]
    framed = pad(rearrange(large_NCHW, "n c h w -> n h w c"), (0, 0, 1, 1, 1, 1))
    maps, rows, columns, channels = framed.stride()
    windows = framed.as_strided(
        (len(framed), height, width, _SIDE, _SIDE, framed.shape[-1]),
        (maps, 2 * rows, 2 * columns, rows, columns, channels),
    )
    met_PK = rearrange(windows, "n h w y x c -> (n h w) (y x c)")
    gradient = rearrange(small_NShw, "n s h w -> s (n h w)") @ met_PK
    return rearrange(gradient, "s (y x c) -> s c y x", y=_SIDE, x=_SIDE)


def _spread() -> Tensor:
    """[4 · 4, 2 · 2 · 3 · 3]: the weight y x that pixel a b has at the neighbour v u of its place.

    On each axis y = a + 3 − 2 v, if there is such a weight. Every one is met once.
    """
    met_Yav = torch.zeros(_SIDE, 2, 3, device="cpu")
    for a, v in product(range(2), range(3)):
        if 0 <= (y := a + 3 - 2 * v) < _SIDE:
            met_Yav[y, a, v] = 1.0
    return rearrange(
        torch.einsum("yav,xbu->yxabvu", met_Yav, met_Yav), "y x a b v u -> (y x) (a b v u)"
    )


_SPREAD = _spread()


class _Halving(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, weight: Tensor, bias_S: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_NCHW, weight, bias_S)
        with torch.autocast("cpu", enabled=False):
            return conv2d(x_NCHW, weight, bias_S, 2, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_NCHW, weight, bias_S = ctx.saved_tensors
        (g_NShw,) = gradients
        return _gradients(ctx, g_NShw, x_NCHW, weight, bias_S, (False, (0, 0)))


class _Doubling(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_NShw: Tensor, weight: Tensor, bias_C: Tensor | None, odd: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x_NShw, weight, bias_C)
        ctx.odd = odd
        with torch.autocast("cpu", enabled=False):
            return conv_transpose2d(x_NShw, weight, bias_C, 2, 1, odd)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_NShw, weight, bias_C = ctx.saved_tensors
        (g_NCHW,) = gradients
        return *_gradients(ctx, g_NCHW, x_NShw, weight, bias_C, (True, ctx.odd)), None


def _gradients(
    ctx: Any,
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    how: tuple[bool, tuple[int, int]],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of input, weight and bias; torch's own but for the weight's."""
    transposed, odd = how
    wanted = list(ctx.needs_input_grad[:3])
    # a gradient of the gradient, if it is wanted, is torch's own as well
    own = wanted[1] and not torch.is_grad_enabled()
    d_x, d_weight, d_bias = torch.ops.aten.convolution_backward(
        g, x, weight, None if bias is None else bias.shape, [2, 2], [1, 1], [1, 1], transposed,
        odd, 1, [wanted[0], wanted[1] and not own, wanted[2]],
    )  # fmt: skip
    if own:
        d_weight = _weight_gradient(x, g) if transposed else _weight_gradient(g, x)
    return d_x, d_weight, d_bias
