"""R-WAE of things that move about: drawn and read where they are.

Shapes: B batch, T time, K things, S static codes of a thing, M dynamic codes, L places along an
axis, P a patch's side.
"""

import pickle
from functools import partial

import pytest
import torch
from genzoo_rwae_plugins.encoders.recurrent import FrameEncoder
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder
from genzoo_rwae_plugins.frames.mlp import MlpFrameEncoder
from genzoo_rwae_plugins.models.parts import DynamicPart, StaticPart
from genzoo_rwae_plugins.models.patches import PatchesRwae
from genzoo_rwae_plugins.models.placing import placed
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from genzoo_rwae import DataInfo
from genzoo_rwae.codes import DiagonalGaussian, draw_mean, draw_sample
from genzoo_rwae.draws import RowDraws
from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequence_model import Latents

SHAPE = (3, 12, 14)
READS = partial(FrameEncoder, frames=partial(MlpFrameEncoder, hidden=6, width=5))


def made(shape=SHAPE, size=4, dynamic=4, frames="all", **options):
    torch.manual_seed(0)
    return PatchesRwae(
        DataInfo(frame_shape=shape, length=3, bounded=True),
        encoder=READS,
        static=StaticPart(size=size, encoder=READS, frames=frames, keep=2),
        dynamic=DynamicPart(size=dynamic),
        **{
            "side": 8,
            "hidden": 6,
            "patches": partial(ConvFrameDecoder, channels=2, norm="none"),
            **options,
        },
    ).eval()


class Shown(nn.Module):
    """Draws the given patches [K, C, P, P], after softplus, whatever it is told."""

    def __init__(self, patches):
        super().__init__()
        self.drawn = nn.Parameter(patches.expm1().log())

    def forward(self, h_NH):
        return self.drawn.repeat(len(h_NH) // len(self.drawn), 1, 1, 1)


def told(model, places):
    """Let the things be at (row, column), for certain, whatever z^m says."""
    certain = [
        nn.functional.one_hot(torch.tensor(on_axis), layer.out_features).float()
        for on_axis, layer in zip(zip(*places, strict=True), model.decoder.places, strict=True)
    ]
    model.decoder._places = lambda z_BTM: [
        places_KL.expand(*z_BTM.shape[:2], -1, -1) for places_KL in certain
    ]


def posterior(model, x_BT):
    lengths_B = torch.full((len(x_BT),), x_BT.shape[1])
    with torch.no_grad():
        return model.encode(x_BT, lengths_B).static


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**16))
def test_a_rows_place_is_that_of_the_first_row_and_its_own(places, side, seed):
    p_L = torch.rand(places, generator=torch.Generator().manual_seed(seed))
    spread_PY = placed(p_L, side)
    assert spread_PY.shape == (side, places + side - 1)
    for p in range(side):
        for y in range(places + side - 1):
            expected = p_L[y - p] if 0 <= y - p < places else torch.tensor(0.0)
            assert spread_PY[p, y] == expected


def test_patches_lie_where_they_are_told_and_add_up_over_the_ground():
    patches = 0.5 + torch.rand(2, 3, 8, 8)
    model = made(patches=lambda width, shape: Shown(patches))
    told(model, [(0, 6), (3, 2)])
    expected = torch.full(SHAPE, -4.0)
    expected[:, 0:8, 6:14] += patches[0]
    expected[:, 3:11, 2:10] += patches[1]
    frames = model.decode(Latents(torch.randn(2, 4), torch.randn(2, 3, 4)))
    torch.testing.assert_close(frames, expected.sigmoid().expand(2, 3, *SHAPE))


def test_what_is_read_is_what_is_there():
    model, x_BT = made(), torch.rand(2, 3, *SHAPE)
    told(model, [(0, 6), (3, 2)])
    read = model.decoder.read(x_BT, torch.randn(2, 3, 4))
    assert read.shape == (2, 3, 2, 3, 8, 8)
    torch.testing.assert_close(read[:, :, 0], x_BT[..., 0:8, 6:14])
    torch.testing.assert_close(read[:, :, 1], x_BT[..., 3:11, 2:10])


