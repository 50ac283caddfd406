"""Augmentations: what the property kit cannot know of each.

Shapes: B batch, T time, C H W or F the frame.
"""

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.augmentations.images import colour_jitter, crop, tone_curves
from genzoo_rwae_plugins.augmentations.masks import frequency_mask, time_mask
from genzoo_rwae_plugins.augmentations.spectra import filter_augment, vtlp
from scipy import stats

from genzoo_rwae.errors import OptionError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=6, steps=3, channels=3, side=8):
    return 0.1 + torch.rand(batch, steps, channels, side, side)


def vectors(batch=400, steps=12, size=20):
    return 1 + torch.rand(batch, steps, size)


# -- colours ----------------------------------------------------------------------------------


def test_jittered_channels_are_the_old_ones_in_some_order_times_a_gain():
    x = images()
    found = colour_jitter(x, generator())
    for old, new in zip(x, found, strict=True):
        ratios = new[:, :, None] / old[:, None, :]  # [T, new channel, old channel, H, W]
        spread = ratios.amax((0, 3, 4)) - ratios.amin((0, 3, 4))
        came_from = spread.argmin(1)
        assert (spread.min(1).values < 1e-4).all()
        assert sorted(came_from.tolist()) == [0, 1, 2]
        gains = ratios[0, torch.arange(3), came_from, 0, 0]
        assert ((gains >= 0.25) & (gains <= 1.25)).all()


def test_all_orders_come_up_alike_and_gains_are_uniform():
    x = torch.tensor([1.0, 10.0, 100.0]).reshape(1, 1, 3, 1, 1).expand(6000, 1, 3, 1, 1)
    found = colour_jitter(x, generator(), gain=(0.9, 1.1))[:, 0, :, 0, 0]
    order = found.log10().round()
    _, counts = np.unique(order.numpy(), axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3
    gains = (found / 10**order).flatten().numpy()
    assert stats.kstest(gains, stats.uniform(0.9, 0.2).cdf).pvalue > 1e-3


def test_gains_of_one_only_change_the_order():
    x = images()
    found = colour_jitter(x, generator(), gain=(1.0, 1.0))
    torch.testing.assert_close(found.sort(2).values, x.sort(2).values)
    assert not torch.equal(found, x)


def test_a_falling_gain_is_refused_at_the_option():
    with pytest.raises(OptionError, match=r"from 2 to 1; wanted it rising") as caught:
        colour_jitter(images(), generator(), gain=(2.0, 1.0))
    assert caught.value.option == "gain"


# -- tones ------------------------------------------------------------------------------------


def ramps(rows, values):
    """One channel [rows, 1, 1, 1, values] from black to white, another for every row."""
    return torch.linspace(0, 1, values).expand(rows, 1, 1, 1, values)


@pytest.mark.parametrize("knots", [1, 3, 4])
def test_a_tone_goes_in_straight_lines_between_its_knots(knots):
    x = ramps(50, 121)
    found = tone_curves(x, generator(), knots=knots).reshape(50, 121).numpy()
    at = np.linspace(0, 1, knots + 1)
    for curve in found:
        heights = curve[:: 120 // knots]
        np.testing.assert_allclose(curve, np.interp(x[0].flatten(), at, heights), atol=1e-5)
    assert len(np.unique(found[:, -1])) == 50  # a draw for every sequence


def test_black_stays_black_and_heights_of_knots_are_uniform():
    found = tone_curves(ramps(4000, 4), generator(), darkest=0.2).reshape(4000, 4)
    assert (found[:, 0] == 0).all()
    for heights in found[:, 1:].T:
        assert stats.kstest(heights.numpy(), stats.uniform(0.2, 0.8).cdf).pvalue > 1e-3
    rising = (found.diff(dim=1) > 0).all(dim=1).double().mean()
    assert abs(rising - 1 / 6) < 4 * (5 / 36 / 4000) ** 0.5  # as any order of three draws


def test_tones_are_those_of_the_whole_clip_and_channels_change_places():
    x = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 1, 3, 1, 1).expand(600, 4, 3, 2, 2)
    found = tone_curves(x, generator())
    assert (found == found[:, :1, :, :1, :1]).all()
    place = found[:, 0, :, 0, 0].argmax(1)
    assert ((found > 0).sum(2) == 1).all()
    assert stats.chisquare(place.bincount()).pvalue > 1e-3


# -- crops ------------------------------------------------------------------------------------


def test_a_crop_of_everything_is_what_was_there():
    x = images()
    torch.testing.assert_close(crop(x, generator(), smallest=1.0), x, atol=1e-5, rtol=0)


def test_a_crop_magnifies_a_part_that_lies_inside():
    """Of a ramp another ramp: its slope is the share of the side, its ends are in the image."""
    side = 32
    ramp = torch.arange(side, dtype=torch.float64) + 0.5
    x = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side)])
    found = crop(x[None, None].expand(50, 2, 2, side, side), generator(), smallest=0.5)
    across, down = found[:, 0, 0, 5], found[:, 0, 1, :, 5]
    shares, starts = [], []
    for line in (across, down):
        slope = line.diff(dim=1)[:, 4:-4]  # beyond the outermost pixels' centres nothing is known
        torch.testing.assert_close(slope, slope[:, :1].expand_as(slope))
        start = line[:, 15] - 15.5 * slope[:, 0]  # where the window begins
        assert (start > -1e-6).all()
        assert (start + side * slope[:, 0] < side + 1e-6).all()
        shares.append(slope[:, 0])
        starts.append(start / (side * (1 - slope[:, 0])))
    torch.testing.assert_close(*shares)
    assert shares[0].min() > 0.5
    assert 0.5 < shares[0].min() < 0.55
    assert 0.95 < shares[0].max() < 1
    for start in starts:
        assert stats.kstest(start.numpy(), stats.uniform.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(*(start.numpy() for start in starts))[0, 1]) < 0.4


