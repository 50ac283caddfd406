"""Decoders: codes to frames.

Shapes: B batch, T time, D width of all codes of a step.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.decoders.recurrent import FrameDecoder, LstmDecoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder

from genzoo_rwae.testing import check_decoder

DECODERS = {"frame": FrameDecoder, "lstm": LstmDecoder}
MLP = partial(MlpFrameDecoder, hidden=6)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("length", [1, 7])
@pytest.mark.parametrize(
    ("shape", "frames"), [((6,), MLP), ((3, 9, 12), partial(ConvFrameDecoder, channels=2))]
)
def test_frames_of_every_step_have_the_frames_shape(decoder, length, shape, frames):
    net = decoder(4, shape, hidden=5, frames=frames)
    assert net(torch.randn(2, length, 4)).shape == (2, length, *shape)


@pytest.mark.parametrize(
    ("decoder", "reached"),
    [(FrameDecoder, [False, True, False]), (LstmDecoder, [False, True, True])],
    ids=DECODERS,
)
def test_code_reaches_only_frames_that_it_may(decoder, reached):
    net, z = decoder(4, (6,), hidden=5, frames=MLP), torch.randn(2, 3, 4)
    other = z.clone()
    other[:, 1] += 1
    before, after = net(z), net(other)
    assert [bool((before[:, t] != after[:, t]).any()) for t in range(3)] == reached


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_rows_do_not_reach_each_other(decoder):
    net, z = decoder(4, (6,), hidden=5, frames=MLP), torch.randn(3, 4, 4)
    torch.testing.assert_close(net(z)[1], net(z[1:2])[0])


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_every_parameter_of_a_decoder_gets_a_gradient(decoder, gradients):
    net = decoder(4, (1, 9, 12), hidden=5, frames=partial(ConvFrameDecoder, channels=2))
    for name, gradient in gradients(net, net(torch.randn(2, 3, 4))).items():
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 1e-7, name


def test_octaves_show_the_hidden_layer_waves_of_two_units_and_of_four():
    net, z_BTD = FrameDecoder(2, (6,), hidden=5, octaves=2, frames=MLP), torch.randn(3, 4, 2)
    seen = []
    net.into.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(z_BTD)
    waves = [z_BTD] + [
        wave(2 * torch.pi * z_BTD / length) for length in (4, 2) for wave in (torch.sin, torch.cos)
    ]
    torch.testing.assert_close(seen[0], torch.cat(waves, -1))


def test_octaves_pass_the_kit():
    check_decoder(FrameDecoder, octaves=3, hidden=5, frames=MLP)


def test_gru_decoder_passes_the_kit():
    check_decoder(LstmDecoder, cell="gru", hidden=5, frames=MLP)


def test_gru_decoder_is_a_gru_over_the_codes():
    net, z = LstmDecoder(4, (6,), cell="gru", hidden=5, frames=MLP), torch.randn(2, 3, 4)
    peer = torch.nn.GRU(4, 5, batch_first=True)
    peer.load_state_dict(net.lstm.state_dict())
    torch.testing.assert_close(net(z), net.frames(peer(z)[0].flatten(0, 1)).unflatten(0, (2, 3)))
