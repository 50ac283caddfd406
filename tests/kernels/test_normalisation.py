"""Group normalisation: against torch's own in float64, in every case that has a way of its own."""

from __future__ import annotations

import pytest
import torch
from genzoo_rwae_kernels import group_norm
from torch import Tensor
from torch.nn.functional import group_norm as torch_group_norm

# N, C, G, H, W: the second goes through in several parts, the last two have ways of torch's own
CASES = [
    (3, 12, 4, 5, 3),
    (96, 24, 8, 12, 12),
    (2, 6, 6, 2, 2),
    (2, 64, 2, 4, 4),
    (1, 8, 2, 33, 32),
]


def maps(shape: tuple[int, ...], seed: int = 0, mean: float = 0.7) -> Tensor:
    """bfloat16, channels-last, away from zero."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + mean
    return drawn.bfloat16().contiguous(memory_format=torch.channels_last)


def affine(channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(channels, generator=generator) + 0.5, torch.randn(
        channels, generator=generator
    )


def results(
    norm: object, x: Tensor, groups: int, g: Tensor, dtype: torch.dtype, wide: torch.dtype
) -> list[Tensor]:
    """Value and gradients."""
    weight, bias = (t.to(wide).requires_grad_() for t in affine(x.shape[1]))
    x = x.detach().to(dtype).requires_grad_()
    y = norm(x, groups, weight, bias, eps=1e-5)  # type: ignore[operator]
    return [y, *torch.autograd.grad(y, (x, weight, bias), g.to(y.dtype))]


@pytest.mark.parametrize(("N", "C", "G", "H", "W"), CASES)
def test_value_and_gradients_are_those_of_float64_but_for_one_rounding(
    N: int, C: int, G: int, H: int, W: int
) -> None:
    x, g = maps((N, C, H, W)), maps((N, C, H, W), 2)
    found = results(group_norm, x, G, g, torch.bfloat16, torch.float32)
    exact = results(torch_group_norm, x, G, g, torch.float64, torch.float64)
    torchs = results(torch_group_norm, x, G, g, torch.bfloat16, torch.float32)
    for name, ours, wanted, theirs in zip(["y", "x", "weight", "bias"], found, exact, torchs,
                                          strict=True):  # fmt: skip
        assert ours.dtype == theirs.dtype
        error, their_error = ((t.double() - wanted).norm() / wanted.norm() for t in (ours, theirs))
        one_rounding = 2.0**-8 if name in "xy" else 1e-4
        assert error < one_rounding, name
        assert error < 1.2 * their_error + 1e-6, name


def test_small_maps_with_few_channels_in_a_group_have_a_way_of_their_own() -> None:
    ways = []
    for N, C, G, H, W in CASES:
        weight, bias = (t.requires_grad_() for t in affine(C))
        made = group_norm(maps((N, C, H, W)), G, weight, bias)
        assert made.is_contiguous(memory_format=torch.channels_last)
        ways.append(type(made.grad_fn).__name__)
    assert ways == ["_GroupNormBackward"] * 3 + ["NativeGroupNormBackward0"] * 2


@pytest.mark.parametrize(
    "x",
    [
        torch.rand(2, 8, 4, 4).contiguous(memory_format=torch.channels_last),
        torch.rand(2, 8, 4, 4).bfloat16(),
        torch.rand(2, 8, 9).bfloat16(),
        torch.rand(2, 8, 1, 1).bfloat16().contiguous(memory_format=torch.channels_last),
    ],
    ids=["float32", "channels first", "vectors", "one pixel"],
)
def test_other_input_is_torchs_to_the_bit(x: Tensor) -> None:
    weight, bias = affine(8)
    assert torch.equal(
        group_norm(x, 4, weight, bias, eps=1e-3), torch_group_norm(x, 4, weight, bias, 1e-3)
    )


def test_epsilon_is_on_the_variance() -> None:
    x = torch.zeros(1, 4, 2, 2).bfloat16().contiguous(memory_format=torch.channels_last)
    x[:, ::2] = 2.0  # mean 1, variance 1
    y = group_norm(x, 1, torch.ones(4), torch.zeros(4), eps=3.0)
    assert torch.equal(y, (x - 1) / 2)


def test_gradients_of_gradients_are_torchs() -> None:
    second = []
    for norm in (group_norm, torch_group_norm):
        x = maps((2, 8, 3, 3)).requires_grad_()
        weight, bias = (t.requires_grad_() for t in affine(8))
        y = norm(x, 4, weight, bias).float()
        (d_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        second.append(torch.autograd.grad(d_x.float().square().sum(), (x, weight)))
    for ours, theirs in zip(*second, strict=True):
        assert torch.allclose(ours.float(), theirs.float(), rtol=0.05, atol=0.05 * ours.abs().max())


def test_frozen_weights_want_no_gradient() -> None:
    x = maps((2, 8, 3, 3)).requires_grad_()
    weight, bias = affine(8)
    y = group_norm(x, 4, weight, bias).float()
    (d_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    assert d_x.requires_grad
    assert torch.autograd.grad(d_x.float().square().sum(), x)[0].isfinite().all()


def test_parts_do_not_change_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    x, g = maps((9, 12, 4, 4)), maps((9, 12, 4, 4), 2)
    whole = results(group_norm, x, 4, g, torch.bfloat16, torch.float32)
    monkeypatch.setattr("genzoo_rwae_kernels.normalisation._AT_ONCE", 2 * 12 * 16)
    parts = results(group_norm, x, 4, g, torch.bfloat16, torch.float32)
    assert all(torch.equal(*pair) for pair in zip(whole[:2], parts[:2], strict=True))
    assert all(
        torch.allclose(*pair, rtol=1e-5, atol=1e-5)
        for pair in zip(whole[2:], parts[2:], strict=True)
    )
