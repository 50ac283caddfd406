"""A dynamic prior that is fitted when training is over.

Shapes: N paths, T time, D code width.
"""

import math
import re
from dataclasses import dataclass

import pytest
import torch
from genzoo_rwae_plugins.priors.ex_post_lstm import ExPostLstm, MixtureLstm, nats_a_step
from genzoo_rwae_plugins.priors.lstm import LstmPrior
from genzoo_rwae_plugins.priors.markov import IidPrior
from genzoo_rwae_plugins.priors.mixture import GaussianMixture

from genzoo_rwae.codes import DiagonalGaussian, Paths, draw_sample
from genzoo_rwae.components import prior as prior_of
from genzoo_rwae.errors import GenzooWarning, OptionError
from genzoo_rwae.testing import check_prior
from genzoo_rwae.testing.findings import PropertyError

SD = 0.3
QUICK = {"hidden": 24, "components": 8, "steps": 600, "batch": 64, "lr": 2e-2}


def walks(count, length=5, seed=0):
    """Paths [N, T, 1] that start at -2 or at 2, toss a coin at the second step, and go on so."""
    torch.manual_seed(seed)
    start_N, turn_N = (2.0 * torch.randint(2, (count,)) - 1 for _ in range(2))
    mean_NT = 2 * start_N[:, None] + turn_N[:, None] * torch.arange(length)
    return (mean_NT + SD * torch.randn(count, length))[..., None]


def paths(z_NTD, lengths=None, context=None):
    lengths_N = torch.full((len(z_NTD),), z_NTD.shape[1]) if lengths is None else lengths
    return Paths(z_NTD, lengths_N, context)


def fitted(z_NTD, lengths=None, **options):
    prior = ExPostLstm(z_NTD.shape[-1], **{**QUICK, **options}).eval()
    said = prior.fit_to(lambda most: paths(z_NTD[:most], lengths))
    return prior, said


@pytest.fixture(scope="module")
def of_walks():
    return fitted(walks(2000))


def test_before_it_is_fitted_and_in_training_it_is_the_prior_that_is_learnt(of_walks):
    z = walks(3)
    for prior in (ExPostLstm(1).eval(), ExPostLstm(1).train(), of_walks[0].train()):
        law, learnt = prior.along(z)[0], prior.learnt.along(z)[0]
        assert isinstance(law, DiagonalGaussian)
        assert torch.equal(law.mean, learnt.mean)
        drawn, theirs = (
            of.roll_out(3, 4, draw_sample(torch.Generator().manual_seed(0)))
            for of in (prior, prior.learnt)
        )
        assert torch.equal(drawn, theirs)
    of_walks[0].eval()
    assert isinstance(of_walks[0].along(z)[0], GaussianMixture)


def test_it_comes_close_to_the_law_that_paths_come_from(of_walks):
    prior, held_out = of_walks[0], walks(2000, seed=1)
    with torch.no_grad():
        found_T = prior.log_density(held_out).mean(0)
    gaussian = -0.5 * math.log(2 * math.pi * math.e * SD**2)
    # a coin decides the first two steps, nothing but noise the others
    best_T = torch.tensor([gaussian - math.log(2), gaussian - math.log(2), *[gaussian] * 3])
    assert (best_T - found_T).abs().max() < 0.25
    learnt = prior.learnt.log_density(held_out).mean(0)
    assert (found_T > learnt + 1).all()


def test_samples_go_one_of_the_ways_that_paths_go(of_walks):
    path_NT = of_walks[0].roll_out(500, 5, draw_sample(torch.Generator().manual_seed(0)))[..., 0]
    straight = (path_NT.diff(dim=1) - (path_NT[:, -1:] - path_NT[:, :1]) / 4).abs().amax(1)
    assert (straight < 6 * SD).float().mean() > 0.9
    for start in (-2, 2):
        for turn in (-1, 1):
            there = ((path_NT[:, 0] - start).abs() < 1) & (
                (path_NT[:, -1] - path_NT[:, 0]) * turn > 2
            )
            assert there.float().mean() == pytest.approx(0.25, abs=0.08)


def test_nats_a_step_are_those_of_true_steps_whatever_is_measured_at_once(of_walks):
    z = walks(150)
    lengths_N = 1 + torch.arange(150) % 5
    with torch.no_grad():
        log_p_NT = of_walks[0].log_density(z)
    wanted = torch.cat([log_p_NT[n, :length] for n, length in enumerate(lengths_N)]).mean()
    found = nats_a_step(of_walks[0], paths(z, lengths_N))
    assert found == pytest.approx(wanted.item(), rel=1e-5)


