"""Attention through one function, whatever computes it, and rotary positions beside it.

Shapes: B batch, H heads, M queries, N keys, K width of a head, T steps, J = K/2 planes.

- sdpa: torch's scaled_dot_product_attention, on every device.
- xformers: its memory-efficient operator, on CUDA; it wants [B, M, H, K], and is imported at the
  first use.

"auto" takes xformers on CUDA in half precision, if a call of it has worked there, and else sdpa.
"""

import importlib
import importlib.util
from functools import cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

__all__ = ["ATTENTION_BACKENDS", "attention", "refuses", "rotary"]

ATTENTION_BACKENDS: tuple[str, ...] = ("auto", "sdpa", "xformers")
_HALF = (torch.float16, torch.bfloat16)
_ALIGNED = 8  # columns of a bias: its rows have to begin at multiples of 16 bytes


def attention(
    q_BHMK: Tensor,
    k_BHNK: Tensor,
    v_BHNK: Tensor,
    /,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Mean of the values, weighted by how well their keys fit each query.

    softmax_n(q_m · k_n / sqrt(K)) v_n,   over the keys that query m may see; 0 if there are none

    Args:
        q_BHMK: queries [B, H, M, K].
        k_BHNK: keys [B, H, N, K].
        v_BHNK: values [B, H, N, K].
        mask: bool, broadcastable to [B, H, M, N]; True where a query may see a key. None: all.
        causal: query m sees keys 1 to m only; M = N.
        backend: one of `ATTENTION_BACKENDS`.

    Returns:
        [B, H, M, K], of the queries' dtype.

    Raises:
        TypeError: the mask is not bool.
        ValueError: shapes that do not fit, or a backend that is unknown or cannot.

    Source: Vaswani et al., Attention Is All You Need, arXiv 1706.03762, Eq. (1).

    Example:
        >>> q, k, v = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4), torch.eye(2, 4)[None, None]
        >>> attention(q, k, v, causal=True)
        tensor([[[[1.0000, 0.0000, 0.0000, 0.0000],
                  [0.5000, 0.5000, 0.0000, 0.0000]]]])
    """
    _check(q_BHMK, k_BHNK, v_BHNK, mask, causal)
    chosen = _choose(backend, q_BHMK.dtype, q_BHMK.device, q_BHMK.shape[-1])
    compute = _by_xformers if chosen == "xformers" else _by_sdpa
    if mask is None:
        return compute(q_BHMK, k_BHNK, v_BHNK, None, causal)
    if causal:
        steps = torch.arange(q_BHMK.shape[2], device=mask.device)
        mask = mask & (steps[:, None] >= steps)
    # a softmax over nothing is NaN, its gradient too: such a query sees all keys, and is then zero
    mask = mask.reshape(*(1,) * (4 - mask.dim()), *mask.shape)
    sees_BHM1 = mask.any(-1, keepdim=True)
    out_BHMK = compute(q_BHMK, k_BHNK, v_BHNK, mask | ~sees_BHM1, False)
    return torch.where(sees_BHM1, out_BHMK, 0.0)


def refuses(dtype: torch.dtype, device: torch.device, /, *, width: int = 64) -> str:
    """Why xformers cannot compute attention here; empty if it can.

    Calls it once for every dtype, device and width, forward and backward.

    Args:
        dtype: of queries, keys and values.
        device: where they are.
        width: K of a head.

    Returns:
        A clause, or "".

    Example:
        >>> refuses(torch.float32, torch.device("cpu"))
        'it has no operator for cpu, only for CUDA'
    """
    if device.type != "cuda":
        return f"it has no operator for {device.type}, only for CUDA"
    if importlib.util.find_spec("xformers") is None:
        return "it is not installed; pip install 'genzoo-rwae[xformers]' does that"
    return _probe(dtype, device, width)


def rotary(x_BHTK: Tensor, /, *, base: float = 10_000.0) -> Tensor:
    """Turn queries or keys by their step, so that their products tell the distance of two steps.

    In plane j of a head, (x_2j, x_2j+1) at step t is turned by the angle t base^(-2j/K).

    Args:
        x_BHTK: [B, H, T, K], K even.
        base: of the angles; the slowest plane turns once in 2π base^(1−2/K) steps.

    Returns:
        [B, H, T, K], of the same dtype; turned in float32 or better.

    Raises:
        ValueError: K is odd.

    Source: Su et al., RoFormer, arXiv 2104.09864, Sec. 3.4.2.

    Example:
        >>> x = torch.tensor([1.0, 0.0]).expand(1, 1, 3, 2)
        >>> rotary(x)[0, 0, :, 0]  # the cosine of 0, 1 and 2
        tensor([ 1.0000,  0.5403, -0.4161])
    """
    steps, width = x_BHTK.shape[-2:]
    if width % 2:
        raise ValueError(f"heads are {width} wide; rotary positions turn pairs and want them even")
    dtype = torch.promote_types(x_BHTK.dtype, torch.float32)
    planes_J = torch.arange(0, width, 2, device=x_BHTK.device, dtype=dtype)
    steps_T = torch.arange(steps, device=x_BHTK.device, dtype=dtype)
    angle_TJ = steps_T[:, None] * base ** (-planes_J / width)
    cos_TJ, sin_TJ = angle_TJ.cos(), angle_TJ.sin()
    one, other = rearrange(x_BHTK.to(dtype), "... (j two) -> two ... j", two=2)
    turned = torch.stack([one * cos_TJ - other * sin_TJ, one * sin_TJ + other * cos_TJ], -1)
    return turned.flatten(-2).to(x_BHTK.dtype)


def _by_sdpa(
    q_BHMK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor, mask: Tensor | None, causal: bool
) -> Tensor:
    return scaled_dot_product_attention(q_BHMK, k_BHNK, v_BHNK, mask, is_causal=causal)


def _by_xformers(
    q_BHMK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor, mask: Tensor | None, causal: bool
) -> Tensor:
    operators = _operators()
    bias: Any = operators.LowerTriangularMask() if causal else None
    if mask is not None:
        bias = _bias(mask.expand(*q_BHMK.shape[:3], k_BHNK.shape[2]), q_BHMK.dtype)
    rows = (rearrange(x, "b h m k -> b m h k") for x in (q_BHMK, k_BHNK, v_BHNK))
    out_BMHK: Tensor = operators.memory_efficient_attention(*rows, attn_bias=bias)
    return rearrange(out_BMHK, "b m h k -> b h m k")


def _bias(mask_BHMN: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a query sees a key, else -inf; the slice of a tensor whose rows are aligned."""
    keys = mask_BHMN.shape[-1]
    wide = pad(mask_BHMN, (0, -keys % _ALIGNED))
    zero = torch.zeros((), dtype=dtype, device=mask_BHMN.device)
    return torch.where(wide, zero, -torch.inf)[..., :keys]