def test_a_things_code_sees_the_thing_alone():
    model, x_BT = made(), torch.rand(2, 3, *SHAPE)
    told(model, [(0, 6), (4, 0)])
    law, x_BT = posterior(model, x_BT), x_BT.clone()
    x_BT[..., 8:12, 0:6] = 0  # where the second is, and the first is not
    changed = posterior(model, x_BT).mean != law.mean
    assert changed.tolist() == [[False, False, True, True]] * 2


@pytest.mark.parametrize(("frames", "steps"), [("all", 3), ("subset", 2), ("one", 1)])
@pytest.mark.parametrize("progress", [0.2, 0.3])
def test_the_static_code_is_of_as_many_patches_of_a_thing_as_it_may_see(frames, steps, progress):
    model, seen = made(frames=frames).train(), []
    model.static_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    generator = torch.Generator().manual_seed(0)
    model(torch.rand(2, 3, *SHAPE), torch.tensor([3, 3]), generator, progress)
    first_look = [] if progress < 0.25 else [(4, 3, 3, 8, 8)]  # what fits is tried on all frames
    assert seen == [*first_look, (4, steps, 3, 8, 8)]


def test_a_things_code_draws_the_thing_alone():
    model, static_BS, dynamic_BTM = made(), torch.randn(2, 4), torch.randn(2, 3, 4)
    told(model, [(0, 6), (4, 0)])
    other_BS = static_BS.clone()
    other_BS[:, 2:] += 1  # the second's
    one_BT, other_BT = (model.decode(Latents(z, dynamic_BTM)) for z in (static_BS, other_BS))
    changed_YX = (one_BT != other_BT).any(0).any(0).any(0)
    assert changed_YX[4:12, 0:8].all()
    changed_YX[4:12, 0:8] = False
    assert not changed_YX.any()


def test_a_thing_has_the_same_code_wherever_it_is():
    model = made(objects=1)
    thing, codes = torch.rand(2, 1, 3, 8, 8), []
    for row, column in ((0, 6), (4, 1)):
        x_BT = torch.rand(2, 3, *SHAPE)
        x_BT[..., row : row + 8, column : column + 8] = thing
        told(model, [(row, column)])
        codes.append(posterior(model, x_BT).mean)
    torch.testing.assert_close(*codes)
    assert not torch.allclose(codes[0][0], codes[0][1])


def test_dynamic_codes_move_things_and_do_not_change_them():
    """All that z^m can change is where: brightness is neither made nor lost within the frame."""
    model = made(shape=(1, 16, 16), objects=1)
    static_BS = torch.randn(1, 4).expand(8, -1)
    x_BT = model.decode(Latents(static_BS, 10 * torch.randn(8, 3, 4)))
    light_BT = (x_BT.logit() - model.decoder.ground).sum((2, 3, 4))
    assert light_BT.std() < 1e-4 * light_BT.mean()
    assert x_BT.std((0, 1)).max() > 1e-3
    other = model.decode(Latents(20 * static_BS, torch.zeros(8, 3, 4)))
    other_BT = (other.logit() - model.decoder.ground).sum((2, 3, 4))
    assert (other_BT - light_BT).abs().min() > 1e-3 * light_BT.mean()


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 14)], ids=str)
def test_frames_have_the_frames_shape_and_every_parameter_a_gradient(objects, shape, gradients):
    model = made(shape=shape, objects=objects, size=6, dynamic=6).train()
    x_BT = torch.rand(2, 5, *shape)
    passed = model(x_BT, torch.tensor([5, 4]), torch.Generator().manual_seed(0))
    assert passed.x_hat_BK.shape == x_BT.shape
    only_prior = [name for name, _ in model.named_parameters() if "prior" in name]
    for name, gradient in gradients(model, passed.x_hat_BK).items():
        if name in only_prior:
            continue
        assert gradient.isfinite().all(), name
        whole = shape[1:] == (8, 8)  # there is but one place: nothing to learn about it
        about_places = name.startswith(("decoder.moved", "decoder.places", "encoder", "dynamic"))
        assert (gradient.abs().max() > 0) != (whole and about_places), name


