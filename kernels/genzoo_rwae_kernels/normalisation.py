"""Normalisation of maps by group and by batch, with the leaky ReLU after it.

Shapes: N maps, C channels, H W a map, P = H·W places, G groups, n some of the maps, S what is
normalised: N·G groups, or C channels of the whole batch.

On a CPU, in bfloat16 or float32, maps that are channels-last go through compiled code where there
is a compiler (`genzoo_rwae_kernels.fused`), in two passes there and two back: in bfloat16 0.4 ms in
place of 1.6 for 64 maps of 16 x 32 x 32 by batch, there and back, and 0.4 in place of 2.6 for 128
maps of 32 x 16 x 16 in 8 groups; in float32 0.3 in place of 1.6, and 0.4 in place of 1.8 (one core
of Zen 5, torch 2.13).

Without one, in bfloat16: in a small map a group is C / G numbers at every place. Where they are too
few for a vector, torch's own goes through them one by one. Here a few maps at a time are widened to
float32, and every operation runs over all channels, and no large buffer is touched: 13 ms in place
of 34 for 256 maps of 48 x 16 x 16 in 8 groups, there and back (one core of Zen 4, torch 2.13).
"""

from collections.abc import Iterator
from typing import Any

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor
from torch.nn.functional import batch_norm as torch_batch_norm
from torch.nn.functional import group_norm as torch_group_norm
from torch.nn.functional import leaky_relu

from genzoo_rwae_kernels.fused.normalised import NORMALISED, How

__all__ = ["batch_norm", "group_norm"]

_COMPILED = (torch.bfloat16, torch.float32)
_SMALL = 1024  # places of a map from which on torch's own works with whole vectors of channels
_FEW = 16  # channels of a group from which on torch's own has whole vectors of bfloat16
_AT_ONCE = 2**18  # values: 1 MB in float32, which stays in a core's cache


def group_norm(
    x_NCHW: Tensor,
    groups: int,
    weight_C: Tensor | None,
    bias_C: Tensor | None,
    /,
    *,
    eps: float = 1e-5,
    slope: float = 1.0,
) -> Tensor:
    """(x − mean) / √(variance + ε) · weight + bias, mean and variance of a group in its map.

    The result has the dtype and the layout of x. It is torch's own but for bfloat16 and float32
    maps that are channels-last and on a CPU, for which it is computed in float32: where there is a
    C++ compiler, and without one for small bfloat16 maps with few channels in a group.

    Args:
        x_NCHW: [N, C, H, W].
        groups: G, which divides C.
        weight_C: [C]; None: 1.
        bias_C: [C]; None: 0.
        eps: ε, on the variance.
        slope: of a leaky ReLU after it, below 0; 1: none.

    Returns:
        [N, C, H, W].

    Source: Wu and He, Group Normalization, arXiv 1803.08494, Eq. (1), (2), (6).

    Example:
        >>> x = torch.randn(2, 6, 4, 4).bfloat16().contiguous(memory_format=torch.channels_last)
        >>> y = group_norm(x, 3, torch.ones(6), torch.zeros(6))
        >>> torch.allclose(y.float(), torch.nn.functional.group_norm(x.float(), 3), atol=0.02)
        True
    """
    divides = groups > 0 and x_NCHW.shape[1] % groups == 0
    if divides and _is_compiled(x_NCHW, weight_C, bias_C):
        return _normalised(x_NCHW, weight_C, bias_C, How(groups, eps, slope))[0]
    plain = weight_C is not None and bias_C is not None and _is_plain(x_NCHW, weight_C, bias_C)
    if not divides or not plain or not _is_worth_it(x_NCHW, groups):
        return _rectified(torch_group_norm(x_NCHW, groups, weight_C, bias_C, eps), slope)
    y_NCHW: Tensor = _GroupNorm.apply(x_NCHW, groups, weight_C, bias_C, eps)  # type: ignore[no-untyped-call]
    return _rectified(y_NCHW, slope)


