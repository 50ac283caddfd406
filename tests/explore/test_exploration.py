"""What the page does with a model, beside what the model's own methods give."""

import pytest
import torch

from genzoo_rwae.errors import SpecError
from genzoo_rwae.evaluation.traversal import code_directions
from genzoo_rwae.explore.exploration import Exploration


def test_sequences_on_offer_are_spread_over_the_split(exploration: Exploration):
    offered = exploration.offered_N
    assert len(offered) == 24
    assert (offered[0], offered[-1]) == (0, len(exploration.data) - 1)
    assert list(offered) == sorted(set(offered))


def test_originals_are_the_data_with_their_labels(exploration: Exploration):
    batch = exploration.data.take([7])
    (clip,) = exploration.originals([7])
    assert torch.equal(clip.x_T, batch.x_BT[0] / 255)
    digit, direction = (
        factor.classes[int(batch.factors[factor.name][0])]
        for factor in exploration.model.info.factors
    )
    assert clip.about == f"7: digit {digit}, direction {direction}"


def test_a_swap_is_the_models_own_beside_its_donors_and_the_truth(exploration: Exploration):
    one, other = (exploration.data.take([i]) for i in (3, 8))
    clips = exploration.swap(3, 8)
    titles = ["static code of", "motion of", "together", "true rendering"]
    assert [clip.title for clip in clips] == titles
    assert torch.equal(clips[0].x_T, one.x_BT[0] / 255)
    assert torch.equal(clips[1].x_T, other.x_BT[0] / 255)
    own_T = exploration.model.swap(one.x_BT, other.x_BT).x_BT[0]
    assert torch.allclose(clips[2].x_T, own_T, atol=1e-6)
    assert clips[2].like == 8
    truth_T = exploration.data.recombine([3], [8])[0] / 255
    assert torch.equal(clips[3].x_T, truth_T)


def test_a_swap_with_a_given_action_is_the_models_and_has_no_truth(exploration: Exploration):
    one, other = (exploration.data.take([i]).x_BT for i in (3, 8))
    for action in range(3):
        clips = exploration.swap(3, 8, action)
        assert len(clips) == 3
        assert f"action {action}" in clips[2].about
        own_T = exploration.model.swap(one, other, action=action).x_BT[0]
        assert torch.allclose(clips[2].x_T, own_T, atol=1e-6)


def test_codes_that_are_not_moved_give_the_reconstruction(exploration: Exploration):
    original, again, moved = exploration.move(5, [0.0] * 4, [0.0] * 2)
    own_T = exploration.model.reconstruct(exploration.data.take([5]).x_BT).x_hat_BT[0]
    assert torch.allclose(again.x_T, own_T, atol=1e-6)
    assert torch.equal(moved.x_T, again.x_T)
    assert torch.equal(original.x_T, exploration.originals([5])[0].x_T)


def test_codes_are_moved_along_the_directions_of_training_sequences(exploration: Exploration):
    for code in ("static", "dynamic"):
        train = exploration._train
        own = code_directions(exploration.model, train, code, 6)
        found = exploration.directions[code]
        assert torch.allclose(found.axes_RD, own.axes_RD, atol=1e-5)
        assert torch.allclose(found.sd_R, own.sd_R, atol=1e-6)
    _, again, moved = exploration.move(5, [0.0, 2.0, 0.0, 0.0], [-1.0, 0.0])
    assert moved.about == "static 2: +2 sd, dynamic 1: -1 sd"
    assert not torch.allclose(moved.x_T, again.x_T, atol=1e-4)


def test_samples_of_a_seed_are_the_models_and_actions_share_their_noise(exploration: Exploration):
    draw = torch.Generator().manual_seed(4)
    own = exploration.model.sample(3, 7, draw, action=1)
    clips = exploration.sample(3, 7, 4, 1)
    assert [clip.title for clip in clips] == ["sample 1", "sample 2", "sample 3"]
    assert {clip.about for clip in clips} == {"action 1"}
    assert torch.equal(torch.stack([clip.x_T for clip in clips]), own.x_BT)
    assert {clip.length for clip in clips} == {7}
    drawn = exploration.sample(3, 7, 4)
    assert not torch.equal(drawn[0].x_T, exploration.sample(3, 7, 5)[0].x_T)


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        (lambda e: e.swap(0, len(e.data)), "this split has the sequences 0 to"),
        (lambda e: e.swap(-1, 0), "sequence -1"),
        (lambda e: e.move(len(e.data), [0.0] * 4, [0.0] * 2), "this split has the sequences"),
        (lambda e: e.swap(0, 1, 3), "action 3: this model has 3 actions"),
        (lambda e: e.sample(1, 4, 0, -1), "action -1"),
        (lambda e: e.sample(25, 4, 0), "25 samples: wanted 1 to 24"),
        (lambda e: e.sample(1, 33, 0), "33 steps: wanted 1 to 32"),
        (lambda e: e.sample(1, 0, 0), "0 steps"),
        (lambda e: e.sample(1, 4, -1), "the seed -1"),
    ],
)
def test_what_there_is_not_is_refused_in_words(exploration: Exploration, deed, said):
    with pytest.raises(SpecError, match=said):
        deed(exploration)
