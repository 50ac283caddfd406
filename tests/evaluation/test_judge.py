"""A judge's word and how it is trained, on sequences whose labels are plain to see.

Shapes: B batch, T time, N sequences; frames are vectors [2].
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.judges.recurrent import RecurrentJudge
from rich.console import Console
from torch import nn

from genzoo_rwae import judge as as_judge
from genzoo_rwae.components import component_of
from genzoo_rwae.errors import DataError, PluginError, RunError
from genzoo_rwae.evaluation import Judge, Verdict, judge_training
from genzoo_rwae.evaluation.judge import prepared
from genzoo_rwae.evaluation.judge_training import train_judge
from genzoo_rwae.evaluation.reliability import majority_share, on_real_data
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData
from genzoo_rwae.spec import Part
from genzoo_rwae.spec.sections import JudgeSlot
from genzoo_rwae.zoo import Plugin, Registered

T = 5
FACTORS = (Factor("who", ("a", "b", "c"), "static"), Factor("way", ("up", "down"), "dynamic"))
QUIET = Console(quiet=True)


class Walks(SequenceData):
    """Who it is stands in the first number; the second rises or falls. Ragged, with gaps."""

    def __init__(self, count, seed, factors=FACTORS):
        self.info = DataInfo((2,), T, False, factors, missing=True)
        generator = torch.Generator().manual_seed(seed)
        self.who_N = torch.randint(3, (count,), generator=generator)
        self.way_N = torch.randint(2, (count,), generator=generator)
        self.lengths_N = torch.randint(2, T + 1, (count,), generator=generator)
        noise_NT2 = 0.3 * torch.randn(count, T, 2, generator=generator)
        climb_NT = torch.arange(T) * (1.0 - 2 * self.way_N[:, None])
        self.x_NT2 = 50 * torch.stack([self.who_N[:, None].expand(-1, T), climb_NT], -1) + noise_NT2
        self.x_NT2[torch.arange(T) >= self.lengths_N[:, None]] = 0
        self.x_NT2[::7, 1, 0] = torch.nan

    def __len__(self):
        return len(self.x_NT2)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        factors = {"who": self.who_N[i], "way": self.way_N[i]} if self.info.factors else {}
        return Batch(self.x_NT2[i], self.lengths_N[i], i, factors)


def part(build=RecurrentJudge, options=None, **slot):
    registered = Registered(component_of(build), Plugin("test", "python", "here"))
    return Part(registered, options or {}, "judge", JudgeSlot(**slot))


def small(**slot):
    return part(options={"channels": 2}, **{"steps": 60, "batch": 32, "lr": 3e-3, **slot})


# -- its word ---------------------------------------------------------------------------------


def test_in_bfloat16_it_says_the_same():
    info = DataInfo((3, 16, 16), T, True, FACTORS)
    torch.manual_seed(0)
    one = Judge(RecurrentJudge(info, channels=4), info)
    x_BT, lengths_B = torch.rand(6, T, 3, 16, 16), torch.full((6,), T)
    said = {}
    for precision in ("float32", "bf16"):
        one.execution = replace(one.execution, precision=precision)
        said[precision] = one.verdict(x_BT, lengths_B)
    for name in ("who", "way"):
        low, high = (said[p].probabilities(name) for p in ("bf16", "float32"))
        assert 0 < (low - high).abs().max() < 0.005


class Means(nn.Module):
    """Tells by the mean of the true steps; keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x_BT, lengths_B):
        self.seen.append((x_BT, lengths_B))
        mean_BF = x_BT.sum(1) / lengths_B[:, None]
        who_BK = -(mean_BF[:, :1] - 50 * torch.arange(3.0)).square()
        way_BK = torch.stack([mean_BF[:, 1], -mean_BF[:, 1]], -1)
        return Verdict({"who": who_BK, "way": way_BK}, mean_BF)


