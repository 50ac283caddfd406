"""Reconstruction costs against float64 oracles, and what all of them have in common.

Shapes: B batch, T time, C H W the frame.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.costs.bernoulli import bernoulli
from genzoo_rwae_plugins.costs.laplacian_pyramid import laplacian_pyramid, levels_of
from genzoo_rwae_plugins.costs.robust import absolute, huber
from genzoo_rwae_plugins.costs.squared_error import squared_error
from scipy.ndimage import convolve1d
from torch.distributions import Bernoulli

from genzoo_rwae.errors import OptionError
from genzoo_rwae.objective.terms import masked_cost
from genzoo_rwae.sequence_model import Pass

COSTS = {
    "squared-error": squared_error,
    "absolute": absolute,
    "huber": huber,
    "bernoulli": bernoulli,
    "laplacian-pyramid": laplacian_pyramid,
}
DISTANCES = {name: cost for name, cost in COSTS.items() if name != "bernoulli"}
every = pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
every_distance = pytest.mark.parametrize("cost", DISTANCES.values(), ids=DISTANCES)
SHAPE = (2, 3, 2, 9, 11)  # B T C H W


def pair(*shape, dtype=torch.float64):
    return torch.rand(2, *(shape or SHAPE), dtype=dtype).unbind()


# -- all --------------------------------------------------------------------------------------


@every
def test_a_cost_is_of_each_frame_by_itself(cost):
    x, x_hat = pair()
    found = cost(x, x_hat)
    assert found.shape == (2, 3)
    for b in range(2):
        for t in range(3):
            alone = cost(x[b : b + 1, t : t + 1], x_hat[b : b + 1, t : t + 1])
            torch.testing.assert_close(found[b, t], alone[0, 0])


@every
def test_a_cost_is_summed_over_a_frame_not_averaged(cost):
    x, x_hat = pair()
    twice = cost(torch.cat([x, x], 2), torch.cat([x_hat, x_hat], 2))
    torch.testing.assert_close(twice, 2 * cost(x, x_hat))


@every
def test_a_cost_has_the_gradient_that_small_steps_show(cost):
    x, x_hat = pair(1, 1, 1, 8, 8)
    x_hat = (0.1 + 0.8 * x_hat).requires_grad_()
    assert torch.autograd.gradcheck(lambda values: cost(x, values), [x_hat])


@every_distance
def test_a_distance_is_0_at_equality_symmetric_and_more_elsewhere(cost):
    x, x_hat = pair()
    assert (cost(x, x) == 0).all()
    torch.testing.assert_close(cost(x, x_hat), cost(x_hat, x))
    assert (cost(x, x_hat) > 0).all()


@every
def test_equal_values_pull_at_nothing(cost):
    """Also black and white ones: missing values are 0 on both sides."""
    x = torch.rand(SHAPE, dtype=torch.float64)
    x[0], x[1, 0] = 0.0, 1.0
    x_hat = x.clone().requires_grad_()
    cost(x, x_hat).sum().backward()
    assert (x_hat.grad == 0).all()


@every
def test_a_cost_is_least_where_the_reconstruction_is_the_truth(cost):
    x, _ = pair(1, 1, 1, 8, 8)
    least = cost(x, x)
    for _ in range(20):
        near = (x + 0.05 * torch.randn(x.shape)).clamp(0, 1)
        assert (cost(x, near) > least).all()


@every
def test_missing_values_cost_nothing_and_pull_at_nothing(cost):
    x, x_hat = pair(2, 3, 1, 9, 9, dtype=torch.float32)
    missing = torch.rand(x.shape) < 0.3
    x, x_hat = x.masked_fill(missing, torch.nan), x_hat.requires_grad_()
    passed = Pass(x, x_hat, torch.arange(3), torch.tensor([3, 2]), codes=None)
    value = masked_cost(cost, passed)
    value.backward()
    assert (x_hat.grad[missing] == 0).all()
    assert (x_hat.grad[0][~missing[0]] != 0).any()
    wanted = cost(x.nan_to_num(0.0), x_hat.detach().masked_fill(missing, 0.0))
    torch.testing.assert_close(value.detach(), (wanted[0].sum() + wanted[1, :2].sum()) / 2)
    gone = replace(passed, x_BT=torch.full_like(x, torch.nan))
    assert masked_cost(cost, gone) == 0


@every
def test_float32_says_what_float64_says(cost):
    x, x_hat = pair()
    torch.testing.assert_close(
        cost(x.float(), x_hat.float()).double(), cost(x, x_hat), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("cost", [absolute, huber, bernoulli])
def test_vectors_have_costs_too(cost):
    x, x_hat = pair(2, 3, 5)
    assert cost(x, x_hat).shape == (2, 3)


# -- one by one -------------------------------------------------------------------------------


def test_absolute_error_is_numpys():
    x, x_hat = pair()
    wanted = np.abs(x.numpy() - x_hat.numpy()).sum((2, 3, 4))
    np.testing.assert_allclose(absolute(x, x_hat), wanted)


@pytest.mark.parametrize("delta", [0.05, 0.3, 5.0])
def test_huber_is_half_the_square_inside_and_a_line_outside(delta):
    x, x_hat = pair()
    error = (x - x_hat).abs()
    wanted = torch.where(error <= delta, 0.5 * error**2, delta * (error - 0.5 * delta))
    torch.testing.assert_close(huber(x, x_hat, delta=delta), wanted.sum((2, 3, 4)))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), SHAPE])
def test_squared_error_has_gradients_of_both_sides_and_of_its_gradients(shape):
    x, x_hat = (given.requires_grad_() for given in pair(*shape))
    torch.testing.assert_close(
        squared_error(x, x_hat), (x - x_hat).square().reshape(2, 3, -1).sum(-1)
    )
    assert torch.autograd.gradcheck(squared_error, (x, x_hat))
    assert torch.autograd.gradgradcheck(squared_error, (x, x_hat))


def test_squared_error_can_be_mapped_and_derived_both_ways():
    x, x_hat = pair(2, 3, 4)
    pulls = torch.func.vmap(torch.func.grad(lambda *frame: squared_error(*frame).sum(), argnums=1))
    torch.testing.assert_close(pulls(x[:, None], x_hat[:, None])[:, 0], 2 * (x_hat - x))
    cost = lambda made: squared_error(x, made).sum()  # noqa: E731
    _, slope = torch.func.jvp(cost, (x_hat,), (x,))
    torch.testing.assert_close(slope, (2 * (x_hat - x) * x).sum())
    curvature = torch.func.hessian(cost)(x_hat).reshape(x.numel(), x.numel())
    torch.testing.assert_close(curvature, 2 * torch.eye(x.numel(), dtype=x.dtype))


def test_squared_error_lets_frames_be_overwritten_before_the_way_back():
    x, x_hat = pair()
    cost = squared_error(x, x_hat.requires_grad_() * 1.0).sum()
    x_before = x.clone()
    x.zero_()
    cost.backward()
    torch.testing.assert_close(x_hat.grad, 2 * (x_hat.detach() - x_before))


def test_the_pull_of_squared_error_lies_in_memory_as_the_reconstruction_does():
    x, x_hat = torch.rand(2, 2, 3, 8, 8, 3).movedim(-1, 3).unbind()
    x, x_hat = x.contiguous(), x_hat.requires_grad_()
    (pull,) = torch.autograd.grad(squared_error(x, x_hat).sum(), x_hat)
    assert pull.stride() == x_hat.stride() != x_hat.contiguous().stride()


def test_huber_of_a_large_delta_is_half_the_squared_error():
    x, x_hat = pair()
    torch.testing.assert_close(huber(x, x_hat, delta=1.0), 0.5 * squared_error(x, x_hat))


def test_bernoulli_is_the_negative_log_probability_of_black_and_white():
    x, x_hat = pair()
    x = x.round()
    wanted = -Bernoulli(x_hat).log_prob(x).sum((2, 3, 4))
    torch.testing.assert_close(bernoulli(x, x_hat), wanted)


def test_bernoulli_of_the_truth_is_its_entropy():
    x, _ = pair()
    torch.testing.assert_close(bernoulli(x, x), Bernoulli(x).entropy().sum((2, 3, 4)))
    assert bernoulli(torch.ones(1, 1, 2), torch.ones(1, 1, 2)) == 0


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_bernoulli_of_a_certain_error_is_large_and_finite(wrong):
    x_hat = torch.full((1, 1, 3), wrong, requires_grad=True)
    value = bernoulli(torch.full((1, 1, 3), 1 - wrong), x_hat)
    assert value.item() == pytest.approx(-3 * math.log(torch.finfo(torch.float32).tiny))
    value.sum().backward()
    assert x_hat.grad.isfinite().all()


def test_bernoulli_has_the_gradient_of_logits_however_sure_they_are():
    logits = torch.linspace(-60, 12, 25).requires_grad_()
    bernoulli(torch.ones(1, 1, 25), logits.sigmoid()[None, None]).sum().backward()
    torch.testing.assert_close(logits.grad, logits.detach().sigmoid() - 1, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(("x", "x_hat", "who"), [
    (1.5, 0.5, "the data have values from 1.5 to 1.5"),
    (0.5, -0.1, "the reconstruction have values from -0.1"),
])  # fmt: skip
def test_bernoulli_refuses_what_are_no_probabilities(x, x_hat, who):
    with pytest.raises(OptionError, match=who):
        bernoulli(torch.full((1, 1, 3), x), torch.full((1, 1, 3), x_hat))


def test_bernoulli_lets_what_is_not_a_number_through_to_the_objective():
    assert bernoulli(torch.zeros(1, 1, 3), torch.full((1, 1, 3), torch.nan)).isnan().all()


# -- pyramid ----------------------------------------------------------------------------------


def blurred(image):
    for axis in (0, 1):
        image = convolve1d(image, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="mirror")
    return image


def pyramid(image, count):
    """By scipy: blur and halve; what the halved one, doubled and blurred, does not say."""
    levels = []
    for _ in range(count - 1):
        half = blurred(image)[::2, ::2]
        apart = np.zeros_like(image)
        apart[::2, ::2] = half
        levels.append(image - 4 * blurred(apart))
        image = half
    return [*levels, image]


@pytest.mark.parametrize(
    ("side", "count"), [((8, 8), 2), ((9, 14), 2), ((33, 17), 3), ((64, 64), 5)]
)
def test_levels_are_those_of_scipy(side, count):
    x, x_hat = pair(1, 2, 2, *side)
    found = laplacian_pyramid(x, x_hat)
    for t in range(2):
        wanted = sum(
            4**j * np.abs(level).sum()
            for c in range(2)
            for j, level in enumerate(pyramid((x - x_hat)[0, t, c].numpy(), count))
        )
        assert found[0, t].item() == pytest.approx(wanted, rel=1e-12)


def test_an_image_comes_back_from_its_levels():
    x = torch.rand(2, 1, 21, 16, dtype=torch.float64)
    levels = levels_of(x, 3)
    assert [tuple(level.shape[-2:]) for level in levels] == [(21, 16), (11, 8), (6, 4)]
    image = levels[-1]
    for level in reversed(levels[:-1]):
        # a pyramid of two levels whose details are 0 gives what the coarse one says
        zeros = torch.zeros_like(level)
        zeros[..., ::2, ::2] = image
        image = level + 4 * torch.as_tensor(
            np.stack([blurred(one[0].numpy()) for one in zeros])[:, None]
        )
    torch.testing.assert_close(image, x)


def test_one_level_is_the_absolute_error():
    x, x_hat = pair()
    torch.testing.assert_close(laplacian_pyramid(x, x_hat, levels=1), absolute(x, x_hat))


def test_a_constant_error_is_in_the_last_level_alone():
    *details, last = levels_of(torch.ones(1, 1, 32, 32, dtype=torch.float64), 4)
    for level in details:
        assert level[..., 2:-2, 2:-2].abs().max() < 1e-12
    torch.testing.assert_close(last, torch.ones_like(last))


def test_blur_costs_more_of_a_pyramid_than_a_shade_that_costs_as_much_absolutely():
    checks = (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).double()[None, None, None]
    grey = torch.full_like(checks, 0.5)
    darker = checks - 0.5
    assert absolute(checks, grey) == absolute(checks, darker)
    fine = levels_of((checks - grey)[0], 3)[0].abs().sum()
    flat = levels_of((checks - darker)[0], 3)[0][..., 2:-2, 2:-2].abs().sum()
    assert fine > 100
    assert flat < 1e-9


@pytest.mark.parametrize("shape", [(6,), (3, 7, 8), (1, 8, 7)])
def test_frames_that_are_no_images_or_too_small_have_no_pyramid(shape):
    with pytest.raises(OptionError, match=r"wanted images \[C, H, W\] of 8 x 8"):
        laplacian_pyramid(*pair(1, 1, *shape))


def test_more_levels_than_an_image_has_are_refused_at_the_option():
    with pytest.raises(OptionError, match=r"levels is 4, .* have 3 at most") as caught:
        laplacian_pyramid(*pair(1, 1, 1, 16, 20), levels=4)
    assert caught.value.option == "levels"
    laplacian_pyramid(*pair(1, 1, 1, 16, 20), levels=3)


@pytest.mark.parametrize("cost", [squared_error, absolute])
@pytest.mark.parametrize("last", [True, False])
def test_gradients_of_some_steps_lie_in_memory_as_the_decoded_frames_do(cost, last):
    """Else they would be copied on the way back through every channels-last net."""
    batch, length, channels, height, width = SHAPE
    frames = torch.rand(2, batch, length, height, width, channels).permute(0, 1, 2, 5, 3, 4)
    steps_K = torch.tensor([0, 2])
    x_BT = frames[0] if last else frames[0].contiguous()
    x_hat_BK = frames[1][:, :2].requires_grad_()
    lengths_B = torch.full((batch,), length)
    seen = []
    decoded_BK = x_hat_BK * 1.0
    decoded_BK.register_hook(lambda gradient: seen.append(gradient.stride()))
    masked_cost(cost, Pass(x_BT, decoded_BK, steps_K, lengths_B, None)).backward()
    assert seen[0][2:] == frames[0].stride()[2:]


@pytest.mark.parametrize(
    "layout",
    [
        torch.clone,
        lambda x_BT: x_BT.movedim(2, -1).contiguous().movedim(-1, 2),  # channels-last
        lambda x_BT: x_BT.transpose(0, 1).contiguous().transpose(0, 1),  # steps first
        lambda x_BT: x_BT[:1, :, :, :1].expand(2, -1, -1, 9, -1),
    ],
)
def test_the_cost_of_some_steps_is_that_of_their_frames_however_they_lie(layout):
    frames_BT, x_hat_BT = pair()
    x_BT, steps_K = layout(frames_BT), torch.tensor([0, 2])
    passed = Pass(x_BT, x_hat_BT[:, steps_K], steps_K, torch.full((2,), 3), None)
    expected_BT = (x_BT - x_hat_BT).square().sum((2, 3, 4))
    torch.testing.assert_close(
        masked_cost(squared_error, passed), expected_BT[:, steps_K].sum(1).mean() * 3 / 2
    )
