"""The objective: the cost, and which codes are compared with what.

Shapes: B batch, T time, D code width, S state width, N rows compared.
"""

import dataclasses

import pytest
import torch
from genzoo_rwae_kernels import Imq, mmd2_unbiased
from genzoo_rwae_plugins.penalties.mmd import mmd

from genzoo_rwae import cost, penalty
from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, Latents
from genzoo_rwae.errors import PluginError
from genzoo_rwae.sequence_model import Pass

imq = Imq()

GIVEN = ("none", "state", "path")


class PathsOf:
    """Stands for a model where a term wants paths of its prior."""

    def __init__(self, size=2):
        self.size = size
        self.asked = []

    def sample_prior(self, count, length, draw):
        zero = torch.zeros(count, length, self.size)
        path = draw(DiagonalGaussian(zero, zero))
        self.asked.append(path)
        return Latents(torch.zeros(count, 3), path)


def evaluate(objective, passed, model=None, progress=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return objective(passed, model or PathsOf(), progress=progress, generator=generator)


def with_dynamic(passed, **changes):
    dynamic = dataclasses.replace(passed.codes.dynamic, **changes)
    return dataclasses.replace(passed, codes=Codes(passed.codes.static, dynamic))


# -- the cost ---------------------------------------------------------------------------------


def test_cost_is_summed_over_frame_and_true_steps_and_averaged_over_the_batch(objective, passed):
    batch = passed(B=3, T=4, lengths=[4, 1, 2], frame=(2, 5))
    total = 0.0
    for row, length in enumerate([4, 1, 2]):
        gap = batch.x_BT[row, :length] - batch.x_hat_BK[row, :length]
        total += gap.square().sum().item()
    terms = evaluate(objective(), batch)
    assert terms.loss.item() == pytest.approx(total / 3, rel=1e-5)
    assert terms.figures.keys() == {"cost"}


def test_cost_component_of_the_spec_is_the_one_that_is_called(objective, passed):
    @cost("absolute")
    def absolute(x_BT, x_hat_BT, /):
        """Absolute differences."""
        return (x_BT - x_hat_BT).abs().flatten(2).sum(-1)

    batch = passed()
    wanted = (batch.x_BT - batch.x_hat_BK).abs().sum() / 6
    torch.testing.assert_close(evaluate(objective(cost=absolute), batch).loss, wanted)


@pytest.mark.parametrize("lengths", [None, [4, 1, 2, 4, 3, 4]])
def test_decoded_steps_stand_for_all(objective, passed, lengths):
    whole = passed(lengths=lengths)
    costs = [
        evaluate(
            objective(),
            dataclasses.replace(
                whole,
                x_hat_BK=whole.x_hat_BK[:, list(steps)],
                steps_K=torch.tensor(steps),
            ),
        ).loss
        for steps in torch.combinations(torch.arange(4), 2).tolist()
    ]
    # every pair of steps is as likely as any other
    torch.testing.assert_close(torch.stack(costs).mean(), evaluate(objective(), whole).loss)


# -- the loss and its figures -----------------------------------------------------------------


def test_each_term_is_logged_unweighted_under_its_own_name(objective, passed, recorder):
    build, calls = recorder(batched=True)
    terms = evaluate(
        objective(
            static=(build, {"weight": 3.0}), dynamic=(build, {"weight": 5.0, "given": "none"})
        ),
        passed(),
    )
    assert list(terms.figures) == ["cost", "static", "dynamic"]
    gaps = [(call.q.mean((-2, -1)) - call.p.mean((-2, -1))).square().sum() for call in calls]
    torch.testing.assert_close(terms.figures["static"], gaps[0])
    torch.testing.assert_close(terms.figures["dynamic"], gaps[1])
    wanted = terms.figures["cost"] + 3 * gaps[0] + 5 * gaps[1]
    torch.testing.assert_close(terms.loss, wanted)


def test_figures_carry_no_graph_and_the_loss_does(objective, passed, recorder):
    batch = passed()
    batch = with_dynamic(batch, sample=batch.codes.dynamic.sample.requires_grad_())
    terms = evaluate(objective(dynamic=(recorder()[0], {})), batch)
    assert terms.loss.requires_grad
    assert not any(figure.requires_grad for figure in terms.figures.values())


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)])
def test_warm_up_raises_the_weight_and_not_the_figure(
    objective, passed, recorder, progress, factor
):
    batch = passed()
    warming = objective(static=(recorder()[0], {"weight": 8.0, "warm_up": 0.4}))
    terms = evaluate(warming, batch, progress=progress)
    wanted = terms.figures["cost"] + 8 * factor * terms.figures["static"]
    torch.testing.assert_close(terms.loss, wanted)
    torch.testing.assert_close(terms.figures["static"], evaluate(warming, batch).figures["static"])
    assert terms.figures["static"] > 0


