"""The decoder that puts patches where the codes say.

Shapes: B batch, T time, D width of all codes of a step, K things, S places, P a patch's side.
"""

from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.decoders.patches import PatchesDecoder, placed
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing import check_decoder

CONV = partial(ConvFrameDecoder, channels=2)
SHAPE = (3, 12, 14)
SMALL = {"side": 8, "hidden": 6, "frames": CONV}


def make(codes=4, shape=SHAPE, **options):
    torch.manual_seed(0)
    return PatchesDecoder(codes, shape, **{**SMALL, **options})


class Shown(nn.Module):
    """Draws given patches [K C, P, P], after softplus, whatever it is told."""

    def __init__(self, patches):
        super().__init__()
        self.drawn = nn.Parameter(patches.expm1().log())

    def forward(self, h_NH):
        return self.drawn.expand(len(h_NH), *self.drawn.shape)


def told(net, places):
    """Let the decoder put its things at (row, column), for certain."""
    for axis, layer in enumerate((net.rows, net.columns)):
        logits_KS = torch.full((net.objects, layer.out_features // net.objects), -1e4)
        for k, place in enumerate(places):
            logits_KS[k, place[axis]] = 0
        nn.init.zeros_(layer.weight)
        layer.bias.data = logits_KS.flatten()


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**16))
def test_a_rows_place_is_that_of_the_first_row_and_its_own(places, side, seed):
    p_S = torch.rand(places, generator=torch.Generator().manual_seed(seed))
    spread_PH = placed(p_S, side)
    assert spread_PH.shape == (side, places + side - 1)
    for p in range(side):
        for h in range(places + side - 1):
            expected = p_S[h - p] if 0 <= h - p < places else torch.tensor(0.0)
            assert spread_PH[p, h] == expected


def test_patches_lie_where_they_are_told_and_add_up_over_the_ground():
    patches = 0.5 + torch.rand(2 * 3, 8, 8)
    net = make(frames=lambda width, shape: Shown(patches))
    told(net, [(0, 6), (3, 2)])
    expected = torch.full(SHAPE, -4.0)
    expected[:, 0:8, 6:14] += patches[:3]
    expected[:, 3:11, 2:10] += patches[3:]
    frames = net(torch.randn(2, 3, 4))
    torch.testing.assert_close(frames, expected.expand(2, 3, *SHAPE))


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 14)], ids=str)
def test_frames_have_the_frames_shape_and_every_parameter_a_gradient(objects, shape, gradients):
    net = make(shape=shape, objects=objects)
    frames = net(torch.randn(2, 5, 4))
    assert frames.shape == (2, 5, *shape)
    for name, gradient in gradients(net, frames).items():
        assert gradient.isfinite().all(), name
        whole = shape[1:] == (8, 8) and name.startswith(("rows", "columns"))
        # there is but one place for a patch as large as the frame
        assert (gradient.abs().max() > 1e-7) != whole, name


def test_places_are_found_from_anywhere():
    """A spot in one corner draws a patch there that began in the other."""
    torch.manual_seed(0)
    net = make(codes=1, shape=(1, 24, 24), objects=1, frames=CONV)
    goal = torch.zeros(1, 24, 24)
    goal[:, :8, 16:] = 1
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(250):
        loss = (net(torch.ones(1, 1, 1)).sigmoid() - goal).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1 * goal.sum()


def test_it_passes_the_kit_of_properties():
    check_decoder(PatchesDecoder, frame_shapes=[(1, 8, 8), (3, 16, 16)], **SMALL)


def test_steps_do_not_reach_each_other():
    net, z_BTD = make().eval(), torch.randn(2, 3, 4)
    other = z_BTD.clone()
    other[:, 1] += 1
    changed = (net(z_BTD) != net(other)).flatten(2).any(-1)
    assert changed.tolist() == [[False, True, False]] * 2
    assert net.frame_by_frame


@pytest.mark.parametrize(
    ("shape", "words"),
    [((5,), "wants images"), ((1, 6, 20), "patches of 8 pixels in frames of 6 x 20; wanted 6")],
)
def test_frames_it_cannot_draw_on_are_refused(shape, words):
    with pytest.raises(OptionError, match=words):
        make(shape=shape)
