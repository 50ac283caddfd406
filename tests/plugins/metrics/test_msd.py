"""Interventions on models that show their codes, by a judge that reads frames off exactly.

Shapes: B batch, N sequences, T time; a frame is [who, which, way]: two static factors, one dynamic.
"""

import pytest
import torch
from genzoo_rwae_plugins.metrics.msd import msd

from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, Latents, StaticCode
from genzoo_rwae.evaluation import Judge, Splits, Verdict
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData

T = 4
CODES = {"who": "static", "which": "static", "way": "dynamic"}
INFO = DataInfo((3,), T, False, tuple(Factor(n, ("x", "y"), c) for n, c in CODES.items()))


class Signs(SequenceData):
    """Numbers of ±1 and a little more; labels are their signs, equally frequent together."""

    info = INFO

    def __init__(self, count, seed):
        noise = 0.05 * torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))
        self.labels_N3 = torch.arange(count)[:, None] // torch.tensor([1, 2, 4]) % 2
        values_N3 = (2.0 * self.labels_N3 - 1) * (1 + noise)
        self.x_NT = values_N3[:, None].expand(-1, T, -1).clone()

    def __len__(self):
        return len(self.x_NT)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        labels = {name: self.labels_N3[i, n] for n, name in enumerate(CODES)}
        return Batch(self.x_NT[i], torch.full((len(i),), T), i, labels)

    def recombine(self, static_B, dynamic_B, /):
        return torch.cat([self.x_NT[static_B][..., :2], self.x_NT[dynamic_B][..., 2:]], -1)


class Reads(torch.nn.Module):
    """Every factor by the sign of its mean over time."""

    def forward(self, x_BT, lengths_B):
        mean_B3 = x_BT.sum(1) / lengths_B[:, None]
        logits = {name: torch.stack([-m, m], -1) for name, m in zip(CODES, mean_B3.T, strict=True)}
        return Verdict(logits, mean_B3)


class Shows(SequenceModel):
    """Static codes of two numbers and dynamic ones of one; `shown` says what becomes of them."""

    def __init__(self, shown=lambda static, way: (static, way), mix=None):
        super().__init__(INFO)
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.shown = shown
        self.mix = torch.eye(2) if mix is None else mix

    def infer(self, x_BT, lengths_B, draw):
        static_BD, way_BTD = x_BT[:, 0, :2] @ self.mix, x_BT[..., 2:]
        laws = [DiagonalGaussian(z, torch.full_like(z, -20.0)) for z in (static_BD, way_BTD)]
        return Codes(
            StaticCode(static_BD, laws[0], laws[0]),
            DynamicCode(way_BTD, laws[1], laws[1], way_BTD),
        )

    def decode(self, latents):
        static_BTD = (latents.static_BD @ self.mix.inverse())[:, None].expand(-1, T, -1)
        return torch.cat(self.shown(static_BTD, latents.dynamic_BTD), -1)

    def sample_prior(self, count, length, draw, action_BA=None):
        drawn = torch.rand(count, 3, generator=draw.generator).sub(0.5).sign()
        return Latents(drawn[:, :2] @ self.mix, drawn[:, None, 2:].expand(-1, length, -1))


@pytest.fixture(scope="module")
def splits():
    return Splits(Signs(400, 1), Signs(0, 2), Signs(400, 3))


@pytest.fixture(scope="module")
def judge():
    return Judge(Reads(), INFO)


def scores(figures):
    return {
        (group, name): figure.value
        for group, inside in figures.items()
        if group.startswith(("two", "several"))
        for name, figure in inside.items()
    }


def test_perfect_model_scores_one_in_all_interventions(splits, judge):
    found = scores(msd(Shows(), splits, judge))
    assert set(found) == {
        (f"{kind}, {how}", name)
        for how in ("swap", "sample")
        for kind, names in {
            "two factors": ("static factors kept", "dynamic factors kept", "mean"),
            "several factors": ("all but who kept", "all but which kept", "mean"),
        }.items()
        for name in names
    }
    # an accuracy of 400 fair draws is off one half by .02, or by .04 for codes that are mixed
    assert all(value > 0.95 for value in found.values()), found


def test_factors_are_exchanged_one_by_one_also_where_every_entry_tells_both(splits, judge):
    found = scores(msd(Shows(mix=torch.tensor([[1.0, 2.0], [-1.0, 1.0]])), splits, judge))
    assert found["several factors, swap", "mean"] > 0.95


def test_model_that_ignores_its_static_code_keeps_nothing(splits, judge):
    model = Shows(lambda static, way: (torch.ones_like(static), way))
    figures = msd(model, splits, judge)
    kept = figures["two factors, swap"]["static factors kept"]
    # half of the labels are what is always shown; the way is exchanged as it should be
    assert kept.value == pytest.approx(0.75, abs=0.03)
    assert kept.chance == pytest.approx(0.75)
    assert figures["two factors, swap"]["dynamic factors kept"].value > 0.95
    assert "on 0.5" in kept.note


def test_model_that_shows_static_codes_alone_exchanges_no_motion(splits, judge):
    model = Shows(lambda static, way: (static, static[..., :1] * way.abs()))
    figures = msd(model, splits, judge)["two factors, swap"]
    assert figures["static factors kept"].value > 0.9  # whose sign is that of `who`: half right
    assert figures["dynamic factors kept"].value < 0.8


def test_baselines_say_what_nothing_and_the_truth_would_score(splits, judge):
    figure = msd(Shows(), splits, judge)["two factors, swap"]["static factors kept"]
    assert figure.baselines["nothing exchanged"] == pytest.approx(0.75)
    assert figure.baselines["the truth"] == pytest.approx(figure.value)


def test_consistency_falls_when_identity_flickers(splits, judge):
    steps_T1 = torch.tensor([1.0, -1.0, 1.0, 1.0])[:, None]
    flickering = Shows(lambda static, way: (static * steps_T1, way))
    for model, value in ((Shows(), 1.0), (flickering, 1 / 3)):
        for figure in msd(model, splits, judge)["consistency between frames"].values():
            assert figure.value == pytest.approx(value)
            assert figure.baselines == {"test sequences": 1.0}


def test_interventions_repeat_with_their_seed_and_are_as_many_as_asked_for(splits, judge):
    model = Shows()
    one, same, other = (
        scores(msd(model, splits, judge, pairs=90, stills=5, seed=seed)) for seed in (1, 1, 2)
    )
    assert one == same != other
    figure = msd(model, splits, judge, pairs=90, stills=5)["two factors, swap"]
    assert "90 outcomes" in figure["static factors kept"].note


def test_a_single_sequence_gives_no_pairs(splits, judge):
    assert msd(Shows(), Splits(splits.train, splits.validation, Signs(1, 0)), judge) == {}


def test_factors_on_which_the_judge_has_no_word_are_left_out(splits, judge):
    found = scores(msd(Shows(), splits, judge.without(["which"])))
    of_several = {name for group, name in found if group.startswith("several")}
    assert of_several == {"all but who kept"}
    assert msd(Shows(), splits, judge.without(["who", "which"])) == {}
