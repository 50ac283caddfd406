"""Which pixel belongs where, and what the files hold."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from genzoo_rwae.errors import RunError
from genzoo_rwae.report.pictures import (
    SWAPPED,
    clip_film,
    clip_rows,
    reconstruction_rows,
    save_gif,
    save_png,
    swap_grid,
    swap_sheet,
)
from genzoo_rwae.sequences import Display

T, SIDE = 5, 16


def plain(*colours: tuple[int, int, int], time: int = T) -> np.ndarray:
    """[B, T, 3, SIDE, SIDE] uint8 clips, each of one colour."""
    clips = np.array(colours, dtype=np.uint8)[:, None, :, None, None]
    return np.broadcast_to(clips, (len(colours), time, 3, SIDE, SIDE)).copy()


def box(image: Image.Image, colour: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of all pixels of exactly this colour."""
    rows, columns = np.where((np.asarray(image) == colour).all(axis=-1))
    assert len(rows), f"no pixel is {colour}"
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.fixture
def swap() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """2 rows, 3 columns, T steps; every frame has a colour that tells what it is."""
    static = plain((200, 0, 0), (201, 0, 0))
    dynamic = plain((0, 200, 0), (0, 201, 0), (0, 202, 0))
    swapped = np.zeros((2, 3, T, 3, SIDE, SIDE), dtype=np.uint8)
    for r, c, t in np.ndindex(2, 3, T):
        swapped[r, c, t] = np.array([100 + r, 50 + c, 10 * t])[:, None, None]
    return static, dynamic, swapped


def test_cell_of_the_swap_grid_shows_its_static_row_and_motion_column(swap) -> None:
    frames = swap_grid(*swap)
    assert len(frames) == T
    for t, frame in enumerate(frames):
        for r, c in np.ndindex(2, 3):
            cell = box(frame, (100 + r, 50 + c, 10 * t))
            row_donor, column_donor = box(frame, (200 + r, 0, 0)), box(frame, (0, 200 + c, 0))
            assert cell[1::2] == row_donor[1::2]  # level with its row's donor, right of it
            assert cell[0::2] == column_donor[0::2]  # in line with its column's donor, below it
            assert cell[0] > row_donor[2]
            assert cell[1] > column_donor[3]
            assert (cell[2] - cell[0]) % SIDE == 0  # enlarged by a whole number


def test_corner_of_the_swap_grid_is_empty(swap) -> None:
    frame = swap_grid(*swap)[0]
    right, bottom = box(frame, (200, 0, 0))[2], box(frame, (0, 200, 0))[3]
    left, top = box(frame, (200, 0, 0))[0], box(frame, (0, 200, 0))[1]
    assert (np.asarray(frame)[top:bottom, left:right] == 255).all()


def test_sheet_shows_first_middle_and_last_step_of_each_swap(swap) -> None:
    sheet = swap_sheet(*swap)
    lefts = [box(sheet, (101, 52, 10 * t))[0] for t in (0, 2, 4)]
    assert lefts == sorted(lefts)
    colours = {tuple(pixel) for pixel in np.asarray(sheet).reshape(-1, 3)}
    assert not {(101, 52, 10), (101, 52, 30)} & colours


def test_swaps_are_blank_beyond_the_true_lengths_of_row_and_motion(swap) -> None:
    lengths = torch.tensor([T, 2]), torch.tensor([T, T, 3])
    frames = swap_grid(*swap, *lengths)
    seen = [{tuple(pixel) for pixel in np.asarray(frame).reshape(-1, 3)} for frame in frames]
    assert [(201, 0, 0) in colours for colours in seen] == [True, True, False, False, False]
    assert [(0, 202, 0) in colours for colours in seen] == [True, True, True, False, False]
    for r, t in np.ndindex(2, T):
        assert ((100 + r, 52, 10 * t) in seen[t]) == (t < 3)  # a swap is as long as its motion
        assert (100 + r, 51, 10 * t) in seen[t]
    sheet = {tuple(pixel) for pixel in np.asarray(swap_sheet(*swap, *lengths)).reshape(-1, 3)}
    assert (101, 52, 20) in sheet
    assert (101, 52, 40) not in sheet


