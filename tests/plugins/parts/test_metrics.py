"""Metrics, on made-up models whose answers are known.

Shapes: B batch, N sequences, T time, D code width; frames are vectors [2].
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.metrics.probes import probes
from genzoo_rwae_plugins.metrics.reconstruction import reconstruction
from genzoo_rwae_plugins.metrics.sample import sample
from genzoo_rwae_plugins.metrics.swap import swap

from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, Latents, StaticCode
from genzoo_rwae.evaluation import Splits, encode_split
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData

T = 4
FACTORS = (Factor("who", ("a", "b", "c", "d"), "static"), Factor("way", ("x", "y"), "dynamic"))


def certain(mean):
    return DiagonalGaussian(mean, torch.zeros_like(mean))


class Told(SequenceModel):
    """A model whose codes and frames are given functions of the data."""

    def __init__(self, info, /, static, dynamic, decode, draw=None):
        super().__init__(info)
        self.anchor = torch.nn.Parameter(torch.zeros(()))  # a device to be on
        self.static, self.dynamic, self.decoded, self.draw = static, dynamic, decode, draw

    def infer(self, x_BT, lengths_B, draw):
        z_BD, z_BTD = self.static(x_BT), self.dynamic(x_BT)
        laws = certain(z_BD), certain(z_BTD)
        return Codes(
            StaticCode(z_BD, laws[0], laws[0]), DynamicCode(z_BTD, laws[1], laws[1], z_BTD)
        )

    def decode(self, latents):
        return self.decoded(latents.static_BD, latents.dynamic_BTD)

    def sample_prior(self, count, length, draw):
        x_BT = self.draw(draw(certain(torch.zeros(count, length, 2))))
        return Latents(self.static(x_BT), self.dynamic(x_BT))


class Rows(SequenceData):
    """Sequences of two numbers a step: the first stays (who), the second moves (which way)."""

    def __init__(self, x_NT, lengths_N=None, factors=None, known=True):
        self.info = DataInfo((2,), x_NT.shape[1], False, FACTORS if factors else ())
        self.x_NT, self.factors, self.known = x_NT, factors or {}, known
        full = torch.full((len(x_NT),), x_NT.shape[1])
        self.lengths_N = full if lengths_N is None else lengths_N

    def __len__(self):
        return len(self.x_NT)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        factors = {name: labels_N[i] for name, labels_N in self.factors.items()}
        return Batch(self.x_NT[i], self.lengths_N[i], i, factors)

    def recombine(self, static_B, dynamic_B, /):
        if not self.known:
            return None
        return torch.stack([self.x_NT[static_B, :, 0], self.x_NT[dynamic_B, :, 1]], -1)


def rows(count, seed, **more):
    """Sequences of four identities in two motions, their exact numbers random."""
    generator = torch.Generator().manual_seed(seed)
    who_N = torch.arange(count) % 4
    way_N = torch.arange(count) // 4 % 2
    noise_NT2 = 0.1 * torch.randn(count, T, 2, generator=generator)
    still_NT = who_N[:, None].float().expand(-1, T)
    moving_NT = torch.linspace(-1, 1, T) * (2.0 * way_N[:, None] - 1) * 3
    x_NT2 = torch.stack([still_NT, moving_NT], -1)
    x_NT2[..., 1] += noise_NT2[..., 1]
    return Rows(x_NT2, factors={"who": who_N, "way": way_N}, **more)


def splits_of(make, train=400, test=200):
    return Splits(make(train, 1), make(0, 2), make(test, 3))


def told(splits, static, dynamic, decode, draw=None):
    return Told(splits.test.info, static, dynamic, decode, draw)


def perfect(splits):
    return told(
        splits,
        static=lambda x: x[:, 0, :1],
        dynamic=lambda x: x[..., 1:],
        decode=lambda c, m: torch.cat([c[:, None].expand(-1, m.shape[1], -1), m], -1),
    )


def without_static(splits):
    """Everything is in the dynamic codes."""
    return told(splits, lambda x: torch.zeros(len(x), 1), lambda x: x, lambda c, m: m)


def without_dynamic(splits):
    """Everything, the motion too, is in the static code."""
    return told(
        splits,
        static=lambda x: x.flatten(1),
        dynamic=lambda x: torch.zeros(len(x), T, 1),
        decode=lambda c, m: c.unflatten(1, (T, 2)),
    )


# -- reconstruction ---------------------------------------------------------------------------


def test_reconstruction_is_the_error_by_hand_beside_that_of_the_mean_frame():
    x = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[4.0, 6.0], [0.0, 0.0]]])
    splits = Splits(Rows(x), Rows(x[:0]), Rows(x, lengths_N=torch.tensor([2, 1])))
    model = told(splits, lambda x: torch.zeros(len(x), 1), lambda x: x, lambda c, m: m + 1)
    figures = reconstruction(model, splits)
    assert figures["mse"].value == pytest.approx(1.0)
    assert figures["mse"].good == "lower"
    # true frames (0, 0), (2, 0) of one sequence and (4, 6) of the other, each sequence as heavy:
    # mean frame (2.5, 3); of the first entry 0.25·6.25 + 0.25·0.25 + 0.5·2.25, of the second 9
    baseline = ((0.25 * 6.25 + 0.25 * 0.25 + 0.5 * 2.25) + 9.0) / 2
    assert figures["mse"].baselines["mean frame"] == pytest.approx(baseline)


def test_model_that_answers_with_the_mean_frame_scores_the_baseline():
    lengths = 1 + torch.arange(60) % T
    data = Rows(rows(60, 3).x_NT, lengths_N=lengths)
    weights_N = 1 / lengths
    frames = [data.x_NT[i, :n] for i, n in enumerate(lengths.tolist())]
    mean = sum(w * f.sum(0) for w, f in zip(weights_N, frames, strict=True)) / 60
    splits = Splits(data, data, data)
    model = told(
        splits,
        lambda x: torch.zeros(len(x), 1),
        lambda x: x,
        lambda c, m: mean.expand_as(m),
    )
    figure = reconstruction(model, splits)["mse"]
    assert figure.value == pytest.approx(figure.baselines["mean frame"], rel=1e-5)
    worse = told(splits, model.static, model.dynamic, lambda c, m: (mean + 0.1).expand_as(m))
    assert "no better than the mean frame" in reconstruction(worse, splits)["mse"].note
    better = told(splits, model.static, lambda x: x, lambda c, m: m)
    assert "mean frame" not in reconstruction(better, splits)["mse"].note


def test_worst_reconstruction_is_that_of_one_sequence():
    x = torch.zeros(70, T, 2)  # in two batches
    x[66] = 3
    splits = Splits(Rows(x), Rows(x), Rows(x))
    model = told(splits, lambda x: torch.zeros(len(x), 1), lambda x: x, lambda c, m: m * 0)
    figures = reconstruction(model, splits)
    assert figures["worst mse"].value == pytest.approx(9.0)
    assert figures["mse"].value == pytest.approx(9.0 / 70)


def test_reconstruction_measures_no_more_than_it_is_asked_to():
    splits = splits_of(rows)
    assert "50 test sequences" in reconstruction(perfect(splits), splits, sequences=50)["mse"].note


# -- probes -----------------------------------------------------------------------------------


def test_probes_find_planted_factors_and_are_at_chance_for_noise():
    splits = splits_of(rows)
    generator = torch.Generator().manual_seed(5)

    def noise(x):
        return torch.randn(len(x), T, 3, generator=generator)

    model = told(splits, lambda x: x[:, 0, :1], noise, lambda c, m: m)
    figures = probes(model, splits)
    assert figures["static code"]["who"].value == 1.0
    # 200 test sequences: 4 standard errors
    for code, factor, chance in (
        ("static code", "way", 1 / 2),
        ("dynamic codes", "who", 1 / 4),
        ("dynamic codes", "way", 1 / 2),
    ):
        figure = figures[code][factor]
        assert figure.chance == pytest.approx(chance)
        assert abs(figure.value - chance) < 4 * (chance * (1 - chance) / 200) ** 0.5, factor


def test_probes_of_a_perfect_model_find_each_factor_in_its_code_alone():
    splits = splits_of(rows)
    figures = probes(perfect(splits), splits)
    assert figures["static code"]["who"].value == 1.0
    assert figures["dynamic codes"]["way"].value == 1.0
    assert figures["dynamic codes"]["who"].value < 0.45
    assert figures["static code"]["way"].value < 0.65


def test_probes_say_what_is_good_where():
    splits = splits_of(rows)
    figures = probes(perfect(splits), splits)
    good = {(c, f): figure.good for c, group in figures.items() for f, figure in group.items()}
    assert good == {
        ("static code", "who"): "higher",
        ("static code", "way"): "lower",
        ("dynamic codes", "who"): "lower",
        ("dynamic codes", "way"): "higher",
    }
    assert "leaks" in figures["static code"]["way"].note


def test_probes_score_on_test_sequences_what_they_learnt_on_training_ones():
    seen = splits_of(rows)
    flipped = Rows(
        seen.test.x_NT, factors={**seen.test.factors, "who": 3 - seen.test.factors["who"]}
    )
    splits = Splits(seen.train, seen.validation, flipped)
    assert probes(perfect(splits), splits)["static code"]["who"].value == 0.0


def test_probe_of_a_factor_that_does_not_vary_in_training_says_that_one_class():
    train, test = rows(40, 1), rows(40, 3)
    train.factors["who"] = torch.full((40,), 2)
    splits = Splits(train, test, test)
    figure = probes(perfect(splits), splits)["static code"]["who"]
    assert figure.value == pytest.approx(1 / 4)


def test_a_factor_of_whose_test_labels_training_has_none_is_not_measured():
    splits = splits_of(rows)
    eight = replace(FACTORS[0], classes=tuple("abcdefgh"))
    for split in (splits.train, splits.test):
        split.info = replace(split.info, factors=(eight, *FACTORS[1:]))
    splits.test.factors = {**splits.test.factors, "who": splits.test.factors["who"] + 4}
    figures = probes(perfect(splits), splits)
    assert figures["static code"]["who"].value is None
    assert "no class of the test split" in figures["static code"]["who"].note
    assert figures["dynamic codes"]["way"].value == 1.0


def test_data_without_labels_have_nothing_to_probe():
    x = rows(40, 1).x_NT
    splits = Splits(Rows(x), Rows(x), Rows(x))
    assert probes(perfect(splits), splits) == {"static code": {}, "dynamic codes": {}}


def test_encoded_split_keeps_sequences_beside_their_labels():
    splits = splits_of(rows)
    encoded = encode_split(perfect(splits), splits.test, 150)
    assert encoded.static_ND.shape == (150, 1)
    assert encoded.dynamic_NTD.shape == (150, T, 1)
    assert torch.equal(encoded.static_ND[:, 0].long(), encoded.factors["who"])


# -- swaps ------------------------------------------------------------------------------------

NEAREST = ("truth", "static donor", "motion donor")


@pytest.mark.parametrize(
    ("make", "nearest"),
    [
        (perfect, "truth"),
        (without_static, "motion donor"),
        (without_dynamic, "static donor"),
    ],
)
def test_swap_tells_which_code_carried_what(make, nearest):
    splits = splits_of(rows)
    figures = swap(make(splits), splits)
    scores = {name: figures[f"nearest to the {name}"].value for name in NEAREST}
    assert scores == {name: float(name == nearest) for name in NEAREST}
    error = figures["mse to the truth"]
    assert (error.value == 0.0) is (make is perfect)
    to_donors = (error.baselines["to the static donor"], error.baselines["to the motion donor"])
    assert [donor == 0.0 for donor in to_donors] == [
        make is without_dynamic,
        make is without_static,
    ]
    # each of them gives any sequence back exactly
    assert error.baselines["the truth, reconstructed"] == 0.0


def test_what_a_swap_makes_beyond_the_true_length_has_no_say():
    def cut(count, seed):
        data = rows(count, seed)
        return Rows(data.x_NT, 1 + torch.arange(count) % T, data.factors)

    splits = splits_of(cut)
    model = perfect(splits)
    heard, infer, decode = [], model.infer, model.decoded

    def hear(x_BT, lengths_B, draw):
        heard.append((x_BT, lengths_B))
        return infer(x_BT, lengths_B, draw)

    def wild(c, m):  # of everybody the first step alone is right
        return torch.cat([decode(c, m)[:, :1], decode(c, m)[:, 1:] + 9], 1)

    model.infer, model.decoded = hear, wild
    error = swap(model, splits)["mse to the truth"]
    place = {x_T.numpy().tobytes(): n for n, x_T in enumerate(splits.test.x_NT)}
    own = [place.get(x_T.numpy().tobytes()) for x_BT, _ in heard for x_T in x_BT]
    told = torch.cat([lengths_B for _, lengths_B in heard])
    known = [(n, length) for n, length in zip(own, told.tolist(), strict=True) if n is not None]
    assert all(length == 1 + n % T for n, length in known)
    # of n true steps n - 1 are wrong by 9: 0, 1/2, 2/3 and 3/4 of 81, each length as often
    assert error.value == pytest.approx(81 * (1 / 2 + 2 / 3 + 3 / 4) / 4, rel=0.1)
    assert error.baselines["the truth, reconstructed"] == pytest.approx(error.value, rel=1e-5)


def test_a_model_whose_frames_are_not_finite_is_near_to_nothing():
    splits = splits_of(rows)
    model = perfect(splits)
    model.decoded = lambda c, m: m.expand(-1, -1, 2) * torch.nan
    figures = swap(model, splits)
    assert all(np.isnan(figures[f"nearest to the {name}"].value) for name in NEAREST)


def test_pairs_that_share_a_factor_are_left_out_of_swaps():
    splits = splits_of(rows)
    pairs = swap(perfect(splits), splits, pairs=400)["mse to the truth"].note.split()[0]
    # a quarter has the same who, and who alone is without noise
    assert abs(int(pairs) - 300) < 4 * (400 * 0.25 * 0.75) ** 0.5


def test_swaps_repeat_with_their_seed():
    splits = splits_of(rows)
    one, same, other = (
        swap(without_static(splits), splits, pairs=60, seed=seed)["mse to the truth"].value
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_swaps_without_a_known_truth_are_not_measured_and_it_says_who_can():
    splits = splits_of(lambda count, seed: rows(count, seed, known=False))
    [figure] = swap(perfect(splits), splits).values()
    assert figure.value is None
    assert "`judged-swap`" in figure.note


def test_swaps_of_sequences_that_are_all_alike_are_not_measured():
    x = torch.ones(20, T, 2)
    splits = Splits(Rows(x), Rows(x), Rows(x))
    assert swap(perfect(splits), splits) == {}


# -- samples ----------------------------------------------------------------------------------


def bumps(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return Rows(torch.randn(count, T, 2, generator=generator) * 2 + 1)


def drawing(splits, draw):
    model = perfect(splits)
    model.draw = draw
    # whole sequences are codes, so that what is drawn is what is decoded
    model.static, model.dynamic, model.decoded = (lambda x: x[:, 0]), (lambda x: x), lambda c, m: m
    return model


def test_samples_of_the_datas_law_score_as_training_sequences_do():
    splits = splits_of(bumps)
    figure = sample(drawing(splits, lambda z: z * 2 + 1), splits)["mmd2 to test sequences"]
    near, far = figure.baselines["training sequences"], figure.baselines["the mean sequence"]
    assert abs(near) < 0.02 < 0.15 < far
    assert abs(figure.value) < 0.02
    assert figure.good == "lower"


def test_samples_of_the_mean_sequence_score_as_such():
    splits = splits_of(bumps)
    mean = splits.test.x_NT.mean(0)
    figure = sample(drawing(splits, lambda z: mean.expand_as(z)), splits)["mmd2 to test sequences"]
    assert figure.value == pytest.approx(figure.baselines["the mean sequence"], rel=1e-4)
    assert abs(figure.baselines["training sequences"]) < 0.02  # those are what they were


def test_samples_repeat_with_their_seed():
    splits = splits_of(bumps)
    one, same, other = (
        sample(drawing(splits, lambda z: z), splits, sequences=60, seed=seed)[
            "mmd2 to test sequences"
        ].value
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_two_test_sequences_are_enough_for_samples():
    splits = splits_of(bumps, test=2)
    figure = sample(drawing(splits, lambda z: z), splits)["mmd2 to test sequences"]
    assert np.isfinite(figure.value)


@pytest.mark.parametrize(
    ("train", "test", "sequences"), [(400, 1, 200), (1, 200, 200), (400, 200, 1)]
)
def test_samples_are_not_measured_against_a_single_sequence(train, test, sequences):
    splits = splits_of(bumps, train, test)
    figure = sample(drawing(splits, lambda z: z), splits, sequences=sequences)
    assert figure["mmd2 to test sequences"].value is None
    assert "two" in figure["mmd2 to test sequences"].note


def test_samples_are_not_measured_against_sequences_that_are_all_alike():
    x = torch.ones(20, T, 2)
    splits = Splits(Rows(x), Rows(x), Rows(x))
    assert sample(drawing(splits, lambda z: z), splits)["mmd2 to test sequences"].value is None
