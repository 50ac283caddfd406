"""Frame nets: `conv` and `mlp`, encoding and decoding.

Shapes: N frames, H width of a feature.
"""

import copy

import pytest
import torch
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder, ConvFrameEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from genzoo_rwae.errors import OptionError

ENCODERS = {
    "conv": lambda shape, **k: ConvFrameEncoder(shape, channels=2, width=5, **k),
    "mlp": lambda shape, **k: MlpFrameEncoder(shape, hidden=6, width=5, **k),
}
DECODERS = {
    "conv": lambda shape, **k: ConvFrameDecoder(5, shape, channels=2, **k),
    "mlp": lambda shape, **k: MlpFrameDecoder(5, shape, hidden=6, **k),
}
SIDES = st.integers(8, 70)
SHAPES = st.tuples(st.sampled_from([1, 3]), SIDES, SIDES)
# square and oblong, odd and even, one halving and several
SOME_SHAPES = [(1, 8, 8), (3, 9, 15), (1, 17, 8), (3, 33, 70)]


@pytest.mark.parametrize("name", ENCODERS)
@settings(max_examples=40, deadline=None)
@given(shape=SHAPES)
def test_encoder_takes_frames_of_any_size_to_its_width(name, shape):
    net = ENCODERS[name](shape)
    assert net.width == 5
    assert net(torch.rand(2, *shape)).shape == (2, 5)


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=40, deadline=None)
@given(shape=SHAPES)
def test_decoder_gives_exactly_the_frames_shape(name, shape):
    assert DECODERS[name](shape)(torch.randn(2, 5)).shape == (2, *shape)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("shape", SOME_SHAPES)
@pytest.mark.parametrize("net", [ENCODERS, DECODERS], ids=["encoder", "decoder"])
def test_every_parameter_of_conv_gets_a_gradient(net, shape, norm, gradients):
    part = net["conv"](shape, norm=norm)
    of = gradients(part, part(torch.rand(4, *shape) if net is ENCODERS else torch.randn(4, 5)))
    assert of
    for name, gradient in of.items():
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 1e-7, name


@pytest.mark.parametrize("shape", [(6,), (1, 5, 3)])
@pytest.mark.parametrize("net", [ENCODERS, DECODERS], ids=["encoder", "decoder"])
def test_every_parameter_of_mlp_gets_a_gradient(net, shape, gradients):
    part = net["mlp"](shape)
    out = part(torch.rand(4, *shape) if net is ENCODERS else torch.randn(4, 5))
    for name, gradient in gradients(part, out).items():
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 1e-7, name


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 64)])
def test_channels_double_with_every_halving_up_to_the_largest(shape):
    def weights(net, kind):
        return [m.weight.shape for m in net.modules() if isinstance(m, kind)]

    encoder = ConvFrameEncoder(shape, channels=2, largest=4)
    after = [weight[0] for weight in weights(encoder, torch.nn.Conv2d)]
    decoder = ConvFrameDecoder(5, shape, channels=2, largest=4)
    before = [weight[0] for weight in weights(decoder, torch.nn.ConvTranspose2d)]
    assert after == [2, 4, 8, 8][: len(after)]
    assert before == after[::-1]


@pytest.mark.parametrize("net", [ENCODERS, DECODERS], ids=["encoder", "decoder"])
def test_conv_refuses_vectors_and_says_what_takes_them(net):
    with pytest.raises(OptionError, match=r"frames are \[6\].*\[C, H, W\].*'mlp'"):
        net["conv"]((6,))


@pytest.mark.parametrize("shape", [(1, 7, 8), (3, 64, 7), (1, 1, 1)])
@pytest.mark.parametrize("net", [ENCODERS, DECODERS], ids=["encoder", "decoder"])
def test_conv_refuses_frames_below_8_pixels(net, shape):
    with pytest.raises(OptionError, match=f"frames are {shape[1]}x{shape[2]}.*8 pixels.*'mlp'"):
        net["conv"](shape)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("shape", SOME_SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_channels_last_frames_give_what_contiguous_ones_give(name, shape, training):
    plain = ENCODERS[name](shape).train(training)
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    x = torch.rand(3, *shape)
    there = last(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(there, plain(x), rtol=1e-4, atol=1e-5)


def test_channels_last_weights_give_what_contiguous_ones_give():
    plain = DECODERS["conv"]((3, 9, 15)).eval()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    h = torch.randn(3, 5)
    torch.testing.assert_close(last(h), plain(h), rtol=1e-4, atol=1e-5)


def test_conv_feature_sees_every_pixel():
    net = ENCODERS["conv"]((1, 11, 14)).eval()
    x = torch.rand(1, 1, 11, 14, requires_grad=True)
    net(x).square().sum().backward()
    # an odd side's last pixel still lies under a 4x4 window
    assert (x.grad != 0).all()


def test_conv_decoder_reaches_every_pixel():
    net = DECODERS["conv"]((1, 11, 14)).eval()
    first, second = net(torch.randn(2, 5))
    assert (first != second).all()
