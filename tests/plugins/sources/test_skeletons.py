"""The sources `skeletons` and `walkers`: joints upright, scaled alike, and known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.skeletons import skeletons
from genzoo_rwae_plugins.sources.walkers import walkers
from genzoo_rwae_plugins.sources.walking import BONES, JOINTS, Body, joints_of

from genzoo_rwae.errors import DataError, OptionError

SPLITS = ("train", "validation", "test")
BONE_OPTION = ((0, 1), (1, 2))


@pytest.fixture
def clips():
    """[20, 6, 4, 3]: axis a of clip n is n + 10 a, and noise."""
    noise = np.random.default_rng(0).normal(size=(20, 6, 4, 3))
    return np.arange(20.0)[:, None, None, None] + 10 * np.arange(3) + 0.1 * noise


def saved(path, array):
    np.save(path, array)
    return path


def all_of(data):
    return data.take(np.arange(len(data)))


def test_bodies_keep_their_proportions(tmp_path, clips):
    path = saved(tmp_path / "x.npy", clips * [1, 5, 1])
    data = skeletons("train", path=path, bones=BONE_OPTION, names=("a", "b", "c", "d"), step=0.04)
    assert data.info.frame_shape == (4, 3)
    assert (data.info.bounded, data.info.missing) == (False, False)
    assert (data.info.display.form, data.info.display.bones) == ("skeleton", BONE_OPTION)
    x = all_of(data).x_BT.double()
    assert x.mean((0, 1, 2)).abs().max() < 1e-5
    assert x.square().mean().sqrt() == pytest.approx(1, abs=1e-5)
    # one unit for all axes: what is five times as large stays so
    spread = x.std((0, 1, 2))
    assert spread[1] / spread[0] == pytest.approx(5, rel=0.02)


@pytest.mark.parametrize("axes", [2, 3])
def test_up_is_the_second_axis_and_nothing_is_mirrored(tmp_path, clips, axes):
    clips = clips[..., :axes]
    plain = all_of(skeletons("train", path=saved(tmp_path / "y.npy", clips))).x_BT
    down = clips * [1, -1, -1][:axes]
    turned = all_of(skeletons("train", path=saved(tmp_path / "d.npy", down), up="-y")).x_BT
    torch.testing.assert_close(turned, plain)
    if axes == 3:
        x, y, z = np.moveaxis(clips, -1, 0)
        for up, array in (("z", (x, -z, y)), ("-z", (x, z, -y))):
            path = saved(tmp_path / f"{up}.npy", np.stack(array, -1))
            turned = all_of(skeletons("train", path=path, up=up)).x_BT
            torch.testing.assert_close(turned, plain)


def test_joints_that_were_not_seen_are_missing_values(tmp_path, clips):
    clips[3, 2, 1] = np.nan
    found = 0
    for split in SPLITS:
        data = skeletons(split, path=saved(tmp_path / "x.npy", clips))
        assert data.info.missing
        found += int(all_of(data).x_BT.isnan().sum())
    assert found == 3
    clips[3, 2, 1, 0] = np.inf
    with pytest.raises(DataError, match=r"1 values that are infinite .* index \[3, 2, 1, 0\]"):
        skeletons("train", path=saved(tmp_path / "x.npy", clips))


def test_clips_of_other_splits_move_no_scale(tmp_path, clips):
    path = saved(tmp_path / "x.npy", clips)
    numbers = {split: all_of(skeletons(split, path=path)).x_BT for split in SPLITS}
    seen = skeletons("test", path=path)
    clips[seen._part_N] *= 1e6
    again = all_of(skeletons("train", path=saved(path, clips))).x_BT
    assert torch.equal(numbers["train"], again)


def test_labels_splits_and_windows_are_those_of_clips(tmp_path, clips):
    path = saved(tmp_path / "x.npy", clips)
    rows = "\n".join(f"{n},{'up' if n % 2 else 'down'},{n // 10}" for n in range(20))
    (tmp_path / "l.csv").write_text(f"clip,motion,who\n{rows}\n")
    data = skeletons("train", path=path, labels=tmp_path / "l.csv", dynamic=("motion",), length=4)
    motion, who = data.info.factors
    assert (motion.code, who.code) == ("dynamic", "static")
    batch = all_of(data)
    assert batch.x_BT.shape == (16, 4, 4, 3)
    order = batch.x_BT.mean((1, 2, 3)).argsort()
    assert (batch.factors["who"][order].diff() >= 0).all()  # clip n is about n
    assert sum(len(skeletons(split, path=path)) for split in SPLITS) == 20


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((5, 6, 12), {}, r"found shape \[5, 6, 12\] .*x\.reshape"),
        ((5, 6, 4, 4), {}, r"wanted \[N, T, J, 2\]"),
        ((5, 6, 4, 3), {"length": 9}, "are shorter than `length: 9`"),
        ((2, 6, 4, 3), {}, "found 2 clips, of which"),
        ((0, 6, 4, 3), {}, r"found shape \[0, 6, 4, 3\]"),
    ],
)
def test_arrays_that_are_no_skeletons_are_refused(tmp_path, shape, options, said):
    with pytest.raises(DataError, match=said):
        skeletons("train", path=saved(tmp_path / "x.npy", np.zeros(shape)), **options)


def test_options_that_do_not_fit_are_named(tmp_path, clips):
    path = saved(tmp_path / "x.npy", clips)
    with pytest.raises(OptionError, match=r"the bone \[1, 4\]; the joints are 0 to 3"):
        skeletons("train", path=path, bones=((0, 1), (1, 4)))
    with pytest.raises(OptionError, match="2 names for 4 joints"):
        skeletons("train", path=path, names=("a", "b"))
    with pytest.raises(OptionError, match="wanted y or -y"):
        skeletons("train", path=saved(tmp_path / "f.npy", clips[..., :2]), up="z")
    with pytest.raises(DataError, match="found no file"):
        skeletons("train", path=tmp_path)


# -- walkers ----------------------------------------------------------------------------------


def lengths_of_bones(x_BT):
    ends = torch.tensor(BONES)
    return (x_BT[..., ends[:, 0], :] - x_BT[..., ends[:, 1], :]).norm(dim=-1)


def test_bones_have_the_length_that_static_factors_say_in_every_frame():
    batch = all_of(walkers("test"))
    bones = lengths_of_bones(batch.x_BT)
    assert (bones - bones[:, :1]).abs().max() < 1e-5  # solid
    who = [batch.factors[name] for name in ("height", "legs", "shoulders")]
    for row in range(0, 1000, 97):
        alike = torch.stack([of == of[row] for of in who]).all(0)
        torch.testing.assert_close(bones[alike, 0], bones[row, :1].expand(int(alike.sum()), -1))
        assert ((bones[~alike, 0] - bones[row, 0]).abs().amax(1) > 1e-3).all()


def test_a_standing_body_is_as_high_as_it_says_and_stands_on_the_ground():
    height, legs = np.array([1.4, 1.9]), np.array([0.42, 0.54])
    body = Body(height, legs, np.array([0.2, 0.25]))
    wave = joints_of(body, np.array([5, 5]), np.zeros((2, 3)))
    np.testing.assert_allclose(wave[:, 0, JOINTS.index("head"), 1], height)
    np.testing.assert_allclose(wave[:, 0, JOINTS.index("pelvis"), 1], height * legs)
    across = wave[:, 0, JOINTS.index("left shoulder")] - wave[:, 0, JOINTS.index("right shoulder")]
    np.testing.assert_allclose(across, np.outer([0.28, 0.475], [1, 0, 0]))


def test_feet_are_never_below_the_ground_and_leave_it_in_flight_alone():
    data = walkers("train", sequences=2000)
    batch = all_of(data)
    ankles = [JOINTS.index(name) for name in ("left ankle", "right ankle")]
    low = batch.x_BT[:, :, ankles, 1].amin((1, 2))
    highest = batch.x_BT[:, :, ankles, 1].amin(2).amax(1)
    assert low.min() > -1e-6
    gaits = data.info.factors[3].classes
    for gait, name in enumerate(gaits):
        flown = highest[batch.factors["gait"] == gait]
        assert (flown.max() > 0.02) == (name in ("run", "jump"))


def test_combinations_of_factors_are_in_one_split_each():
    seen = []
    for split, count in (("train", 1038), ("validation", 129), ("test", 129)):
        data = walkers(split, sequences=1038, held_out=129)
        labels = torch.stack([*all_of(data).factors.values()], 1)
        seen.append(set(map(tuple, labels.tolist())))
        assert len(seen[-1]) == count
    assert len(set().union(*seen)) == 1296


def test_recombined_figures_are_those_of_a_sequence_with_both_its_factors():
    data = walkers("train", sequences=3000)
    batch = all_of(data)
    who = batch.factors["height"] * 9 + batch.factors["legs"] * 3 + batch.factors["shoulders"]
    same = data.recombine(np.arange(50), np.arange(50))
    torch.testing.assert_close(same, batch.x_BT[:50])
    mixed = data.recombine(np.arange(50), np.arange(50, 100))
    bones = lengths_of_bones(mixed)
    torch.testing.assert_close(bones[:, 0], lengths_of_bones(batch.x_BT[:50])[:, 0])
    hip, knee = JOINTS.index("left hip"), JOINTS.index("left knee")
    thighs = [x_BT[:, :, knee] - x_BT[:, :, hip] for x_BT in (mixed, batch.x_BT[50:100])]
    ways = [thigh / thigh.norm(dim=-1, keepdim=True) for thigh in thighs]
    torch.testing.assert_close(*ways, atol=1e-5, rtol=0)  # limbs point where the donor's do
    assert len(who.unique()) == 27


def test_draws_change_the_moment_and_nothing_that_is_labelled():
    data = walkers("train")
    one, other = (data.take(np.arange(40), draw=draw) for draw in (0, 3))
    assert all(torch.equal(one.factors[name], other.factors[name]) for name in one.factors)
    bones = [lengths_of_bones(batch.x_BT)[:, 0] for batch in (one, other)]
    torch.testing.assert_close(*bones)
    assert ((one.x_BT - other.x_BT).abs().amax((1, 2, 3)) > 1e-3).all()
    assert torch.equal(data.take(np.array([7]), draw=3).x_BT[0], other.x_BT[7])
