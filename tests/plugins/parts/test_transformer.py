"""Transformers over steps: the layers, the encoder (frames and patches) and the decoder.

Shapes: B batch, T time, H width of a token, S patches of a frame.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.decoders.transformer import TransformerDecoder
from genzoo_rwae_plugins.encoders.transformer import PatchTokens, TransformerEncoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameEncoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameDecoder, MlpFrameEncoder
from genzoo_rwae_plugins.steps.transformer import Tokens, TransformerLayers

from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import check_decoder, check_encoder

FRAMES = partial(MlpFrameEncoder, hidden=6, width=5)
DRAWS = partial(MlpFrameDecoder, hidden=6)
SMALL = {"hidden": 8, "heads": 2}
IMAGE = (2, 8, 12)
HOW = [
    {"attends": attends, "positions": positions}
    for attends in ("causal", "full")
    for positions in ("rotary", "learnt")
]
how = pytest.mark.parametrize("how", HOW, ids=lambda it: "-".join(it.values()))
full = partial(torch.full, (3,))


def layers(**changes):
    usual = {
        "hidden": 8,
        "layers": 2,
        "heads": 2,
        "attends": "causal",
        "positions": "rotary",
        "longest": 16,
        "backend": "auto",
    }
    return TransformerLayers(Tokens(**{**usual, **changes}))


def encoder(shape=(6,), **options):
    tokens = {} if "patch" in options else {"frames": FRAMES}
    return TransformerEncoder(shape, **SMALL, **tokens, **options)


def changes(net, x, step, *more):
    """Which steps' outputs change when a step does."""
    other = x.clone()
    other[:, step] += 1
    pairs = zip(net(x, *more).unbind(1), net(other, *more).unbind(1), strict=True)
    return [bool((a != b).any()) for a, b in pairs]


# -- layers ---------------------------------------------------------------------------------------


def test_layers_are_those_of_torch():
    """Without positions: torch's own pre-norm layers, with the same weights."""
    net = layers(attends="full", positions="learnt").double()
    torch.nn.init.zeros_(net.places.places_TH)
    peer = torch.nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
    peer = torch.nn.TransformerEncoder(peer, 2, torch.nn.LayerNorm(8), enable_nested_tensor=False)
    peer = peer.double()
    for attend, inner, own in zip(net.attentions, net.nets, peer.layers, strict=True):
        own.self_attn.in_proj_weight.data.copy_(attend.attention.qkv.weight)
        own.self_attn.in_proj_bias.data.copy_(attend.attention.qkv.bias)
        own.self_attn.out_proj.load_state_dict(attend.attention.out.state_dict())
        own.linear1.load_state_dict(inner[1].state_dict())
        own.linear2.load_state_dict(inner[3].state_dict())
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    there = torch.arange(5) < torch.tensor([5, 2, 3])[:, None]
    wanted = peer(x, src_key_padding_mask=~there)
    torch.testing.assert_close(net(x, there)[there], wanted[there])


@pytest.mark.parametrize("attends", ["causal", "full"])
def test_layers_without_positions_do_not_see_the_order_of_what_a_step_sees(attends):
    net = layers(attends=attends, positions="learnt")
    torch.nn.init.zeros_(net.places.places_TH)
    x = torch.randn(2, 5, 8)
    swapped = x[:, [1, 0, 2, 3, 4]]
    last, other = net(x)[:, -1], net(swapped)[:, -1]
    if attends == "full":
        torch.testing.assert_close(last, other)
    else:  # the second step saw the first one
        assert (last != other).any()


@pytest.mark.parametrize("positions", ["rotary", "learnt"])
def test_positions_tell_the_order_of_steps(positions):
    net, x = layers(attends="full", positions=positions), torch.randn(2, 5, 8)
    gap = net(x)[:, -1] - net(x[:, [1, 0, 2, 3, 4]])[:, -1]
    assert gap.abs().max() > 1e-4


def test_rotary_positions_are_relative():
    """With two steps of a sequence put later, the others being masked, nothing changes."""
    net, x = layers(attends="full"), torch.randn(1, 2, 8)
    later = torch.cat([torch.zeros(1, 3, 8), x], 1)
    there = torch.tensor([[False, False, False, True, True]])
    torch.testing.assert_close(net(later, there)[:, 3:], net(x))


