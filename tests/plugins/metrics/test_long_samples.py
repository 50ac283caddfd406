"""Long samples of models that forget, by a judge that reads a label off the brightness of a frame.

Shapes: B batch, N sequences, T time.
"""

from types import SimpleNamespace

import pytest
import torch
from genzoo_rwae_plugins.metrics.long_samples import long_samples

from genzoo_rwae.evaluation import Judge, Splits, Verdict
from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData

KINDS = 4
FACTORS = (
    Factor("kind", tuple("abcd"), "static"),
    Factor("way", ("to", "fro"), "dynamic"),
)


class Reading(torch.nn.Module):
    """Says the kind that most frames show: `k` of brightness k."""

    def forward(self, x_BT, lengths_B):
        shown_BTK = torch.nn.functional.one_hot(x_BT[..., 0].round().long(), KINDS).float()
        return Verdict(
            {"kind": 1e3 * shown_BTK.mean(1), "way": torch.zeros(len(x_BT), 2)}, shown_BTK.mean(1)
        )


class Fixed(SequenceData):
    """Sequences of given kinds."""

    def __init__(self, said_NT):
        self.said_NT = torch.tensor(said_NT)
        self.info = DataInfo((1,), self.said_NT.shape[1], False, FACTORS)

    def __len__(self):
        return len(self.said_NT)

    def take(self, indices_B, /, *, draw=0):
        x_BT = self.said_NT[torch.as_tensor(indices_B)].float()[..., None]
        lengths_B = torch.full((len(x_BT),), x_BT.shape[1])
        return Batch(x_BT, lengths_B, torch.as_tensor(indices_B), {})


def measured(samples, test=((0, 0), (1, 1)), **options):
    """The figures of a model that draws these samples [N][T], in this order."""
    remaining = torch.tensor(samples).float()[..., None]

    def sample(count, length, generator):
        nonlocal remaining
        drawn, remaining = remaining[:count], remaining[count:]
        assert drawn.shape[:2] == (count, length)
        return SimpleNamespace(x_BT=drawn)

    data = Fixed(test)
    return long_samples(
        SimpleNamespace(sample=sample),
        Splits(data, data, data),
        Judge(Reading(), data.info),
        **{"sequences": len(samples), "length": len(samples[0]), "window": 1, **options},
    )


def test_samples_that_stay_who_they_are_score_one():
    figures = measured([[k % KINDS] * 10 for k in range(40)])  # more than are drawn at once
    assert {name: of["kind"].value for name, of in figures.items()} == {
        "kept": 1,
        "the same in both halves": 1,
    }


def test_a_frame_that_shows_another_kind_is_counted_and_changes_no_half():
    figures = measured([[2, 2, 2, 0, 2, 2, 2, 2], [1] * 8])
    assert figures["kept"]["kind"].value == 15 / 16
    assert figures["the same in both halves"]["kind"].value == 1


def test_a_drift_shows_in_the_halves():
    figures = measured([[0, 0, 0, 0, 0, 3, 3, 3, 3], [1] * 9])
    assert figures["kept"]["kind"].value == pytest.approx((5 + 9) / 18)
    assert figures["the same in both halves"]["kind"].value == 0.5


def test_the_judge_sees_windows_and_what_is_left_over_is_dropped():
    # in windows of three the single strange frames are outvoted, and the eighth frame is dropped
    figures = measured([[2, 0, 2, 1, 2, 2, 3, 3]], window=3)
    assert figures["kept"]["kind"].value == 1
    alone = measured([[2, 0, 2, 1, 2, 2, 3, 3]], window=1)
    assert alone["kept"]["kind"].value == 4 / 8


def test_test_sequences_stand_beside_it_where_they_have_two_windows():
    test = ((0, 0, 0, 1), (2, 2, 2, 2))
    figures = measured([[0] * 4, [1] * 4], test=test)
    assert figures["kept"]["kind"].baselines == {"test sequences": 7 / 8}
    assert measured([[0] * 8], test=test, window=4)["kept"]["kind"].baselines == {}


def test_a_window_is_as_long_as_training_sequences_unless_said():
    figures = measured([[0] * 6], test=((0, 0, 0),), window=None)
    assert figures["kept"]["kind"].note == "1 samples of 6 frames, in windows of 3"


def test_dynamic_factors_are_not_asked_about():
    assert set(measured([[0] * 4])["kept"]) == {"kind"}


def test_samples_of_one_window_have_no_figure_and_it_says_why():
    figure = measured([[0] * 5], window=3)["kept"]
    assert figure.value is None
    assert "5 frames are no two windows of 3" in figure.note


def test_a_sample_is_of_the_kind_that_most_of_its_windows_show_not_of_the_middle_one():
    assert measured([[0, 0, 1, 2, 3]])["kept"]["kind"].value == 2 / 5
