"""Encoders: frames to features per step.

Shapes: B batch, T time, H width of a feature.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.encoders.conv_lstm import ConvLstmEncoder
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder, LstmEncoder, run_lstm
from genzoo_rwae_plugins.encoders.tcn import TcnEncoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameEncoder

from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import check_encoder

MLP = partial(MlpFrameEncoder, hidden=6, width=5)
ENCODERS = {
    "frame": lambda shape, frames=MLP: FrameEncoder(shape, frames=frames),
    "lstm": lambda shape, frames=MLP: LstmEncoder(shape, hidden=4, frames=frames),
    "bidirectional": lambda shape, frames=MLP: LstmEncoder(
        shape, hidden=4, direction="bidirectional", frames=frames
    ),
    "gru": lambda shape, frames=MLP: LstmEncoder(shape, hidden=4, cell="gru", frames=frames),
    "tcn": lambda shape, frames=MLP: TcnEncoder(shape, hidden=4, frames=frames),
}
full = partial(torch.full, (3,))


@pytest.mark.parametrize(
    ("name", "width"), [("frame", 5), ("lstm", 4), ("bidirectional", 8), ("gru", 4), ("tcn", 4)]
)
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


@pytest.mark.parametrize("name", ["lstm", "gru", "tcn"])
def test_causal_encoders_see_no_later_frame(name):
    assert changes(ENCODERS[name]((6,)), 2) == [False, False, True, True, True]


def test_bidirectional_lstm_encoder_sees_the_whole_sequence():
    assert changes(ENCODERS["bidirectional"]((6,)), 2) == [True] * 5


@pytest.mark.parametrize("name", ["lstm", "bidirectional", "gru"])
def test_recurrent_features_beyond_the_true_lengths_are_zero(name):
    features = ENCODERS[name]((6,))(torch.randn(3, 5, 6), torch.tensor([2, 5, 3]))
    assert (features[0, 2:] == 0).all()
    assert (features[2, 3:] == 0).all()
    assert (features[1] != 0).all()


@pytest.mark.parametrize("layer", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_ragged_batch_gives_what_each_sequence_gives_alone(layer, bidirectional):
    lstm = layer(3, 4, batch_first=True, bidirectional=bidirectional)
    x, lengths = torch.randn(3, 5, 3), torch.tensor([1, 4, 5])
    out = run_lstm(lstm, x, lengths)
    assert out.shape[1] == 5
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(out[row, :length], lstm(x[row : row + 1, :length])[0][0])


def test_batch_whose_longest_is_padded_keeps_its_padded_length():
    lstm = torch.nn.LSTM(3, 4, batch_first=True)
    assert run_lstm(lstm, torch.randn(2, 6, 3), torch.tensor([2, 3])).shape == (2, 6, 4)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_gru_encoder_passes_the_kit(direction):
    check_encoder(LstmEncoder, cell="gru", hidden=4, direction=direction, frames=MLP)


def test_gru_encoder_is_a_gru_over_the_features_of_frames():
    encoder, x = ENCODERS["gru"]((6,)), torch.randn(3, 5, 6)
    peer = torch.nn.GRU(5, 4, batch_first=True)
    peer.load_state_dict(encoder.lstm.state_dict())
    features = encoder.frames(x.flatten(0, 1)).unflatten(0, (3, 5))
    torch.testing.assert_close(encoder(x, full(5)), peer(features)[0])


# -- temporal convolutions ------------------------------------------------------------------------


@pytest.mark.parametrize(("blocks", "kernel"), [(1, 2), (2, 2), (2, 3), (3, 3)])
def test_tcn_sees_as_far_as_its_docstring_says(blocks, kernel):
    encoder = TcnEncoder((6,), hidden=4, blocks=blocks, kernel=kernel, frames=MLP).double()
    seen = 2 * (kernel - 1) * (2**blocks - 1)
    steps = seen + 3
    x = torch.randn(1, steps, 6, dtype=torch.float64, requires_grad=True)
    encoder(x, torch.tensor([steps]))[:, -1].square().sum().backward()
    reached = x.grad[0].any(-1).tolist()
    assert reached == [False] * 2 + [True] * (seen + 1)


def test_tcn_with_silent_convolutions_passes_features_on():
    encoder, x = ENCODERS["tcn"]((6,)), torch.randn(3, 5, 6)
    for block in encoder.blocks:
        for convolution in (block.one, block.other):
            torch.nn.init.zeros_(convolution.weight)
            torch.nn.init.zeros_(convolution.bias)
    features = encoder.into(encoder.frames(x.flatten(0, 1))).unflatten(0, (3, 5))
    got = encoder(x, full(5))
    torch.testing.assert_close(got.clamp_min(0), features.clamp_min(0))


# -- convolutional LSTMs --------------------------------------------------------------------------


def conv_lstm(shape=(1, 16, 16), **options):
    return ConvLstmEncoder(shape, **{"channels": 2, "hidden": 3, "width": 5, **options})


@pytest.mark.parametrize("options", [{"layers": 2}, {"peephole": True}, {"smallest": 4}])
def test_conv_lstm_encoder_passes_the_kit(options):
    small = {"channels": 2, "hidden": 3, "width": 5}
    check_encoder(ConvLstmEncoder, **small, **options, frame_shapes=[(1, 8, 8), (3, 17, 16)])


@pytest.mark.parametrize(
    ("sides", "smallest", "maps"),
    [((8, 8), 8, (8, 8)), ((15, 31), 8, (15, 31)), ((64, 64), 8, (8, 8)), ((64, 33), 4, (8, 4))],
)
def test_maps_are_as_small_as_allowed(sides, smallest, maps):
    encoder = conv_lstm((3, *sides), smallest=smallest)
    assert encoder.out.in_features == 3 * maps[0] * maps[1]
    assert encoder(torch.rand(2, 3, 3, *sides), full(3)[:2]).shape == (2, 3, 5)


def test_conv_lstm_encoder_sees_no_later_frame_and_remembers_earlier_ones():
    encoder, x = conv_lstm(layers=2), torch.rand(2, 5, 1, 16, 16)
    other = x.clone()
    other[:, 2] += 1
    pairs = zip(encoder(x, full(5)).unbind(1), encoder(other, full(5)).unbind(1), strict=True)
    assert [bool((a != b).any()) for a, b in pairs] == [False, False, True, True, True]


def test_conv_lstm_layers_follow_each_other():
    encoder, x = conv_lstm((1, 8, 8), layers=2), torch.rand(2, 3, 1, 8, 8)
    first, second = encoder.cells
    states, wanted = (None, None), []
    for frame in x.unbind(1):
        one = first(frame, states[0])
        states = one, second(one[0], states[1])
        wanted.append(encoder.out(states[1][0].permute(0, 2, 3, 1).flatten(1)))
    torch.testing.assert_close(encoder(x, full(3)[:2]), torch.stack(wanted, 1))


def test_conv_lstm_refuses_vectors_and_even_kernels():
    with pytest.raises(OptionError, match=r"frames are \[6\].*'mlp'"):
        conv_lstm((6,))
    with pytest.raises(OptionError, match="kernel is 4; wanted an odd side") as caught:
        conv_lstm(kernel=4)
    assert caught.value.option == "kernel"
