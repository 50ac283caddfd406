"""Encoders: frames to features per step.

Shapes: B batch, T time, H width of a feature.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder, LstmEncoder, run_lstm
from genzoo_rwae_plugins.frames.convolution import ConvFrameEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameEncoder

MLP = partial(MlpFrameEncoder, hidden=6, width=5)
ENCODERS = {
    "frame": lambda shape, frames=MLP: FrameEncoder(shape, frames=frames),
    "lstm": lambda shape, frames=MLP: LstmEncoder(shape, hidden=4, frames=frames),
    "bidirectional": lambda shape, frames=MLP: LstmEncoder(
        shape, hidden=4, direction="bidirectional", frames=frames
    ),
}
full = partial(torch.full, (3,))


@pytest.mark.parametrize(("name", "width"), [("frame", 5), ("lstm", 4), ("bidirectional", 8)])
@pytest.mark.parametrize(
    ("shape", "frames"),
    [((6,), MLP), ((1, 9, 12), partial(ConvFrameEncoder, channels=2, width=5))],
)
def test_features_are_as_wide_as_the_encoder_says(name, width, shape, frames):
    encoder = ENCODERS[name](shape, frames)
    assert encoder.width == width
    assert encoder(torch.rand(3, 4, *shape), full(4)).shape == (3, 4, width)


def changes(encoder, step, T=5):
    """Which steps' features change when a frame does."""
    x = torch.randn(3, T, 6)
    other = x.clone()
    other[:, step] += 1
    return [
        bool((a != b).any())
        for a, b in zip(
            encoder(x, full(T)).unbind(1), encoder(other, full(T)).unbind(1), strict=True
        )
    ]


def test_frame_encoder_sees_one_step_only():
    assert changes(ENCODERS["frame"]((6,)), 2) == [False, False, True, False, False]


def test_forward_lstm_encoder_sees_no_later_frame():
    assert changes(ENCODERS["lstm"]((6,)), 2) == [False, False, True, True, True]


def test_bidirectional_lstm_encoder_sees_the_whole_sequence():
    assert changes(ENCODERS["bidirectional"]((6,)), 2) == [True] * 5


@pytest.mark.parametrize("name", ["lstm", "bidirectional"])
def test_recurrent_features_beyond_the_true_lengths_are_zero(name):
    features = ENCODERS[name]((6,))(torch.randn(3, 5, 6), torch.tensor([2, 5, 3]))
    assert (features[0, 2:] == 0).all()
    assert (features[2, 3:] == 0).all()
    assert (features[1] != 0).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_ragged_batch_gives_what_each_sequence_gives_alone(bidirectional):
    lstm = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=bidirectional)
    x, lengths = torch.randn(3, 5, 3), torch.tensor([1, 4, 5])
    out = run_lstm(lstm, x, lengths)
    assert out.shape[1] == 5
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(out[row, :length], lstm(x[row : row + 1, :length])[0][0])


def test_batch_whose_longest_is_padded_keeps_its_padded_length():
    lstm = torch.nn.LSTM(3, 4, batch_first=True)
    assert run_lstm(lstm, torch.randn(2, 6, 3), torch.tensor([2, 3])).shape == (2, 6, 4)
