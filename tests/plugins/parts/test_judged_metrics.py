"""Judged protocols, on models whose codes are places in the test split and a judge that knows.

The models render what their codes say, the judge has seen every clip that can be rendered: so all
that is measured is known beforehand.

Shapes: B batch, T time, N sequences, D code width.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.metrics.fix_action import fix_action
from genzoo_rwae_plugins.metrics.fix_content import fix_content
from genzoo_rwae_plugins.metrics.fix_motion import fix_motion
from genzoo_rwae_plugins.metrics.judged_swap import judged_swap
from genzoo_rwae_plugins.metrics.unconditional import unconditional
from genzoo_rwae_plugins.sources.moving_shapes import moving_shapes

from genzoo_rwae.codes import (
    ActionCode,
    Categorical,
    Codes,
    DiagonalGaussian,
    DynamicCode,
    Latents,
    StaticCode,
)
from genzoo_rwae.errors import OptionError
from genzoo_rwae.evaluation import Judge, Splits, Verdict
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import SequenceData

T = 3
COUNT = 66  # more than are taken at once, and no multiple of it
STATIC, DYNAMIC = ("shape", "colour", "size"), ("motion", "place")


@pytest.fixture(scope="module")
def splits():
    return Splits(
        *(moving_shapes(split, length=T, sequences=50, held_out=COUNT)
          for split in ("train", "validation", "test"))
    )  # fmt: skip


@pytest.fixture(scope="module")
def labels(splits):
    """The data set's word on all test sequences."""
    return splits.test.take(np.arange(COUNT)).factors


class Knowing(torch.nn.Module):
    """Reads off a clip what it was rendered from: it has seen them all."""

    def __init__(self, splits):
        super().__init__()
        self.info, self.known = splits.test.info, {}
        for data in (splits.train, splits.test):
            batch = data.take(np.arange(len(data)))
            for row, x_T in enumerate(batch.x_BT):
                self.known[x_T.numpy().tobytes()] = {n: k[row] for n, k in batch.factors.items()}
        for a in range(COUNT):
            a_N, b_N = np.full(COUNT, a), np.arange(COUNT)
            for b, x_T in enumerate(splits.test.recombine(a_N, b_N)):
                of = {name: batch.factors[name][a] for name in STATIC}
                of |= {name: batch.factors[name][b] for name in DYNAMIC}
                self.known[x_T.numpy().tobytes()] = of

    def forward(self, x_BT, lengths_B):
        told = [self.known[clip.numpy().tobytes()] for clip in as_bytes(x_BT)]
        logits = {}
        for factor in self.info.factors:
            labels_B = torch.stack([of[factor.name] for of in told])
            logits[factor.name] = 1e4 * torch.eye(len(factor.classes))[labels_B]
        return Verdict(logits, torch.cat(list(logits.values()), -1) / 1e4)


@pytest.fixture(scope="module")
def judge(splits):
    return Judge(Knowing(splits), splits.test.info)


def as_bytes(x_BT):
    return (x_BT * 255).round().to(torch.uint8)


def certain(mean):
    return DiagonalGaussian(mean, torch.full_like(mean, -20.0))


class Renderer(SequenceModel):
    """Codes are places in the test split; `shown` says whose identity and motion are rendered."""

    def __init__(self, splits, shown=lambda static, motion: (static, motion)):
        super().__init__(splits.test.info)
        self.anchor = torch.nn.Parameter(torch.zeros(()))  # a device to be on
        self.data, self.shown, self.drawn = splits.test, shown, []
        clips = self.data.take(np.arange(COUNT)).x_BT
        self.place = {clip.numpy().tobytes(): n for n, clip in enumerate(clips)}

    def infer(self, x_BT, lengths_B, draw):
        places_B = [self.place[clip.numpy().tobytes()] for clip in as_bytes(x_BT)]
        z_BD = torch.tensor(places_B).float()[:, None]
        z_BTD = z_BD[:, None].expand(-1, T, -1)
        return Codes(
            StaticCode(z_BD, certain(z_BD), certain(z_BD)),
            DynamicCode(z_BTD, certain(z_BTD), certain(z_BTD), z_BTD),
        )

    def decode(self, latents):
        places = latents.static_BD[:, 0], latents.dynamic_BTD[:, 0, 0]
        shown = self.shown(*(z_B.long().numpy() for z_B in places))
        return self.data.recombine(*shown).float() / 255

    def sample_prior(self, count, length, draw, action_BA=None):
        places_2B = torch.randint(COUNT, (2, count), generator=draw.generator)
        self.drawn.append(places_2B)
        static_BD, motion_BD = places_2B.float().unsqueeze(-1)
        return Latents(static_BD, motion_BD[:, None].expand(-1, length, -1))

    def prior_means(self, latents):
        return torch.zeros_like(latents.dynamic_BTD)  # everybody moves as sequence 0 does


