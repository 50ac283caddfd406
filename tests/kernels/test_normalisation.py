"""Normalisation: against torch's own in float64, in every case that has a way of its own."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from genzoo_rwae_kernels import batch_norm, group_norm
from genzoo_rwae_kernels.fused import build
from genzoo_rwae_kernels.fused.normalised import NORMALISED, How
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import batch_norm as torch_batch_norm
from torch.nn.functional import group_norm as torch_group_norm
from torch.nn.functional import leaky_relu

Norm = Callable[..., Tensor]  # of maps, weight and bias

# N, C, G, H, W; G = 0: by batch. Without a compiler the second goes through in several parts, and
# the last two of groups have ways of torch's own. With one, parts of some are whole vectors and
# others not, and the last of each kind is more than one part of a section.
GROUPS = [
    (3, 12, 4, 5, 3),
    (96, 24, 8, 12, 12),
    (2, 6, 6, 2, 2),
    (2, 64, 2, 4, 4),
    (1, 8, 2, 33, 32),
    (2, 80, 5, 24, 24),
]
BATCHES = [(3, 12, 0, 5, 3), (8, 3, 0, 1, 1), (2, 1, 0, 2, 3), (5, 17, 0, 9, 9), (40, 64, 0, 8, 8)]
SLOPES = [1.0, 0.2, 0.0, -0.5]


@pytest.fixture(params=["compiled", "without a compiler"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "compiled":
        monkeypatch.setenv("GENZOO_FUSED", "0")
    elif NORMALISED.why_not():
        pytest.skip(NORMALISED.why_not())
    return str(request.param)


@pytest.fixture
def compiled() -> None:
    if NORMALISED.why_not():
        pytest.skip(NORMALISED.why_not())


def maps(shape: tuple[int, ...], seed: int = 0, mean: float = 0.7) -> Tensor:
    """bfloat16, channels-last, away from zero."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + mean
    return drawn.bfloat16().contiguous(memory_format=torch.channels_last)