def test_a_spectrogram_in_a_swap_ends_where_its_sound_does() -> None:
    heat = Display(form="spectrogram")
    x = np.zeros((1, 40, 20))
    x[:, :20] = np.linspace(0, 1, 20)
    drawn = [
        np.asarray(swap_sheet(x, x, x[:, None], *lengths, display=heat))
        for lengths in ((), (np.array([20]),) * 2)
    ]
    padding = tuple(drawn[0][-30, -30])  # the lower right corner of the swap
    assert padding != (255, 255, 255)
    assert tuple(drawn[1][-30, -30]) == (255, 255, 255)


def test_reconstruction_stands_below_its_original_in_the_same_columns() -> None:
    x, x_hat = plain((9, 0, 0), (19, 0, 0)), plain((10, 0, 0), (20, 0, 0))
    picture = reconstruction_rows(x, torch.from_numpy(x_hat))
    boxes = [box(picture, (red, 0, 0)) for red in (9, 10, 19, 20)]
    assert [b[0::2] for b in boxes] == [boxes[0][0::2]] * 4
    assert all(above[3] < below[1] for above, below in pairwise(boxes))
    assert boxes[2][1] - boxes[1][3] > boxes[1][1] - boxes[0][3]  # pairs stand apart


def test_frames_beyond_the_true_length_are_blank() -> None:
    x = plain((9, 0, 0), (19, 0, 0))
    picture = clip_rows(x, lengths_B=torch.tensor([T, 2]))
    whole, short = box(picture, (9, 0, 0)), box(picture, (19, 0, 0))
    assert short[0] == whole[0]
    assert short[2] < whole[0] + (whole[2] - whole[0]) // 2


def test_long_clips_are_thinned_with_both_ends_kept() -> None:
    x = np.zeros((1, 100, 1, SIDE, SIDE), dtype=np.uint8)
    x[0, :] = np.arange(100, dtype=np.uint8)[:, None, None, None]
    picture = np.asarray(clip_rows(x, columns=4))
    shown = {int(grey) for grey in np.unique(picture) if (picture == grey).sum() >= 3 * SIDE * SIDE}
    assert {0, 33, 66, 99} <= shown
    assert not shown & {1, 32, 34, 98}


def test_float_frames_are_clipped_and_lost_values_turn_magenta() -> None:
    x = np.full((1, 3, 1, SIDE, SIDE), 0.5, dtype=np.float32)
    x[0, 1] = np.nan
    x[0, 2] = -3.0
    picture = clip_rows(x)
    columns = [box(picture, colour)[0] for colour in ((128,) * 3, (255, 0, 255), (0, 0, 0))]
    assert columns == sorted(columns)


@pytest.mark.parametrize("features", [1, 5, 40])
def test_vectors_are_drawn_and_do_not_move(features: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 20, features))
    assert reconstruction_rows(x, x + 0.1).width > 600
    assert len(swap_grid(x[:2], x, np.stack([x, x]))) == 1
    assert np.asarray(clip_rows(x[:, :1])).min() < 255


def test_original_and_reconstruction_of_vectors_share_one_axis() -> None:
    x = np.tile(np.linspace(0, 1, 20)[None, :, None], (1, 1, 1))
    alike = np.asarray(reconstruction_rows(x, x))
    scaled = np.asarray(reconstruction_rows(x, 0.5 * x))
    assert not np.array_equal(alike, scaled)


def bright(picture: Image.Image | np.ndarray) -> np.ndarray:
    """Which pixels have the colour of a heat map's highest values."""
    red, _, blue = np.moveaxis(np.asarray(picture).astype(int), -1, 0)
    return ((red > 240) & (red - blue > 40)).astype(int)


def test_spectrograms_of_few_bands_are_heat_maps_with_the_highest_band_on_top() -> None:
    x = np.zeros((1, 20, 4))
    x[:, :, 3] = 1.0  # the highest band
    x[:, 10:, 0] = 1.0  # the lowest, in the second half
    display = Display("spectrogram", step=0.01, top=4000.0)
    for picture in (
        clip_rows(x, display=display),
        reconstruction_rows(x, x, display=display),
        clip_film(x, display=display)[0],
        swap_grid(x, x, x[None], display=display)[0],
        swap_sheet(x, x, x[None], display=display),
    ):
        shown = bright(picture)
        assert shown.mean() > 0.1  # areas, no lines
        rows = shown.any(axis=1).nonzero()[0]
        # where in its first and last row a run of bright pixels starts and ends
        high, low = (np.diff(shown[row], prepend=0, append=0).nonzero()[0] for row in rows[[0, -1]])
        assert high[1] - high[0] == pytest.approx(2 * (low[1] - low[0]), abs=4)


