"""Priors of static and dynamic codes; what holds of all of them, the property kit tries.

Shapes: B batch, T time, K components, D code width, S width of the state.
"""

import math

import pytest
import torch
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior
from genzoo_rwae_plugins.priors.gru import GruPrior
from genzoo_rwae_plugins.priors.linear import LinearPrior
from genzoo_rwae_plugins.priors.lstm import LstmPrior
from genzoo_rwae_plugins.priors.markov import IidPrior, RandomWalkPrior
from genzoo_rwae_plugins.priors.mixture import GaussianMixture, MixturePrior
from genzoo_rwae_plugins.priors.transformer import TransformerPrior
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from genzoo_rwae.codes import DiagonalGaussian, draw_mean, draw_sample
from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import check_prior

SHARED = [HealthCheck.function_scoped_fixture]  # it makes a prior anew whenever it is called
NETS = {"lstm": LstmPrior, "gru": GruPrior, "transformer": TransformerPrior}


@pytest.fixture(params=NETS.values(), ids=NETS)
def lively(request):
    """Priors over a net, whose laws depend on the past enough to see it."""

    def make(size=3, **options):
        torch.manual_seed(0)
        prior = request.param(size, hidden=8, **options)
        for parameter in prior.parameters():
            torch.nn.init.normal_(parameter)
        return prior

    return make


def test_static_prior_is_the_standard_normal():
    law = GaussianPrior(3).law(4)
    assert torch.equal(law.mean, torch.zeros(4, 3))
    assert torch.equal(law.sd, torch.ones(4, 3))


def test_static_prior_has_nothing_to_learn():
    assert list(GaussianPrior(3).parameters()) == []


@pytest.mark.parametrize("first", ["standard", "learnt"])
def test_teacher_forced_laws_agree_with_the_rolled_out_path(lively, first):
    prior = lively(first=first)
    path = prior.roll_out(4, 7, draw_mean)
    law, state = prior.along(path)
    torch.testing.assert_close(law.mean, path)
    assert law.mean.shape == law.log_variance.shape == (4, 7, 3)
    assert state.shape == (4, 7, 8)
    assert path[:, 1:].std() > 0.1  # or there were nothing to agree on


def test_draws_of_the_rolled_out_path_come_from_its_laws(lively):
    prior = lively()
    seen = []

    def draw(law):
        seen.append(law)
        return law.sample(torch.Generator().manual_seed(len(seen)))

    path = prior.roll_out(4, 5, draw)
    law = prior.along(path)[0]
    for t, rolled in enumerate(seen):
        torch.testing.assert_close(rolled.mean[:, 0], law.mean[:, t])
        torch.testing.assert_close(rolled.log_variance[:, 0], law.log_variance[:, t])


def test_law_of_a_step_sees_only_what_came_before(lively):
    prior, z = lively(), torch.randn(2, 6, 3)
    other = z.clone()
    other[:, 3] += 1
    before, after = prior.along(z)[0].mean, prior.along(other)[0].mean
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


def test_first_law_is_standard_normal(lively):
    law = lively(first="standard").along(torch.randn(4, 3, 3))[0]
    assert (law.mean[:, 0] == 0).all()
    assert (law.log_variance[:, 0] == 0).all()
    assert (law.mean[:, 1:] != 0).all()
    assert (law.log_variance[:, 1:] != 0).all()


def test_learnt_first_law_is_the_same_for_all_and_not_standard(lively):
    law = lively(first="learnt").along(torch.randn(4, 3, 3))[0]
    assert (law.mean[:, 0] == law.mean[:1, 0]).all()
    assert (law.mean[:, 0] != 0).all()


@settings(max_examples=15, deadline=None, suppress_health_check=SHARED)
@given(
    size=st.floats(0, 6),
    bound=st.floats(0.1, 10),
    sds=st.tuples(st.floats(0.01, 1.0), st.floats(1.0, 5.0)),
)
def test_means_and_sds_stay_within_bounds_whatever_is_fed_in(lively, size, bound, sds):
    prior = lively(bound=bound, smallest_sd=sds[0], largest_sd=sds[1], first="learnt")
    with torch.no_grad():
        prior.mean.weight *= 10**size
        prior.log_variance.weight *= 10**size
        law = prior.along(torch.randn(8, 6, 3) * 10**size)[0]
    assert law.mean.abs().max() <= bound * (1 + 1e-6)
    assert law.sd.min() >= sds[0] * (1 - 1e-5)
    assert law.sd.max() <= sds[1] * (1 + 1e-5)


