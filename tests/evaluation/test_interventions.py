"""Intervention scores and consistency by hand.

Shapes: N sequences, T time.
"""

import pytest
import torch

from genzoo_rwae.evaluation.interventions import consistency, intervention

CLASSES = {"hair": 6, "top": 4, "way": 2}


def test_score_by_hand():
    found = intervention({"hair": 0.9, "top": 0.7, "way": 0.8}, CLASSES, {"hair", "top"})
    assert found.on == pytest.approx(0.2)
    assert found.off == pytest.approx(0.3)
    assert found.score == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("accuracies", "score"),
    [
        ((1.0, 1.0, 0.5), 1.0),  # ideal
        ((1.0, 1.0, 1.0), 0.75),  # nothing was exchanged
        ((1.0, 1.0, 0.0), 0.75),  # below chance is as far from it
        ((0.0, 0.0, 0.5), 0.5),  # the wrong code was exchanged
        ((0.0, 0.0, 1.0), 0.25),
    ],
)
def test_ends_of_the_scale(accuracies, score):
    told = dict(zip(CLASSES, accuracies, strict=True))
    assert intervention(told, CLASSES, {"hair", "top"}).score == pytest.approx(score)


def test_every_factor_weighs_alike_within_its_side():
    told = {"hair": 1.0, "top": 0.25, "way": 1.0}
    found = intervention(told, CLASSES, {"hair"})
    assert found.off == pytest.approx((0 + 0.5) / 2)


@pytest.mark.parametrize("kept", [set(), set(CLASSES)])
def test_something_is_kept_and_something_exchanged(kept):
    with pytest.raises(ValueError, match="at least one of each"):
        intervention(dict.fromkeys(CLASSES, 1.0), CLASSES, kept)


def test_consistency_is_the_share_of_neighbours_alike_within_true_lengths():
    said_NT = torch.tensor([[1, 1, 1, 2], [0, 1, 0, 0], [5, 5, 6, 7], [3, 4, 4, 4]])
    assert consistency(said_NT[:1], torch.tensor([4])) == pytest.approx(2 / 3)
    # the third counts two frames, the last but one
    found = consistency(said_NT, torch.tensor([4, 4, 2, 1]))
    assert found == pytest.approx((2 / 3 + 1 / 3 + 1) / 3)
    assert consistency(said_NT, torch.ones(4, dtype=torch.long)) is None