def test_spectrograms_of_one_picture_share_their_colours() -> None:
    x = np.tile(np.linspace(0, 1, 20)[None, :, None], (1, 1, 3))
    display = Display("spectrogram")
    alike = reconstruction_rows(x, x, display=display)
    faint = reconstruction_rows(x, 0.5 * x, display=display)
    assert bright(faint).sum() == bright(alike).sum() / 2 > 0


def test_labels_of_any_kind_change_no_frame() -> None:
    x = plain((9, 0, 0))
    sizes = {clip_rows(x, labels=[text]).height for text in ("a", "<script>\n'\"" * 20, "", "中文")}
    assert len(sizes) == 1


def test_shapes_that_do_not_fit_are_named(swap) -> None:
    static, dynamic, swapped = swap
    with pytest.raises(ValueError, match=r"wanted \[R, T, \.\.\.\]"):
        swap_grid(dynamic, static, swapped)
    with pytest.raises(ValueError, match="wanted equal"):
        reconstruction_rows(static, dynamic)
    with pytest.raises(ValueError, match="C 1 or 3"):
        clip_rows(np.zeros((1, 2, 2, SIDE, SIDE)))
    with pytest.raises(ValueError, match="wanted"):
        clip_rows(np.zeros((1, 0, 3)))
    with pytest.raises(ValueError, match="labels"):
        clip_rows(static, labels=["one"])


def test_gif_holds_every_frame_its_pace_and_its_caption(swap, tmp_path) -> None:
    path = save_gif(swap_grid(*swap), tmp_path / "pictures" / "swap.gif", fps=5, caption="who é")
    with Image.open(path) as gif:
        assert gif.n_frames == T
        assert gif.info["duration"] == 200
        assert gif.info["loop"] == 0
        assert gif.info["comment"].decode() == "who é"
    assert [file.name for file in path.parent.iterdir()] == ["swap.gif"]


@pytest.mark.parametrize(("noise", "worst"), [(0, 4), (12, 40)])
def test_gif_keeps_the_colours_of_small_things(swap, tmp_path, noise, worst) -> None:
    static, dynamic, swapped = swap
    static[:, :, :, :3, :3] = np.array([255, 20, 220], np.uint8)[:, None, None]
    swapped += np.random.default_rng(0).integers(0, noise + 1, swapped.shape, np.uint8)
    frames = swap_grid(static, dynamic, swapped)
    path = save_gif(frames, tmp_path / "swap.gif")
    with Image.open(path) as gif:
        for step, frame in enumerate(frames):
            gif.seek(step)
            error = np.abs(np.asarray(gif.convert("RGB"), int) - np.asarray(frame, int))
            assert error.max() <= worst


def test_png_is_the_picture_with_its_caption(tmp_path) -> None:
    picture = clip_rows(plain((9, 0, 0)))
    path = save_png(picture, tmp_path / "a.png", caption="<b>ü</b>")
    with Image.open(path) as png:
        assert png.info["Description"] == "<b>ü</b>"
        assert np.array_equal(np.asarray(png.convert("RGB")), np.asarray(picture))


def test_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.png"
    save_png(clip_rows(plain((9, 0, 0))), path)
    before = path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fails)
    with pytest.raises(RunError, match="disk full"):
        save_png(clip_rows(plain((1, 2, 3))), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_gif_without_frames_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        save_gif([], tmp_path / "a.gif")


def test_headings_of_a_swap_say_what_is_exchanged():
    donors, swapped = np.zeros((2, 3, 1, 16, 16)), np.zeros((2, 2, 3, 1, 16, 16))
    usual = swap_sheet(donors, donors, swapped)
    said = swap_sheet(donors, donors, swapped, headings=("hair of", "all else of"))
    assert usual.size == said.size
    assert usual.tobytes() != said.tobytes()
    assert usual.tobytes() == swap_sheet(donors, donors, swapped, headings=SWAPPED).tobytes()
