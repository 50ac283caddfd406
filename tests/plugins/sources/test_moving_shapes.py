"""The source `moving-shapes`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.moving_shapes import moving_shapes
from genzoo_rwae_plugins.sources.shapes import SHAPES, coverage

STATIC = ("shape", "colour", "size")


def test_shapes_types_and_labels():
    data = moving_shapes("train", length=5, size=40, background="coloured")
    batch = data.take(np.array([3, 0]))
    assert (len(data), data.info.frame_shape, data.info.length) == (10_000, (3, 40, 40), 5)
    assert batch.x_BT.shape == (2, 5, 3, 40, 40)
    assert batch.x_BT.dtype == torch.uint8
    assert batch.x_BT[0].is_contiguous(memory_format=torch.channels_last)
    names = [factor.name for factor in data.info.factors]
    assert names == [*STATIC, "background", "motion", "place"] == list(batch.factors)


def test_splits_share_out_all_combinations():
    seen = {}
    for split, count in (("train", 1384), ("validation", 172), ("test", 172)):
        data = moving_shapes(split, sequences=3000, held_out=3000)
        labels = torch.stack(list(data.take(np.arange(count)).factors.values()), 1)
        seen[split] = set(map(tuple, labels.tolist()))
        assert len(seen[split]) == count
        again = torch.stack(list(data.take(np.arange(count) + count).factors.values()), 1)
        assert torch.equal(again, labels)
    assert len(set.union(*seen.values())) == 4 * 6 * 3 * 6 * 4


def test_sequence_depends_on_split_index_and_draw_alone():
    data = moving_shapes("train")
    whole = data.take(np.array([5, 9000, 2]), draw=4)
    alone = moving_shapes("train", sequences=9001).take(np.array([9000]), draw=4)
    assert torch.equal(alone.x_BT[0], whole.x_BT[1])
    other = data.take(np.array([9000]), draw=5)
    assert other.factors == alone.factors
    assert not torch.equal(other.x_BT, alone.x_BT)


def test_nothing_is_ever_cut_off():
    x = moving_shapes("train", held_out=2000).take(np.arange(1384)).x_BT
    edge = torch.ones(32, 32, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    # where a shape comes to the last pixel, it is but its soft outline
    assert x[..., edge].max() < 128


def places_of(x_BT):
    weight = x_BT.amax(2).double()
    row = (weight.sum(3) * torch.arange(weight.shape[2])).sum(2) / weight.sum((2, 3))
    column = (weight.sum(2) * torch.arange(weight.shape[3])).sum(2) / weight.sum((2, 3))
    return row, column


def test_motion_can_be_read_off_the_frames():
    data = moving_shapes("test", length=8)
    batch = data.take(np.arange(172), draw=1)
    row, column = places_of(batch.x_BT)
    down, right = row.diff(dim=1), column.diff(dim=1)
    turning = (right[:, :-1] * down[:, 1:] - down[:, :-1] * right[:, 1:]).sum(1)
    names = next(f.classes for f in data.info.factors if f.name == "motion")
    for k, name in enumerate(names):
        of = batch.factors["motion"] == k
        assert of.sum() > 10
        net = (down[of].sum(1), right[of].sum(1))
        spin = turning[of]
        checks = {
            "left": (net[1] < -8) & (spin.abs() < 2),
            "right": (net[1] > 8) & (spin.abs() < 2),
            "up": (net[0] < -8) & (spin.abs() < 2),
            "down": (net[0] > 8) & (spin.abs() < 2),
            # seen on a screen, whose rows go down
            "clockwise": spin > 20,
            "anticlockwise": spin < -20,
        }
        assert checks[name].all(), name


def middle_of(lit_BTS):
    first = lit_BTS.double().argmax(2)
    last = lit_BTS.shape[2] - 1 - lit_BTS.flip(2).double().argmax(2)
    return (first + last) / 2


def test_place_colour_and_size_can_be_read_off_the_frames():
    data = moving_shapes("test", size=64, background="black")
    batch = data.take(np.arange(172), draw=2)
    lit = batch.x_BT.amax(2) > 60
    row, column = (middle_of(lit.any(axis)) for axis in (3, 2))
    quadrant = (row.mean(1) > 31.5).long() * 2 + (column.mean(1) > 31.5).long()
    assert torch.equal(quadrant, batch.factors["place"])
    area = (batch.x_BT.amax(2) > 100).sum((2, 3)).double().mean(1)
    sizes = [area[batch.factors["size"] == k] for k in range(3)]
    assert sizes[0].max() < sizes[1].min() < sizes[1].max() < sizes[2].min()
    brightest = batch.x_BT.amax((1, 3, 4))
    per_colour = [torch.unique(brightest[batch.factors["colour"] == k], dim=0) for k in range(6)]
    assert [len(colours) for colours in per_colour] == [1] * 6
    assert len(torch.unique(torch.cat(per_colour), dim=0)) == 6


def test_recombine_has_the_static_factors_of_one_and_the_dynamic_ones_of_the_other():
    data = moving_shapes("test", background="coloured")
    i, j = np.arange(50), np.arange(50, 100)
    assert torch.equal(data.recombine(i, i), data.take(i).x_BT)
    mixed, a = data.recombine(i, j), data.take(i).x_BT
    assert torch.equal(mixed.amax((1, 3, 4)), a.amax((1, 3, 4)))
    assert torch.equal(mixed[:, :, :, 0, 0], a[:, :, :, 0, 0])
    black = moving_shapes("test")
    pairs = [(i, j) for i in range(60) for j in range(60)]
    i, j = np.array(pairs).T
    labels = black.take(np.arange(60)).factors
    same = torch.stack([labels[name][i] == labels[name][j] for name in STATIC]).all(0).numpy()
    assert torch.equal(black.recombine(i[same], j[same]), black.take(j[same]).x_BT)
    assert (i[same] != j[same]).any()
    row, column = places_of(black.recombine(i[:60], j[:60]))
    wanted = places_of(black.take(j[:60]).x_BT)
    # a triangle's mass lies below its middle
    assert (row - wanted[0]).abs().max() < 2
    assert (column - wanted[1]).abs().max() < 0.6


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_shapes_have_the_area_of_their_disc(shape):
    radius = np.array([9.0, 14.0])
    covered = coverage(np.full(2, shape), radius, np.full((2, 2), 30.3), side=61)
    assert covered.dtype == np.float32
    assert covered.sum((1, 2)) == pytest.approx(np.pi * radius**2, rel=0.01)
    assert covered.min() == 0
    assert covered.max() == 1
