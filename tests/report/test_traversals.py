"""Traversals as pictures: as many rows, columns and steps as there are."""

import numpy as np
import pytest

from genzoo_rwae.report.traversals import traversal_film, traversal_sheet

ROWS, COLUMNS = ["1: 60%", "2: 30%"], ["-2 sd", "0", "+2 sd"]


def clips(steps=5):
    """[R, V, T, C, H, W]: every cell a grey of its own, brighter in every step."""
    cells = np.arange(6).reshape(2, 3, 1, 1, 1, 1) * 40 + 10
    grey = cells + np.arange(steps).reshape(steps, 1, 1, 1)
    return np.broadcast_to(grey, (2, 3, steps, 1, 16, 16)).astype(np.uint8)


def greys(picture):
    """Greys that fill a frame and more."""
    colours = picture.convert("L").getcolors(10_000)
    return {grey for count, grey in colours if count >= 16 * 16}


def test_film_shows_every_cell_in_every_step():
    film = traversal_film(clips(), ROWS, COLUMNS)
    assert len(film) == 5
    for step, picture in enumerate(film):
        assert greys(picture) >= {10 + step + 40 * cell for cell in range(6)}
        assert not greys(picture) & {10 + step + 1 + 40 * cell for cell in range(6)}


def test_sheet_shows_first_middle_and_last_steps_of_every_cell():
    shown = greys(traversal_sheet(clips(), ROWS, COLUMNS))
    assert {10 + step + 40 * cell for cell in range(6) for step in (0, 2, 4)} <= shown
    assert 11 not in shown


def test_vectors_are_drawn_once():
    x_RVT = np.random.default_rng(0).normal(size=(2, 3, 9, 2))
    assert len(traversal_film(x_RVT, ROWS, COLUMNS)) == 1
    assert traversal_sheet(x_RVT, ROWS, COLUMNS).width > 3 * 100


def test_headings_are_as_many_as_rows_and_columns():
    with pytest.raises(ValueError, match="1 headings of rows"):
        traversal_sheet(clips(), ROWS[:1], COLUMNS)