def test_places_and_patches_are_learnt_from_frames_alone():
    """Spots here and there: they are found, and told apart from where they are."""
    torch.manual_seed(1)
    model = made(shape=(1, 16, 16), objects=1, hidden=32).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    lengths_B = torch.full((16,), 3)

    def batch():
        x_BT = torch.zeros(16, 3, 1, 16, 16)
        bright_B = torch.rand(16)
        for b, t in torch.cartesian_prod(torch.arange(16), torch.arange(3)).tolist():
            row, column = torch.randint(9, (2,)).tolist()
            x_BT[b, t, 0, row + 2 : row + 6, column + 2 : column + 6] = 0.4 + 0.6 * bright_B[b]
        return x_BT

    for step in range(400):
        x_BT = batch()
        passed = model(x_BT, lengths_B, torch.Generator().manual_seed(step))
        loss = (passed.x_hat_BK - x_BT).square().sum((2, 3, 4)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * x_BT.square().sum((2, 3, 4)).mean()


def test_a_things_places_are_told_by_its_own_dynamic_codes_alone():
    model, z_BTM = made(), torch.randn(2, 3, 4)
    other_BTM = z_BTM.clone()
    other_BTM[..., 2:] += 1  # the second's
    changed = (model.decoder.where(other_BTM) != model.decoder.where(z_BTM)).any(-1)
    assert changed.tolist() == [[[False, True]] * 3] * 2
    swapped = model.decoder.where(z_BTM.roll(2, -1))
    torch.testing.assert_close(swapped, model.decoder.where(z_BTM).flip(2))  # by one net


def test_where_a_thing_is_is_the_mean_place_of_its_first_row_and_column():
    model, z_BTM = made(), torch.randn(1, 1, 4)
    told(model, [(0, 6), (3, 2)])
    assert model.decoder.where(z_BTM)[0, 0].tolist() == [[0, 6], [3, 2]]
    half = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0])
    model.decoder._places = lambda z_BTM: [half.expand(1, 1, 2, 5)] * 2
    assert model.decoder.where(z_BTM)[0, 0].tolist() == [[2, 2], [2, 2]]


class Unsorted(nn.Module):
    """Tells the codes of both things, the other way round in the second half of a sequence."""

    def __init__(self, path_BTM):
        super().__init__()
        self.path_BTM = path_BTM

    def forward(self, features_BTH, lengths_B, draw):
        law = DiagonalGaussian(self.path_BTM, self.path_BTM / 8)
        return draw(law), law


def test_things_keep_their_codes_and_laws_when_the_head_takes_one_for_the_other():
    model = made(again=None)
    apart_BTM = torch.tensor([0.0, 0.1, 5.0, 5.1]) + 0.01 * torch.arange(3)[:, None]
    places_BTK2 = apart_BTM[None].unflatten(-1, (2, 2))
    model.decoder.where = lambda z_BTM: z_BTM.unflatten(-1, (2, 2))
    mixed_BTM = apart_BTM[None].clone()
    mixed_BTM[:, 1] = mixed_BTM[:, 1].roll(2, -1)
    model.dynamic_head = Unsorted(mixed_BTM.expand(2, -1, -1))
    codes = model.infer(torch.rand(2, 3, *SHAPE), torch.tensor([3, 3]), draw_mean)
    expected = places_BTK2.flatten(2).expand(2, -1, -1)
    assert torch.equal(codes.dynamic.sample, expected)
    assert torch.equal(codes.dynamic.posterior.mean, expected)
    assert torch.equal(codes.dynamic.posterior.log_variance, expected / 8)


def bright_patches():
    patches = 0.01 + torch.zeros(2, 3, 8, 8)
    patches[0, :, 2:6, 1:4] = 8
    patches[1, :, 1:3, 1:7] = 8
    return patches


def at(model, where_BTK2):
    """Let the codes be places: two of a thing, told within a pixel."""
    decoder = model.decoder

    def places(z_BTM):
        of_things = z_BTM.unflatten(-1, (2, 2))
        return [
            (-8 * (torch.arange(layer.out_features) - of_things[..., axis, None]).square()).softmax(
                -1
            )
            for axis, layer in enumerate(decoder.places)
        ]

    decoder._places = places
    decoder._slopes = lambda z_BTM: (
        decoder.where(z_BTM),
        torch.eye(2).expand(*z_BTM.shape[:2], 2, 2, 2),
    )
    return where_BTK2.flatten(2)