def batch_norm(
    x_NCHW: Tensor,
    running_mean_C: Tensor | None,
    running_variance_C: Tensor | None,
    weight_C: Tensor | None,
    bias_C: Tensor | None,
    /,
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    slope: float = 1.0,
) -> Tensor:
    """(x − mean) / √(variance + ε) · weight + bias, mean and variance of a channel in the batch.

    As in training. The result has the dtype and the layout of x. It is torch's own but for bfloat16
    and float32 maps that are channels-last and on a CPU with a C++ compiler, for which sums are of
    float32 and float64.

    Args:
        x_NCHW: [N, C, H, W].
        running_mean_C: [C], moved in place towards the batch's mean; None: not kept.
        running_variance_C: [C], likewise, towards the variance with N·H·W − 1 below.
        weight_C: [C]; None: 1.
        bias_C: [C]; None: 0.
        momentum: share of the batch in the running statistics.
        eps: ε, on the variance.
        slope: of a leaky ReLU after it, below 0; 1: none.

    Returns:
        [N, C, H, W].

    Raises:
        ValueError: there is only one number in a channel.

    Source: Ioffe and Szegedy, Batch Normalization, arXiv 1502.03167, Alg. 1.

    Example:
        >>> x = torch.randn(8, 3, 4, 4)
        >>> y = batch_norm(x, None, None, torch.ones(3), torch.zeros(3))
        >>> torch.allclose(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-6)
        True
    """
    count = x_NCHW.numel() // max(1, x_NCHW.shape[1])
    if count < 2 or not _is_compiled(x_NCHW, weight_C, bias_C):
        running = running_mean_C, running_variance_C
        y_NCHW = torch_batch_norm(x_NCHW, *running, weight_C, bias_C, True, momentum, eps)
        return _rectified(y_NCHW, slope)
    y_NCHW, mean_C, variance_C = _normalised(x_NCHW, weight_C, bias_C, How(0, eps, slope))
    if running_mean_C is not None:
        running_mean_C.lerp_(mean_C, momentum)
    if running_variance_C is not None:
        running_variance_C.lerp_(variance_C * (count / (count - 1)), momentum)
    return y_NCHW


def _is_compiled(x_NCHW: Tensor, weight_C: Tensor | None, bias_C: Tensor | None) -> bool:
    """Whether compiled code does it; torch's own says what is wrong with anything else."""
    if weight_C is None or bias_C is None or not _is_plain(x_NCHW, weight_C, bias_C):
        return False
    if x_NCHW.dim() != 4 or x_NCHW.dtype not in _COMPILED or x_NCHW.numel() == 0:
        return False
    per_channel = (weight_C, bias_C)
    if not all(t.dtype == torch.float32 and t.is_contiguous() for t in per_channel):
        return False
    if not all(t.shape == x_NCHW.shape[1:2] for t in per_channel):
        return False
    return x_NCHW.is_contiguous(memory_format=torch.channels_last) and NORMALISED.works()


def _is_plain(*tensors: Tensor) -> bool:
    """Whether they are numbers in main memory, and nobody traces what is done to them."""
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    if torch._C._len_torch_dispatch_stack() > 0:
        return False
    kinds = (Tensor, torch.nn.Parameter)
    return all(
        type(t) in kinds and t.is_cpu and not torch._C._functorch.is_functorch_wrapped_tensor(t)
        for t in tensors
    )


