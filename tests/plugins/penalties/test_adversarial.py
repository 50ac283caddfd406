"""Penalties with a critic: gan, wgan-gp, scaled-mmd.

Shapes: T time, N rows, D code width.
"""

import copy

import pytest
import torch
from genzoo_rwae_kernels import mmd2_unbiased
from genzoo_rwae_plugins.kernels.radial import Imq, Rbf
from genzoo_rwae_plugins.penalties.gan import Gan
from genzoo_rwae_plugins.penalties.scaled_mmd import ScaledMmd
from genzoo_rwae_plugins.penalties.wgan_gp import WganGp
from torch import nn
from torch.func import functional_call, jacrev, vmap

from genzoo_rwae.adversarial import AdversarialPenalty

BUILDS = (Gan, WganGp, ScaledMmd)
every_build = pytest.mark.parametrize("build", BUILDS)


def made(build, width=2, *, seed=0, **options):
    torch.manual_seed(seed)
    return build(width, **{"hidden": 24, "layers": 2} | options)


def linear(build, weight, **options):
    """A penalty whose critic is z -> w'z (+ 0)."""
    penalty = made(build, len(weight), **options)
    net = nn.Linear(len(weight), 1).double()
    net.weight.data = torch.tensor([weight], dtype=torch.float64)
    net.bias.data.zero_()
    penalty.critic.net = nn.Sequential(net)
    return penalty