def test_bounds_are_reached(lively):
    prior = lively(bound=2.0, smallest_sd=0.1, largest_sd=1.2, first="learnt")
    with torch.no_grad():
        prior.mean.weight *= 100
        prior.log_variance.weight *= 100
        if isinstance(prior, TransformerPrior):
            prior.layers.norm.bias.zero_()  # or its states have one side
    law = prior.along(torch.randn(50, 6, 3))[0]
    reached = torch.stack([law.mean.min(), law.mean.max(), law.sd.min(), law.sd.max()])
    torch.testing.assert_close(reached, torch.tensor([-2.0, 2.0, 0.1, 1.2]))


def test_laws_fed_with_extremes_have_finite_gradients(lively):
    prior = lively()
    law = prior.along(torch.randn(4, 6, 3) * 1e6)[0]
    (law.mean.sum() + law.log_variance.sum()).backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("first", ["standard", "learnt"])
@settings(max_examples=10, deadline=None, suppress_health_check=SHARED)
@given(head=st.integers(1, 9), tail=st.integers(1, 9))
def test_going_on_after_a_path_equals_rolling_out_in_one_go(lively, first, head, tail):
    prior = lively(first=first)
    whole = prior.roll_out(2, head + tail, draw_mean)
    start = prior.roll_out(2, head, draw_mean)
    torch.testing.assert_close(
        torch.cat([start, prior.roll_out(2, tail, draw_mean, start)], 1), whole
    )


@pytest.mark.parametrize("length", [1, 2, 33])
def test_paths_have_any_length(lively, length):
    path = lively().roll_out(3, length, draw_sample(torch.Generator().manual_seed(0)))
    assert path.shape == (3, length, 3)
    assert path.isfinite().all()