def test_a_second_look_tells_things_apart_and_finds_them_where_they_are():
    """The first one takes one for the other at a step, and places both a pixel off."""
    model = made(patches=lambda width, shape: Shown(bright_patches()))
    where_BTK2 = torch.tensor([[0.0, 0], [4, 6]]).expand(1, 3, 2, 2)
    true_BTM = at(model, where_BTK2)
    x_BT = model.decode(Latents(torch.zeros(1, 4), true_BTM)).detach()
    first_BTM = true_BTM.clone()
    first_BTM[:, 1] = first_BTM[:, 1].roll(2, -1)
    first_BTM[:, 2] += torch.tensor([1.0, 0.0, -1.0, -1.0])
    law = DiagonalGaussian(first_BTM, torch.full_like(first_BTM, -4))
    z_BTM, path = model._look_again(x_BT, first_BTM + 0.1, law, torch.tensor([3]))
    torch.testing.assert_close(path.mean, true_BTM, atol=0.3, rtol=0)  # steps are damped
    torch.testing.assert_close(z_BTM, path.mean + 0.1)  # what was drawn stays so far from the mean
    assert torch.equal(path.log_variance, law.log_variance)


def test_every_look_begins_where_the_one_before_has_ended():
    """Steps towards what is found are damped: what is left of the way gets less."""
    model = made(patches=lambda width, shape: Shown(bright_patches()))
    true_BTM = at(model, torch.tensor([[0.0, 0], [4, 6]]).expand(1, 3, 2, 2))
    x_BT = model.decode(Latents(torch.zeros(1, 4), true_BTM)).detach()
    model.dynamic_head = Unsorted(true_BTM + torch.tensor([2.0, 2, -2, -2]))
    model.decoder.where = lambda z_BTM: z_BTM.unflatten(-1, (2, 2))
    model.decoder.found = lambda *_: true_BTM.unflatten(-1, (2, 2))
    off = []
    for model.looks in (2, 3, 4):
        codes = model.infer(x_BT, torch.tensor([3]), draw_mean)
        off.append((codes.dynamic.sample - true_BTM).norm().item())
    assert off[0] > 2 * off[1] > 4 * off[2]


def test_what_another_thing_shows_is_not_explained_twice():
    """A dim thing beside a bright one of its shape: it would fit there better than at its place."""
    patches = 0.01 + torch.zeros(2, 3, 8, 8)
    patches[0, :, 2:6, 2:6], patches[1, :, 2:6, 2:6] = 5, 8
    model = made(patches=lambda width, shape: Shown(patches))
    true_BTM = at(model, torch.tensor([[0.0, 0], [4, 6]]).expand(1, 3, 2, 2))
    x_BT = model.decode(Latents(torch.zeros(1, 4), true_BTM)).detach()
    found = model.decoder.found(x_BT, true_BTM, model.decoder.drawn(torch.zeros(1, 4)))
    torch.testing.assert_close(found.flatten(2), true_BTM, atol=0.2, rtol=0)


def test_codes_are_moved_to_say_where_things_are():
    torch.manual_seed(3)
    model = made(hidden=32)
    for layer in model.decoder.places:
        nn.init.normal_(layer.weight, std=4)
    z_BTM, other_BTM = torch.randn(2, 2, 3, 4).unbind(0)
    wanted = model.decoder.where(z_BTM + 0.2 * other_BTM).detach()
    moved_BTM = model.decoder.moved_to(wanted, z_BTM)
    before = (model.decoder.where(z_BTM) - wanted).norm()
    assert (model.decoder.where(moved_BTM) - wanted).norm() < 0.3 * before
    far = model.decoder.moved_to(wanted + 1000, z_BTM) - z_BTM
    assert far.unflatten(-1, (2, 2)).norm(dim=-1).max() <= 3 + 1e-4  # in steps of one at most


