"""What heads get to see.

Shapes: B batch, T time, H features.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.models.rwae import Rwae
from genzoo_rwae_plugins.models.views import frames_seen, movement, with_presence

from genzoo_rwae import DataInfo

VECTORS = {
    "encoder": partial(FrameEncoder, frames=MlpFrameEncoder),
    "decoder": partial(FrameDecoder, frames=MlpFrameDecoder),
}
LENGTHS = torch.tensor([4, 2, 1, 3])


def numbered():
    """Frames that hold 10 · row + step, and -1 beyond the true length."""
    x_BT = (10.0 * torch.arange(4)[:, None] + torch.arange(4))[..., None]
    x_BT[torch.arange(4) >= LENGTHS[:, None]] = -1
    return x_BT


def seen(frames, keep=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return frames_seen(frames, keep, numbered(), LENGTHS, generator)


def true_frames(x_BT, lengths_B):
    return [x_BT[row, :length, 0].tolist() for row, length in enumerate(lengths_B)]


def test_shuffled_frames_are_the_true_ones_in_another_order_with_padding_behind():
    orders = set()
    for seed in range(20):
        x_BT, lengths_B = seen("shuffled", seed=seed)
        assert lengths_B.tolist() == LENGTHS.tolist()
        for found, wanted in zip(
            true_frames(x_BT, lengths_B), true_frames(numbered(), LENGTHS), strict=True
        ):
            assert sorted(found) == wanted
        orders.add(tuple(x_BT[0, :, 0].tolist()))
    assert len(orders) > 10


@pytest.mark.parametrize(("frames", "most"), [("subset", 2), ("one", 1)])
def test_fewer_frames_are_true_ones_each_once(frames, most):
    found = set()
    for seed in range(30):
        x_BT, lengths_B = seen(frames, seed=seed)
        assert x_BT.shape[1] == most
        assert lengths_B.tolist() == LENGTHS.clamp_max(most).tolist()
        for row, steps in enumerate(true_frames(x_BT, lengths_B)):
            assert len(set(steps)) == len(steps)
            assert set(steps) <= set(range(10 * row, 10 * row + int(LENGTHS[row])))
        found |= set(x_BT[0, :, 0].tolist())
    assert found == {0.0, 1.0, 2.0, 3.0}  # every frame has its turn


def test_training_alone_sees_windows():
    model = Rwae(DataInfo((5,), 6, False), window=3, **VECTORS)
    x_BT, lengths_B = torch.randn(4, 6, 5), torch.tensor([6, 5, 3, 1])
    passed = model.train()(x_BT, lengths_B, torch.Generator().manual_seed(0))
    assert passed.x_hat_BK.shape == passed.x_BT.shape == (4, 3, 5)
    assert passed.lengths_B.tolist() == [3, 3, 3, 1]
    assert passed.codes.dynamic.sample.shape[1] == 3
    assert model.eval()(x_BT, lengths_B, None).x_hat_BK.shape == x_BT.shape
    assert model.reconstruct(x_BT, lengths_B).x_hat_BT.shape == x_BT.shape
    longer = Rwae(DataInfo((5,), 6, False), window=9, **VECTORS).train()
    assert longer(x_BT, lengths_B, None).x_hat_BK.shape == x_BT.shape


def test_all_frames_are_left_as_they_are():
    x_BT = numbered()
    assert frames_seen("all", 2, x_BT, LENGTHS, None)[0] is x_BT


def test_differences_forget_what_stays():
    h_BTH = torch.randn(4, 4, 3)
    moved = movement("differences", h_BTH + 5 * torch.randn(4, 1, 3), LENGTHS)
    torch.testing.assert_close(moved, movement("differences", h_BTH, LENGTHS), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[:, 2], h_BTH[:, 2] - h_BTH[:, 1], atol=1e-5, rtol=0)
    assert (moved[:, 0] == 0).all()


def test_mean_free_features_have_no_mean_over_true_steps_whatever_the_padding():
    h_BTH = torch.randn(4, 4, 3)
    moved = movement("mean-free", h_BTH, LENGTHS)
    padded = h_BTH.clone()
    padded[torch.arange(4) >= LENGTHS[:, None]] = 99
    again = movement("mean-free", padded, LENGTHS)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(moved[row, :length].mean(0), torch.zeros(3), atol=1e-6, rtol=0)
        torch.testing.assert_close(moved[row, :length], again[row, :length])


@pytest.mark.parametrize("word", ["raw", ""])
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match="wanted all, differences or mean-free"):
        movement(word, torch.zeros(1, 2, 3), torch.tensor([2]))
    with pytest.raises(ValueError, match="wanted all, shuffled, subset or one"):
        frames_seen(word, 1, torch.zeros(1, 2, 3), torch.tensor([2]), None)


def test_presence_stands_beside_values():
    x_BT = torch.tensor([[[1.0, float("nan")], [float("nan"), 2.0]]])
    assert with_presence(x_BT).tolist() == [[[1, 0, 1, 0], [0, 2, 0, 1]]]