def two(n=40, d=2, shift=1.0, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(n, d, generator=generator, dtype=dtype) * 0.6 + shift
    return q, torch.randn(n, d, generator=generator, dtype=dtype)


def train_critic(penalty, draw, steps, rate=5e-3):
    optimizer = torch.optim.Adam(penalty.parameters(), lr=rate, betas=penalty.critic_betas)
    losses = []
    for _ in range(steps):
        loss = penalty.critic_loss(*draw())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@every_build
def test_settings_of_the_critics_optimiser_are_options(build):
    penalty = made(build, lr=0.02, betas=(0.1, 0.2), updates=7)
    assert isinstance(penalty, AdversarialPenalty)
    assert penalty.critic_lr == 0.02
    assert penalty.critic_betas == (0.1, 0.2)
    assert penalty.critic_steps == 7


def test_wasserstein_critics_take_several_steps_for_one_of_the_model():
    assert [made(build).critic_steps for build in BUILDS] == [1, 5, 5]


@every_build
def test_the_net_has_the_layers_that_were_asked_for(build):
    penalty = made(build, 3, hidden=11, layers=4)
    sizes = [(p.in_features, p.out_features) for p in penalty.modules() if type(p) is nn.Linear]
    assert sizes == [(3, 11), (11, 11), (11, 11), (11, 11), (11, 1)]


@every_build
def test_the_critics_loss_falls(build):
    torch.manual_seed(0)
    penalty = made(build)
    losses = train_critic(penalty, two, 60)
    assert sum(losses[-10:]) / 10 < losses[0] - 0.01


@every_build
@pytest.mark.parametrize("options", [{}, {"spectral": True}])
def test_every_weight_of_the_critic_gets_a_gradient(build, options):
    if build is WganGp and options:
        return
    penalty = made(build, **options)
    penalty.critic_loss(*two()).backward()
    for name, parameter in penalty.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_build
def test_the_model_gets_a_gradient_through_a_frozen_critic_and_the_critic_none(build):
    penalty = made(build)
    for parameter in penalty.parameters():
        parameter.requires_grad_(False)
    q, p = (x.requires_grad_() for x in two())
    penalty(q, p).backward()
    assert (q.grad != 0).any()
    assert (p.grad != 0).any()  # priors may be learnt
    assert all(parameter.grad is None for parameter in penalty.parameters())


@every_build
def test_codes_without_a_graph_are_enough_for_the_critic(build):
    penalty = made(build, **({"r1": 1.0} if build is Gan else {}))
    q, p = two()
    penalty.critic_loss(q, p).backward()
    assert not q.requires_grad


@every_build
def test_wider_codes_than_the_critics_float32_are_taken(build):
    penalty = made(build)
    q, p = two(dtype=torch.float64)
    q.requires_grad_()
    value = penalty(q, p)
    assert value.dtype == torch.float64
    value.backward()
    assert q.grad.dtype == torch.float64
    assert penalty.critic_loss(q.detach(), p).isfinite()


@every_build
def test_a_copy_and_a_saved_state_say_the_same(build):
    options = {} if build is WganGp else {"spectral": True}
    penalty, other = made(build, **options), made(build, seed=1, **options)
    train_critic(penalty, two, 3)
    other.load_state_dict(penalty.state_dict())
    again = copy.deepcopy(penalty)
    for x in (penalty, other, again):
        x.eval()
    assert penalty(*two()) == other(*two()) == again(*two())


def exchanged():
    """Two steps with their laws exchanged: only together are they alike."""
    shift = torch.tensor([-1.0, 1.0])[:, None, None]
    return 0.3 * torch.randn(2, 48, 1) + shift, 0.3 * torch.randn(2, 48, 1) - shift


@pytest.mark.parametrize(("build", "options"), [(Gan, {}), (WganGp, {"sided": "one"})])
def test_a_critic_that_is_told_the_step_tells_steps_apart(build, options):
    losses = {}
    for steps in ("told", "pooled"):
        penalty = made(build, 1, steps=steps, **options)
        losses[steps] = sum(train_critic(penalty, exchanged, 100)[-20:]) / 20
    assert losses["told"] < losses["pooled"] - 0.3


def test_features_that_are_blind_to_the_step_are_still_compared_step_by_step():
    penalty = made(ScaledMmd, 1, steps="pooled")
    assert sum(train_critic(penalty, exchanged, 60)[-20:]) / 20 < -0.1


@every_build
def test_a_told_critic_takes_rows_without_steps_as_the_first(build):
    penalty = made(build, steps="told")
    q, p = two()
    torch.testing.assert_close(penalty(q, p), penalty(q[None], p[None])[0])
    assert penalty(q, p) != penalty(q.expand(3, -1, -1), p.expand(3, -1, -1))[2]


@pytest.mark.parametrize(
    ("build", "width", "rate", "options"),
    [
        (Gan, 1, 0.2, {"r1": 0.5}),
        (Gan, 2, 0.2, {"spectral": True}),
        (WganGp, 1, 0.05, {"sided": "one"}),
        (ScaledMmd, 1, 0.8, {}),
    ],
)
def test_free_codes_and_critic_in_turn_end_at_the_prior(build, width, rate, options):
    torch.manual_seed(0)
    penalty = made(build, width, **options)
    z = (1.5 + 0.4 * torch.randn(64, width)).requires_grad_()
    critic = torch.optim.Adam(penalty.parameters(), lr=5e-3, betas=(0.5, 0.9))
    codes = torch.optim.SGD([z], lr=rate * 64)  # z moves by `rate` times the critic's slope
    means, sds = [], []
    for step in range(120):
        for _ in range(2):
            critic.zero_grad()
            penalty.critic_loss(z.detach(), torch.randn(64, width)).backward()
            critic.step()
        codes.zero_grad()
        penalty(z, torch.randn(64, width)).backward()
        codes.step()
        if step >= 80:
            means.append(z.detach().mean(0)), sds.append(z.detach().std(0))
    # the players circle around the goal, which is the mean of their way
    assert torch.stack(means).mean(0).abs().max() < 0.3
    sd = torch.stack(sds).mean(0)
    assert 0.7 < sd.min() <= sd.max() < 1.3


# gan


def test_gan_is_two_logistic_losses_by_hand():
    gan = linear(Gan, [1.0, -2.0])
    q, p = two(dtype=torch.float64)
    h_q, h_p = q @ gan.critic.net[0].weight[0], p @ gan.critic.net[0].weight[0]
    critic = -(h_p.sigmoid().log().mean() + (1 - h_q.sigmoid()).log().mean())
    model = -(h_q.sigmoid().log().mean() + (1 - h_p.sigmoid()).log().mean())
    torch.testing.assert_close(gan.critic_loss(q, p), critic)
    torch.testing.assert_close(gan(q, p), model)


def test_a_critic_that_knows_nothing_says_two_logarithms_of_two():
    gan = linear(Gan, [0.0, 0.0])
    q, p = two(dtype=torch.float64)
    assert gan(q, p).item() == pytest.approx(1.386294, abs=1e-6)
    assert gan.critic_loss(q, p).item() == pytest.approx(1.386294, abs=1e-6)


def test_gan_does_not_saturate():
    """Far codes of a sure critic are pulled as hard as can be: slope -|w| of s(-h)."""
    gan = linear(Gan, [1.0])
    q = torch.full((3, 1), -50.0, dtype=torch.float64, requires_grad=True)
    gan(q, torch.zeros(3, 1, dtype=torch.float64)).backward()
    torch.testing.assert_close(q.grad, torch.full_like(q, -1 / 3))


def jacobian_norms(penalty, z):
    weights = dict(penalty.critic.named_parameters())
    jacobian = vmap(jacrev(lambda x: functional_call(penalty.critic, weights, x[None])[0]))(z)
    return jacobian.square().sum((-2, -1))


def test_r1_is_half_the_squared_gradient_at_the_prior():
    with_r1, without = made(Gan, r1=3.0), made(Gan)
    q, p = two()
    gap = with_r1.critic_loss(q, p) - without.critic_loss(q, p)
    torch.testing.assert_close(gap, 1.5 * jacobian_norms(without, p).mean(), rtol=1e-4, atol=1e-6)
    by_hand = linear(Gan, [3.0, 4.0], r1=2.0)
    plain = linear(Gan, [3.0, 4.0])
    q, p = q.double(), p.double()
    gap = by_hand.critic_loss(q, p) - plain.critic_loss(q, p)
    assert gap.item() == pytest.approx(25)


def test_r1_is_no_part_of_what_the_model_minimises():
    q, p = two()
    assert made(Gan, r1=3.0)(q, p) == made(Gan)(q, p)


def test_r1_trains_the_weights():
    gan, plain = made(Gan, r1=50.0), made(Gan)
    for penalty in (gan, plain):
        train_critic(penalty, two, 100)
    _, p = two()
    assert jacobian_norms(gan, p).mean() < 0.3 * jacobian_norms(plain, p).mean()


@pytest.mark.parametrize("build", [Gan, ScaledMmd])
def test_spectral_normalisation_bounds_every_layer(build):
    bound, free = made(build, spectral=True), made(build)
    for penalty in (bound, free):
        train_critic(penalty, two, 60, rate=0.05)

    def largest(penalty):
        penalty.eval()
        layers = [m for m in penalty.critic.net if hasattr(m, "weight")]
        return [torch.linalg.matrix_norm(m.weight.detach(), ord=2).item() for m in layers]

    assert all(0.9 < norm < 1.1 for norm in largest(bound))
    assert max(largest(free)) > 1.3
    # leaky rectifiers stretch nothing, so the whole net is Lipschitz
    z, y = torch.randn(2, 500, 2)
    rise = (bound.critic(z) - bound.critic(y)).norm(dim=-1)
    assert (rise <= 1.1**3 * (z - y).norm(dim=-1)).all()


def test_gan_tells_shifted_gaussians_apart_as_well_as_can_be():
    """The best critic's loss is 2 ln 2 − 2 JS; for N(0, 1) and N(2, 1) by quadrature: 0.67."""
    torch.manual_seed(0)
    gan = made(Gan, 1)

    def draw():
        return torch.randn(256, 1) + 2, torch.randn(256, 1)

    losses = train_critic(gan, draw, 250)
    grid = torch.linspace(-10, 12, 20001, dtype=torch.float64)
    density_q, density_p = (torch.exp(-0.5 * (grid - m) ** 2) / 6.283185**0.5 for m in (2, 0))
    total = density_q + density_p
    best = -(density_q * (density_q / total).log() + density_p * (density_p / total).log())
    best = torch.trapezoid(best, grid).item()
    assert best == pytest.approx(0.67, abs=0.05)
    assert sum(losses[-50:]) / 50 == pytest.approx(best, abs=0.04)


# wgan-gp


def test_wgan_gp_of_a_linear_critic_by_hand():
    wgan = linear(WganGp, [3.0, 4.0], gradient_weight=2.0)
    q, p = two(dtype=torch.float64)
    rise = (p.mean(0) - q.mean(0)) @ torch.tensor([3.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(wgan(q, p), rise)
    torch.testing.assert_close(wgan.critic_loss(q, p), -rise + 2 * (5 - 1) ** 2)


def test_the_gradient_penalty_is_taken_between_the_rows_of_a_pair():
    wgan, without = made(WganGp), made(WganGp, gradient_weight=0.0)
    q, p = two()
    torch.manual_seed(3)
    gap = wgan.critic_loss(q, p) - without.critic_loss(q, p).detach()
    torch.manual_seed(3)
    u = torch.rand(40, 1)
    wanted = 10 * (jacobian_norms(wgan, u * p + (1 - u) * q).sqrt() - 1).square().mean()
    torch.testing.assert_close(gap, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("sided", "wanted"), [("two", 0.25), ("one", 0.0)])
def test_slopes_below_one_are_penalised_on_the_other_side_alone(sided, wanted):
    wgan = linear(WganGp, [0.3, -0.4], gradient_weight=1.0, sided=sided)
    q, p = two(dtype=torch.float64)
    assert (wgan.critic_loss(q, p) + wgan(q, p)).item() == pytest.approx(wanted, abs=1e-9)


def test_a_flat_critic_has_a_finite_gradient():
    wgan = linear(WganGp, [0.0, 0.0])
    loss = wgan.critic_loss(*two(dtype=torch.float64))
    assert loss.item() == pytest.approx(10)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in wgan.parameters() if p.grad is not None)


@pytest.mark.parametrize("sided", ["two", "one"])
def test_wgan_gp_estimates_the_distance_of_shifted_gaussians_and_pulls_along_it(sided):
    """W_1 of N(0, I) and N(δ, I) is ‖δ‖ = 2; the penalty lets slopes exceed 1 a little."""
    torch.manual_seed(0)
    wgan, shift = made(WganGp, sided=sided), torch.tensor([1.2, -1.6])

    def draw():
        return torch.randn(256, 2) + shift, torch.randn(256, 2)

    train_critic(wgan, draw, 200)
    estimate = sum(wgan(*draw()).item() for _ in range(20)) / 20
    assert 1.8 < estimate < 2.4
    q, p = draw()
    wgan(q.requires_grad_(), p).backward()
    assert torch.cosine_similarity(q.grad.mean(0), shift, dim=0) > 0.98
    assert q.grad.sum(0).norm().item() == pytest.approx(1, abs=0.2)  # the slope of f


# scaled-mmd


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("options", [{}, {"features": 3, "slope_weight": 2.5, "kernel": Imq()}])
def test_scaled_mmd_by_hand(paired, options):
    penalty = made(ScaledMmd, **options)
    q, p = two()
    kernel = options.get("kernel", Rbf(scales=(1.0,)))
    mmd2 = mmd2_unbiased(penalty.critic(q), penalty.critic(p), kernel, paired=paired)
    slope = jacobian_norms(penalty, p).mean()
    wanted = mmd2 / (1 + options.get("slope_weight", 10.0) * slope)
    torch.testing.assert_close(penalty(q, p, paired), wanted, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(penalty.critic_loss(q, p, paired), -wanted, rtol=1e-4, atol=1e-7)


def test_the_features_kernel_is_a_gaussian_of_unit_bandwidth():
    penalty = linear(ScaledMmd, [1.0], slope_weight=0.0)
    q = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    p = torch.tensor([[1.0], [1.0]], dtype=torch.float64)
    # within q exp(−2²/2), within p 1, across exp(−1/2)
    wanted = torch.exp(torch.tensor([-2.0, -0.5]))
    assert penalty(q, p).item() == pytest.approx((wanted[0] + 1 - 2 * wanted[1]).item(), rel=1e-6)


def test_the_slope_is_no_way_for_the_prior_to_lower_the_value():
    penalty = made(ScaledMmd)
    q, p = two()
    p.requires_grad_()
    scale = 1 + 10 * jacobian_norms(penalty, p.detach()).mean().detach()
    mmd2 = mmd2_unbiased(penalty.critic(q), penalty.critic(p), Rbf(scales=(1.0,)))
    (wanted,) = torch.autograd.grad(mmd2 / scale, p)
    (found,) = torch.autograd.grad(penalty(q, p), p)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-7)


def test_a_steeper_critic_gains_nothing():
    """MMD grows with the square of a small net's slope, and so does what it is divided by."""
    q, p = two(dtype=torch.float64)
    free = [linear(ScaledMmd, [w, 0.0], slope_weight=0.0)(q, p).item() for w in (0.01, 0.1, 1)]
    assert free[0] < 0.02 * free[1] < 0.02 * free[2]
    values = [linear(ScaledMmd, [w, 0.0])(q, p).item() for w in (0.3, 1.0, 10.0, 100.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0
