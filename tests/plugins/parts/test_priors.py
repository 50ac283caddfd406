"""Priors of static and dynamic codes.

Shapes: B batch, T time, D code width, S width of the state.
"""

import pytest
import torch
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior
from genzoo_rwae_plugins.priors.lstm import LstmPrior
from hypothesis import given, settings
from hypothesis import strategies as st

from genzoo_rwae.codes import draw_mean, draw_sample
from genzoo_rwae.errors import OptionError


def lively(size=3, **options):
    """A prior whose laws depend on the past enough to see it."""
    torch.manual_seed(0)
    prior = LstmPrior(size, hidden=5, **options)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter)
    return prior


def test_static_prior_is_the_standard_normal():
    law = GaussianPrior(3).law(4)
    assert torch.equal(law.mean, torch.zeros(4, 3))
    assert torch.equal(law.sd, torch.ones(4, 3))


def test_static_prior_has_nothing_to_learn():
    assert list(GaussianPrior(3).parameters()) == []


@pytest.mark.parametrize("first", ["standard", "learnt"])
def test_teacher_forced_laws_agree_with_the_rolled_out_path(first):
    prior = lively(first=first)
    path = prior.roll_out(4, 7, draw_mean)
    law, state = prior.along(path)
    torch.testing.assert_close(law.mean, path)
    assert law.mean.shape == law.log_variance.shape == (4, 7, 3)
    assert state.shape == (4, 7, 5)
    assert path[:, 1:].std() > 0.1  # or there were nothing to agree on


def test_draws_of_the_rolled_out_path_come_from_its_laws():
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


def test_law_of_a_step_sees_only_what_came_before():
    prior, z = lively(), torch.randn(2, 6, 3)
    other = z.clone()
    other[:, 3] += 1
    before, after = prior.along(z)[0].mean, prior.along(other)[0].mean
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


def test_first_law_is_standard_normal():
    law = lively(first="standard").along(torch.randn(4, 3, 3))[0]
    assert (law.mean[:, 0] == 0).all()
    assert (law.log_variance[:, 0] == 0).all()
    assert (law.mean[:, 1:] != 0).all()
    assert (law.log_variance[:, 1:] != 0).all()


def test_learnt_first_law_is_the_same_for_all_and_not_standard():
    law = lively(first="learnt").along(torch.randn(4, 3, 3))[0]
    assert (law.mean[:, 0] == law.mean[:1, 0]).all()
    assert (law.mean[:, 0] != 0).all()


@settings(max_examples=40, deadline=None)
@given(
    size=st.floats(0, 6),
    bound=st.floats(0.1, 10),
    sds=st.tuples(st.floats(0.01, 1.0), st.floats(1.0, 5.0)),
)
def test_means_and_sds_stay_within_bounds_whatever_is_fed_in(size, bound, sds):
    prior = lively(bound=bound, smallest_sd=sds[0], largest_sd=sds[1], first="learnt")
    with torch.no_grad():
        prior.mean.weight *= 10**size
        prior.log_variance.weight *= 10**size
        law = prior.along(torch.randn(8, 6, 3) * 10**size)[0]
    assert law.mean.abs().max() <= bound * (1 + 1e-6)
    assert law.sd.min() >= sds[0] * (1 - 1e-5)
    assert law.sd.max() <= sds[1] * (1 + 1e-5)


def test_bounds_are_reached():
    prior = lively(bound=2.0, smallest_sd=0.1, largest_sd=1.2, first="learnt")
    with torch.no_grad():
        prior.mean.weight *= 100
        prior.log_variance.weight *= 100
    law = prior.along(torch.randn(50, 6, 3))[0]
    reached = torch.stack([law.mean.min(), law.mean.max(), law.sd.min(), law.sd.max()])
    torch.testing.assert_close(reached, torch.tensor([-2.0, 2.0, 0.1, 1.2]))


def test_laws_fed_with_extremes_have_finite_gradients():
    prior = lively()
    law = prior.along(torch.randn(4, 6, 3) * 1e6)[0]
    (law.mean.sum() + law.log_variance.sum()).backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("first", ["standard", "learnt"])
@settings(max_examples=25, deadline=None)
@given(head=st.integers(1, 9), tail=st.integers(1, 9))
def test_going_on_after_a_path_equals_rolling_out_in_one_go(first, head, tail):
    prior = lively(first=first)
    whole = prior.roll_out(2, head + tail, draw_mean)
    start = prior.roll_out(2, head, draw_mean)
    torch.testing.assert_close(
        torch.cat([start, prior.roll_out(2, tail, draw_mean, start)], 1), whole
    )


@pytest.mark.parametrize("length", [1, 2, 33])
def test_paths_have_any_length(length):
    path = lively().roll_out(3, length, draw_sample(torch.Generator().manual_seed(0)))
    assert path.shape == (3, length, 3)
    assert path.isfinite().all()


def test_paths_repeat_with_their_generator():
    prior = lively()
    first, second, other = (
        prior.roll_out(3, 4, draw_sample(torch.Generator().manual_seed(seed))) for seed in (5, 5, 6)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_sds_the_wrong_way_round_are_refused_at_the_option():
    with pytest.raises(OptionError, match=r"smallest_sd is 2\.0.*largest_sd: 1\.5") as caught:
        LstmPrior(3, smallest_sd=2.0)
    assert caught.value.option == "smallest_sd"


def test_every_parameter_of_the_dynamic_prior_gets_a_gradient(gradients):
    prior = LstmPrior(3, hidden=5)
    law = prior.along(torch.randn(4, 5, 3))[0]
    for name, gradient in gradients(prior, law.mean + law.log_variance).items():
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 1e-7, name
