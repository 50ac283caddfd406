"""Independence, prices on information, weights that change, critics.

Shapes: B batch, T time, N rows compared, D code width.
"""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from genzoo_rwae_plugins.costs.squared_error import squared_error
from genzoo_rwae_plugins.penalties.energy import energy
from genzoo_rwae_plugins.penalties.hsic import hsic
from genzoo_rwae_plugins.penalties.mmd import mmd
from genzoo_rwae_plugins.schedules.rates import constant, cyclic, piecewise
from torch import nn

from genzoo_rwae import AdversarialPenalty, penalty
from genzoo_rwae.codes import Codes
from genzoo_rwae.components import component_of
from genzoo_rwae.errors import OptionError, PluginError
from genzoo_rwae.objective import NotFiniteError, Objective
from genzoo_rwae.objective.weight import TermWeight
from genzoo_rwae.spec import Part
from genzoo_rwae.spec.part import PlacedOptionError
from genzoo_rwae.spec.sections import (
    DynamicTermSlot,
    IndependenceSlot,
    Information,
    Price,
    TermSlot,
)
from genzoo_rwae.spec.sections import Objective as Section
from genzoo_rwae.zoo import Plugin, Registered

WIDTHS = {"static": 3, "dynamic": 2, "code": 3, "independence": 5}


def part(build, slot=None, **options):
    registered = Registered(component_of(build), Plugin("test", "python", "here"))
    return Part(registered, options, "objective.somewhere", slot)


def with_term(build, slot, name="independence", widths=None):
    return Objective(Section(cost=squared_error, **{name: part(build, slot)}), widths or WIDTHS)


def evaluate(objective, passed, progress=1.0):
    return objective(passed, None, progress=progress, generator=torch.Generator().manual_seed(0))


# -- independence -----------------------------------------------------------------------------


def rows_of(values):
    return {tuple(row) for row in values.tolist()}


@pytest.mark.parametrize("lengths", [None, [4, 2, 3, 4, 2, 4]])
@pytest.mark.parametrize("batched", [True, False])
def test_rows_of_one_half_meet_rows_of_the_other_with_another_rows_motion(
    passed, recorder, lengths, batched
):
    build, calls = recorder(batched=batched)
    batch = passed(lengths=lengths)
    evaluate(with_term(build, IndependenceSlot()), batch)
    static_BD, dynamic_BTD = batch.codes.static.sample, batch.codes.dynamic.sample
    by_step = []
    for call in calls:
        assert call.paired is False
        by_step += [*zip(call.q, call.p, strict=True)] if call.q.dim() == 3 else [(call.q, call.p)]
    owner = {tuple(row): i for i, row in enumerate(static_BD.tolist())}
    met = []
    for q_ND, p_ND in by_step:
        # which sequences and which step the rows are of
        q_owners = [owner[row] for row in map(tuple, q_ND[:, :3].tolist())]
        p_owners = [owner[row] for row in map(tuple, p_ND[:, :3].tolist())]
        (t,) = [t for t in range(4) if torch.equal(dynamic_BTD[q_owners, t], q_ND[:, 3:])]
        assert not set(q_owners) & set(p_owners)  # no code of one sample is in the other
        assert not rows_of(q_ND[:, 3:]) & rows_of(p_ND[:, 3:])
        own_motion = dynamic_BTD[p_owners, t]
        assert not (own_motion == p_ND[:, 3:]).any()
        assert rows_of(own_motion) == rows_of(p_ND[:, 3:])  # only changed round
        assert all(batch.lengths_B[i] > t for i in q_owners + p_owners)
        met.append((t, frozenset(q_owners)))
    assert len(met) == len(set(met))  # one way and the other