def affine(channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(channels, generator=generator) + 0.5, torch.randn(
        channels, generator=generator
    )


def ours(groups: int, slope: float = 1.0, eps: float = 1e-5) -> Norm:
    if groups:
        return lambda x, weight, bias: group_norm(x, groups, weight, bias, eps=eps, slope=slope)
    return lambda x, weight, bias: batch_norm(x, None, None, weight, bias, eps=eps, slope=slope)


def torchs(groups: int, slope: float = 1.0, eps: float = 1e-5) -> Norm:
    def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if groups:
            return leaky_relu(torch_group_norm(x, groups, weight, bias, eps), slope)
        return leaky_relu(torch_batch_norm(x, None, None, weight, bias, True, eps=eps), slope)

    return norm


def results(
    norm: Norm, x: Tensor, g: Tensor, dtype: torch.dtype, wide: torch.dtype
) -> list[Tensor]:
    """Value and gradients."""
    weight, bias = (t.to(wide).requires_grad_() for t in affine(x.shape[1]))
    x = x.detach().to(dtype).requires_grad_()
    y = norm(x, weight, bias)
    return [y.detach(), *torch.autograd.grad(y, (x, weight, bias), g.to(y.dtype))]


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize(("N", "C", "G", "H", "W"), GROUPS + BATCHES)
def test_value_and_gradients_are_those_of_float64_but_for_one_rounding(
    way: str, N: int, C: int, G: int, H: int, W: int, slope: float
) -> None:
    x, g = maps((N, C, H, W)), maps((N, C, H, W), 2)
    found = results(ours(G, slope), x, g, torch.bfloat16, torch.float32)
    exact = results(torchs(G, slope), x, g, torch.float64, torch.float64)
    theirs = results(torchs(G, slope), x, g, torch.bfloat16, torch.float32)
    for name, own, wanted, other in zip(["y", "x", "weight", "bias"], found, exact, theirs,
                                        strict=True):  # fmt: skip
        assert own.dtype == other.dtype
        error, their_error = ((t.double() - wanted).norm() / wanted.norm() for t in (own, other))
        # where torch rounds between the two operations, a sign may be another's
        roundings = (1.0 if slope == 1.0 or way == "compiled" else 8.0) * 2.0**-8
        assert error < (roundings if name in "xy" or way != "compiled" else 1e-4), name
        assert error < 1.2 * their_error + 1e-6, name


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize(("N", "C", "G", "H", "W"), GROUPS + BATCHES)
def test_float32_is_at_least_as_near_to_float64_as_torchs(
    compiled: None, N: int, C: int, G: int, H: int, W: int, slope: float
) -> None:
    x, g = (maps((N, C, H, W), seed).float() for seed in (0, 2))
    found = results(ours(G, slope), x, g, torch.float32, torch.float32)
    exact = results(torchs(G, slope), x, g, torch.float64, torch.float64)
    theirs = results(torchs(G, slope), x, g, torch.float32, torch.float32)
    for own, wanted, other in zip(found, exact, theirs, strict=True):
        assert own.dtype == other.dtype
        error, their_error = ((t.double() - wanted).norm() / wanted.norm() for t in (own, other))
        assert error < 2 * their_error + 3e-6
        assert error < 1e-5


@pytest.mark.parametrize("mean", [30.0, -300.0])
@pytest.mark.parametrize(("N", "C", "G", "H", "W"), [(3, 12, 4, 5, 3), (5, 17, 0, 9, 9)])
def test_maps_far_from_zero_lose_nothing(
    compiled: None, N: int, C: int, G: int, H: int, W: int, mean: float
) -> None:
    x, g = maps((N, C, H, W), mean=mean), maps((N, C, H, W), 2)
    found = results(ours(G, 0.2), x, g, torch.bfloat16, torch.float32)
    exact = results(torchs(G, 0.2), x, g, torch.float64, torch.float64)
    for own, wanted in zip(found, exact, strict=True):
        assert (own.double() - wanted).norm() < 2.0**-8 * wanted.norm()


def test_what_has_a_way_of_its_own(way: str) -> None:
    ways = []
    for N, C, G, H, W in GROUPS + BATCHES:
        weight, bias = (t.requires_grad_() for t in affine(C))
        made = ours(G)(maps((N, C, H, W)), weight, bias)
        assert made.is_contiguous(memory_format=torch.channels_last)
        ways.append(type(made.grad_fn).__name__)
    if way == "compiled":
        assert set(ways) == {"_NormalisedBackward"}
        return
    assert ways[:6] == ["_GroupNormBackward"] * 3 + ["NativeGroupNormBackward0"] * 2 + [
        "NativeGroupNormBackward0"
    ]
    assert set(ways[6:]) == {"NativeBatchNormBackward0"}


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize(("N", "C", "G", "H", "W"), [GROUPS[1], GROUPS[-1], BATCHES[-1]])
def test_threads_change_no_bit(
    compiled: None, N: int, C: int, G: int, H: int, W: int, threads: int
) -> None:
    x, g = maps((N, C, H, W)), maps((N, C, H, W), 2)
    weight, bias = affine(C)
    how, found = How(G, 1e-5, 0.2), []
    for count in (1, threads):
        made = NORMALISED.load()(x, weight, bias, how, threads=count)
        given = (g, x, weight, bias, made.mean_S, made.variance_S, how)
        found.append((*made, *NORMALISED.load().gradients(*given, threads=count)))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_large_maps_are_shared_by_threads(compiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("genzoo_rwae_kernels.fused.normalised.torch.get_num_threads", lambda: 4)
    code = NORMALISED.load()
    monkeypatch.setattr(code, "_forward", lambda *given: asked.append(given[10]) or 0)
    weight, bias = affine(16)
    for count in (1, 64, 128, 1024):
        code(torch.empty(count, 16, 32, 32, dtype=torch.bfloat16), weight, bias, How(0, 1e-5, 1.0))
    assert asked == [1, 2, 4, 4]


@pytest.mark.parametrize("momentum", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_running_statistics_are_torchs(way: str, momentum: float, dtype: torch.dtype) -> None:
    weight, bias = affine(12)
    kept = []
    for norm in (batch_norm, partial(torch_batch_norm, training=True)):
        mean, variance = torch.full((12,), 0.3), torch.full((12,), 2.0)
        for seed in range(3):
            norm(maps((2, 12, 3, 3), seed).to(dtype), mean, variance, weight, bias,
                 momentum=momentum)  # fmt: skip
        kept.append((mean, variance))
    for own, other in zip(*kept, strict=True):
        assert torch.allclose(own, other, rtol=1e-5, atol=1e-6)


def test_one_number_in_a_channel_has_no_statistics(way: str) -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        batch_norm(maps((1, 4, 1, 1)), None, None, *affine(4))


@pytest.mark.parametrize("groups", [0, 4])
def test_what_is_no_number_stays_none(compiled: None, groups: int) -> None:
    x = maps((4, 12, 5, 5))
    x[1, 2, 3, 4] = float("nan")
    x[2, 9, 0, 0] = float("inf")
    y = ours(groups, 0.2)(x, *affine(12))
    wanted = torchs(groups, 0.2)(x.double(), *(t.double() for t in affine(12)))
    assert torch.equal(y.isfinite(), wanted.isfinite())
    assert not y.isfinite().all()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated")
@pytest.mark.parametrize("groups", [0, 4])
def test_what_is_traced_or_transformed_has_torchs_own(compiled: None, groups: int) -> None:
    x, given = maps((4, 12, 5, 5)), affine(12)
    own = torchs(groups)(x, *given)

    def traced(x: Tensor) -> Tensor:
        return ours(groups)(x, *given)

    with patch.object(NORMALISED, "load", side_effect=AssertionError("compiled code")):
        with patch.object(torch.compiler, "is_compiling", lambda: True):
            assert torch.equal(traced(x), own)
        assert torch.equal(torch.jit.trace(traced, x, check_trace=False)(x), own)
        assert torch.equal(make_fx(traced)(x)(x), own)
        with FakeTensorMode(allow_non_fake_inputs=True) as fake:
            assert traced(fake.from_tensor(x)).shape == x.shape
        gradient = torch.func.grad(lambda x: traced(x).float().square().sum())(x)
    assert gradient.shape == x.shape


@pytest.mark.parametrize("groups", [0, 4])
def test_what_does_not_fit_is_refused_in_torchs_words(compiled: None, groups: int) -> None:
    x, mean = maps((4, 12, 5, 5)), torch.zeros(12)
    for weight, bias in ((torch.ones(6), torch.zeros(12)), (torch.ones(12), torch.zeros(24))):
        with pytest.raises(RuntimeError):
            ours(groups)(x, weight, bias)
    with pytest.raises(RuntimeError):
        batch_norm(x, mean[:6], None, *affine(12))
    for bad in (5, 0, -2):
        with pytest.raises((RuntimeError, ValueError, ZeroDivisionError)):
            group_norm(x, bad, *affine(12))


@pytest.mark.parametrize("groups", [0, 4])
def test_without_weights_it_is_torchs(groups: int) -> None:
    x = maps((4, 12, 5, 5)).float()
    assert torch.equal(ours(groups)(x, None, None), torchs(groups)(x, None, None))


@pytest.mark.parametrize("groups", [0, 4])
def test_a_gradient_with_a_graph_is_the_one_without(compiled: None, groups: int) -> None:
    """Of a norm that is used twice, and whose weight depends on what it normalises."""
    x = maps((4, 12, 5, 5)).float()
    found = []
    for with_graph in (False, True):
        leaves = [t.clone().requires_grad_() for t in (x, *affine(12))]
        y = ours(groups, 0.2)(leaves[0], *leaves[1:])
        y = ours(groups, 0.2)(y, leaves[1] + y.mean((0, 2, 3)), leaves[2])
        found.append(torch.autograd.grad(y.square().sum(), leaves, create_graph=with_graph))
    for plain, graphed in zip(*found, strict=True):
        assert torch.allclose(plain, graphed, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("far", [30.0, 300.0, 1e5])
@pytest.mark.parametrize("groups", [0, 4])
def test_a_first_place_that_lies_far_off_costs_no_digits(
    compiled: None, groups: int, far: float
) -> None:
    x = maps((64, 8, 32, 32)).float()
    x[0, :, 0, 0] = far
    weight, bias = affine(8)
    y = ours(groups)(x, weight, bias)
    wanted = torchs(groups)(x.double(), weight.double(), bias.double())
    assert (y - wanted).norm() < 1e-6 * max(1.0, far / 1e4) * wanted.norm()


@pytest.mark.parametrize("groups", [0, 4])
def test_float32_a_thousand_deviations_from_zero(compiled: None, groups: int) -> None:
    x = torch.randn(64, 8, 32, 32, generator=torch.Generator().manual_seed(0)) + 1e3
    x = x.contiguous(memory_format=torch.channels_last)
    weight, bias = affine(8)
    y = ours(groups)(x, weight, bias)
    wanted = torchs(groups)(x.double(), weight.double(), bias.double())
    assert (y - wanted).norm() < 2e-4 * wanted.norm()


def test_the_first_call_may_come_from_within_a_transform(
    compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NORMALISED, "_found", None)
    torch.func.grad(lambda x: (x if NORMALISED.works() else 0 * x).sum())(torch.ones(2))
    assert NORMALISED.why_not() == ""


def test_where_it_cannot_be_had_it_is_said_once_and_not_where_it_is_forbidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(NORMALISED, "_found", None)
    monkeypatch.setattr(NORMALISED, "_has_warned", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("GENZOO_FUSED", "0")
    assert not NORMALISED.works()
    assert caplog.text == ""
    monkeypatch.setenv("GENZOO_FUSED", "1")
    for _ in range(2):
        batch_norm(maps((4, 12, 5, 5)), None, None, *affine(12))
    assert caplog.text.count("normalisation of maps is slower than it could be") == 1
    assert "no-such-compiler" in caplog.text


def test_forbidden_between_the_ways_there_and_back_it_still_goes_back(
    compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = maps((4, 12, 5, 5)).requires_grad_()
    y = batch_norm(x, None, None, *affine(12))
    monkeypatch.setenv("GENZOO_FUSED", "0")
    assert torch.autograd.grad(y.float().square().sum(), x)[0].isfinite().all()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")
@pytest.mark.parametrize(("choice", "needs"), [("-march=x86-64", ""), ("-march=x86-64-v3", "avx2")])
def test_other_vector_widths(
    compiled: None, choice: str, needs: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if needs not in build._processor():
        pytest.skip(f"this processor has no {needs}")
    monkeypatch.setattr(NORMALISED, "_found", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "CHOICES", ((choice,),))
    assert NORMALISED.why_not() == ""
    for N, C, G, H, W in (*GROUPS[:3], *BATCHES[:3]):
        x, g = maps((N, C, H, W)), maps((N, C, H, W), 2)
        found = results(ours(G, 0.2), x, g, torch.bfloat16, torch.float32)
        exact = results(torchs(G, 0.2), x, g, torch.float64, torch.float64)
        for own, wanted in zip(found, exact, strict=True):
            assert (own.double() - wanted).norm() < 2.0**-8 * wanted.norm()


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("z > 0.0f ? value : value * slope", "value", "maps of 0 groups in torch.bfloat16"),
        (
            "spread += squares + places",
            "spread += 2.0 * squares + places",
            "maps of 0 groups in torch.bfloat16",
        ),
        (
            "products[c] *= rate",
            "products[c] *= 1.0",
            "gradient of x of 0 groups in torch.bfloat16",
        ),
        ("own = tallies.of(section, 0)", "own = tallies.of(0, 0)", "of weight of 3 groups"),
    ],
)
def test_a_bad_build_disables_itself(
    compiled: None,
    right: str,
    wrong: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for file in (NORMALISED.source, *NORMALISED.source.parent.glob("*.hpp")):
        shutil.copy(file, tmp_path)
    source = tmp_path / NORMALISED.source.name
    assert right in source.read_text()
    source.write_text(source.read_text().replace(right, wrong))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(NORMALISED, "_found", None)
    monkeypatch.setattr(NORMALISED, "source", source)
    assert said in NORMALISED.why_not()
    assert "off by" in NORMALISED.why_not()


@pytest.mark.parametrize(
    "x",
    [
        torch.rand(2, 8, 4, 4).double().contiguous(memory_format=torch.channels_last),
        torch.rand(2, 8, 4, 4),
        torch.rand(2, 8, 4, 4).bfloat16(),
        torch.rand(2, 8, 9).bfloat16(),
    ],
    ids=["float64", "float32 channels first", "channels first", "vectors"],
)
@pytest.mark.parametrize("groups", [4, 0])
def test_other_input_is_torchs_to_the_bit(x: Tensor, groups: int) -> None:
    given = [t.to(torch.promote_types(x.dtype, torch.float32)) for t in affine(8)]
    assert torch.equal(ours(groups, 0.2, 1e-3)(x, *given), torchs(groups, 0.2, 1e-3)(x, *given))


@pytest.mark.parametrize("groups", [1, 0])
def test_epsilon_is_on_the_variance(way: str, groups: int) -> None:
    x = torch.zeros(2, 4, 2, 2).bfloat16().contiguous(memory_format=torch.channels_last)
    x[:, :, ::2] = 2.0  # mean 1, variance 1
    y = ours(groups, eps=3.0)(x, torch.ones(4), torch.zeros(4))
    assert torch.equal(y, (x - 1) / 2)


@pytest.mark.parametrize("groups", [4, 0])
def test_gradients_of_gradients_are_torchs(way: str, groups: int) -> None:
    second = []
    for norm in (ours(groups, 0.2), torchs(groups, 0.2)):
        x = maps((2, 8, 3, 3)).requires_grad_()
        weight, bias = (t.requires_grad_() for t in affine(8))
        y = norm(x, weight, bias).float()
        (d_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        second.append(torch.autograd.grad(d_x.float().square().sum(), (x, weight)))
    for own, theirs in zip(*second, strict=True):
        assert torch.allclose(own.float(), theirs.float(), rtol=0.05, atol=0.05 * own.abs().max())


@pytest.mark.parametrize("groups", [4, 0])
def test_frozen_weights_want_no_gradient(way: str, groups: int) -> None:
    x = maps((2, 8, 3, 3)).requires_grad_()
    y = ours(groups)(x, *affine(8)).float()
    (d_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    assert d_x.requires_grad
    assert torch.autograd.grad(d_x.float().square().sum(), x)[0].isfinite().all()


def test_parts_do_not_change_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENZOO_FUSED", "0")
    x, g = maps((9, 12, 4, 4)), maps((9, 12, 4, 4), 2)
    whole = results(ours(4), x, g, torch.bfloat16, torch.float32)
    monkeypatch.setattr("genzoo_rwae_kernels.normalisation._AT_ONCE", 2 * 12 * 16)
    parts = results(ours(4), x, g, torch.bfloat16, torch.float32)
    assert all(torch.equal(*pair) for pair in zip(whole[:2], parts[:2], strict=True))
    assert all(
        torch.allclose(*pair, rtol=1e-5, atol=1e-5)
        for pair in zip(whole[2:], parts[2:], strict=True)
    )
