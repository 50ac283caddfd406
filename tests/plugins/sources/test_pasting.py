"""Pictures enlarged, moved and put on a canvas."""

from __future__ import annotations

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.pasting import bounce, enlarge, paste
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image


@pytest.mark.parametrize(("old", "new"), [(28, 32), (8, 16), (8, 8), (5, 17), (1, 3)])
def test_enlarging_agrees_with_pillow(old, new):
    pictures = np.random.default_rng(0).integers(0, 256, (4, old, old), dtype=np.uint8)
    # mode F, because Pillow rounds bytes after each axis
    wanted = [
        Image.fromarray(picture.astype(np.float32)).resize((new, new), Image.Resampling.BILINEAR)
        for picture in pictures
    ]
    found = enlarge(pictures, new)
    assert found.dtype == np.uint8
    assert np.abs(found - np.stack(wanted)).max() < 0.501


@given(st.floats(0, 1), st.floats(-30, 30), st.integers(1, 20), st.integers(0, 40))
def test_bounce_equals_stepping_from_wall_to_wall(start, velocity, steps, span):
    start *= span
    found = bounce(np.array(start), np.array(velocity), steps=steps, span=span)
    place, wanted = start, []
    for _ in range(steps):
        wanted.append(place)
        place += velocity
        while span and not 0 <= place <= span:
            place = -place if place < 0 else 2 * span - place
            velocity = -velocity
    assert ((found >= 0) & (found <= span)).all()
    assert found == pytest.approx(np.array(wanted) if span else np.zeros(steps), abs=1e-6)


def test_overlapping_pictures_add_up_and_are_clipped_at_white():
    pictures = np.full((1, 2, 2, 2), 200, dtype=np.uint8)
    pictures[0, 1] = 50
    corners = np.array([[[0, 1], [1, 1]]])
    clip = paste(pictures, corners, corners, side=4)
    assert clip[0, 0].tolist() == [[200, 200, 0, 0], [200, 250, 50, 0], [0, 50, 50, 0], [0] * 4]
    assert paste(pictures + 50, corners, corners, side=4)[0, 1].max() == 255
    assert clip[0, 1].tolist() == [[0] * 4, [0, 250, 250, 0], [0, 250, 250, 0], [0] * 4]