def test_paths_repeat_with_their_generator(lively):
    prior = lively()
    first, second, other = (
        prior.roll_out(3, 4, draw_sample(torch.Generator().manual_seed(seed))) for seed in (5, 5, 6)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("build", [*NETS.values(), MixturePrior, LinearPrior])
def test_sds_the_wrong_way_round_are_refused_at_the_option(build):
    with pytest.raises(OptionError, match=r"smallest_sd is 2\.0.*largest_sd: 1\.5") as caught:
        build(3, smallest_sd=2.0)
    assert caught.value.option == "smallest_sd"


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_every_parameter_of_the_dynamic_prior_gets_a_gradient(build, gradients):
    prior = build(3, hidden=8)
    law = prior.along(torch.randn(4, 5, 3))[0]
    for name, gradient in gradients(prior, law.mean + law.log_variance).items():
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 1e-7, name


def test_saved_weights_have_the_names_that_they_always_had():
    assert {name.partition(".")[0] for name in LstmPrior(3).state_dict()} == {
        "lstm", "mean", "log_variance",
    }  # fmt: skip


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_the_kit_holds_with_a_learnt_first_law_which_is_told_the_context(build):
    check_prior(build, hidden=8, first="learnt")


# -- transformer ------------------------------------------------------------------------------


def test_attention_reaches_the_first_code_from_far_away():
    prior = NETS["transformer"](2, hidden=8, layers=1)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    z = torch.randn(1, 40, 2)
    other = z.clone()
    other[:, 0] += 1.0
    gap = prior.along(other)[0].mean[:, -1] - prior.along(z)[0].mean[:, -1]
    assert gap.abs().max() > 1e-4


def test_attention_knows_the_order_of_the_past():
    prior = NETS["transformer"](2, hidden=8, layers=1)  # without positions one block would not
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    z = torch.randn(1, 6, 2)
    gap = prior.along(z[:, [1, 0, 2, 3, 4, 5]])[0].mean[:, -1] - prior.along(z)[0].mean[:, -1]
    assert gap.abs().max() > 1e-4


# -- Markov -----------------------------------------------------------------------------------


def many_paths(prior, length, count=20_000):
    with torch.no_grad():
        return prior.roll_out(count, length, draw_sample(torch.Generator().manual_seed(0)))


def test_variance_of_a_random_walk_grows_by_its_steps():
    path = many_paths(RandomWalkPrior(2, sd=0.5), 9)
    wanted = 1 + 0.25 * torch.arange(9.0)
    torch.testing.assert_close(path.var(0), wanted[:, None].expand(9, 2), rtol=0.05, atol=0)
    steps = path.diff(dim=1)
    torch.testing.assert_close(steps.std((0, 1)), torch.full((2,), 0.5), rtol=0.02, atol=0)


def test_steps_of_a_random_walk_learn_or_stay():
    learnt, fixed = RandomWalkPrior(3, sd=0.3), RandomWalkPrior(3, sd=0.3, step="fixed")
    for prior in (learnt, fixed):
        sd = prior.along(torch.randn(2, 4, 3))[0].sd
        torch.testing.assert_close(sd[:, 1:], torch.full((2, 3, 3), 0.3))
        assert (sd[:, 0] == 1).all()
    assert list(fixed.parameters()) == []
    z = torch.cumsum(0.8 * torch.randn(500, 6, 3), 1)
    optimizer = torch.optim.Adam(learnt.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        (-learnt.log_density(z).mean()).backward()
        optimizer.step()
    found = learnt.along(z)[0].sd[0, 1]
    torch.testing.assert_close(found, torch.full((3,), 0.8), rtol=0.05, atol=0)


def test_the_steps_of_a_random_walk_are_a_tenth_to_ten_times_their_sd():
    prior = RandomWalkPrior(2, sd=0.3)
    with torch.no_grad():
        prior.said.copy_(torch.tensor([-1e3, 1e3]))
        sd_D = prior.along(torch.zeros(1, 2, 2))[0].sd[0, 1]
    torch.testing.assert_close(sd_D, torch.tensor([0.03, 3.0]))


@settings(max_examples=25, deadline=None)
@given(radius=st.floats(0.05, 1.0), size=st.floats(-2, 3), width=st.integers(1, 6))
def test_no_eigenvalue_of_linear_dynamics_leaves_its_disc(radius, size, width):
    torch.manual_seed(1)
    prior = LinearPrior(width, radius=radius)
    with torch.no_grad():
        prior.free.copy_(10**size * torch.randn(width, width))
    assert prior.eigenvalues().abs().max() <= radius * (1 + 1e-5)
    singular = torch.linalg.svdvals(prior.transition_matrix())
    assert singular.max() <= radius * (1 + 1e-5)


def test_eigenvalues_are_those_of_the_transition_and_sorted():
    prior = LinearPrior(2)
    angle = 0.4
    turning = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    with torch.no_grad():
        prior.free.copy_(0.8 * turning)
    found = prior.eigenvalues()
    torch.testing.assert_close(found.abs(), torch.full((2,), 0.8))
    torch.testing.assert_close(found.angle().abs(), torch.full((2,), angle))
    with torch.no_grad():
        prior.free.copy_(torch.tensor([[0.2, 0.0], [5.0, -0.7]]) / 10)
    torch.testing.assert_close(prior.eigenvalues().real, torch.tensor([-0.07, 0.02]))


def test_linear_dynamics_are_learnt_from_paths():
    truth, prior = LinearPrior(2, sd=0.2), LinearPrior(2)
    wanted = torch.tensor([[0.8, -0.3], [0.3, 0.8]])
    with torch.no_grad():
        truth.free.copy_(wanted)
    z = many_paths(truth, 6, count=500)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    for _ in range(250):
        optimizer.zero_grad()
        (-prior.log_density(z).mean()).backward()
        optimizer.step()
    torch.testing.assert_close(prior.transition_matrix().detach(), wanted, atol=0.05, rtol=0)
    torch.testing.assert_close(
        prior.along(z)[0].sd[0, 1].detach(), torch.full((2,), 0.2), rtol=0.05, atol=0
    )


def test_linear_paths_settle_where_lyapunov_says():
    """At rest the covariance is Σ = A Σ Aᵀ + σ² I, by scipy."""
    from scipy.linalg import solve_discrete_lyapunov

    prior = LinearPrior(2, radius=0.9, sd=0.4)
    path = many_paths(prior, 60)
    transition = prior.transition_matrix().detach().double().numpy()
    wanted = solve_discrete_lyapunov(transition, 0.16 * torch.eye(2).double().numpy())
    found = torch.cov(path[:, -1].T).double()
    torch.testing.assert_close(found, torch.as_tensor(wanted), rtol=0.06, atol=0.02)


def test_the_context_pushes_linear_dynamics_at_every_step_but_the_first():
    prior, z = LinearPrior(2, 3), torch.randn(3, 4, 2)
    pushed, free = prior.along(z, torch.eye(3))[0].mean, prior.along(z)[0].mean
    wanted = prior.push.weight.T[:, None].expand(3, 3, 2)
    torch.testing.assert_close((pushed - free)[:, 1:], wanted)
    assert (pushed[:, 0] == 0).all()


def test_pushes_add_up_at_radius_one_and_stay_bounded_below_it():
    for radius, wanted in ((1.0, 400.0), (0.9, 1 / (1 - 0.9))):
        prior = LinearPrior(1, 1, radius=radius)
        with torch.no_grad():
            prior.free.fill_(2.0)
            prior.push.weight.fill_(1.0)
            start, told = torch.zeros(1, 1, 1), torch.ones(1, 1)
            path = prior.roll_out(1, 400, draw_mean, start, told)
        assert path[0, -1].item() == pytest.approx(wanted, rel=1e-4)


def test_independent_codes_are_standard_normal_whatever_came_before():
    prior = IidPrior(3)
    law, state = prior.along(100 * torch.randn(2, 5, 3))
    assert torch.equal(law.mean, torch.zeros(2, 5, 3))
    assert torch.equal(law.sd, torch.ones(2, 5, 3))
    assert torch.equal(state, torch.zeros(2, 5, 1))
    assert list(prior.parameters()) == []
    path = many_paths(prior, 3)
    assert torch.corrcoef(path.flatten(1).T).fill_diagonal_(0).abs().max() < 0.03


# -- mixture ----------------------------------------------------------------------------------


def mixture(rows=5, components=3, size=2):
    return GaussianMixture(
        torch.randn(1, components, dtype=torch.float64).expand(rows, -1),
        torch.randn(components, size, dtype=torch.float64).expand(rows, -1, -1),
        torch.randn(components, size, dtype=torch.float64).expand(rows, -1, -1) - 1,
    )


def theirs(law):
    components = Independent(Normal(law.mean, (0.5 * law.log_variance).exp()), 1)
    return MixtureSameFamily(Categorical(logits=law.logits), components)


def test_density_and_mean_of_a_mixture_are_torchs():
    law, z = mixture(), torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(law.log_density(z), theirs(law).log_prob(z))
    torch.testing.assert_close(law.typical(), theirs(law).mean)


def test_samples_of_a_mixture_have_its_moments():
    law = mixture(rows=40_000)
    z = law.sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), theirs(law).mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(z.var(0), theirs(law).variance[0], rtol=0.03, atol=0)


def test_a_sample_pulls_at_the_component_that_it_came_from_and_at_no_other():
    leaf = torch.tensor([[[-50.0], [50.0]]]).expand(20, -1, -1).clone().requires_grad_()
    log_variance = torch.zeros(20, 2, 1, requires_grad=True)
    logits = torch.zeros(20, 2, requires_grad=True)
    law = GaussianMixture(logits, leaf, log_variance)
    z = law.sample(torch.Generator().manual_seed(0))
    z.sum().backward()
    right = (z[:, 0] > 0).long()
    assert 0 < right.sum() < 20
    rows = torch.arange(20)
    assert torch.equal(leaf.grad[rows, right], torch.ones(20, 1))
    assert torch.equal(leaf.grad[rows, 1 - right], torch.zeros(20, 1))
    centre = torch.tensor([-50.0, 50.0])[right][:, None]
    torch.testing.assert_close(log_variance.grad[rows, right], (z.detach() - centre) / 2)
    assert torch.equal(log_variance.grad[rows, 1 - right], torch.zeros(20, 1))
    assert (logits.grad[:, 1] > 0).all()  # straight-through: more weight to the right


def test_density_of_a_mixture_pulls_at_everything_it_has():
    prior = MixturePrior(2, components=3)
    prior.law(20).log_density(torch.randn(20, 2)).sum().backward()
    for name, parameter in prior.named_parameters():
        assert (parameter.grad != 0).all(), name


def test_a_mixture_learns_clusters():
    torch.manual_seed(0)
    prior = MixturePrior(2, components=2)
    z = torch.tensor([[-1.5, 0.0], [1.5, 1.0]]).repeat(200, 1) + 0.2 * torch.randn(400, 2)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (-prior.law(400).log_density(z).mean()).backward()
        optimizer.step()
    law = prior.law(1)
    means = law.mean[0][law.mean[0, :, 0].argsort()]
    torch.testing.assert_close(means, torch.tensor([[-1.5, 0.0], [1.5, 1.0]]), atol=0.1, rtol=0)
    sd = (0.5 * law.log_variance).exp()[0]
    torch.testing.assert_close(sd, torch.full((2, 2), 0.2), rtol=0.15, atol=0)


def test_a_new_mixture_has_about_unit_variance_in_several_modes():
    law = MixturePrior(16, components=50).law(1)
    variance = theirs(law).variance
    assert variance.mean().item() == pytest.approx(1, abs=0.1)
    assert (law.log_variance.exp() < 0.2).all()


def test_means_and_sds_of_a_mixture_stay_within_bounds():
    prior = MixturePrior(3, bound=2.0, smallest_sd=0.1, largest_sd=0.5)
    with torch.no_grad():
        prior.mean.mul_(1e4)
        prior.log_variance.copy_(1e4 * torch.randn(10, 3))
    law = prior.law(2)
    sd = (0.5 * law.log_variance).exp()
    reached = torch.stack([law.mean.min(), law.mean.max(), sd.min(), sd.max()])
    torch.testing.assert_close(reached, torch.tensor([-2.0, 2.0, 0.1, 0.5]))


def test_a_mixture_is_no_gaussian_law():
    assert not isinstance(MixturePrior(3).law(2), DiagonalGaussian)
