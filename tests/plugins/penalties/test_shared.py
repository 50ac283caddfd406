"""What all penalties have in common: steps, absent rows, dtypes, and where they pull.

Shapes: T time, N rows, D code width.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.penalties.energy import energy
from genzoo_rwae_plugins.penalties.gan import Gan
from genzoo_rwae_plugins.penalties.hsic import hsic
from genzoo_rwae_plugins.penalties.kl import aggregate_kl, kl
from genzoo_rwae_plugins.penalties.moment_matching import moment_matching
from genzoo_rwae_plugins.penalties.rows import rows_that_count
from genzoo_rwae_plugins.penalties.scaled_mmd import ScaledMmd
from genzoo_rwae_plugins.penalties.sinkhorn import sinkhorn
from genzoo_rwae_plugins.penalties.sliced_wasserstein import sliced_wasserstein
from genzoo_rwae_plugins.penalties.wgan_gp import WganGp

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.components import component_of
from genzoo_rwae.errors import OptionError

D = 3


def critic(build, **options):
    torch.manual_seed(7)
    return build(D, hidden=8, layers=2, **options)


def laws(compare, q, p, *extras):
    """The laws' log-variances follow from the means, so that rows differ in both."""
    q, p = (DiagonalGaussian(x, 0.5 * x.sin() - 1) for x in (q, p))
    return compare(q, p, *extras)


def weighted(compare, *before, **options):
    return lambda q, p, weights: compare(q, p, *before, weights, **options)


# name -> f(q, p, weights)
WEIGHTED = {
    "kl": lambda q, p, w: laws(kl, q, p, w),
    "energy": weighted(energy, False),
    "energy paired": weighted(energy, True),
    "energy biased": weighted(energy, False, estimator="biased"),
    "sinkhorn": weighted(sinkhorn),
    "moments": weighted(moment_matching),
    "variances": weighted(moment_matching, moments="variance"),
    "means to N(0, I)": weighted(moment_matching, moments="mean", reference="standard"),
    "hsic": weighted(hsic, 1),
    "hsic biased": weighted(hsic, 2, estimator="biased"),
    "gan": lambda q, p, w: critic(Gan)(q, p, w),
    "wgan-gp": lambda q, p, w: critic(WganGp)(q, p, w),
    "scaled-mmd": lambda q, p, w: critic(ScaledMmd, features=2)(q, p, False, w),
    "scaled-mmd paired": lambda q, p, w: critic(ScaledMmd, features=2)(q, p, True, w),
    "gan's critic": lambda q, p, w: critic(Gan, r1=2.0).critic_loss(q, p, w),
    "scaled-mmd's critic": lambda q, p, w: critic(ScaledMmd).critic_loss(q, p, False, w),
}
RANDOM = {
    "aggregate-kl": lambda q, p, w: laws(aggregate_kl, q, p, w),
    "wgan-gp's critic": lambda q, p, w: critic(WganGp).critic_loss(q, p, w),
}
PLAIN = {
    "sliced-wasserstein": lambda q, p, w: seeded(sliced_wasserstein, q, p),
    "sliced-wasserstein, power 1": lambda q, p, w: seeded(sliced_wasserstein, q, p, power=1.0),
}
EVERY = WEIGHTED | RANDOM | PLAIN
COMPONENTS = (
    kl, aggregate_kl, hsic, energy, sinkhorn, moment_matching, sliced_wasserstein,
    Gan, WganGp, ScaledMmd,
)  # fmt: skip


def seeded(compare, *samples, **options):
    torch.manual_seed(3)
    return compare(*samples, **options)


