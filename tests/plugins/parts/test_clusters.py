"""The metric `clusters`, on made-up models whose actions are known.

Shapes: B batch, N sequences, T time; frames are vectors [2].
"""

from itertools import permutations

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.metrics.clusters import clusters, matched_accuracy, matched_classes
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch.nn.functional import one_hot

from genzoo_rwae.codes import (
    ActionCode,
    Categorical,
    Codes,
    DiagonalGaussian,
    DynamicCode,
    StaticCode,
)
from genzoo_rwae.errors import OptionError
from genzoo_rwae.evaluation import Splits, encode_split
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData

T, N = 3, 120
FACTORS = (
    Factor("who", ("a", "b"), "static"),
    Factor("way", ("x", "y", "z"), "dynamic"),
    Factor("pace", ("slow", "fast"), "dynamic"),
)


class Rows(SequenceData):
    """Frame (action, place): the action that the model is to find, and its dynamic code."""

    def __init__(self, action_N, place_N, lengths_N=None, factors=FACTORS):
        self.info = DataInfo((2,), T, False, factors)
        self.x_NT = torch.stack([action_N.float(), place_N.float()], -1)[:, None].repeat(1, T, 1)
        self.lengths_N = torch.full((len(action_N),), T) if lengths_N is None else lengths_N
        way_N = torch.arange(len(action_N)) % 3
        labels = {"who": way_N * 0, "way": way_N, "pace": torch.arange(len(action_N)) // 3 % 2}
        self.labels = {factor.name: labels[factor.name] for factor in factors}

    def __len__(self):
        return len(self.x_NT)

    def take(self, indices_B, /, *, draw=0):
        i = torch.as_tensor(indices_B)
        labels = {name: labels_N[i] for name, labels_N in self.labels.items()}
        return Batch(self.x_NT[i], self.lengths_N[i], i, labels)


class Seer(SequenceModel):
    """Takes the action and the dynamic code off the frame; 0 actions: it has none."""

    def __init__(self, info, actions):
        super().__init__(info)
        self.actions = actions
        self.anchor = torch.nn.Parameter(torch.zeros(()))  # a device to be on

    def infer(self, x_BT, lengths_B, draw):
        z_BTD = x_BT[..., 1:]
        laws = [DiagonalGaussian(z, torch.zeros_like(z)) for z in (z_BTD[:, 0], z_BTD)]
        codes = StaticCode(z_BTD[:, 0], laws[0], laws[0]), DynamicCode(z_BTD, *laws[1:] * 2, z_BTD)
        if not self.actions:
            return Codes(*codes)
        sure_BA = Categorical(3.0 * one_hot(x_BT[:, 0, 0].long(), self.actions))
        return Codes(*codes, ActionCode(sure_BA.typical(), sure_BA, sure_BA))

    def decode(self, latents):
        return torch.zeros(*latents.dynamic_BTD.shape[:2], 2)

    def sample_prior(self, count, length, draw, action_BA=None):
        raise NotImplementedError


WAY_N = torch.arange(N) % 3
NOISE_N = torch.randn(N, generator=torch.Generator().manual_seed(4))


def measured(action_N, place_N=NOISE_N, actions=5, factors=FACTORS, lengths_N=None, **options):
    data = Rows(action_N, place_N, lengths_N, factors)
    return clusters(Seer(data.info, actions), Splits(data, data, data), **options)


def test_renamed_classes_are_found_whole():
    figures = measured(torch.tensor([4, 0, 2])[WAY_N])
    assert [figures[name].value for name in figures] == [1.0, 1.0, 1.0, 3.0]
    assert list(figures) == ["accuracy", "mutual information", "rand index", "actions used"]
    assert figures["accuracy"].good == "higher"
    assert figures["accuracy"].note == "way: 3 classes, 120 test sequences"
    assert figures["actions used"].note == "of 5, by 120 test sequences"


def test_figures_of_a_split_and_a_merged_class_are_those_by_hand():
    """Class 0 in halves (0, 1), classes 1 and 2 together (3): 20 and 40 of 120 are matched."""
    half_N = torch.arange(N) // 3 % 2
    action_N = torch.where(WAY_N == 0, half_N, 3)
    figures = measured(action_N)
    assert figures["accuracy"].value == pytest.approx(60 / 120)
    # H(true) = ln 3, H(found) = 2/6 ln 6 + 2/3 ln 3/2, I = ln 3 − 2/3 ln 2
    h_found = np.log(6) / 3 + 2 / 3 * np.log(1.5)
    shared = np.log(3) - 2 / 3 * np.log(2)
    wanted = shared / ((np.log(3) + h_found) / 2)
    assert figures["mutual information"].value == pytest.approx(wanted)
    # pairs of 120 in one class and in one cluster: 2 C(20,2) + 2 C(40,2) of both
    both, classes, found, all_ = 2 * 190 + 2 * 780, 3 * 780, 2 * 190 + 3160, 7140
    expected = classes * found / all_
    wanted = (both - expected) / ((classes + found) / 2 - expected)
    assert figures["rand index"].value == pytest.approx(wanted)


@pytest.mark.parametrize(("classes", "found"), [(3, 5), (5, 3), (4, 4)])
def test_match_is_the_best_of_all_one_to_one_matches(classes, found):
    draw = np.random.default_rng(classes)
    true_N, found_N = draw.integers(classes, size=50), draw.integers(found, size=50)
    most = max(classes, found)
    best = max((np.array(names)[found_N] == true_N).mean() for names in permutations(range(most)))
    assert matched_accuracy(true_N, found_N) == pytest.approx(best)


def test_random_actions_are_at_chance_and_chance_is_above_one_cluster():
    action_N = torch.randint(3, (N,), generator=torch.Generator().manual_seed(0))
    figures = measured(action_N, permutations=200)
    for name, spread in (("accuracy", 0.08), ("mutual information", 0.04), ("rand index", 0.04)):
        assert abs(figures[name].value - figures[name].chance) < spread
    assert figures["accuracy"].baselines["one cluster"] == pytest.approx(1 / 3)
    assert 1 / 3 < figures["accuracy"].chance < 0.45
    assert 0 < figures["mutual information"].chance < 0.05
    assert abs(figures["rand index"].chance) < 0.01


def test_chance_keeps_the_sizes_of_the_clusters():
    """All in one cluster: whoever shuffles them, a third is right."""
    figures = measured(torch.zeros(N))
    assert figures["accuracy"].chance == pytest.approx(1 / 3)
    assert figures["mutual information"].chance == pytest.approx(0, abs=1e-9)
    assert figures["actions used"].value == 1.0
    uneven_N = torch.where(torch.arange(N) < 100, 0, 1 + torch.arange(N) % 11)
    # of twelve equal clusters a sixth would be right
    assert measured(uneven_N, actions=12)["accuracy"].chance > 0.28


def test_k_means_shows_what_the_codes_know_without_the_actions():
    name = "k-means of the dynamic codes"
    figures = measured(torch.zeros(N), 10 * WAY_N + 0.1 * NOISE_N, actions=3)
    assert [figures[f].baselines[name] for f in figures if f != "actions used"] == [1.0] * 3
    figures = measured(WAY_N, NOISE_N, actions=3)
    assert figures["accuracy"].value == 1.0
    assert figures["accuracy"].baselines[name] < 0.5
    assert figures["rand index"].baselines[name] < 0.1


def test_k_means_averages_over_true_steps_alone():
    """Two lengths of one code: by sums they would be told apart, and the classes would not."""
    lengths_N = 1 + 2 * (torch.arange(N) // 3 % 2)
    figures = measured(torch.zeros(N), 10.0 + WAY_N, actions=3, lengths_N=lengths_N)
    assert figures["accuracy"].baselines["k-means of the dynamic codes"] == 1.0


def test_scores_are_those_of_scikit_learn():
    action_N = torch.randint(5, (N,), generator=torch.Generator().manual_seed(1))
    figures = measured(action_N)
    wanted = normalized_mutual_info_score(WAY_N, action_N), adjusted_rand_score(WAY_N, action_N)
    assert figures["mutual information"].value == pytest.approx(wanted[0])
    assert figures["rand index"].value == pytest.approx(wanted[1])


def test_another_factor_can_be_chosen_and_an_unknown_one_is_refused():
    pace_N = torch.arange(N) // 3 % 2
    assert measured(pace_N, factor="pace")["accuracy"].value == 1.0
    assert measured(pace_N)["accuracy"].value < 0.6
    with pytest.raises(OptionError, match="no factor 'mood'; known: who, way, pace") as caught:
        measured(pace_N, factor="mood")
    assert caught.value.option == "factor"


def test_fewer_sequences_than_actions_are_clustered_too():
    figures = measured(WAY_N[:4], NOISE_N[:4])
    assert figures["accuracy"].value == 1.0
    assert figures["actions used"].value == 3.0


def test_models_without_actions_have_no_clusters_and_data_without_labels_their_number():
    assert measured(WAY_N, actions=0) == {}
    assert list(measured(WAY_N, factors=FACTORS[:1])) == ["actions used"]


def test_figures_repeat_with_their_seed():
    action_N = torch.randint(3, (N,), generator=torch.Generator().manual_seed(2))
    assert measured(action_N, seed=1) == measured(action_N, seed=1)
    one, other = (measured(action_N, seed=s)["accuracy"].chance for s in (1, 2))
    assert one != other


def test_encoded_split_holds_probabilities_of_actions():
    data = Rows(WAY_N, NOISE_N)
    probability_NA = encode_split(Seer(data.info, 5), data, 100).action_NA
    assert probability_NA.shape == (100, 5)
    assert torch.allclose(probability_NA.sum(1), torch.ones(100))
    sure = np.exp(3) / (np.exp(3) + 4)
    assert probability_NA.max(1).values.numpy() == pytest.approx(sure)
    assert encode_split(Seer(data.info, 0), data, 100).action_NA is None


@pytest.mark.parametrize(
    ("true", "found", "clusters", "wanted"),
    [
        ([0, 1, 2], [2, 0, 1], 3, [1, 2, 0]),
        ([0, 0, 2, 2], [0, 0, 1, 1], 3, [0, 2, -1]),  # no class 1
        ([0, 0, 1, 1], [0, 0, 1, 1], 3, [0, 1, -1]),
        ([0, 1, 2, 2], [1, 1, 1, 1], 3, [-1, 2, -1]),  # one cluster for all
        ([0, 1, 2, 2], [0, 0, 1, 1], 2, [0, 2]),  # fewer clusters than classes
    ],
)
def test_a_cluster_has_a_class_only_if_it_has_a_sequence_of_it(true, found, clusters, wanted):
    matched = matched_classes(np.array(true), np.array(found), clusters)
    assert [w if w < 0 else m for m, w in zip(matched, wanted, strict=True)] == wanted
    for cluster, of_class in enumerate(matched):
        pairs = list(zip(true, found, strict=True))
        assert of_class < 0 or (of_class, cluster) in pairs
    assert (matched < 0).tolist() == [w < 0 for w in wanted]