def test_a_verdict_of_many_sequences_is_that_of_each():
    data = Walks(150, 1)
    batch = data.take(np.arange(150))
    net = Means()
    whole = Judge(net, data.info).verdict(batch.x_BT, batch.lengths_B)
    assert [len(x_BT) for x_BT, _ in net.seen] == [64, 64, 22]
    alone = net(prepared(batch.x_BT, batch.lengths_B, "cpu"), batch.lengths_B)
    for name in ("who", "way"):
        torch.testing.assert_close(whole.logits[name], alone.logits[name])
    torch.testing.assert_close(whole.features_BF, alone.features_BF)


def test_probabilities_are_the_softmax_in_float64():
    verdict = Verdict({"way": torch.tensor([[0.0, 1.0]])}, torch.zeros(1, 1))
    p = verdict.probabilities("way")
    assert p.dtype == torch.float64
    assert p[0, 1].item() == pytest.approx(1 / (1 + np.exp(-1)))


def test_a_judge_sees_floats_without_padding_and_gaps():
    x_BT = torch.tensor([[[255, 0], [255, 51]]], dtype=torch.uint8)
    assert prepared(x_BT, torch.tensor([1]), "cpu").tolist() == [[[1.0, 0.0], [0.0, 0.0]]]
    gaps_BT = torch.tensor([[[torch.nan, 3.0], [1.0, torch.inf]]])
    assert prepared(gaps_BT, torch.tensor([1]), "cpu").tolist() == [[[0.0, 3.0], [0.0, 0.0]]]


def test_accuracy_is_over_all_sequences_or_as_many_as_asked_for():
    data = Walks(150, 1)
    data.x_NT2[::7, 1, 0] = 50.0 * data.who_N[::7]  # no gaps
    judge = Judge(Means(), data.info)
    right = data.who_N[:50].clone()
    assert judge.accuracy(data) == {"who": 1.0, "way": 1.0}
    data.who_N[:50] = (right + 1) % 3
    assert judge.accuracy(data)["who"] == pytest.approx(100 / 150)
    assert judge.accuracy(data, 2) == {"who": 0.5, "way": 1.0}  # the first and the last


def test_accuracy_on_test_data_stands_beside_the_majority_class():
    data = Walks(150, 1)
    figures = on_real_data(Judge(Means(), data.info), data)
    assert figures["who"].chance == pytest.approx(np.bincount(data.who_N).max() / 150)
    assert majority_share(torch.tensor([2, 2, 0])) == pytest.approx(2 / 3)
    assert on_real_data(Judge(Means(), data.info), Walks(0, 1)) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, n: x,
        lambda x, n: Verdict({"who": torch.zeros(len(x), 3)}, x),
        lambda x, n: Verdict({"who": torch.zeros(len(x), 4), "way": torch.zeros(len(x), 2)}, x),
    ],
)
def test_a_net_that_gives_no_verdict_on_every_factor_is_refused(wrong):
    net = nn.Module()
    net.forward = wrong
    judge = Judge(net, Walks(4, 1).info)
    with pytest.raises(PluginError, match=r"wanted a Verdict with logits \{'who': \[2, 3\], 'way'"):
        judge.verdict(torch.zeros(2, T, 2), torch.tensor([T, T]))


# -- how it learns ----------------------------------------------------------------------------


def test_a_trained_judge_tells_all_factors_of_sequences_that_it_never_saw():
    with torch.no_grad():  # as when metrics are measured
        judge = train_judge(small(), Walks(300, 1), Walks(60, 2), QUIET)
    accuracy = judge.accuracy(Walks(200, 3))
    assert min(accuracy.values()) > 0.97, accuracy
    assert not judge.net.training


def test_a_judge_of_shuffled_labels_is_at_chance():
    train = Walks(300, 1)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(5))
    train.who_N, train.way_N = train.who_N[order], train.way_N[order]
    accuracy = train_judge(small(steps=30), train, Walks(0, 2), QUIET).accuracy(Walks(300, 3))
    assert accuracy["who"] < 0.55
    assert accuracy["way"] < 0.68


def test_on_a_processor_its_training_keeps_freed_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(judge_training, "keep_freed_memory", lambda: asked.append("memory"))
    train_judge(small(steps=1), Walks(64, 1), Walks(0, 2), QUIET)
    assert asked == ([] if torch.cuda.is_available() else ["memory"])