def test_more_steps_than_learnt_positions_are_refused_with_what_to_do():
    net = layers(positions="learnt", longest=4)
    net(torch.randn(1, 4, 8))
    with pytest.raises(OptionError, match=r"5 steps.*for 4; take longest: 5, or positions: rotary"):
        net(torch.randn(1, 5, 8))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(OptionError, match=r"hidden is 10.*4 heads; wanted a multiple of 4$"):
        layers(hidden=10, heads=4, positions="learnt")
    with pytest.raises(
        OptionError, match=r"hidden is 12.*4 heads; wanted a multiple of 8, for rot"
    ):
        layers(hidden=12, heads=4)
    layers(hidden=12, heads=4, positions="learnt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="xformers may work on this machine")
def test_xformers_is_refused_where_it_cannot_work():
    with pytest.raises(OptionError, match=r"xformers.*only for CUDA; 'auto' takes it") as caught:
        layers(backend="xformers")
    assert caught.value.option == "backend"


# -- encoder --------------------------------------------------------------------------------------


@how
@pytest.mark.parametrize("patch", [None, 4])
def test_transformer_encoder_passes_the_kit(how, patch):
    shapes = {"frame_shapes": [(1, 8, 8), IMAGE]}
    more = {"patch": patch, **shapes} if patch else {"frames": FRAMES}
    check_encoder(TransformerEncoder, **SMALL, **how, **more)


@pytest.mark.parametrize(
    ("attends", "reached"),
    [("causal", [False, False, True, True, True]), ("full", [True] * 5)],
)
@pytest.mark.parametrize("patch", [None, 4])
def test_a_step_sees_the_past_or_the_whole_sequence(attends, reached, patch):
    shape, more = (IMAGE, {"patch": patch}) if patch else ((6,), {})
    net = encoder(shape, attends=attends, **more)
    assert changes(net, torch.randn(3, 5, *shape), 2, full(5)) == reached


def test_the_frame_net_is_conv_where_none_is_chosen():
    assert isinstance(TransformerEncoder((1, 8, 8)).frames, ConvFrameEncoder)


def test_a_feature_sees_every_pixel_of_its_patches():
    net = encoder(IMAGE, patch=4)
    x = torch.randn(1, 2, *IMAGE, requires_grad=True)
    net(x, torch.tensor([2]))[:, 1].square().sum().backward()
    assert (x.grad != 0).all()


def test_patches_are_cut_as_a_strided_convolution_cuts_them():
    tokens = PatchTokens(IMAGE, 4, 8)
    torch.nn.init.zeros_(tokens.places_SH)
    x = torch.randn(2, 3, *IMAGE)
    weight = tokens.map.weight.reshape(8, 4, 4, 2).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.conv2d(x.flatten(0, 1), weight, tokens.map.bias, stride=4)
    wanted = wanted.flatten(2).mT.unflatten(0, (2, 3))
    torch.testing.assert_close(tokens(x), wanted)


def test_a_feature_sees_where_a_patch_is():
    net = encoder(IMAGE, patch=4)
    x = torch.randn(2, 2, *IMAGE)
    moved = x.roll(4, dims=-1)  # by one patch
    assert (net(x, full(2)[:2]) - net(moved, full(2)[:2])).abs().max() > 1e-4


def test_patches_of_a_frame_see_each_other():
    """What one patch shows changes what another adds: space is no sum over patches."""
    net = encoder(IMAGE, patch=4)
    torch.nn.init.zeros_(net.into.places_SH)

    def feature(*patches):
        x = torch.zeros(1, 1, *IMAGE)
        for place, patch in patches:
            x[..., :4, 4 * place : 4 * place + 4] = patch
        return net(x, torch.ones(1, dtype=torch.long))

    one, other = torch.randn(2, 4, 4), torch.randn(2, 4, 4)
    both = feature((0, one), (1, other)) + feature()
    assert (both - feature((0, one)) - feature((1, other))).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((6,), {"patch": 4}, r"frames are \[6\]; patches are of images"),
        ((1, 12, 18), {"patch": 4}, r"4x4 do not fill frames of 12x18; those that do are of 1, 2,"),
        (IMAGE, {"patch": 4, "frames": FRAMES}, r"patches, and a frame net is given as well"),
    ],
)
def test_patches_that_cannot_be_are_refused_at_their_option(shape, options, message):
    with pytest.raises(OptionError, match=message) as caught:
        TransformerEncoder(shape, **SMALL, **options)
    assert caught.value.option == "patch"


# -- decoder --------------------------------------------------------------------------------------


@how
def test_transformer_decoder_passes_the_kit(how):
    check_decoder(TransformerDecoder, **SMALL, **how, frames=DRAWS)


@pytest.mark.parametrize(
    ("attends", "reached"),
    [("causal", [False, False, True, True, True]), ("full", [True] * 5)],
)
def test_a_code_reaches_later_frames_or_all(attends, reached):
    net = TransformerDecoder(4, (6,), **SMALL, attends=attends, frames=DRAWS)
    assert changes(net, torch.randn(3, 5, 4), 2) == reached