def test_independence_is_the_mean_over_steps_and_paths_are_compared_whole(passed, recorder):
    build, calls = recorder(batched=True)
    batch = passed()
    terms = evaluate(with_term(build, IndependenceSlot()), batch)
    each = [(call.q.mean((-2, -1)) - call.p.mean((-2, -1))).square().mean() for call in calls]
    assert len(each) == 2
    torch.testing.assert_close(terms.figures["independence"], torch.stack(each).mean())
    calls.clear()
    paths = with_term(build, IndependenceSlot(motion="path"), widths={**WIDTHS, "independence": 11})
    evaluate(paths, batch)
    assert [call.q.shape for call in calls] == [(1, 3, 3 + 4 * 2)] * 2
    joint = torch.cat([batch.codes.static.sample, batch.codes.dynamic.sample.flatten(1)], -1)
    assert rows_of(torch.cat([call.q[0] for call in calls])) == rows_of(joint)


@pytest.mark.parametrize("build", [mmd, energy, hsic])
@pytest.mark.parametrize("motion", ["step", "path"])
def test_independent_codes_cost_nothing_on_average(passed, build, motion):
    widths = {**WIDTHS, "independence": 5 if motion == "step" else 11}
    objective = with_term(build, IndependenceSlot(motion=motion), widths=widths)
    values = torch.stack(
        [evaluate(objective, passed(B=8)).figures["independence"] for _ in range(400)]
    )
    errors = values.mean() / (values.std() / len(values) ** 0.5)
    assert abs(errors) < 3.5, f"{errors:.1f} standard errors from 0"


def test_dependent_codes_cost_something(passed):
    objective = with_term(mmd, IndependenceSlot())

    def tied():
        batch = passed(B=32)
        motion_BTD = batch.codes.dynamic.sample
        dynamic = replace(
            batch.codes.dynamic,
            sample=batch.codes.static.sample[:, None, :2].expand_as(motion_BTD),
        )
        return replace(batch, codes=Codes(batch.codes.static, dynamic))

    values = torch.stack([evaluate(objective, tied()).figures["independence"] for _ in range(60)])
    assert values.mean() > 5 * values.std() / len(values) ** 0.5


def test_hsic_sees_the_whole_batch_and_leaves_out_steps_that_are_too_few(passed):
    objective = with_term(hsic, IndependenceSlot())
    batch = passed(lengths=[4, 4, 4, 4, 2, 1])
    rows = torch.cat([batch.codes.static.sample, batch.codes.dynamic.sample[:, 3]], -1)[:4]
    last = hsic(rows, rows, 3)
    steps = [last]
    for t, count in ((0, 6), (1, 5), (2, 4)):
        joint = torch.cat([batch.codes.static.sample, batch.codes.dynamic.sample[:, t]], -1)
        steps.append(hsic(joint[:count], joint[:count], 3))
    wanted = torch.stack(steps).mean()
    torch.testing.assert_close(evaluate(objective, batch).figures["independence"], wanted)
    fewer = passed(lengths=[4, 4, 4, 2, 2, 2])
    joint = torch.cat(
        [fewer.codes.static.sample[:, None].expand(-1, 2, -1), fewer.codes.dynamic.sample[:, :2]],
        -1,
    ).transpose(0, 1)
    found = evaluate(objective, fewer).figures["independence"]
    torch.testing.assert_close(found, hsic(joint, joint, 3).mean())


def test_split_is_wired_where_rows_hold_two_codes_and_refused_elsewhere(passed):
    seen = []

    @penalty("splitting")
    def splitting(q_ND, p_ND, split, /):
        """Notes where the first code ends."""
        seen.append(split)
        return q_ND[:, :split].mean() * p_ND[:, split:].mean()

    evaluate(with_term(splitting, IndependenceSlot()), passed())
    assert set(seen) == {3}
    with pytest.raises(PlacedOptionError, match=r"use it in objective\.independence"):
        with_term(splitting, TermSlot(), "static")


