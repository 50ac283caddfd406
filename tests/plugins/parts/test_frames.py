"""Frame nets, encoding and decoding.

Shapes: N frames, H width of a feature.
"""

import copy

import pytest
import torch
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder, ConvFrameEncoder
from genzoo_rwae_plugins.frames.halving import BatchNorm2d, MapLayers
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.frames.residual import (
    ResidualBlock,
    ResidualFrameDecoder,
    ResidualFrameEncoder,
)
from genzoo_rwae_plugins.frames.spatial_broadcast import SpatialBroadcastDecoder
from genzoo_rwae_plugins.frames.spectrogram import (
    SpectrogramFrameDecoder,
    SpectrogramFrameEncoder,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genzoo_rwae.errors import OptionError

ENCODERS = {
    "conv": lambda shape, **k: ConvFrameEncoder(shape, channels=2, width=5, **k),
    "mlp": lambda shape, **k: MlpFrameEncoder(shape, hidden=6, width=5, **k),
    "residual": lambda shape, **k: ResidualFrameEncoder(shape, channels=2, width=5, **k),
}
DECODERS = {
    "conv": lambda shape, **k: ConvFrameDecoder(5, shape, channels=2, **k),
    "mlp": lambda shape, **k: MlpFrameDecoder(5, shape, hidden=6, **k),
    "residual": lambda shape, **k: ResidualFrameDecoder(5, shape, channels=2, **k),
    "spatial-broadcast": lambda shape, **k: SpatialBroadcastDecoder(5, shape, channels=2, **k),
}
OF_BINS = {
    "encoder": lambda shape, **k: SpectrogramFrameEncoder(shape, channels=2, width=5, **k),
    "decoder": lambda shape, **k: SpectrogramFrameDecoder(5, shape, channels=2, **k),
}
CONVOLUTIONAL = [
    (net, name)
    for net, names in ((ENCODERS, ("conv", "residual")), (DECODERS, ("conv", "residual")))
    for name in names
]
each_convolutional = pytest.mark.parametrize(
    ("net", "name"), CONVOLUTIONAL, ids=lambda it: it if isinstance(it, str) else ""
)
CHANNELS_LAST = torch.channels_last
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
@each_convolutional
def test_every_parameter_of_a_convolutional_net_gets_a_gradient(net, name, shape, norm, gradients):
    part = net[name](shape, norm=norm)
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


@each_convolutional
def test_convolutional_nets_refuse_vectors_and_say_what_takes_them(net, name):
    with pytest.raises(OptionError, match=r"frames are \[6\].*\[C, H, W\].*'mlp'.*'spectrogram'"):
        net[name]((6,))


@pytest.mark.parametrize("shape", [(1, 7, 8), (3, 64, 7), (1, 1, 1)])
@each_convolutional
def test_convolutional_nets_refuse_frames_below_8_pixels(net, name, shape):
    with pytest.raises(OptionError, match=f"frames are {shape[1]}x{shape[2]}.*8 pixels.*'mlp'"):
        net[name](shape)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("shape", SOME_SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_channels_last_frames_give_what_contiguous_ones_give(name, shape, training):
    plain = ENCODERS[name](shape).train(training)
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    x = torch.rand(3, *shape)
    there = last(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(there, plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
def test_channels_last_weights_give_what_contiguous_ones_give(name):
    plain = DECODERS[name]((3, 9, 15)).eval()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    h = torch.randn(3, 5)
    torch.testing.assert_close(last(h), plain(h), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_feature_sees_every_pixel(name):
    net = ENCODERS[name]((1, 11, 14)).eval()
    x = torch.rand(1, 1, 11, 14, requires_grad=True)
    net(x).square().sum().backward()
    # an odd side's last pixel still lies under a 4x4 window
    assert (x.grad != 0).all()


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_reaches_every_pixel(name):
    net = DECODERS[name]((1, 11, 14)).eval()
    first, second = net(torch.randn(2, 5))
    assert (first != second).all()


# -- residual -------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_a_residual_block_whose_last_convolution_is_zero_changes_nothing(norm):
    block, x = ResidualBlock(4, norm), torch.randn(2, 4, 5, 6)
    torch.nn.init.zeros_(block.layers[-1].weight)
    if norm == "none":
        torch.nn.init.zeros_(block.layers[-1].bias)
    kept = x.clone()
    assert torch.equal(block(x), kept)
    assert torch.equal(x, kept)


def test_more_blocks_go_to_every_map():
    def blocks(net):
        return sum(isinstance(module, ResidualBlock) for module in net.modules())

    for build in (ENCODERS["residual"], DECODERS["residual"]):
        assert [blocks(build((1, 33, 70), blocks=count)) for count in (1, 2)] == [3, 6]


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_the_layer_that_draws_a_residual_frame_has_a_bias_whatever_the_norm(norm):
    net, h = DECODERS["residual"]((3, 33, 16), norm=norm).eval(), torch.randn(2, 5)
    dark = net(h)
    *inner, last = [module for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    with torch.no_grad():
        last.bias += 1
    torch.testing.assert_close(net(h), dark + 1)
    # a normalisation has shifts of its own
    assert {layer.bias is not None for layer in inner} == {norm == "none"}


def test_the_last_pixel_of_an_odd_side_is_the_one_beside_it():
    frame = DECODERS["residual"]((1, 9, 13)).eval()(torch.randn(2, 5))
    assert torch.equal(frame[..., 8, :], frame[..., 7, :])
    assert torch.equal(frame[..., 12], frame[..., 11])
    assert not torch.equal(frame[..., 11], frame[..., 10])


# -- spectrogram ----------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@each_convolutional
def test_a_norm_and_its_nonlinearity_are_what_they_are_one_by_one(net, name, norm, training):
    torch.manual_seed(0)
    together = net[name]((3, 17, 24), norm=norm).train(training).to(memory_format=CHANNELS_LAST)
    alone = copy.deepcopy(together)
    for layers in [part for part in alone.modules() if isinstance(part, MapLayers)]:
        layers.forward = lambda x, layers=layers: nn.Sequential.forward(layers, x)
    given = torch.rand(4, 3, 17, 24) if net is ENCODERS else torch.randn(4, 5)
    found = {}
    for one in (together, alone):
        for low in (False, True):
            one.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                out = one(given).double()
            out.square().sum().backward()
            grads = [p.grad.double().clone() for p in one.parameters()]
            found[one, low] = [out.detach(), *grads, *(b.double().clone() for b in one.buffers())]
    for own, other in zip(found[together, False], found[alone, False], strict=True):
        assert (own - other).norm() <= 1e-5 * other.norm()
    # few channels make a few values of bfloat16 weigh much: over all tensors, not in each
    errors = [
        sum(
            float((low - right).norm() / (right.norm() + 1e-9))
            for low, right in zip(*both, strict=True)
        )
        for both in ((found[one, True], found[alone, False]) for one in (together, alone))
    ]
    assert errors[0] < 2.5 * errors[1] + 0.02


@pytest.mark.parametrize("options", [{"momentum": None}, {"track_running_stats": False}, {}])
def test_a_batch_norm_keeps_statistics_as_torchs(options):
    own, torchs = BatchNorm2d(3, **options), nn.BatchNorm2d(3, **options)
    for seed in range(3):
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(own(x), torchs(x))
        assert torch.equal(own(x, 0.2), nn.functional.leaky_relu(torchs(x), 0.2))
    states = own.state_dict(), torchs.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    with pytest.raises(ValueError, match="expected 4D"):
        own(torch.ones(4, 3))


@settings(max_examples=40, deadline=None)
@given(bins=st.integers(8, 300))
def test_spectrogram_nets_take_any_number_of_bins_there_and_back(bins):
    feature = OF_BINS["encoder"]((bins,))(torch.randn(2, bins))
    assert feature.shape == (2, 5)
    assert OF_BINS["decoder"]((bins,))(feature).shape == (2, bins)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("bins", [8, 80, 201])
@pytest.mark.parametrize("way", OF_BINS)
def test_every_parameter_of_spectrogram_gets_a_gradient(way, bins, norm, gradients):
    part = OF_BINS[way]((bins,), norm=norm)
    out = part(torch.randn(4, bins) if way == "encoder" else torch.randn(4, 5))
    for name, gradient in gradients(part, out).items():
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 1e-7, name


def test_spectrogram_nets_see_and_reach_every_bin():
    x = torch.randn(1, 201, requires_grad=True)
    OF_BINS["encoder"]((201,)).eval()(x).square().sum().backward()
    assert (x.grad != 0).all()
    first, second = OF_BINS["decoder"]((201,)).eval()(torch.randn(2, 5))
    assert (first != second).all()


def test_a_bin_far_from_another_shares_no_convolution_with_it():
    layers = OF_BINS["encoder"]((80,)).layers[:1].eval()  # its first convolution
    x = torch.randn(1, 1, 80)
    other = x.clone()
    other[..., 40] += 1
    changed = (layers(x) != layers(other)).any(1)[0].nonzero().flatten().tolist()
    assert changed == [19, 20]  # strides of 2, windows of 4


@pytest.mark.parametrize("way", OF_BINS)
def test_spectrogram_refuses_images_and_few_bins_and_says_what_takes_them(way):
    with pytest.raises(OptionError, match=r"frames are \[1, 9, 9\].*vectors \[F\].*'conv'.*'mlp'"):
        OF_BINS[way]((1, 9, 9))
    with pytest.raises(OptionError, match=r"frames have 7 bins.*8 or more.*'mlp'"):
        OF_BINS[way]((7,))


# -- spatial broadcast ----------------------------------------------------------------------------


def test_a_spatial_broadcast_is_a_convolution_of_features_and_places():
    net = DECODERS["spatial-broadcast"]((1, 4, 6))
    h = torch.randn(2, 5)
    rows, columns = torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 6)
    places = torch.stack([rows[:, None].expand(4, 6), columns.expand(4, 6)])
    seen = torch.cat([h[:, :, None, None].expand(2, 5, 4, 6), places.expand(2, 2, 4, 6)], 1)
    weight = torch.cat([net.of_feature.weight[:, :, None, None], net.of_place.weight], 1)
    wanted = net.layers(torch.nn.functional.conv2d(seen, weight, net.of_feature.bias))
    torch.testing.assert_close(net(h), wanted)


def test_spatial_broadcast_draws_frames_of_any_size_and_refuses_vectors():
    assert DECODERS["spatial-broadcast"]((3, 1, 5))(torch.randn(2, 5)).shape == (2, 3, 1, 5)
    with pytest.raises(OptionError, match=r"frames are \[6\].*'mlp' or 'spectrogram'"):
        DECODERS["spatial-broadcast"]((6,))


def test_every_parameter_of_spatial_broadcast_gets_a_gradient(gradients):
    part = DECODERS["spatial-broadcast"]((3, 5, 4))
    for name, gradient in gradients(part, part(torch.randn(4, 5))).items():
        assert gradient.abs().max() > 1e-7, name