def test_slopes_are_those_of_the_places():
    model, z_BTM = made(hidden=32), torch.randn(1, 1, 4)
    where, slopes = model.decoder._slopes(z_BTM)
    torch.testing.assert_close(where, model.decoder.where(z_BTM))
    whole = torch.autograd.functional.jacobian(model.decoder.where, z_BTM)[0, 0, :, :, 0, 0]
    for thing in range(2):
        torch.testing.assert_close(slopes[0, 0, thing], whole[thing, :, 2 * thing : 2 * thing + 2])


def test_gradients_of_a_second_look_are_those_at_the_places_found():
    """Nothing goes through the fit: codes get the gradient of where they are moved to."""
    model = made().train()
    x_BT, lengths_B = torch.rand(2, 3, *SHAPE), torch.tensor([3, 3])
    law = DiagonalGaussian(torch.randn(2, 3, 4, requires_grad=True), torch.zeros(2, 3, 4))
    z_BTM, path = model._look_again(x_BT, law.mean, law, lengths_B)
    [gradient] = torch.autograd.grad(z_BTM.sum(), law.mean)
    assert torch.equal(gradient, torch.ones_like(gradient))
    assert not torch.equal(path.mean, law.mean)


@pytest.mark.parametrize(
    ("again", "looks"), [(None, [1, 1, 1]), (0.25, [1, 2, 3]), (0.0, [2, 2, 3])]
)
def test_the_second_look_begins_when_it_is_told_and_others_follow_outside_training(
    again, looks, monkeypatch
):
    model, taken = made(again=again, looks=3), []
    look = PatchesRwae._look_again
    monkeypatch.setattr(
        PatchesRwae, "_look_again", lambda self, *given: taken.append(1) or look(self, *given)
    )
    x_BT, lengths_B = torch.rand(2, 3, *SHAPE), torch.tensor([3, 3])
    model.train()
    found = []
    for progress in (0.1, 0.3):
        taken.clear()
        model(x_BT, lengths_B, torch.Generator().manual_seed(0), progress)
        found.append(1 + len(taken))
    taken.clear()
    posterior(model.eval(), x_BT)
    assert [*found, 1 + len(taken)] == looks
    assert model.follows_progress == (("again",) if again else ())


def test_codes_are_samples_or_means_as_they_are_asked_for():
    model, x_BT = made(), torch.rand(2, 3, *SHAPE)
    lengths_B = torch.tensor([3, 2])
    drawn = model.infer(x_BT, lengths_B, draw_sample(torch.Generator().manual_seed(0)))
    assert drawn.static.sample.shape == drawn.static.prior.mean.shape == (2, 4)
    assert not torch.equal(drawn.static.sample, drawn.static.posterior.mean)
    means = model.infer(x_BT, lengths_B, draw_mean)
    assert torch.equal(means.static.sample, means.static.posterior.mean)
    assert torch.equal(means.dynamic.sample, means.dynamic.posterior.mean)


@pytest.mark.parametrize("frames", ["all", "shuffled", "subset", "one"])
@pytest.mark.parametrize("window", [None, 2])
def test_a_part_of_a_batch_is_seen_and_drawn_as_in_the_whole(frames, window):
    """What several ranks count on: each passes its own rows."""
    model = made(frames=frames, window=window).train()
    x_BT, lengths_B = torch.rand(4, 3, *SHAPE), torch.tensor([3, 3, 2, 3])
    whole = model(x_BT, lengths_B, torch.Generator().manual_seed(0))
    assert whole.x_hat_BK.shape[1] == (window or 3)
    rows = slice(1, 3)
    draws = RowDraws(torch.Generator().manual_seed(0), rows, 4)
    part = model(x_BT[rows], lengths_B[rows], draws)
    for of_part, of_whole in (
        (part.codes.static.sample, whole.codes.static.sample),
        (part.codes.dynamic.sample, whole.codes.dynamic.sample),
        (part.x_hat_BK, whole.x_hat_BK),
    ):
        torch.testing.assert_close(of_part, of_whole[rows])


def test_it_is_pickled_and_keeps_what_the_spec_says():
    model, x_BT = made(), torch.rand(2, 3, *SHAPE)
    other = pickle.loads(pickle.dumps(model))
    assert torch.equal(posterior(other, x_BT).mean, posterior(model, x_BT).mean)
    assert model.static.encoder is READS


