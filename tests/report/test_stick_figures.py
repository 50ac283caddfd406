"""Stick figures: where joints and bones are seen, and that they move."""

import numpy as np
import pytest

from genzoo_rwae.report.paper import inks
from genzoo_rwae.report.pictures import (
    clip_film,
    clip_rows,
    reconstruction_rows,
    swap_grid,
    swap_sheet,
)
from genzoo_rwae.report.stick_figures import seen, stage_for
from genzoo_rwae.sequences import Display

BONES = ((0, 1), (1, 2))
DISPLAY = Display("skeleton", bones=BONES)


def drawn(image) -> np.ndarray:
    return (np.asarray(image) < 250).any(axis=-1)


def places(image, colour) -> tuple[float, float]:
    """The middle (across, down) of all pixels near a colour."""
    rows, columns = (np.abs(np.asarray(image, int) - colour).max(-1) < 25).nonzero()
    assert len(rows), f"nothing is {colour}"
    return columns.mean(), rows.mean()


@pytest.fixture
def clip() -> np.ndarray:
    """[1, 6, 3, 2]: a hook, its bones upwards and to the right, that moves to the right."""
    hook = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    return (hook + np.arange(6)[:, None, None] * [1.0, 0.0])[None]


def test_flat_joints_are_seen_as_they_are_with_up_upwards(clip) -> None:
    frame = stage_for([clip], BONES, 120).frame(clip[0, 0])
    upright, level = (places(frame, ink) for ink in inks(2))
    assert upright[0] < level[0]
    assert upright[1] > level[1]  # rows count downwards
    assert frame.size == (120, 120)


def test_all_frames_share_one_stage(clip) -> None:
    stage = stage_for([clip], BONES, 120)
    across = [places(stage.frame(clip[0, time]), inks(2)[0])[0] for time in range(6)]
    steps = np.diff(across)
    assert steps == pytest.approx(steps.mean(), abs=1.5)
    # 9 units across all frames fill the frame but for its margin
    assert steps.mean() == pytest.approx(0.88 * 120 / 9, abs=0.5)
    assert all(drawn(stage.frame(x))[0].sum() == 0 for x in clip[0])  # nothing is cut off


def test_three_axes_are_seen_from_the_side_with_lengths_upwards_kept_alike() -> None:
    x_JA = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    shown = seen(x_JA)
    left, up, ahead = shown[1:] - shown[0]
    assert left[0] > 0 > ahead[0]  # a figure looks to the viewer's left
    assert up[0] == 0
    assert up[1] > 0.9
    # a turn keeps the length of what is looked at with the third axis of the view
    assert (np.square(shown[1:]).sum(0) <= 1 + 1e-9).all()


def test_a_missing_joint_is_left_out_with_its_bones(clip) -> None:
    stage = stage_for([clip], BONES, 120)
    clip[0, 0, 2] = np.nan
    frame = stage.frame(clip[0, 0])
    places(frame, inks(2)[0])
    with pytest.raises(AssertionError, match="nothing is"):
        places(frame, inks(2)[1])
    clip[0, 1] = np.nan
    assert not drawn(stage.frame(clip[0, 1])).any()
    assert not drawn(stage_for([clip * np.nan], BONES, 60).frame(clip[0, 1])).any()


def test_joints_are_seen_without_bones(clip) -> None:
    assert drawn(stage_for([clip], (), 120).frame(clip[0, 0])).sum() > 3 * 6
    assert drawn(clip_rows(clip)).any()  # nobody has said that these are joints


def test_figures_move_in_films_and_stand_side_by_side_in_strips(clip) -> None:
    film = clip_film(np.repeat(clip, 4, 0), display=DISPLAY)
    assert len(film) == 6
    assert not np.array_equal(np.asarray(film[0]), np.asarray(film[5]))
    rows = clip_rows(clip, columns=3, display=DISPLAY)
    gaps = np.diff(drawn(rows)[25:].any(0).nonzero()[0])
    assert (gaps > 3).sum() >= 2  # three figures
    one = reconstruction_rows(clip, clip, display=DISPLAY)
    other = reconstruction_rows(clip, clip + np.array([0.0, 1.0]), display=DISPLAY)
    assert not np.array_equal(np.asarray(one), np.asarray(other))
    assert len(swap_grid(clip, clip, clip[None], display=DISPLAY)) == 6
    assert swap_sheet(clip, clip, clip[None], display=DISPLAY).width > 100


def test_frames_beyond_the_true_length_are_blank(clip) -> None:
    rows = drawn(clip_rows(clip, lengths_B=np.array([3]), display=DISPLAY))[25:]
    assert not rows[:, rows.shape[1] * 55 // 100 :].any()


def test_shapes_that_cannot_be_drawn_are_named() -> None:
    with pytest.raises(ValueError, match=r"\[B, T, J, 2 or 3\]"):
        clip_rows(np.zeros((1, 5, 3, 4)))
