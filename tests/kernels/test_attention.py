"""Attention and rotary positions against loops in float64; which backend is taken, and refused.

Shapes: B batch, H heads, M queries, N keys, K width of a head, T steps.
"""

import cmath
import importlib
import math
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch
from genzoo_rwae_kernels import attention, rotary
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

room = importlib.import_module("genzoo_rwae_kernels.attention")
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_loops(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, causal: bool) -> Tensor:
    """One query at a time, over the keys that it may see."""
    mask = mask.expand(*q.shape[:3], k.shape[2])
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for m in range(q.shape[2]):
                seen = [n for n in range(k.shape[2]) if mask[b, h, m, n] and (n <= m or not causal)]
                fits = [
                    math.exp(float((q[b, h, m] @ k[b, h, n]).detach()) / q.shape[3] ** 0.5)
                    for n in seen
                ]
                for n, fit in zip(seen, fits, strict=True):
                    out[b, h, m] += fit / sum(fits) * v[b, h, n]
    return out


@st.composite
def problems(draw_of: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor | None, bool]:
    batch, heads, queries = (draw_of(st.integers(1, most)) for most in (2, 2, 4))
    causal = draw_of(st.booleans())
    keys = queries if causal else draw_of(st.integers(1, 5))
    width, seed = draw_of(st.integers(1, 4)), draw_of(st.integers(0, 99))
    q = draw(seed, batch, heads, queries, width)
    k, v = (draw(seed + i, batch, heads, keys, width) for i in (100, 200))
    shape = draw_of(
        st.sampled_from(
            [None, (keys,), (batch, 1, 1, keys), (queries, keys), (batch, heads, queries, keys)]
        )
    )
    mask = None if shape is None else draw(seed + 300, *shape) > 0  # many rows are empty
    return q, k, v, mask, causal


@settings(max_examples=60, deadline=None)
@given(problems())
def test_attention_is_the_weighted_mean_of_the_values_that_a_query_may_see(problem) -> None:
    q, k, v, mask, causal = problem
    every = torch.ones((), dtype=torch.bool)
    wanted = by_loops(q, k, v, every if mask is None else mask, causal)
    torch.testing.assert_close(attention(q, k, v, mask=mask, causal=causal), wanted)


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_finite_differences(masked: bool) -> None:
    parts = [draw(seed, 1, 2, 3, 2).requires_grad_() for seed in range(3)]
    mask = torch.tensor([True, False, True]) if masked else None
    assert torch.autograd.gradcheck(lambda *x: attention(*x, mask=mask, causal=True), parts)


def test_attention_keeps_the_dtype() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x = draw(0, 1, 1, 3, 4, dtype=torch.float32).to(dtype)
        mask = torch.tensor([True, False, True])
        assert attention(x, x, x).dtype == attention(x, x, x, mask=mask).dtype == dtype