def test_patches_are_read_by_nets_like_the_models_where_they_have_none_of_their_own():
    model = PatchesRwae(DataInfo(SHAPE, 3, True), encoder=READS, static=StaticPart(size=4), side=8)
    shapes = [
        {n: p.shape for n, p in net.named_parameters()}
        for net in (model.encoder, model.static_encoder)
    ]
    assert shapes[0].keys() == shapes[1].keys()
    assert shapes[0] != shapes[1]  # frames here, patches there


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((5,), {}, "wants images"),
        ((1, 6, 20), {}, "patches of 8 pixels in frames of 6 x 20; wanted 6"),
        (SHAPE, {"objects": 3}, "a static code of 4 for 3 things; wanted a multiple of 3"),
        (SHAPE, {"dynamic": 3}, "a dynamic code of 3 for 2 things; wanted a multiple of 2"),
    ],
)
def test_what_it_cannot_share_out_or_draw_on_is_refused(shape, options, words):
    with pytest.raises(OptionError, match=words):
        made(shape=shape, **options)


def test_a_look_keeps_no_statistics_of_what_it_only_tries():
    model = made(patches=partial(ConvFrameDecoder, channels=2, norm="batch")).train()
    [norm] = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    x_BT, lengths_B = torch.rand(2, 3, *SHAPE), torch.tensor([3, 3])
    for progress in (0.1, 0.5):
        before = norm.num_batches_tracked.item()
        model(x_BT, lengths_B, torch.Generator().manual_seed(0), progress)
        assert norm.num_batches_tracked.item() == before + 1
    assert norm.track_running_stats


def test_gradients_after_a_look_in_bfloat16_are_those_of_float32(gradients):
    """Weights that were cast without a gradient are cast anew."""
    model, x_BT = made(again=0.0).train(), torch.rand(4, 3, *SHAPE)
    found = []
    for low in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            passed = model(x_BT, torch.full((4,), 3), torch.Generator().manual_seed(0))
        found.append(gradients(model, passed.x_hat_BK))
    for name, gradient in found[0].items():
        if "prior" not in name:
            assert (found[1][name].abs().max() > 0) == (gradient.abs().max() > 0), name


def test_places_are_float32_under_autocast():
    model, x_BT = made(), torch.rand(2, 3, *SHAPE)
    with torch.autocast("cpu", torch.bfloat16):
        codes = model.infer(x_BT, torch.tensor([3, 3]), draw_mean)
        assert model.decoder.where(codes.dynamic.sample).dtype == torch.float32
    assert codes.dynamic.sample.dtype == torch.float32


def test_what_is_missing_says_nothing_of_where_things_are():
    model = made(patches=lambda width, shape: Shown(bright_patches()))
    true_BTM = at(model, torch.tensor([[2.0, 3], [2, 3]]).expand(1, 3, 2, 2))
    frames_BT = torch.zeros(1, 3, 3, *SHAPE[1:])
    patches_BKCPP = model.decoder.drawn(torch.zeros(1, 4))
    nothing_BT = torch.cat([frames_BT, torch.zeros_like(frames_BT)], 2)
    found = model.decoder.found(nothing_BT, true_BTM, patches_BKCPP)
    torch.testing.assert_close(found.flatten(2), true_BTM, atol=0.01, rtol=0)
    likings = model.decoder.likings(nothing_BT, true_BTM, patches_BKCPP)
    torch.testing.assert_close(likings[..., 0], likings[..., 1])
    dark_BT = torch.cat([frames_BT, torch.ones_like(frames_BT)], 2)
    told = model.decoder.found(dark_BT, true_BTM, patches_BKCPP)
    assert (told - found).abs().max() > 0.1  # darkness says that they are elsewhere


def test_it_looks_in_inference_mode_too():
    model, x_BT = made(), torch.rand(2, 3, *SHAPE)
    lengths_B = torch.tensor([3, 3])
    with torch.inference_mode():
        inside = model.encode(x_BT, lengths_B).dynamic.mean
    torch.testing.assert_close(inside, model.encode(x_BT, lengths_B).dynamic.mean)