def test_gradients_of_independence_reach_both_codes(passed):
    @penalty("products")
    def products(q_ND, p_ND, /):
        """A difference of mean products."""
        return (q_ND.prod(-1).mean() - p_ND.prod(-1).mean()).square()

    batch = passed()
    static = replace(batch.codes.static, sample=torch.randn(6, 3, requires_grad=True))
    dynamic = replace(batch.codes.dynamic, sample=torch.randn(6, 4, 2, requires_grad=True))
    batch = replace(batch, codes=Codes(static, dynamic))
    evaluate(with_term(products, IndependenceSlot()), batch).loss.backward()
    assert static.sample.grad.abs().sum() > 0
    assert dynamic.sample.grad.abs().sum() > 0


# -- prices on information --------------------------------------------------------------------


def with_prices(**prices):
    information = Information(**{code: Price(**price) for code, price in prices.items()})
    return Objective(Section(cost=squared_error, information=information), WIDTHS)


def test_information_is_the_expected_divergence_of_a_sequences_own_law_in_nats(passed):
    batch = passed(lengths=[4, 1, 2, 4, 3, 4])
    objective = with_prices(static={"weight": 2.0}, dynamic={"weight": 0.5})
    terms = evaluate(objective, batch)
    static, dynamic = batch.codes.static, batch.codes.dynamic

    def divergence(q, p):
        q, p = (torch.distributions.Normal(law.mean, law.sd) for law in (q, p))
        return torch.distributions.kl_divergence(q, p).sum(-1)

    static_nats = divergence(static.posterior, static.prior).mean()
    dynamic_BT = divergence(dynamic.posterior, dynamic.prior)
    rows = zip(dynamic_BT, batch.lengths_B, strict=True)
    dynamic_nats = torch.stack([row[:length].sum() for row, length in rows]).mean()
    torch.testing.assert_close(terms.figures["information-static"], static_nats)
    torch.testing.assert_close(terms.figures["information-dynamic"], dynamic_nats)
    wanted = terms.figures["cost"] + 2 * static_nats + 0.5 * dynamic_nats
    torch.testing.assert_close(terms.loss, wanted)


def test_without_a_price_there_is_no_term_and_tables_say_none(passed):
    assert evaluate(with_prices(), passed()).figures.keys() == {"cost"}
    assert str(Price()) == "none"
    assert str(Price(weight=0.5)) == "0.5 a nat"
    assert str(Price(weight=2, target=10)) == "2 a nat, controlled towards 10 nats"
    assert str(Price(weight=2, warm_up=0.5)) == "0 to 2 a nat, 2 at the end"
    points = [[0, 0.5], [0.4, 1.5], [1, 0.25]]
    falling = part(piecewise, points=points)
    assert str(Price(weight=2, schedule=falling)) == "0.5 to 3 a nat, 0.5 at the end"


# -- weights ----------------------------------------------------------------------------------


def test_schedules_multiply_the_weight_and_the_figure_says_so(passed, recorder):
    points = part(piecewise, points=((0.0, 2.0), (0.5, 0.5)))
    slot = TermSlot(weight=4.0, warm_up=0.1, schedule=points)
    objective = with_term(recorder()[0], slot, "static")
    for progress, wanted in ((0.0, 0.0), (0.05, 4 * 0.5 * 1.85), (0.25, 5.0), (0.9, 2.0)):
        terms = evaluate(objective, passed(), progress)
        assert terms.figures["static.weight"].item() == pytest.approx(wanted, rel=1e-6)
        share = (terms.loss - terms.figures["cost"]) / terms.figures["static"]
        assert share.item() == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    level = with_term(recorder()[0], TermSlot(schedule=part(constant)), "static")
    assert evaluate(level, passed(), 0.3).figures["static.weight"] == 1


def test_cyclic_schedule_by_hand():
    assert [cyclic(p, cycles=2, rise=0.5) for p in (0, 0.125, 0.25, 0.49, 0.5, 0.625, 1.0)] == [
        0, 0.5, 1, 1, 0, 0.5, 1,
    ]  # fmt: skip
    assert cyclic(0.5, cycles=2, rise=0.0) == 1
    with pytest.raises(OptionError, match="wanted rising ones"):
        piecewise(0.1, points=((0.5, 1.0), (0.5, 2.0)))