def test_shapes_that_do_not_fit_are_refused() -> None:
    q, k = draw(0, 2, 1, 3, 4), draw(1, 2, 1, 5, 4)
    for bad in ((q[0], k[0], k[0]), (q, k, k[:, :, :4]), (q, k[:1], k[:1]), (q, k[..., :3], k)):
        with pytest.raises(ValueError, match=r"wanted \[B, H, M, K\] and twice \[B, H, N, K\]"):
            attention(*bad)
    with pytest.raises(ValueError, match="causal attention of 3 queries to 5 keys"):
        attention(q, k, k, causal=True)
    for shape in ((4,), (3, 3), (3, 1, 1, 5), (1, 2, 1, 3, 5)):
        with pytest.raises(ValueError, match=r"the mask is .*broadcast to .* \(2, 1, 3, 5\)"):
            attention(q, k, k, mask=torch.ones(shape, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"float64; wanted bool"):
        attention(q, k, k, mask=torch.ones(3, 5, dtype=torch.float64))


# -- backends -------------------------------------------------------------------------------------


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    x = draw(0, 1, 1, 2, 2)
    with pytest.raises(ValueError, match="'flash'; wanted one of auto, sdpa, xformers"):
        attention(x, x, x, backend="flash")


def test_xformers_on_the_cpu_is_refused_with_what_can() -> None:
    x = draw(0, 1, 1, 2, 8)
    with pytest.raises(ValueError, match=r"no operator for cpu.*'sdpa' always can, 'auto' takes"):
        attention(x, x, x, backend="xformers")


def test_xformers_that_is_missing_is_refused_with_its_extra(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'genzoo-rwae[xformers]'" in room.refuses(torch.float16, CUDA)


@pytest.fixture
def stand_in(monkeypatch):
    """A module that has xformers' names and layout, [B, M, H, K], and computes the formula."""
    calls = []

    class LowerTriangularMask:
        pass

    def memory_efficient_attention(query, key, value, attn_bias=None):
        calls.append(attn_bias)
        q, k, v = (x.transpose(1, 2) for x in (query, key, value))
        fits = q @ k.mT / q.shape[-1] ** 0.5
        if isinstance(attn_bias, LowerTriangularMask):
            attn_bias = torch.full(fits.shape[-2:], -math.inf, dtype=q.dtype).triu(1)
        elif attn_bias is not None:
            assert attn_bias.shape == fits.shape
            assert attn_bias.dtype == q.dtype
            assert attn_bias.stride(-2) % 8 == 0  # as its kernels want
            assert set(attn_bias.unique().tolist()) <= {0.0, -math.inf}
        fits = fits if attn_bias is None else fits + attn_bias
        return (fits.softmax(-1) @ v).transpose(1, 2)  # NaN where a query sees nothing

    package, operators = ModuleType("xformers"), ModuleType("xformers.ops")
    package.__spec__ = ModuleSpec("xformers", None)
    package.__path__ = []
    operators.LowerTriangularMask = LowerTriangularMask
    operators.memory_efficient_attention = memory_efficient_attention
    monkeypatch.setitem(sys.modules, "xformers", package)
    monkeypatch.setitem(sys.modules, "xformers.ops", operators)
    caches = room._operators, room._probe
    for cached in caches:
        cached.cache_clear()
    yield operators, calls
    for cached in caches:
        cached.cache_clear()


@settings(max_examples=20, deadline=None)
@given(problem=problems())
def test_xformers_gets_its_own_layout_and_says_the_same(problem) -> None:
    q, k, v, mask, causal = problem
    with pytest.MonkeyPatch.context() as patch:
        for _ in stand_in.__wrapped__(patch):
            patch.setattr(room, "_choose", lambda *asked: "xformers")
            got = attention(q, k, v, mask=mask, causal=causal)
    torch.testing.assert_close(got, attention(q, k, v, mask=mask, causal=causal))


@pytest.mark.parametrize("backend", ["sdpa", "xformers"])
@pytest.mark.parametrize("causal", [False, True])
def test_queries_that_see_nothing_give_zero_with_a_gradient_of_zero(
    causal: bool, backend: str, stand_in, monkeypatch
) -> None:
    monkeypatch.setattr(room, "_choose", lambda *asked: backend)
    q, k, v = (draw(seed, 2, 1, 3, 4).requires_grad_() for seed in range(3))
    mask = torch.tensor([[True, True, False], [False] * 3])[:, None, None]
    out = attention(q, k, v, mask=mask, causal=causal)
    assert (out[1] == 0).all()
    assert (out[0] != 0).all()
    out.square().sum().backward()
    for name, x in {"q": q, "k": k, "v": v}.items():
        assert x.grad.isfinite().all(), name
        assert (x.grad[1] == 0).all(), name
        assert x.grad[0].any(), name


def test_auto_takes_xformers_on_cuda_in_half_precision_after_a_call_that_worked(
    stand_in, monkeypatch
) -> None:
    operators, calls = stand_in
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *a, device=None, **k: zeros(*a, **k))
    monkeypatch.setattr(room.torch, "ones", lambda *a, device=None, **k: zeros(*a, **k) == 0)
    choose = room._choose
    assert choose("auto", torch.bfloat16, CPU, 8) == "sdpa"
    assert choose("auto", torch.float32, CUDA, 8) == "sdpa"
    assert not calls
    assert choose("auto", torch.bfloat16, CUDA, 8) == "xformers"
    assert len(calls) == 3  # without a bias, causal, with a mask
    assert choose("xformers", torch.float32, CUDA, 8) == "xformers"

    def broken(*args, **kwargs):
        raise NotImplementedError("No operator found\nand a long list")

    operators.memory_efficient_attention = broken
    assert choose("auto", torch.bfloat16, CUDA, 8) == "xformers"  # asked once
    assert choose("auto", torch.bfloat16, CUDA, 16) == "sdpa"
    with pytest.raises(ValueError, match=r"a call of it failed \(.*No operator found\); 'sdpa'"):
        choose("xformers", torch.bfloat16, CUDA, 16)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("backend", ["sdpa", "xformers"])
@pytest.mark.parametrize("causal", [False, True])
def test_backends_on_a_gpu_agree_with_the_loops(backend: str, causal: bool) -> None:
    if backend == "xformers":
        pytest.importorskip("xformers")
    q, k, v = (draw(seed, 2, 2, 5, 8) for seed in range(3))
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])[:, None, None]
    for seen in (None, mask):
        wanted = by_loops(q, k, v, torch.tensor(True) if seen is None else seen, causal)
        got = attention(
            *(x.to(CUDA, torch.bfloat16) for x in (q, k, v)),
            mask=None if seen is None else seen.to(CUDA),
            causal=causal,
            backend=backend,
        )
        torch.testing.assert_close(got.double().cpu(), wanted, rtol=0.03, atol=0.03)