def _choose(backend: str, dtype: torch.dtype, device: torch.device, width: int) -> str:
    if backend not in ATTENTION_BACKENDS:
        raise ValueError(f"backend {backend!r}; wanted one of {', '.join(ATTENTION_BACKENDS)}")
    if backend == "auto":
        usable = (
            device.type == "cuda" and dtype in _HALF and not refuses(dtype, device, width=width)
        )
        return "xformers" if usable else "sdpa"
    if backend == "xformers" and (reason := refuses(dtype, device, width=width)):
        raise ValueError(
            f"backend 'xformers' cannot compute attention of {dtype} heads of width {width} on "
            f"{device}: {reason}; 'sdpa' always can, 'auto' takes xformers where it works"
        )
    return backend


@cache
def _operators() -> Any:
    return importlib.import_module("xformers.ops")


@cache
def _probe(dtype: torch.dtype, device: torch.device, width: int) -> str:
    try:
        with torch.enable_grad():
            x = torch.zeros(1, 1, 3, width, dtype=dtype, device=device, requires_grad=True)
            mask = torch.ones(3, 3, dtype=torch.bool, device=device)
            for case in ((None, False), (None, True), (mask, False)):
                torch.autograd.grad(_by_xformers(x, x, x, *case).sum(), x)
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        return f"a call of it failed ({type(error).__name__}: {first_line})"
    return ""


def _check(
    q_BHMK: Tensor, k_BHNK: Tensor, v_BHNK: Tensor, mask: Tensor | None, causal: bool
) -> None:
    q, k, v = (tuple(x.shape) for x in (q_BHMK, k_BHNK, v_BHNK))
    if len(q) != 4 or k != v or k[:2] != q[:2] or k[3:] != q[3:]:
        raise ValueError(
            f"queries {q}, keys {k} and values {v}; wanted [B, H, M, K] and twice [B, H, N, K]"
        )
    if causal and q != k:
        raise ValueError(f"causal attention of {q[2]} queries to {k[2]} keys; wanted as many")
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"the mask is {mask.dtype}; wanted bool, True where a query sees a key")
    sides = zip(reversed(mask.shape), (k[2], *reversed(q[:3])), strict=False)
    if mask.dim() > 4 or any(side not in (1, wanted) for side, wanted in sides):
        raise ValueError(
            f"the mask is {tuple(mask.shape)}; wanted one that can be broadcast to [B, H, M, N], "
            f"here {(*q[:3], k[2])}"
        )
