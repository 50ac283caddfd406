"""Convolutions that halve and double: values and gradients are torch's, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from genzoo_rwae_kernels import doubling_convolution, halving_convolution
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

N, S, C = 6, 256, 128  # 2^19 weights

# layer, torch's own, shape of the input; rows of odd sides last
LAYERS: list[tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[int, ...]]] = [
    (halving_convolution, lambda x, w, b: conv2d(x, w, b, 2, 1), (N, C, 8, 8)),
    (doubling_convolution, lambda x, w, b: conv_transpose2d(x, w, b, 2, 1), (N, S, 4, 4)),
    (halving_convolution, lambda x, w, b: conv2d(x, w, b, 2, 1), (N, C, 7, 9)),
    (
        lambda x, w, b: doubling_convolution(x, w, b, odd=(1, 0)),
        lambda x, w, b: conv_transpose2d(x, w, b, 2, 1, (1, 0)),
        (N, S, 3, 5),
    ),
]


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made


def leaves(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and bias, exact in bfloat16."""
    bias = drawn((S if shape[1] == C else C,), 2)
    found = (drawn(shape, 0), drawn((S, C, 4, 4), 1), bias)
    x, weight, bias = (t.bfloat16().float().requires_grad_() for t in found)
    return x, weight, bias


def gradients(
    layer: Callable[..., Tensor], shape: tuple[int, ...], *, low: bool
) -> tuple[Tensor, ...]:
    of = leaves(shape)
    if not low:
        of = tuple(t.detach().double().requires_grad_() for t in of)  # type: ignore[assignment]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        y = layer(*of)
        g = drawn(tuple(y.shape), 3).bfloat16()
        return y, *torch.autograd.grad(y, of, g.to(y.dtype))


@pytest.mark.parametrize("case", range(len(LAYERS)))
def test_value_and_gradients_are_those_of_float64_but_for_rounding(case: int) -> None:
    layer, torchs, shape = LAYERS[case]
    found = gradients(layer, shape, low=True)
    assert type(found[0].grad_fn).__name__ in ("_HalvingBackward", "_DoublingBackward")
    for ours, exact in zip(found, gradients(torchs, shape, low=False), strict=True):
        assert (ours.double() - exact).norm() < 2.0**-8 * exact.norm()


@pytest.mark.parametrize("case", range(len(LAYERS)))
def test_input_and_bias_have_torchs_gradients_to_the_bit(case: int) -> None:
    layer, torchs, shape = LAYERS[case]
    ours, theirs = (gradients(one, shape, low=True) for one in (layer, torchs))
    for place in (0, 1, 3):
        assert torch.equal(ours[place], theirs[place])


def test_layers_that_are_wide_on_large_maps_or_in_float32_are_torchs() -> None:
    x, weight, bias = leaves((2, C, 16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert type(halving_convolution(x, weight, bias).grad_fn).__name__ == "ConvolutionBackward0"
    assert type(halving_convolution(x, weight).grad_fn).__name__ == "ConvolutionBackward0"
    with torch.no_grad():
        assert torch.equal(halving_convolution(x, weight, bias), conv2d(x, weight, bias, 2, 1))


def test_gradients_of_gradients_are_torchs() -> None:
    second = []
    for layer in (LAYERS[0][0], LAYERS[0][1]):
        x, weight, bias = leaves((2, C, 8, 8))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = layer(x, weight, bias).float()
        d_x, d_weight = torch.autograd.grad(y.square().sum(), (x, weight), create_graph=True)
        penalty = d_x.square().sum() + d_weight.square().sum()
        second.append(torch.autograd.grad(penalty, (x, weight, bias)))
    for ours, theirs in zip(*second, strict=True):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_frozen_parts_get_no_gradient() -> None:
    x, weight, bias = leaves((2, C, 8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = halving_convolution(x.detach(), weight, bias.detach())
    y.float().square().sum().backward()
    assert x.grad is None
    assert bias.grad is None
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


NARROW = [(2, 16, 17, 18, 3), (1, 5, 16, 16, 1), (2, 32, 16, 16, 8)]  # N, S, h, w, C


@pytest.mark.parametrize("shape", NARROW)
@pytest.mark.parametrize("biased", [True, False])
def test_few_channels_are_drawn_place_by_place_but_for_rounding(
    shape: tuple[int, ...], biased: bool
) -> None:
    found, exact = narrow(shape, biased, low=True), narrow(shape, biased, low=False)
    assert type(found[0].grad_fn).__name__ == "PermuteBackward0"
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    assert len(found) == len(exact) == (4 if biased else 3)
    # the bias's gradient is of four rounded sums, each of which may be larger than theirs
    for most, ours, theirs in zip((2.0**-8,) * 3 + (2.0**-6,), found, exact, strict=False):
        assert ours.shape == theirs.shape
        assert (ours.double() - theirs).norm() < most * theirs.norm()


def test_few_channels_in_float32_of_odd_sides_or_channels_first_are_torchs() -> None:
    x, weight, bias = narrow_leaves((2, 16, 16, 16, 3))

    def kind(of: Tensor, odd: tuple[int, int] = (0, 0)) -> str:
        return type(doubling_convolution(of, weight, bias, odd=odd).grad_fn).__name__

    assert kind(x) == "ConvolutionBackward0"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kind(x) == "PermuteBackward0"
        assert kind(x, (1, 0)) == kind(x.contiguous()) == "ConvolutionBackward0"
        smaller = x[:, :, 1:].contiguous(memory_format=torch.channels_last)
        assert kind(smaller) == "ConvolutionBackward0"


def narrow_leaves(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    maps, channels = shape[:4], shape[4]
    drawn_ones = (drawn(maps, 0), drawn((shape[1], channels, 4, 4), 1), drawn((channels,), 2))
    x, weight, bias = (t.bfloat16().float().requires_grad_() for t in drawn_ones)
    return x, weight, bias


def narrow(shape: tuple[int, ...], biased: bool, *, low: bool) -> tuple[Tensor, ...]:
    """Value and gradients: by the layer in bfloat16, or by torch in float64."""
    of = list(narrow_leaves(shape))[: 3 if biased else 2]
    if not low:
        of = [t.detach().double().requires_grad_() for t in of]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        bias = of[2] if biased else None
        y = (
            doubling_convolution(of[0], of[1], bias)
            if low
            else conv_transpose2d(of[0], of[1], bias, 2, 1)
        )
        g = drawn(tuple(y.shape), 3).bfloat16()
        return y, *torch.autograd.grad(y, of, g.to(y.dtype))