# -- rotary positions -----------------------------------------------------------------------------


def test_rotary_positions_turn_complex_numbers() -> None:
    x = draw(0, 2, 2, 5, 6)
    got = rotary(x)
    for t in range(5):
        for j in range(3):
            turn = cmath.exp(1j * t * 10_000.0 ** (-2 * j / 6))
            planes = torch.complex(x[..., t, 2 * j], x[..., t, 2 * j + 1]) * turn
            torch.testing.assert_close(got[..., t, 2 * j], planes.real)
            torch.testing.assert_close(got[..., t, 2 * j + 1], planes.imag)


def test_products_of_rotary_positions_tell_the_distance_of_two_steps_alone() -> None:
    q, k = (draw(seed, 1, 1, 1, 8).expand(1, 1, 12, 8) for seed in (0, 1))
    fits = rotary(q) @ rotary(k).mT
    for lag in range(-11, 12):
        diagonal = fits[0, 0].diagonal(lag)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert fits[0, 0, 0].unique().numel() == 12


def test_rotary_positions_keep_lengths_and_dtype_and_the_first_step() -> None:
    x = draw(0, 1, 1, 600, 8).to(torch.bfloat16)
    got = rotary(x)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got[:, :, 0], x[:, :, 0])
    wanted = rotary(x.double())  # angles of late steps need more than eight bits
    torch.testing.assert_close(got.double(), wanted, rtol=0.01, atol=0.02)


def test_the_slowest_rotary_plane_turns_once_in_the_steps_that_its_docstring_says() -> None:
    base, width, steps = (25 / math.pi) ** 2, 4, 50
    assert 2 * math.pi * base ** (1 - 2 / width) == pytest.approx(steps)
    got = rotary(torch.ones(1, 1, steps + 1, width, dtype=torch.float64), base=base)[0, 0, :, -2:]
    torch.testing.assert_close(got[steps], got[0])
    torch.testing.assert_close(got[steps // 2], -got[0])


def test_rotary_positions_of_an_odd_width_are_refused() -> None:
    with pytest.raises(ValueError, match="heads are 3 wide"):
        rotary(torch.zeros(1, 1, 2, 3))