def test_a_missing_pixel_takes_along_those_it_has_part_in():
    x = images(batch=20)
    whole = crop(x, generator())
    x[:, :, :, 4, 4] = torch.nan
    found = crop(x, generator())
    gone = found.isnan()
    assert (gone.sum((3, 4)) >= 1).all()
    assert (gone.sum((3, 4)) <= 9).all()
    torch.testing.assert_close(found[~gone], whole[~gone], atol=1e-3, rtol=0)


@pytest.mark.parametrize("augment", [colour_jitter, tone_curves, crop])
def test_images_alone_have_colours_and_crops(augment):
    with pytest.raises(OptionError, match=r"frames are \[6\]; .* wants images \[C, H, W\]"):
        augment(torch.rand(2, 3, 6), generator())


# -- masks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("augment", "axis"), [(time_mask, 1), (frequency_mask, 2)])
def test_one_mask_hides_a_run_whose_width_and_place_are_uniform(augment, axis):
    x = vectors(batch=4000)
    hidden = augment(x, generator(), share=0.5) != x
    other = 3 - axis
    run = hidden.any(other)
    assert torch.equal(hidden.all(other), run)  # all entries of a step, or all steps of an entry
    edges = torch.nn.functional.pad(run.int(), (1, 1)).diff(dim=1)
    assert ((edges == 1).sum(1) <= 1).all()
    size = x.shape[axis]
    widths = run.sum(1)
    counts = torch.bincount(widths, minlength=size // 2 + 1)
    assert len(counts) == size // 2 + 1
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    starts = run.int().argmax(1)[widths == 3]
    places = torch.bincount(starts, minlength=size - 2)
    assert len(places) == size - 2
    assert stats.chisquare(places.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("augment", [time_mask, frequency_mask])
def test_what_is_hidden_is_the_sequence_s_mean(augment):
    x = vectors()
    found = augment(x, generator())
    changed = found != x
    mean = x.mean((1, 2), keepdim=True).expand_as(x)
    torch.testing.assert_close(found[changed], mean[changed])
    assert changed.any()


@pytest.mark.parametrize("augment", [time_mask, frequency_mask])
def test_padding_stays_what_it_was_and_is_in_no_mean(augment):
    x = vectors()
    padded = torch.cat([x, torch.zeros(400, 8, 20)], 1)
    found = augment(padded, generator(), share=1.0)
    assert (found[:, 12:] == 0).all()
    changed = found[:, :12] != x
    assert changed.any()
    mean = x.mean((1, 2), keepdim=True).expand_as(x)
    torch.testing.assert_close(found[:, :12][changed], mean[changed])


@pytest.mark.parametrize("augment", [time_mask, frequency_mask])
def test_missing_values_are_in_no_mean_and_stay(augment):
    x = vectors()
    gone = torch.rand(x.shape) < 0.2
    there = x.masked_fill(gone, torch.nan)
    found = augment(there, generator())
    assert torch.equal(found.isnan(), gone)
    changed = ~gone & (found != x)
    mean = there.nanmean((1, 2), keepdim=True).expand_as(x)
    torch.testing.assert_close(found[changed], mean[changed])


def test_more_masks_hide_more():
    x = vectors()
    shares = [(time_mask(x, generator(), masks=n) != x).float().mean() for n in (1, 2, 4)]
    assert shares[0] < shares[1] < shares[2]
    short = vectors(steps=2)
    assert not torch.equal(time_mask(short, generator(), share=0.1), short)  # a step at least


@pytest.mark.parametrize("augment", [time_mask, frequency_mask, vtlp, filter_augment])
def test_vectors_alone_are_masked(augment):
    with pytest.raises(OptionError, match=r"frames are \[3, 8, 8\]; .* wants vectors \[F\]"):
        augment(images(), generator())


# -- spectra ----------------------------------------------------------------------------------


def test_a_stretched_line_is_a_line_of_another_slope_that_ends_level():
    x = (1 + torch.arange(20.0)).expand(4000, 3, 20)
    found = vtlp(x, generator(), most=0.3)
    alpha = found[:, 0, 1] - found[:, 0, 0]
    wanted = 1 + (alpha[:, None, None] * torch.arange(20.0)).clamp_max(19).expand_as(x)
    torch.testing.assert_close(found, wanted)
    assert stats.kstest(alpha.numpy(), stats.uniform(0.7, 0.6).cdf).pvalue > 1e-3


def test_a_missing_band_takes_along_those_it_has_part_in_and_padding_stays_zero():
    x = torch.cat([vectors(steps=2), torch.zeros(400, 1, 20)], 1)
    x[:, 0, 7] = torch.nan
    found = vtlp(x, generator())
    lost = found.isnan()
    assert not lost[:, 1:].any()
    assert set(lost[:, 0].sum(-1).tolist()) <= {1, 2, 3}
    assert (found[:, 2] == 0).all()


def test_a_filter_is_a_line_through_uniform_knots_and_the_same_of_all_steps():
    x = vectors(batch=4000, size=21)
    line = filter_augment(x, generator(), knots=5, most=0.5) - x
    torch.testing.assert_close(line, line[:, :1].expand_as(line))
    at_knots = line[:, 0, ::5]
    between = np.interp(np.arange(21), np.arange(0, 21, 5), at_knots[0].numpy())
    np.testing.assert_allclose(line[0, 0].numpy(), between, atol=1e-6)
    for knot in range(5):
        uniform = stats.uniform(-0.5, 1.0)
        assert stats.kstest(at_knots[:, knot].numpy(), uniform.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(at_knots.T.numpy())[0, 1]) < 0.1


def test_a_filter_leaves_padding_and_missing_values():
    x = torch.cat([vectors(steps=3), torch.zeros(400, 2, 20)], 1)
    x[:, 1, 4] = torch.nan
    found = filter_augment(x, generator())
    assert (found[:, 3:] == 0).all()
    assert torch.equal(found.isnan(), x.isnan())
    assert (found[:, 1, 5] != x[:, 1, 5]).all()


# -- all --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("augment", "x"),
    [
        (colour_jitter, images()),
        (tone_curves, images()),
        (crop, images()),
        (time_mask, vectors()),
        (frequency_mask, vectors()),
        (vtlp, vectors()),
        (filter_augment, vectors()),
    ],
)
def test_draws_are_made_where_the_generator_is(augment, x, monkeypatch):
    # an accelerator refuses a generator of the processor
    drawn, rand = [], torch.rand
    monkeypatch.setattr(torch, "rand", lambda *a, **k: drawn.append(k["device"]) or rand(*a, **k))
    augment(x, generator())
    augment(x, None)
    assert {str(device) for device in drawn} == {"cpu"}