def test_control_brings_a_value_to_its_target():
    # a value that falls as its weight rises, as the nats in a code under a price do
    weight = TermWeight(TermSlot(weight=1.0, target=3.0, target_rate=0.05))
    for _ in range(400):
        weight.learn(torch.tensor(12.0 / (1.0 + weight.at(1.0))), 1.0)
    assert 12.0 / (1.0 + weight.at(1.0)) == pytest.approx(3.0, rel=1e-3)


def test_control_is_bounded_in_a_step_and_in_all():
    weight = TermWeight(TermSlot(weight=2.0, target=1e-3, target_rate=0.1))
    weight.learn(torch.tensor(1e9), 1.0)
    assert weight.at(1.0) == pytest.approx(2 * math.exp(0.1))
    for _ in range(1000):
        weight.learn(torch.tensor(1e9), 1.0)
    assert weight.at(1.0) == pytest.approx(2e4)


def test_control_waits_while_the_schedule_holds_the_weight_down():
    late = part(piecewise, points=((0.0, 0.0), (0.25, 0.0), (0.3, 1.0)))
    weight = TermWeight(TermSlot(target=8.0, schedule=late))
    for step in range(250):
        weight.learn(torch.tensor(24.0), step / 1000)
    assert weight.log_factor == 0
    weight.learn(torch.tensor(24.0), 0.275)
    assert weight.log_factor.item() == pytest.approx(0.005)


def test_what_a_penalty_refuses_is_said_at_its_place(passed):
    @penalty("picky")
    def picky(q_ND, p_ND, /):
        """Refuses everything."""
        raise ValueError("no such rows here")

    with pytest.raises(PlacedOptionError, match=r"'picky' refuses .*no such rows here") as caught:
        evaluate(with_term(picky, TermSlot(), "static"), passed())
    assert caught.value.path == "objective.somewhere"


def test_control_learns_in_training_only_and_is_in_the_checkpoint(passed):
    objective = with_prices(static={"weight": 1.0, "target": 0.01})
    objective.eval()
    assert evaluate(objective, passed()).figures["information-static.weight"] == 1
    assert evaluate(objective, passed()).figures["information-static.weight"] == 1
    objective.train()
    with torch.no_grad():
        evaluate(objective, passed())
    before = evaluate(objective, passed()).figures["information-static.weight"]
    after = evaluate(objective, passed()).figures["information-static.weight"]
    assert before == 1
    assert after == pytest.approx(math.exp(0.01))
    other = with_prices(static={"weight": 1.0, "target": 0.01})
    other.load_state_dict(objective.state_dict())
    weights = [
        evaluate(o, passed()).figures["information-static.weight"] for o in (other, objective)
    ]
    assert weights[0] == weights[1] != 1


# -- critics ----------------------------------------------------------------------------------


@penalty("tiny-critic", batched=True)
class TinyCritic(AdversarialPenalty):
    """The difference of means along a learnt direction."""

    critic_lr = 0.1
    critic_steps = 3

    def __init__(self, width, /):
        super().__init__()
        self.direction = nn.Linear(width, 1, bias=False)
        self.trained_on = []

    def forward(self, q_ND, p_ND, /):
        return (self.direction(p_ND) - self.direction(q_ND)).mean((-2, -1))

    def critic_loss(self, q_ND, p_ND, /):
        self.trained_on.append((q_ND, p_ND))
        return self.direction.weight.square().sum() - self.forward(q_ND, p_ND).sum()


def leaves(batch):
    """The batch with codes that take gradients."""
    static = replace(batch.codes.static, sample=batch.codes.static.sample.requires_grad_())
    return replace(batch, codes=Codes(static, batch.codes.dynamic))


def test_the_models_loss_moves_the_codes_and_never_the_critic(passed):
    objective = with_term(TinyCritic, TermSlot(), "static")
    batch = leaves(passed())
    evaluate(objective, batch).loss.backward()
    critic = objective.static
    assert batch.codes.static.sample.grad.abs().sum() > 0
    assert critic.direction.weight.grad is None
    assert critic.direction.weight.requires_grad
    assert list(objective.parameters_of_the_model()) == []