def _normalised(x_NCHW: Tensor, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
    made: tuple[Tensor, Tensor, Tensor] = _Normalised.apply(x_NCHW, *given)  # type: ignore[no-untyped-call]
    return made


def _rectified(y_NCHW: Tensor, slope: float) -> Tensor:
    """In place where the sign is kept, for nothing else needs what a normalisation has made."""
    return y_NCHW if slope == 1.0 else leaky_relu(y_NCHW, slope, inplace=slope >= 0.0)


def _is_worth_it(x_NCHW: Tensor, groups: int) -> bool:
    if x_NCHW.dim() != 4 or not x_NCHW.is_cpu or x_NCHW.dtype != torch.bfloat16:
        return False
    one_format = x_NCHW.is_contiguous()  # as maps of one pixel are, in both
    last = not one_format and x_NCHW.is_contiguous(memory_format=torch.channels_last)
    small = x_NCHW.shape[2:].numel() < _SMALL
    return last and small and x_NCHW.shape[1] // groups < _FEW


class _Normalised(torch.autograd.Function):
    """Maps, and mean and variance [S] of what came in."""

    @staticmethod
    def forward(
        ctx: Any, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, how: How
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.code = NORMALISED.load()
        y_NCHW, mean_S, variance_S = ctx.code(x_NCHW, weight_C, bias_C, how)
        ctx.save_for_backward(x_NCHW, weight_C, bias_C, mean_S, variance_S)
        ctx.how = how
        ctx.mark_non_differentiable(mean_S, variance_S)
        return y_NCHW, mean_S, variance_S

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_NCHW, weight_C, bias_C, mean_S, variance_S = ctx.saved_tensors
        g_NCHW, how = gradients[0], ctx.how
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted: torch's own has one

            def own(x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor) -> Tensor:
                if how.groups:
                    y_NCHW = torch_group_norm(x_NCHW, how.groups, weight_C, bias_C, how.eps)
                else:
                    y_NCHW = torch_batch_norm(
                        x_NCHW, None, None, weight_C, bias_C, True, eps=how.eps
                    )
                return _rectified(y_NCHW, how.slope)

            return *_torchs(own, g_NCHW, x_NCHW, weight_C, bias_C), None
        g_NCHW = g_NCHW.to(x_NCHW.dtype).contiguous(memory_format=torch.channels_last)
        given = (g_NCHW, x_NCHW, weight_C, bias_C, mean_S, variance_S, how)
        return *ctx.code.gradients(*given), None


def _torchs(norm: Any, g_NCHW: Tensor, *given: Tensor) -> list[Tensor | None]:
    """Gradients of what was given that have gradients themselves.

    With respect to aliases: what was given may depend on each other, and the engine that asks goes
    those ways itself.
    """
    aliases = [t.view_as(t) for t in given]
    of = [t for t in aliases if t.requires_grad]
    found = iter(torch.autograd.grad(norm(*aliases), of, g_NCHW, create_graph=True))
    return [next(found) if t.requires_grad else None for t in aliases]


class _GroupNorm(torch.autograd.Function):
    """With m the mean, r = 1/√(variance + ε), g the gradient and γ the weight,

        ∂x = r (γ g − a − (x − m) r b),   a = mean γ g,   b = mean γ g (x − m) r,

    means over a group in its map. All of it follows from Σ g and Σ g (x − m) over places.
    """

    @staticmethod
    def forward(
        ctx: Any, x_NCHW: Tensor, groups: int, weight_C: Tensor, bias_C: Tensor, eps: float
    ) -> Tensor:
        channels = x_NCHW.shape[1] // groups
        y_NCHW = torch.empty_like(x_NCHW)
        mean_NC, rstd_NC = torch.empty(2, *x_NCHW.shape[:2], dtype=torch.float32).unbind()
        for rows, x_nPC, y_nPC in _parts(x_NCHW, y_NCHW):
            x_nPC = x_nPC.float()
            mean_NC[rows] = _over_groups(x_nPC.mean(1), channels)
            x_nPC.sub_(mean_NC[rows, None])
            variance_nC = _over_groups(x_nPC.square().mean(1), channels)
            rstd_NC[rows] = (variance_nC + eps).rsqrt()
            scale_n1C = (rstd_NC[rows] * weight_C)[:, None]
            y_nPC.copy_(torch.addcmul(bias_C, x_nPC, scale_n1C, out=x_nPC))
        ctx.save_for_backward(x_NCHW, weight_C, bias_C, mean_NC, rstd_NC)
        ctx.groups, ctx.eps = groups, eps
        return y_NCHW

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_NCHW, weight_C, bias_C, mean_NC, rstd_NC = ctx.saved_tensors
        (g_NCHW,) = gradients
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted: torch's own has one

            def own(x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor) -> Tensor:
                return torch_group_norm(x_NCHW, ctx.groups, weight_C, bias_C, ctx.eps)

            x, weight, bias = _torchs(own, g_NCHW, x_NCHW, weight_C, bias_C)
            return x, None, weight, bias, None
        channels = x_NCHW.shape[1] // ctx.groups
        g_NCHW = g_NCHW.contiguous(memory_format=torch.channels_last)
        d_x_NCHW = torch.empty_like(x_NCHW)
        d_weight_C, d_bias_C = torch.zeros(2, x_NCHW.shape[1], dtype=torch.float32).unbind()
        for rows, x_nPC, g_nPC, d_x_nPC in _parts(x_NCHW, g_NCHW, d_x_NCHW):
            mean_nC, rstd_nC = mean_NC[rows], rstd_NC[rows]
            x_nPC, g_nPC = x_nPC.float(), g_nPC.float()
            g_nC = g_nPC.sum(1)
            gx_nC = ((g_nPC * x_nPC).sum(1) - mean_nC * g_nC) * rstd_nC
            d_weight_C += gx_nC.sum(0)
            d_bias_C += g_nC.sum(0)
            a_nC = _over_groups(g_nC * weight_C, channels) / x_nPC.shape[1]
            b_nC = _over_groups(gx_nC * weight_C, channels) / x_nPC.shape[1]
            slope_nC = -b_nC * rstd_nC.square()
            level_nC = -a_nC * rstd_nC - slope_nC * mean_nC
            torch.addcmul(level_nC[:, None], x_nPC, slope_nC[:, None], out=x_nPC)
            d_x_nPC.copy_(x_nPC.addcmul_(g_nPC, (rstd_nC * weight_C)[:, None]))
        return d_x_NCHW, None, d_weight_C.to(weight_C.dtype), d_bias_C.to(bias_C.dtype), None


def _over_groups(values_nC: Tensor, channels: int) -> Tensor:
    """The mean over a group of channels, at each of them."""
    mean_nG = reduce(values_nC, "n (g c) -> n g", "mean", c=channels)
    return repeat(mean_nG, "n g -> n (g c)", c=channels)


def _parts(*maps_NCHW: Tensor) -> Iterator[tuple[Any, ...]]:
    """A few maps at a time: which, and each of the tensors as a view [n, P, C]."""
    views_NPC = [rearrange(x_NCHW, "n c h w -> n (h w) c") for x_NCHW in maps_NCHW]
    count = max(1, _AT_ONCE // max(1, views_NPC[0][:1].numel()))
    for start in range(0, len(views_NPC[0]), count):
        rows = slice(start, start + count)
        yield (rows, *(view_NPC[rows] for view_NPC in views_NPC))