def samples(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(shape, generator=generator, dtype=dtype) * 0.7 + 0.5
    return q, torch.randn(shape, generator=generator, dtype=dtype)


def is_critic(name):
    return name.endswith("critic")


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_penalty_takes_steps_and_only_kl_is_a_mean_over_rows(component):
    record = component_of(component)
    assert record.batched
    assert record.batch_coupled == (component is not kl)


@pytest.mark.parametrize("name", WEIGHTED | PLAIN)
def test_steps_are_what_they_are_one_by_one(name):
    q, p = samples(4, 7, D)
    alone = torch.stack([EVERY[name](q[t], p[t], None) for t in range(4)])
    together = EVERY[name](q, p, None)
    wanted = alone.mean() if is_critic(name) else alone
    torch.testing.assert_close(together, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_rows_of_weight_zero_are_absent(name, scale):
    q, p = samples(2, 9, D)
    there = torch.tensor([[1, 1, 0, 1, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1, 1, 0, 1]]).bool()
    q[~there], p[~there] = 40.0, -30.0
    found = EVERY[name](q, p, there * scale)
    alone = torch.stack([EVERY[name](q[t, there[t]], p[t, there[t]], None) for t in range(2)])
    wanted = alone.mean() if is_critic(name) else alone
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", WEIGHTED | RANDOM)
def test_absent_rows_have_no_gradient_and_the_others_a_finite_one(name):
    q, p = (x.requires_grad_() for x in samples(2, 6, D))
    there = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    value = EVERY[name](q, p, there.double()).sum()
    if not is_critic(name):
        (gradient,) = torch.autograd.grad(value, [q])
        assert gradient.isfinite().all()
        assert (gradient[0, 4:] == 0).all()
        assert (gradient[0, :4] != 0).any()


@pytest.mark.parametrize("name", WEIGHTED | RANDOM)
def test_weights_of_one_are_as_none(name):
    q, p = samples(2, 6, D)
    torch.manual_seed(0)
    wanted = EVERY[name](q, p, None)
    torch.manual_seed(0)
    torch.testing.assert_close(EVERY[name](q, p, torch.ones(6)), wanted)


@pytest.mark.parametrize("name", WEIGHTED | RANDOM)
def test_steps_without_rows_count_nothing(name):
    q, p = (x.requires_grad_() for x in samples(2, 6, D))
    there = torch.tensor([[1.0] * 6, [0.0] * 6])
    torch.manual_seed(0)
    found = EVERY[name](q, p, there)
    if is_critic(name):
        torch.manual_seed(0)
        wanted = EVERY[name](q[:1], p[:1], None)
        if name not in RANDOM:  # which draws for the second step as well
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
        return
    assert found[1] == 0
    assert found[0] != 0
    assert (torch.autograd.grad(found.sum(), q)[0][1] == 0).all()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_precision_enough(name, dtype):
    q, p = samples(8, D, dtype=dtype)
    torch.manual_seed(0)
    value = EVERY[name](q, p, None)
    if not is_critic(name):
        assert value.dtype == dtype
    assert value.isfinite()
    if dtype == torch.float32 and name in WEIGHTED:
        wide = EVERY[name](q.double(), p.double(), None)
        assert value.item() == pytest.approx(wide.item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in WEIGHTED | PLAIN if name != "kl"])
def test_samples_of_integers_or_of_two_widths_are_refused(name):
    q, p = samples(6, D)
    with pytest.raises(TypeError, match="wanted a floating dtype"):
        EVERY[name](q.long(), p.long(), None)
    if not name.startswith("hsic"):
        with pytest.raises(ValueError, match="wanted one width"):
            EVERY[name](q, p[:, :2], None)


@pytest.mark.parametrize("name", ["energy", "sinkhorn", "gan", "scaled-mmd", "moments"])
def test_samples_may_differ_in_size(name):
    (q, p), (more, _) = samples(6, D), samples(60, D, seed=1)
    assert EVERY[name](q, torch.cat([p, more]), None).isfinite()


@pytest.mark.parametrize("name", ["wgan-gp", "wgan-gp's critic", "sliced-wasserstein"])
def test_samples_of_unequal_size_are_refused_where_rows_are_matched(name):
    q, p = samples(6, D)
    with pytest.raises(ValueError, match="6 rows of q and 5 of p; wanted equal numbers"):
        EVERY[name](q, p[:5], None)


@pytest.mark.parametrize(
    ("name", "option", "needs"),
    [
        ("energy", "estimator", 2),
        ("scaled-mmd", None, 2),
        ("moments", "moments", 2),
        ("variances", "moments", 2),
        ("hsic", "estimator", 4),
    ],
)
def test_too_few_rows_are_refused_at_the_option_to_blame(name, option, needs):
    q, p = samples(2, 6, D)
    few = torch.zeros(2, 6)
    few[1, : needs - 1] = 1
    message = f"needs {needs} rows or more and the batch has {needs - 1}; raise data.batch"
    for case in ((q, p, few), (q[:, : needs - 1], p[:, : needs - 1], None)):
        with pytest.raises(OptionError, match=message) as caught:
            EVERY[name](*case)
        assert caught.value.option == option


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(5), r"weights of shape \[5\] for rows \[2, 6, 3\]; wanted \[6\] or \[2, 6\]"),
        (-torch.ones(6), "weights from -1 to -1; wanted finite numbers of 0 or more"),
        (torch.full((6,), torch.nan), "wanted finite numbers"),
        (torch.full((2, 6), torch.inf), "wanted finite numbers"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        rows_that_count(torch.zeros(2, 6, 3), weights)


def moments_after(penalty, *, steps=150, rate=0.05):
    """Mean and sd of free codes that started at N(1.5, .5²) and minimised a penalty."""
    torch.manual_seed(0)
    z = (1.5 + 0.5 * torch.randn(128, 2)).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        penalty(z, torch.randn(128, 2)).backward()
        optimizer.step()
    return z.detach().mean(0), z.detach().std(0)


@pytest.mark.parametrize(
    "penalty",
    [
        energy,
        partial(energy, estimator="biased", power=1.5),
        sinkhorn,
        sliced_wasserstein,
        moment_matching,
        partial(moment_matching, reference="standard", moments="variance"),
    ],
)
def test_free_codes_go_to_the_prior_in_mean_and_spread(penalty):
    mean, sd = moments_after(penalty)
    assert mean.abs().max() < 0.15
    assert 0.85 < sd.min() <= sd.max() < 1.15


def test_matching_means_alone_leaves_the_spread():
    mean, sd = moments_after(partial(moment_matching, moments="mean"))
    assert mean.abs().max() < 0.1
    assert sd.max() < 0.7