def perfect(splits):
    return Renderer(splits)


def without_static(splits):
    """z^m holds who it is as well."""
    return Renderer(splits, lambda static, motion: (motion, motion))


def without_dynamic(splits):
    """z^c holds the motion as well."""
    return Renderer(splits, lambda static, motion: (static, static))


def swapping(splits):
    return Renderer(splits, lambda static, motion: (motion, static))


def drawn_places(model, row):
    """Places that the prior drew, by repeat and sequence: [R, N]; batches come one by one."""
    first, last = model.drawn[: len(model.drawn) // 2], model.drawn[len(model.drawn) // 2 :]
    return torch.stack([torch.cat(pair) for pair in zip(
        [p[row] for p in first], [p[row] for p in last], strict=True)])  # fmt: skip


def changed(labels_N, places_RN):
    """Share of draws whose label is another than that of the sequence they stand in for."""
    return (labels_N[places_RN] != labels_N).double().mean().item()


# -- fixed motion -----------------------------------------------------------------------------


def test_perfect_model_keeps_every_motion_and_changes_as_many_identities_as_were_drawn(
    splits, judge, labels
):
    model = perfect(splits)
    figures = fix_motion(model, splits, judge, repeats=3)
    places_RN = drawn_places(model, 0)
    for name, classes in (("motion", 6), ("place", 4)):
        of = figures[name]
        assert (of["Acc"].value, of["Acc"].spread, of["worst class"].value) == (1.0, 0.0, 1.0)
        assert of["IS"].value == pytest.approx(classes)  # balanced over true classes
        assert of["H(y|x)"].value == 0.0
        assert of["H(y)"].value == pytest.approx(np.log(classes))
    identity = figures["identity changed"]
    assert {figure.good for figure in identity.values()} == {None}  # chance is the ideal
    for name in STATIC:
        assert identity[name].value == pytest.approx(changed(labels[name], places_RN))
    assert identity["colour"].chance == pytest.approx(5 / 6)
    assert identity["mean"].chance == pytest.approx((3 / 4 + 5 / 6 + 2 / 3) / 3)
    assert abs(identity["mean"].value - identity["mean"].chance) < 0.05
    assert identity["mean"].spread > 0


def test_model_that_ignores_its_static_code_has_all_accuracy_and_changes_no_identity(splits, judge):
    figures = fix_motion(without_static(splits), splits, judge, repeats=2)
    assert figures["motion"]["Acc"].value == figures["place"]["Acc"].value == 1.0
    assert [figures["identity changed"][name].value for name in (*STATIC, "mean")] == [0.0] * 4


def test_model_that_swaps_its_codes_fails_at_fixed_motion(splits, judge, labels):
    model = swapping(splits)
    figures = fix_motion(model, splits, judge, repeats=2)
    of = figures["motion"]
    right = 1 - changed(labels["motion"], drawn_places(model, 0))
    assert of["Acc"].value == pytest.approx(right)
    assert of["Acc"].value < 0.35
    assert of["worst class"].value <= of["Acc"].value
    assert of["IS"].value < 6
    assert figures["identity changed"]["mean"].value == 0.0


def test_chance_of_the_accuracy_is_the_majority_class(splits, judge, labels):
    figures = fix_motion(perfect(splits), splits, judge, repeats=1)
    share = labels["motion"].bincount().max().item() / COUNT
    assert figures["motion"]["Acc"].chance == pytest.approx(share)
    assert figures["motion"]["Acc"].spread is None  # there is nothing to spread over


def test_draws_repeat_with_their_seed(splits, judge):
    one, same, other = (
        fix_motion(swapping(splits), splits, judge, repeats=1, seed=seed)["motion"]["Acc"].value
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_every_test_sequence_is_measured_unless_fewer_are_asked_for(splits, judge):
    for asked, measured in ((None, COUNT), (7, 7)):
        note = fix_motion(perfect(splits), splits, judge, sequences=asked)["motion"]["Acc"].note
        assert note.startswith(f"{measured} test sequences, 5 draws")


class Acting(Renderer):
    """Has as many actions as there are motions, and knows each sequence's."""

    actions = 6

    def __init__(self, splits):
        super().__init__(splits)
        self.motions = splits.test.take(np.arange(COUNT)).factors["motion"]
        self.decoded = []

    def infer(self, x_BT, lengths_B, draw):
        codes = super().infer(x_BT, lengths_B, draw)
        law = Categorical(5.0 * torch.eye(6)[self.motions[codes.static.sample[:, 0].long()]])
        return replace(codes, action=ActionCode(draw(law), law, law))

    def sample_prior(self, count, length, draw, action_BA=None):
        drawn = super().sample_prior(count, length, draw)
        return replace(drawn, action_BA=torch.eye(6)[torch.zeros(count).long()])

    def decode(self, latents):
        self.decoded.append(latents.action_BA.argmax(-1))
        return super().decode(latents)


def test_action_is_the_donors_under_fixed_motion_and_drawn_under_fixed_content(splits, judge):
    model = Acting(splits)
    fix_motion(model, splits, judge, repeats=1)
    assert torch.equal(torch.cat(model.decoded), model.motions)
    model.decoded.clear()
    fix_content(model, splits, judge, repeats=1, decode_prior="sample")
    assert torch.cat(model.decoded).unique().tolist() == [0]


class Cut(SequenceData):
    """Another split's sequences, some of them shorter than they are."""

    def __init__(self, data):
        self.data, self.info = data, data.info

    def __len__(self):
        return len(self.data)

    def take(self, indices_B, /, *, draw=0):
        batch = self.data.take(indices_B)
        return replace(batch, lengths_B=1 + batch.indices_B % T)


@pytest.mark.parametrize("metric", [fix_motion, fix_content, unconditional])
def test_the_judge_hears_true_lengths(splits, metric, monkeypatch):
    cut, heard = Cut(splits.test), []

    def verdict(x_BT, lengths_B):
        heard.append((len(x_BT), lengths_B))
        logits = {f.name: torch.eye(len(f.classes))[[0] * len(x_BT)] for f in cut.info.factors}
        return Verdict(logits, torch.randn(len(x_BT), 2))

    judge = object.__new__(Judge)
    judge.info, judge.verdict = cut.info, verdict
    metric(perfect(splits), Splits(cut, cut, cut), judge)
    lengths_N = 1 + torch.arange(COUNT) % T
    for rows, lengths_B in heard:
        assert torch.equal(lengths_B, lengths_N[:64] if rows == 64 else lengths_N[64:])
    assert heard


# -- fixed actions ----------------------------------------------------------------------------


class Obeying(Acting):
    """Draws a motion of the action that it is given, under names of its own; `follows` says how."""

    def __init__(self, splits, follows=lambda action_B: action_B, names=(2, 0, 1, 5, 3, 4)):
        super().__init__(splits)
        self.follows, self.names = follows, torch.tensor(names)

    def infer(self, x_BT, lengths_B, draw):
        codes = super().infer(x_BT, lengths_B, draw)
        law = Categorical(codes.action.posterior.logits[:, self.names])
        return replace(codes, action=ActionCode(draw(law), law, law))

    def sample_prior(self, count, length, draw, action_BA=None):
        latents = super().sample_prior(count, length, draw)
        motion_B = self.names[self.follows(action_BA.argmax(-1))]
        places_B = [int((self.motions == motion).nonzero()[0]) for motion in motion_B]
        z_BTD = torch.tensor(places_B).float()[:, None, None].expand(-1, length, -1)
        return replace(latents, dynamic_BTD=z_BTD, action_BA=action_BA)


def test_samples_of_a_model_that_does_as_it_is_told_show_the_action(splits, judge):
    figures = fix_action(Obeying(splits), splits, judge, samples=53, repeats=3)
    assert (figures["Acc"].value, figures["Acc"].spread) == (1.0, 0.0)
    assert figures["Acc"].chance == pytest.approx(1 / 6)
    assert figures["Acc"].baselines == {"reconstructions of test sequences": 1.0}
    assert figures["Acc"].note == (
        "53 clips of each action; 6 of 6 classes have one; 3 times, ± over these"
    )
    assert figures["worst action"].value == 1.0


def test_samples_that_know_one_action_too_few_are_told_with_its_name(splits, judge):
    model = Obeying(splits, lambda action_B: action_B.clamp_max(4))
    figures = fix_action(model, splits, judge, samples=4, repeats=1)
    assert figures["Acc"].value == pytest.approx(5 / 6)
    assert figures["worst action"].value == 0.0
    motion = splits.test.info.factors[[f.name for f in splits.test.info.factors].index("motion")]
    assert figures["worst action"].note == f"that of '{motion.classes[4]}'"


def test_half_of_the_clips_is_half_right(splits, judge):
    def every_other(action_B):
        return torch.where(torch.arange(len(action_B)) % 2 == 0, action_B, (action_B + 1) % 6)

    figures = fix_action(Obeying(splits, every_other), splits, judge, samples=60, repeats=2)
    assert figures["Acc"].value == 0.5


def test_an_action_that_no_class_is_left_for_is_not_sampled(splits, judge):
    class Seven(Obeying):
        actions = 7

        def infer(self, x_BT, lengths_B, draw):
            codes = super().infer(x_BT, lengths_B, draw)
            logits_BA = torch.nn.functional.pad(codes.action.posterior.logits, (0, 1), value=-1e4)
            law = Categorical(logits_BA)
            return replace(codes, action=ActionCode(draw(law), law, law))

    figures = fix_action(Seven(splits), splits, judge, samples=2, repeats=1)
    assert figures["Acc"].value == 1.0
    assert figures["Acc"].note.endswith("6 of 6 classes have one")


def test_a_class_that_no_action_stands_for_counts_as_missed(splits, judge):
    class Narrow(Obeying):
        """Takes the last two actions for the one before them."""

        def infer(self, x_BT, lengths_B, draw):
            codes = super().infer(x_BT, lengths_B, draw)
            found_B = codes.action.posterior.logits.argmax(-1).clamp_max(3)
            law = Categorical(5.0 * torch.eye(6)[found_B])
            return replace(codes, action=ActionCode(draw(law), law, law))

    count_K = Acting(splits).motions.bincount()
    first, *rest = sorted((3, 4, 5), key=lambda motion: -count_K[motion])
    assert count_K[first] > count_K[rest[0]]  # or the match could be another's
    model = Narrow(splits, names=(2, 0, 1, first, *rest))
    figures = fix_action(model, splits, judge, samples=3, repeats=1)
    assert figures["Acc"].value == pytest.approx(4 / 6)
    assert figures["Acc"].chance == pytest.approx(1 / 6)
    assert figures["worst action"].value == 1.0
    assert figures["Acc"].note.endswith("4 of 6 classes have one")


def test_models_without_actions_and_factors_that_the_judge_cannot_tell_have_none_of_it(
    splits, judge
):
    assert fix_action(perfect(splits), splits, judge) == {}
    assert fix_action(Obeying(splits), splits, judge.without(["motion"])) == {}
    with pytest.raises(OptionError, match="no factor 'mood'"):
        fix_action(Obeying(splits), splits, judge, factor="mood")


# -- fixed content ----------------------------------------------------------------------------


def test_perfect_model_keeps_every_identity_and_moves_as_was_drawn(splits, judge, labels):
    model = perfect(splits)
    figures = fix_content(model, splits, judge, repeats=2, decode_prior="sample")
    assert list(figures) == ["prior samples"]
    of = figures["prior samples"]
    assert [of["kept"][name].value for name in (*STATIC, "mean")] == [1.0] * 4
    places_RN = drawn_places(model, 1)
    for name in DYNAMIC:
        assert of["motion changed"][name].value == pytest.approx(changed(labels[name], places_RN))
    assert of["motion changed"]["place"].chance == pytest.approx(3 / 4)
    assert 4 < of["motion"]["IS"].value <= 6
    assert of["motion"]["H(y|x)"].value == 0.0


def test_means_of_the_prior_are_decoded_as_well_and_tell_less(splits, judge, labels):
    figures = fix_content(perfect(splits), splits, judge, repeats=2)
    assert list(figures) == ["prior means", "prior samples"]
    means = figures["prior means"]
    assert means["kept"]["mean"].value == 1.0
    assert means["motion"]["IS"].value == pytest.approx(1.0)  # all move as sequence 0 does
    own = (labels["motion"] != labels["motion"][0]).double().mean().item()
    assert means["motion changed"]["motion"].value == pytest.approx(own)
    assert figures["prior samples"]["motion"]["IS"].value > 4


def test_identity_in_the_dynamic_codes_is_lost_under_fixed_content(splits, judge, labels):
    model = without_static(splits)
    of = fix_content(model, splits, judge, decode_prior="sample", repeats=2)["prior samples"]
    places_RN = drawn_places(model, 1)
    for name in STATIC:
        assert of["kept"][name].value == pytest.approx(1 - changed(labels[name], places_RN))
    assert of["kept"]["mean"].value < 0.45


def test_means_of_a_prior_that_does_not_tell_them_are_left_out_with_a_word(splits, judge):
    model = perfect(splits)
    model.prior_means = lambda latents: None
    figures = fix_content(model, splits, judge, repeats=1)
    assert figures["prior means"]["kept"].value is None
    assert "does not tell" in figures["prior means"]["kept"].note
    assert figures["prior samples"]["kept"]["mean"].value == 1.0


# -- swaps ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "static_right", "dynamic_right"),
    [(perfect, 1, 1), (without_static, 0, 1), (without_dynamic, 1, 0), (swapping, 0, 0)],
)
def test_swap_shows_whose_factors_each_code_carries(
    splits, judge, make, static_right, dynamic_right
):
    figures = judged_swap(make(splits), splits, judge)
    kept, followed = figures["static factors kept"], figures["dynamic factors followed"]
    assert (kept["mean"].value == 1.0) is bool(static_right)
    assert (followed["mean"].value == 1.0) is bool(dynamic_right)
    assert kept["mean"].value > 0.15  # some pairs agree
    wrong = {name: figure.value for name, figure in figures["taken from the wrong donor"].items()}
    assert wrong == {
        **dict.fromkeys(STATIC, 1.0 - static_right),
        **dict.fromkeys(DYNAMIC, 1.0 - dynamic_right),
    }


def test_every_sequence_gives_its_static_code_and_its_motion_once(splits, judge):
    model, pairs = perfect(splits), []
    model.shown = lambda static, motion: (pairs.extend(zip(static, motion, strict=True)),
                                          (static, motion))[1]  # fmt: skip
    note = judged_swap(model, splits, judge)["static factors kept"]["mean"].note
    statics, motions = ([int(pair[side]) for pair in pairs] for side in (0, 1))
    assert sorted(statics) == sorted(motions) == list(range(COUNT))
    assert all(a != b for a, b in pairs)
    assert note == f"{COUNT} pairs of test sequences"


def test_fewer_pairs_and_another_seed_can_be_asked_for(splits, judge):
    def value(**options):
        figures = judged_swap(without_static(splits), splits, judge, pairs=20, **options)
        return figures["static factors kept"]["mean"]

    assert value().note == "20 pairs of test sequences"
    assert value(seed=1).value == value(seed=1).value != value(seed=2).value


# -- samples ----------------------------------------------------------------------------------


def test_samples_that_are_the_test_sequences_are_at_distance_zero(splits, judge):
    model, at = perfect(splits), iter(range(COUNT))
    places = torch.tensor(list(at)).float()[:, None]

    def sample_prior(count, length, draw, action_BA=None):
        nonlocal places
        mine, places = places[:count], places[count:]
        return Latents(mine, mine[:, None].expand(-1, length, -1))

    model.sample_prior = sample_prior
    figures = unconditional(model, splits, judge)
    apart = figures["Fréchet distance to test"]
    assert apart.value == pytest.approx(0.0, abs=1e-6)
    assert apart.baselines["reconstructions"] == pytest.approx(0.0, abs=1e-6)
    assert apart.baselines["training sequences"] > 0.05
    for name in (*STATIC, *DYNAMIC):
        for score in ("IS", "H(y)", "H(y|x)"):
            of = figures[name][score]
            assert of.value == pytest.approx(of.baselines["test sequences"])


def test_samples_that_are_all_alike_are_far_and_have_no_variety(splits, judge):
    model = Renderer(splits, lambda static, motion: (0 * static, 0 * motion))
    figures = unconditional(model, splits, judge)
    apart = figures["Fréchet distance to test"]
    assert apart.value > 10 * apart.baselines["training sequences"]
    assert figures["motion"]["IS"].value == pytest.approx(1.0)
    assert figures["motion"]["IS"].baselines["test sequences"] > 4


def test_samples_are_as_many_as_asked_for(splits, judge):
    model = perfect(splits)
    note = unconditional(model, splits, judge, sequences=9)["Fréchet distance to test"].note
    assert sum(places.shape[1] for places in model.drawn) == 9
    assert note.startswith("9 samples and as many test sequences")


def test_a_single_test_sequence_has_no_distance(splits, judge):
    figures = unconditional(perfect(splits), splits, judge, sequences=1)
    assert figures["Fréchet distance to test"].value is None
    assert figures["motion"]["IS"].value == pytest.approx(1.0)