def test_draws_of_the_prior_follow_the_generator(objective, passed):
    batch = passed()
    both = objective(static=(mmd, {}), dynamic=(mmd, {"given": "path"}))
    one, same, other = (evaluate(both, batch, seed=seed).loss for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# -- what is compared -------------------------------------------------------------------------


def test_static_term_compares_samples_with_draws_of_the_prior(objective, passed, recorder):
    (build, calls), batch = recorder(), passed(B=4000)
    evaluate(objective(static=(build, {})), batch)
    (call,) = calls
    assert torch.equal(call.q, batch.codes.static.sample)
    assert call.p.shape == call.q.shape
    assert call.paired is False
    # N(0, I): 4 standard errors of 12,000 values
    assert call.p.mean().abs() < 4 / 12_000**0.5
    assert (call.p.std() - 1).abs() < 4 / 24_000**0.5


@pytest.mark.parametrize("batched", [False, True])
def test_given_none_compares_codes_with_draws_given_each_rows_own_past(
    objective, passed, recorder, batched
):
    (build, calls), batch = recorder(batched=batched), passed(B=6, T=4, D=2)
    evaluate(objective(dynamic=(build, {"given": "none"})), batch, seed=7)
    draws = batch.codes.dynamic.prior.sample(torch.Generator().manual_seed(7))
    assert {call.paired for call in calls} == {True}
    if batched:
        assert len(calls) == 1
        q_TND, p_TND = calls[0].q, calls[0].p
    else:
        q_TND, p_TND = (torch.stack([getattr(call, k) for call in calls]) for k in "qp")
    assert torch.equal(q_TND, batch.codes.dynamic.sample.transpose(0, 1))
    assert torch.equal(p_TND, draws.transpose(0, 1))


def test_given_state_compares_pairs_that_share_their_state(objective, passed, recorder):
    (build, calls), batch = recorder(batched=True), passed(B=6, T=4, D=2, S=5)
    evaluate(objective(dynamic=(build, {"given": "state"})), batch, seed=7)
    (call,) = calls
    assert call.paired is True
    assert call.q.shape == call.p.shape == (4, 6, 7)
    assert torch.equal(call.q[..., :2], batch.codes.dynamic.sample.transpose(0, 1))
    draws = batch.codes.dynamic.prior.sample(torch.Generator().manual_seed(7))
    assert torch.equal(call.p[..., :2], draws.transpose(0, 1))
    assert torch.equal(call.q[..., 2:], call.p[..., 2:])
    # the shared part is the prior's state but for place and scale of each entry
    state = batch.codes.dynamic.state.transpose(0, 1)
    for t in range(4):
        for s in range(5):
            together = torch.stack([call.q[t, :, 2 + s], state[t, :, s]])
            assert torch.corrcoef(together)[0, 1] > 0.999


def test_state_weighs_as_much_in_a_distance_as_the_code(objective, passed, recorder):
    (build, calls), batch = recorder(batched=True), passed(B=50, T=3, D=2, S=40)
    evaluate(objective(dynamic=(build, {"given": "state"})), batch)
    state_TNS = calls[0].q[..., 2:]
    torch.testing.assert_close(state_TNS.square().sum(-1).mean(1), torch.full((3,), 2.0))
    torch.testing.assert_close(state_TNS.mean(1), torch.zeros(3, 40), atol=1e-5, rtol=0)


def test_constant_state_adds_nothing_to_a_distance(objective, passed, recorder):
    (build, calls), batch = recorder(batched=True), passed()
    state = batch.codes.dynamic.state.clone()
    state[:, 0] = state[:1, 0]  # as at t = 1, where nothing has been seen
    evaluate(objective(dynamic=(build, {"given": "state"})), with_dynamic(batch, state=state))
    assert calls[0].q[0, :, 2:].abs().max() < 1e-2
    assert calls[0].q[1, :, 2:].abs().max() > 0.1


def test_given_path_compares_whole_paths_with_paths_from_scratch(objective, passed, recorder):
    (build, calls), batch, model = recorder(batched=True), passed(B=6, T=4, D=2), PathsOf()
    evaluate(objective(dynamic=(build, {"given": "path"})), batch, model)
    (call,) = calls
    assert call.paired is False
    assert torch.equal(call.q, batch.codes.dynamic.sample.flatten(1))
    assert torch.equal(call.p, model.asked[0].flatten(1))


def test_ragged_paths_are_cut_alike_and_so_share_their_lengths(objective, passed, recorder):
    (build, calls), model = recorder(), PathsOf()
    lengths = [4, 1, 2, 4, 3, 1]
    batch = passed(B=6, T=4, D=2, lengths=lengths)
    evaluate(objective(dynamic=(build, {"given": "path"})), batch, model)
    (call,) = calls
    assert call.paired is True  # row i of both is as long
    for row, length in enumerate(lengths):
        for got, path in ((call.q, batch.codes.dynamic.sample), (call.p, model.asked[0])):
            assert torch.equal(got[row, : 2 * length], path[row, :length].flatten())
            assert (got[row, 2 * length :] == 0).all()


def test_ragged_lengths_use_the_rows_that_are_that_long(objective, passed, recorder):
    (build, calls), lengths = recorder(batched=True), torch.tensor([4, 1, 2, 4, 2, 1])
    batch = passed(B=6, T=4, lengths=lengths.tolist())
    evaluate(objective(dynamic=(build, {"given": "none"})), batch, seed=7)
    draws = batch.codes.dynamic.prior.sample(torch.Generator().manual_seed(7))
    assert [len(call.q) for call in calls] == [6, 4, 2, 2]
    for t, call in enumerate(calls):
        rows = lengths > t
        assert torch.equal(call.q, batch.codes.dynamic.sample[rows, t])
        assert torch.equal(call.p, draws[rows, t])


def test_step_of_a_single_row_is_left_out_of_a_divergence_of_samples(objective, passed):
    batch = passed(B=6, T=4, lengths=[4, 3, 3, 2, 2, 1])
    terms = evaluate(objective(dynamic=(mmd, {"given": "none"})), batch)
    assert terms.loss.isfinite()


@pytest.mark.parametrize("given", GIVEN)
def test_what_lies_beyond_the_true_lengths_changes_nothing(objective, passed, given):
    lengths = torch.tensor([4, 1, 2, 4, 3, 2])
    batch = passed(B=6, T=4, lengths=lengths.tolist())
    beyond = torch.arange(4) >= lengths[:, None]

    def spoilt(tensor):
        return torch.where(beyond[..., None], 1e3 * torch.randn_like(tensor), tensor)

    dynamic = batch.codes.dynamic
    other = with_dynamic(
        batch,
        sample=spoilt(dynamic.sample),
        state=spoilt(dynamic.state),
        prior=DiagonalGaussian(spoilt(dynamic.prior.mean), dynamic.prior.log_variance),
    )
    other = dataclasses.replace(other, x_hat_BK=spoilt(batch.x_hat_BK))
    term = objective(dynamic=(mmd, {"given": given}))
    torch.testing.assert_close(evaluate(term, other).loss, evaluate(term, batch).loss)


# -- penalties of any make --------------------------------------------------------------------


@penalty("mean-gap")
def mean_gap(q_ND, p_ND, /):
    """Squared distance of means, of two samples [N, D]."""
    assert q_ND.ndim == 2
    return (q_ND.mean(0) - p_ND.mean(0)).square().sum()


@penalty("mean-gap-batched", batched=True)
def mean_gap_batched(q_TND, p_TND, /):
    """Squared distance of means, of samples [T, N, D]."""
    return (q_TND.mean(-2) - p_TND.mean(-2)).square().sum(-1)


@penalty("kl-mean", batch_coupled=False)
def kl_mean(q: DiagonalGaussian, p: DiagonalGaussian, /):
    """Mean KL divergence of rows."""
    return q.kl(p).mean()


@penalty("kl-rows", batch_coupled=False)
def kl_rows(q: DiagonalGaussian, p: DiagonalGaussian, /):
    """KL divergence of every row."""
    return q.kl(p)


@penalty("kl-batched", batched=True, batch_coupled=False)
def kl_batched(q: DiagonalGaussian, p: DiagonalGaussian, /):
    """Mean KL divergence of rows, per step."""
    return q.kl(p).mean(-1)


@pytest.mark.parametrize("given", GIVEN)
def test_penalty_that_is_looped_over_time_equals_the_batched_one(objective, passed, given):
    batch = passed()
    looped, batched = (
        evaluate(objective(dynamic=(build, {"given": given})), batch).figures["dynamic"]
        for build in (mean_gap, mean_gap_batched)
    )
    torch.testing.assert_close(looped, batched)


@pytest.mark.parametrize("build", [kl_mean, kl_rows, kl_batched])
def test_penalty_of_laws_gets_laws_and_averages_rows(objective, passed, build):
    batch = passed()
    terms = evaluate(objective(static=(build, {}), dynamic=(build, {})), batch)
    static, dynamic = batch.codes.static, batch.codes.dynamic
    torch.testing.assert_close(terms.figures["static"], static.posterior.kl(static.prior).mean())
    wanted = dynamic.posterior.kl(dynamic.prior).mean(0).sum()
    torch.testing.assert_close(terms.figures["dynamic"], wanted)


@pytest.mark.parametrize("build", [kl_mean, kl_rows, kl_batched])
def test_penalty_of_laws_counts_every_true_step(objective, passed, build):
    lengths = torch.tensor([4, 1, 2])  # one row alone at the last two steps
    batch = passed(B=3, T=4, lengths=lengths.tolist())
    kl_BT = batch.codes.dynamic.posterior.kl(batch.codes.dynamic.prior)
    wanted = sum(kl_BT[lengths > t, t].mean() for t in range(4))
    got = evaluate(objective(dynamic=(build, {})), batch).figures["dynamic"]
    torch.testing.assert_close(got, wanted)


@penalty("critic")
class Critic(torch.nn.Module):
    """A learnt direction along which means are compared."""

    def __init__(self, width, /):
        super().__init__()
        self.direction = torch.nn.Linear(width, 1, bias=False)

    def forward(self, q_ND, p_ND, /):
        return (self.direction(q_ND).mean() - self.direction(p_ND).mean()).square()


@penalty("paired-twice")
class PairedTwice(torch.nn.Module):
    """Says what `forward` was told."""

    def __init__(self, width, /):
        super().__init__()

    def forward(self, q_ND, p_ND, paired, /):
        return q_ND.sum() * 0 + (2.0 if paired else 1.0)


def test_penalty_with_weights_is_part_of_the_objective(objective, passed):
    both = objective(static=(Critic, {}), dynamic=(Critic, {"given": "none"}))
    shapes = {name: tuple(p.shape) for name, p in both.named_parameters()}
    assert shapes == {"static.direction.weight": (1, 3), "dynamic.direction.weight": (1, 2)}
    assert shapes.keys() <= both.state_dict().keys()
    evaluate(both, passed()).loss.backward()
    for name, parameter in both.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_penalty_with_weights_is_wired_like_a_function(objective, passed):
    terms = evaluate(
        objective(static=(PairedTwice, {}), dynamic=(PairedTwice, {"given": "none"})), passed(T=4)
    )
    assert terms.figures["static"] == 1.0
    assert terms.figures["dynamic"] == 4 * 2.0


@pytest.mark.parametrize("batched", [False, True])
def test_penalty_of_the_wrong_shape_is_refused_by_name(objective, passed, batched):
    @penalty("askew", batched=batched)
    def askew(q, p, /):
        """Neither one value nor one per step."""
        return (q - p).square().sum(-1).sum() if batched else (q - p).square().sum(0)

    with pytest.raises(PluginError, match=r"'askew' returned \[.*\]; wanted"):
        evaluate(objective(dynamic=(askew, {"given": "none"})), passed(B=6, T=4, D=5))


def test_penalty_with_an_unknown_wish_is_refused_by_name(objective):
    @penalty("wishful")
    def wishful(q_ND, p_ND, weather, /):
        """Wants what there is not."""

    with pytest.raises(PluginError, match=r"'wishful' has wired parameters \['weather'\]"):
        objective(static=(wishful, {}))


def test_single_padded_sequence_is_compared_at_its_true_steps(objective, passed):
    seen = []

    @penalty("one-row")
    def one_row(q_ND, p_ND, /):
        """Takes one row."""
        seen.append(q_ND)
        return (q_ND - p_ND).square().mean()

    batch = passed(B=1, T=4, lengths=[2])
    assert evaluate(objective(dynamic=(one_row, {"given": "none"})), batch).loss.isfinite()
    assert [len(q_ND) for q_ND in seen] == [1, 1]


# -- gradients --------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [mmd, kl_mean], ids=["samples", "laws"])
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("choice", ["learn", "stop"])
def test_term_trains_the_prior_or_does_not(objective, rwae, build, given, choice):
    model = rwae()
    passed = model(torch.rand(6, 4, 1, 9, 12), torch.full((6,), 4), torch.Generator())
    term = objective(dynamic=(build, {"given": given, "prior_gradient": choice}))
    evaluate(term, passed, model).loss.backward()
    reached = {
        name: parameter.grad is not None and bool((parameter.grad != 0).any())
        for name, parameter in model.dynamic_prior.named_parameters()
    }
    assert set(reached.values()) == {choice == "learn"}, reached
    # the encoder learns from the term either way
    assert model.dynamic_head.law.mean.weight.grad.abs().max() > 0


def test_state_is_a_constant_of_the_term(objective, passed):
    batch = passed()
    state = batch.codes.dynamic.state.requires_grad_()
    sample = batch.codes.dynamic.sample.requires_grad_()
    term = objective(dynamic=(mmd, {"given": "state"}))
    evaluate(term, with_dynamic(batch, state=state, sample=sample)).loss.backward()
    assert state.grad is None
    assert sample.grad.abs().max() > 0


# -- estimates, with a fixed seed -------------------------------------------------------------


def equal_laws(steps, rows, lengths_B=None):
    """Codes that follow their prior exactly, each row's given a history of its own."""
    history = 3 * torch.randn(rows, steps, 1)
    law = DiagonalGaussian(history, torch.zeros_like(history))
    dynamic = DynamicCode(law.sample(), law, law, history)
    x = torch.zeros(rows, steps, 1)
    lengths_B = torch.full((rows,), steps) if lengths_B is None else lengths_B
    return Pass(x, x, torch.arange(steps), lengths_B, Codes(None, dynamic))


def of_each_step(kept):
    """An MMD that keeps its value of every step."""

    @penalty("kept", batched=True)
    def keep(q_TND, p_TND, paired, /):
        """MMD, kept."""
        kept["paired"] = mmd2_unbiased(q_TND, p_TND, imq, paired=paired)
        kept["diagonal"] = mmd2_unbiased(q_TND, p_TND, imq)
        return kept["paired"]

    return keep


def test_a_penalty_that_asks_is_told_how_far_the_run_is(objective, passed):
    told = []

    @penalty("listens")
    def listens(q_ND, p_ND, progress, /):
        """The share of the run, kept."""
        told.append(progress)
        return (q_ND.mean(0) - p_ND.mean(0)).square().sum()

    term = objective(static=(listens, {}))
    for share in (0.0, 0.25, 1.0):
        evaluate(term, passed(), progress=share)
    assert told == [0.0, 0.25, 1.0]


def errors_from_zero(values):
    """The mean in units of its standard error."""
    return (values.mean() / (values.std() / len(values) ** 0.5)).item()


@pytest.mark.parametrize("given", ["none", "state"])
def test_shared_histories_bias_the_estimate_unless_their_pairs_are_left_out(objective, given):
    kept = {}
    term = objective(dynamic=(of_each_step(kept), {"given": given}))
    evaluate(term, equal_laws(steps=4000, rows=8))
    # 4,000 estimates from 8 rows each, of a divergence that is 0
    assert abs(errors_from_zero(kept["paired"])) < 3
    assert errors_from_zero(kept["diagonal"]) < -20


def test_shared_lengths_bias_the_estimate_of_paths_unless_their_pairs_are_left_out(objective):
    kept = {}
    term = objective(dynamic=(of_each_step(kept), {"given": "path"}))
    estimates = {"paired": [], "diagonal": []}
    generator = torch.Generator().manual_seed(1)
    for seed in range(1000):
        lengths_B = 1 + 5 * torch.randint(0, 2, (4,), generator=generator)
        batch = equal_laws(6, 4, lengths_B)
        normal = torch.randn(4, 6, 2, generator=generator)
        evaluate(term, with_dynamic(batch, sample=normal), seed=seed)
        for name, values in estimates.items():
            values.append(kept[name])
    # paths of equal law, cut to the same lengths: the divergence is 0
    assert abs(errors_from_zero(torch.stack(estimates["paired"]))) < 3
    assert errors_from_zero(torch.stack(estimates["diagonal"])) < -5


def test_static_estimate_of_equal_laws_has_zero_mean(objective, passed):
    kept = {}
    term = objective(static=(of_each_step(kept), {}))
    estimates = []
    for seed in range(1500):
        evaluate(term, passed(B=6, T=1), seed=seed)
        estimates.append(kept["paired"])
    assert abs(errors_from_zero(torch.stack(estimates))) < 3