def test_a_judge_repeats_with_its_seed_and_leaves_torchs_generator_alone():
    torch.manual_seed(4)
    before = torch.get_rng_state()
    weights = [
        train_judge(small(steps=3, seed=seed), Walks(64, 1), Walks(9, 2), QUIET).net.state_dict()
        for seed in (1, 1, 2)
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["heads.0.0.weight"], weights[2]["heads.0.0.weight"])


@pytest.mark.parametrize(
    ("validation", "enough", "steps"), [(20, 0.0, 6), (20, 1.0, 60), (0, 0.0, 60)]
)
def test_training_ends_when_the_validation_split_was_right_enough_twice(
    validation, enough, steps, monkeypatch
):
    took = []
    monkeypatch.setattr(Judge, "accuracy", lambda self, data, most: {"who": 0.99, "way": 0.5})

    def counted(logits, labels):
        took.append(len(labels))
        return nn.functional.cross_entropy(logits, labels)

    monkeypatch.setattr(judge_training, "cross_entropy", counted)
    train_judge(small(enough=enough), Walks(64, 1), Walks(validation, 2), QUIET)
    assert len(took) == 2 * steps  # two factors; of sixty steps every third is looked at


def test_the_loss_is_the_sum_over_factors_of_the_cross_entropy():
    logits = {"who": torch.randn(4, 3), "way": torch.randn(4, 2)}
    labels = {"who": torch.tensor([0, 1, 2, 0]), "way": torch.tensor([0, 1, 1, 0])}
    by_hand = sum(
        -logits[name].log_softmax(-1)[range(4), labels[name]].mean() for name in ("who", "way")
    )
    found = judge_training._loss(Verdict(logits, torch.zeros(4, 1)), labels)
    torch.testing.assert_close(found, by_hand)


def test_data_without_labels_train_no_judge():
    with pytest.raises(DataError, match="these data have none"):
        train_judge(small(), Walks(64, 1, factors=()), Walks(0, 2, factors=()), QUIET)


@as_judge("watching")
class Watching(Means):
    """Notes in which mode it was called."""

    def __init__(self, info, /):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.modes = []

    def forward(self, x_BT, lengths_B):
        self.modes.append((torch.is_grad_enabled(), self.training))
        verdict = super().forward(x_BT * self.weight / 100, lengths_B)
        return Verdict(dict(verdict.logits), verdict.features_BF)


def test_a_judge_learns_in_training_mode_also_after_it_was_measured():
    judge = train_judge(part(Watching, steps=40, batch=8), Walks(64, 1), Walks(10, 2), QUIET)
    assert set(judge.net.modes) == {(True, True), (False, False)}
    assert judge.net.modes.count((True, True)) == 40
    assert judge.net.modes[-2:] == [(True, True), (False, False)]


@as_judge("diverging")
class Diverging(nn.Module):
    """Says infinity."""

    def __init__(self, info, /):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x_BT, lengths_B):
        n = len(x_BT)
        return Verdict({"who": torch.full((n, 3), torch.inf) * self.weight,
                        "way": torch.zeros(n, 2)}, x_BT[:, 0])  # fmt: skip


def test_a_loss_that_is_not_finite_ends_with_a_word():
    with pytest.raises(RunError, match=r"not finite at step 1; lower judge\.lr"):
        train_judge(part(Diverging), Walks(64, 1), Walks(0, 2), QUIET)


def test_a_training_split_smaller_than_the_batch_is_one_batch():
    judge = train_judge(small(steps=2, batch=500), Walks(20, 1), Walks(0, 2), QUIET)
    assert set(judge.accuracy(Walks(20, 1))) == {"who", "way"}


def test_padding_has_no_say_in_a_trained_judges_word():
    data = Walks(64, 1)
    judge = train_judge(small(steps=3), data, Walks(0, 2), QUIET)
    batch = data.take(np.arange(64))
    beyond = torch.arange(T) >= batch.lengths_B[:, None]
    noisy = replace(batch, x_BT=batch.x_BT.clone())
    noisy.x_BT[beyond] = 1e3
    one, other = (judge.verdict(b.x_BT, b.lengths_B).features_BF for b in (batch, noisy))
    assert torch.equal(one, other)