def test_the_critic_learns_from_the_codes_of_the_pass_without_their_graph(passed):
    objective = with_term(TinyCritic, TermSlot(), "static")
    batch = leaves(passed())
    evaluate(objective, batch)
    before = objective.static.direction.weight.clone()
    figures = objective.train_critics()
    assert figures.keys() == {"static.critic"}
    assert not torch.equal(objective.static.direction.weight, before)
    assert len(objective.static.trained_on) == TinyCritic.critic_steps
    for q_ND, p_ND in objective.static.trained_on:
        torch.testing.assert_close(q_ND, batch.codes.static.sample)
        assert not q_ND.requires_grad
        assert not p_ND.requires_grad
    assert batch.codes.static.sample.grad is None
    assert objective.train_critics() == {}  # nothing new was compared


def test_measuring_teaches_the_critic_nothing(passed):
    objective = with_term(TinyCritic, TermSlot(), "static").eval()
    evaluate(objective, passed())
    assert objective.train_critics() == {}
    objective.train()
    with torch.no_grad():
        evaluate(objective, passed())
    assert objective.train_critics() == {}


def test_the_critics_optimiser_goes_on_from_the_checkpoint(passed):
    torch.manual_seed(0)
    first = with_term(TinyCritic, TermSlot(), "static")
    evaluate(first, passed())
    first.train_critics()
    second = with_term(TinyCritic, TermSlot(), "static")
    second.load_state_dict(deepcopy(first.state_dict()))  # a checkpoint is a copy
    batch = passed()
    for objective in (first, second):
        evaluate(objective, batch)
        objective.train_critics()
    assert torch.equal(first.static.direction.weight, second.static.direction.weight)


def test_a_critic_whose_loss_is_not_finite_is_named(passed):
    @penalty("broken-critic")
    class Broken(TinyCritic):
        """A critic that breaks."""

        def critic_loss(self, q_ND, p_ND, /):
            return self.direction.weight.sum() * float("nan")

    objective = with_term(Broken, TermSlot(), "static")
    evaluate(objective, passed())
    with pytest.raises(NotFiniteError, match=r"static\.critic"):
        objective.train_critics()
    assert bool(objective.static.direction.weight.isfinite().all())


# -- weights of rows --------------------------------------------------------------------------


def test_ragged_rows_reach_a_penalty_with_weights_in_one_call(passed):
    calls = []

    @penalty("weighted", batched=True)
    def weighted(q_ND, p_ND, weights_N, /):
        """Mean differences of rows that count."""
        calls.append((q_ND, weights_N))
        gap_N = (q_ND - p_ND).mean(-1)
        if weights_N is None:
            return gap_N.mean(-1)
        return (gap_N * weights_N).sum(-1) / weights_N.sum(-1)

    @penalty("plain")
    def plain(q_ND, p_ND, /):
        """Mean differences."""
        return (q_ND - p_ND).mean()

    batch = passed(lengths=[4, 1, 2, 4, 3, 1])
    slot = DynamicTermSlot(given="none")
    values = [
        evaluate(with_term(build, slot, "dynamic"), batch).figures["dynamic"]
        for build in (weighted, plain)
    ]
    torch.testing.assert_close(*values)
    ((q_TND, weights_TN),) = calls
    assert q_TND.shape == (4, 6, 2)
    assert weights_TN.tolist()[2] == [1, 0, 0, 1, 1, 0]
    evaluate(with_term(weighted, slot, "dynamic"), passed())
    assert calls[-1][1] is None


def test_an_unknown_wired_parameter_is_named():
    @penalty("curious")
    def curious(q_ND, p_ND, mood, /):
        """Wants what there is not."""
        return (q_ND - p_ND).mean()

    with pytest.raises(PluginError, match=r"\['mood'\].*paired, weights_N, split"):
        with_term(curious, TermSlot(), "static")