def test_what_is_beyond_the_true_lengths_changes_nothing():
    z, lengths = walks(200), torch.randint(1, 6, (200,), generator=torch.Generator().manual_seed(0))
    beyond_NT = torch.arange(5) >= lengths[:, None]
    other = z.masked_fill(beyond_NT[..., None], math.nan)
    ours, theirs = (fitted(of, lengths, steps=20)[0].state_dict() for of in (z, other))
    for name, tensor in ours.items():
        if not name.startswith("learnt."):
            assert torch.equal(tensor, theirs[name]), name


def test_it_is_fitted_alike_whatever_torchs_generator_does_and_draws_nothing_from_it():
    z = walks(100)
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        prior = ExPostLstm(1, learnt=IidPrior, **{**QUICK, "steps": 20})
        before = torch.random.get_rng_state()
        prior.fit_to(lambda most: paths(z))
        assert torch.equal(torch.random.get_rng_state(), before)
        states.append(prior.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_the_parts_of_a_model_start_as_without_it():
    torch.manual_seed(3)
    alone, after = LstmPrior(2).state_dict(), torch.rand(1)
    torch.manual_seed(3)
    prior = ExPostLstm(2)
    assert torch.equal(torch.rand(1), after)
    for name, tensor in alone.items():
        assert torch.equal(prior.learnt.state_dict()[name], tensor), name


def test_only_the_prior_that_is_learnt_wants_a_gradient(of_walks):
    for prior in (ExPostLstm(1), of_walks[0]):
        names = {name.partition(".")[0] for name, p in prior.named_parameters() if p.requires_grad}
        assert names == {"learnt"}
        assert all(p.grad is None for p in prior.mixtures.parameters())


def test_fitted_again_it_forgets_what_it_was_fitted_to():
    prior, _ = fitted(walks(100), steps=20)
    once = {name: tensor.clone() for name, tensor in prior.mixtures.state_dict().items()}
    prior.fit_to(lambda most: paths(5 + walks(80)))
    prior.fit_to(lambda most: paths(walks(100)))
    for name, tensor in prior.mixtures.state_dict().items():
        assert torch.equal(tensor, once[name]), name
    with pytest.warns(GenzooWarning, match="a single sequence"):
        prior.fit_to(lambda most: paths(walks(1)))
    assert not prior.fitted


def test_the_weights_that_are_best_for_what_is_held_out_are_kept():
    few = walks(12, seed=4)
    prior = MixtureLstm(1, 0, hidden=24, components=4, smallest_sd=0.03)
    held_out = paths(walks(500, seed=5))
    best = prior.fit(paths(few), held_out, steps=600, batch=12, lr=1e-2)
    assert nats_a_step(prior, held_out) == pytest.approx(best, abs=1e-6)
    once = MixtureLstm(1, 0, hidden=24, components=4, smallest_sd=0.03)
    # a dozen paths are learnt by heart at the end; it is not the end that is kept
    once.fit(paths(few), paths(few), steps=600, batch=12, lr=1e-2)
    assert nats_a_step(once, held_out) < best - 0.1


def test_a_prior_that_is_no_better_where_it_counts_is_not_taken():
    z = torch.randn(2000, 4, 2, generator=torch.Generator().manual_seed(0))
    prior = ExPostLstm(2, learnt=IidPrior, **{**QUICK, "steps": 2, "lr": 1e-6}).eval()
    said = prior.fit_to(lambda most: paths(z))
    assert "is not taken: it gives" in said
    assert not prior.fitted
    assert isinstance(prior.along(z)[0], DiagonalGaussian)


def test_what_it_says_are_the_figures_of_what_is_held_out(of_walks):
    prior, said = of_walks
    beginning, after, _ = re.split(r"(-?[0-9.]+) nats", said)
    assert "fitted to the codes of 2,000 sequences, is taken: " in beginning
    test = paths(walks(2000, seed=1))
    assert float(after) == pytest.approx(nats_a_step(prior, test), abs=0.15)
    assert float(said.split()[-1]) == pytest.approx(nats_a_step(prior.learnt, test), rel=0.1)


@pytest.mark.parametrize(
    ("z_NTD", "found"),
    [
        (walks(1), "a single sequence"),
        (walks(20).index_fill(0, torch.tensor([7]), math.nan), "20 sequences, not all finite"),
        (walks(20).index_fill(0, torch.tensor([7]), math.inf), "20 sequences, not all finite"),
    ],
    ids=["one", "nan", "inf"],
)
def test_what_cannot_be_fitted_is_refused_with_a_word(z_NTD, found):
    prior = ExPostLstm(1, **QUICK).eval()
    with pytest.warns(GenzooWarning, match=found):
        assert prior.fit_to(lambda most: paths(z_NTD)) is None
    assert not prior.fitted


def test_a_learnt_prior_that_is_fitted_itself_is_so_first():
    inner = {**QUICK, "steps": 30}
    prior = ExPostLstm(1, learnt=lambda size: ExPostLstm(size, **inner), **inner).eval()
    prior.fit_to(lambda most: paths(walks(100)))
    assert prior.learnt.fitted


def test_codes_that_never_change_can_be_fitted():
    prior, _ = fitted(torch.ones(40, 3, 2), steps=20)
    assert prior.fitted
    assert (prior.roll_out(4, 3, draw_sample(None)) - 1).abs().max() < 1


def test_the_smallest_sd_holds_in_units_of_the_codes():
    prior, _ = fitted(1000 * torch.ones(40, 3, 1) + 1e-4 * walks(40, 3), smallest_sd=0.5, steps=50)
    law, _ = prior.along(1000 * torch.ones(2, 3, 1))
    assert law.log_variance.exp().sqrt().min() >= 0.5


def test_it_is_fitted_to_what_it_is_told():
    told_N = torch.arange(400) % 2
    z = walks(400).abs() * (2 * told_N - 1)[:, None, None]  # the context tells the sign
    prior = ExPostLstm(1, 2, **{**QUICK, "steps": 200}).eval()
    prior.fit_to(lambda most: paths(z, context=torch.eye(2)[told_N]))
    draw = draw_sample(torch.Generator().manual_seed(0))
    for which, sign in ((0, -1), (1, 1)):
        context_BC = torch.eye(2)[which].expand(100, 2)
        path = prior.roll_out(100, 1, draw, context_BC=context_BC)
        assert (path.sign() == sign).float().mean() > 0.9


def test_a_learnt_prior_that_cannot_be_told_is_refused_at_its_place():
    with pytest.raises(OptionError, match="IidPrior cannot be told the action") as caught:
        ExPostLstm(1, 2, learnt=IidPrior)
    assert caught.value.option == "learnt"


def test_the_kit_holds_before_and_after_the_fit():
    check_prior(ExPostLstm, hidden=6, components=2, steps=5, batch=8)


def deaf(prior):
    prior.mixtures.lstm.weight_ih_l0.zero_()


def careless(prior):
    prior.mixtures.centre.add_(torch.rand(1))


@pytest.mark.parametrize(("spoil", "seen"), [(deaf, "remembers"), (careless, "fits")])
def test_the_kit_sees_a_fit_that_is_wrong(spoil, seen):
    @prior_of("spoilt")
    class Spoilt(ExPostLstm):
        """What was fitted is spoilt."""

        def fit_to(self, draws):
            said = super().fit_to(draws)
            spoil(self)
            return said

    with pytest.raises(PropertyError, match=seen):
        check_prior(Spoilt, hidden=6, components=2, steps=5, batch=8)


def test_the_kit_sees_a_fit_to_what_is_beyond_true_lengths():
    @prior_of("greedy")
    class Greedy(ExPostLstm):
        """All steps are true ones."""

        def fit_to(self, draws):
            return super().fit_to(lambda most: paths(draws(most).z_NTD))

    with pytest.raises(PropertyError, match="fits"):
        check_prior(Greedy, hidden=6, components=2, steps=5, batch=8)


@pytest.mark.parametrize(
    "change",
    [
        {"log_density": lambda self, z: GaussianMixture.log_density(self, z) + 1},
        {"sample": lambda self, generator=None: GaussianMixture.sample(self, generator) + 1},
    ],
    ids=["density", "sample"],
)
def test_the_kit_sees_laws_whose_samples_do_not_follow_their_density(change):
    law = dataclass(frozen=True)(type("Wrong", (GaussianMixture,), change))

    @prior_of("wrong")
    class Wrong(ExPostLstm):
        """Its laws are wrong."""

        def along(self, z_BTD, context_BC=None):
            found, state_BTS = super().along(z_BTD, context_BC)
            return law(found.logits, found.mean, found.log_variance), state_BTS

    with pytest.raises(PropertyError, match="density"):
        check_prior(Wrong, hidden=6, components=2, steps=5, batch=8)
