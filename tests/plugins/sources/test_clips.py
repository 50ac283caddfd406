"""The source `clips`: the user's arrays and folders, and what can be wrong with them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources import picture_files
from genzoo_rwae_plugins.sources.clips import clips
from PIL import Image

from genzoo_rwae.errors import DataError, OptionError

SPLITS = ("train", "validation", "test")


def saved(path, array):
    np.save(path, array)
    return path


@pytest.fixture
def vectors(tmp_path):
    """Clip n at step t is (100 n + t, ...)."""
    n, t = np.arange(20)[:, None, None], np.arange(9)[:, None]
    return saved(tmp_path / "x.npy", np.broadcast_to(100.0 * n + t, (20, 9, 2)))


@pytest.fixture
def folder(tmp_path):
    """Clip c has 9 + c frames; frame t of clip c is flat of grey level 10 c + t."""
    root = tmp_path / "clips"
    for c in range(5):
        (root / f"clip-{c}").mkdir(parents=True)
        for t in range(9 + c):
            Image.new("L", (6, 4), 20 * c + t).save(root / f"clip-{c}" / f"frame-{t}.png")
    return root


@pytest.mark.parametrize(
    ("shape", "dtype", "frame_shape", "bounded"),
    [
        ((10, 4, 3), np.float64, (3,), False),
        ((10, 4, 6, 5), np.uint8, (1, 6, 5), True),
        ((10, 4, 6, 5, 3), np.uint8, (3, 6, 5), True),
        ((10, 4, 6, 5, 4), np.float16, (4, 6, 5), True),
        ((10, 4, 6, 5, 1), np.dtype(">f4"), (1, 6, 5), True),
    ],
)
def test_arrays_of_every_kind(tmp_path, shape, dtype, frame_shape, bounded):
    values = np.random.default_rng(0).random(shape)
    array = (values * 255).astype(np.uint8) if dtype == np.uint8 else values.astype(dtype)
    path = saved(tmp_path / "x.npy", array)
    seen = []
    for split in SPLITS:
        data = clips(split, path=path, test=0.3)
        assert (data.info.frame_shape, data.info.bounded) == (frame_shape, bounded)
        batch = data.take(np.arange(len(data)))
        assert batch.x_BT.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
        assert batch.x_BT.shape[2:] == frame_shape
        seen.append(batch.x_BT.numpy())
    found = np.concatenate(seen)
    wanted = array if len(shape) == 3 else array.reshape(*shape[:4], -1).transpose(0, 1, 4, 2, 3)
    assert [len(part) for part in seen] == [6, 1, 3]
    assert sorted(found.sum((1, 2)).tolist()) == sorted(
        wanted.astype(found.dtype).sum((1, 2)).tolist()
    )


def test_splits_are_disjoint_fixed_and_of_their_shares(vectors):
    seen = {}
    for split in SPLITS:
        data = clips(split, path=vectors, validation=0.2, test=0.1)
        first = data.take(np.arange(len(data))).x_BT[:, 0, 0] / 100
        assert torch.equal(first, data.take(np.arange(len(data)), draw=3).x_BT[:, 0, 0] / 100)
        seen[split] = first.long().tolist()
    assert [len(part) for part in seen.values()] == [14, 4, 2]
    assert sorted(clip for part in seen.values() for clip in part) == list(range(20))
    assert len(clips("validation", path=vectors, validation=0)) == 0


def test_windows_are_the_first_for_draw_0_and_random_ones_after(vectors):
    data = clips("train", path=vectors, length=4)
    assert data.info.length == 4
    batch = data.take(np.arange(16))
    assert (batch.x_BT[:, :, 0] % 100 == torch.arange(4)).all()
    starts = set()
    for draw in range(1, 20):
        x = data.take(np.arange(16), draw=draw).x_BT[:, :, 0]
        assert torch.equal(x // 100, batch.x_BT[:, :, 0] // 100)
        assert (x.diff(dim=1) == 1).all()
        starts |= set((x[:, 0] % 100).long().tolist())
        assert torch.equal(data.take(np.array([7]), draw=draw).x_BT[0, :, 0], x[7])
    assert starts == set(range(6))


def test_npz_is_read_by_key(tmp_path):
    x, y = np.zeros((10, 3, 2)), np.ones((10, 3, 4))
    np.savez(tmp_path / "one.npz", x=x)
    np.savez_compressed(tmp_path / "two.npz", x=x, y=y)
    assert clips("train", path=tmp_path / "one.npz").info.frame_shape == (2,)
    assert clips("train", path=tmp_path / "two.npz", key="y").info.frame_shape == (4,)
    with pytest.raises(DataError, match=r"several arrays and no `key`, wanted `key: ` one of x, y"):
        clips("train", path=tmp_path / "two.npz")
    with pytest.raises(DataError, match="no array 'z'"):
        clips("train", path=tmp_path / "two.npz", key="z")
    with pytest.raises(DataError, match="take `key` away"):
        clips("train", path=saved(tmp_path / "x.npy", x), key="x")


def test_large_array_stays_on_disc(tmp_path):
    path = tmp_path / "big.npy"
    # 512 MiB, all holes
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(2**13, 16, 64, 64))
    tracemalloc.start()
    batch = clips("train", path=path).take(np.array([5000, 3]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batch.x_BT.shape == (2, 16, 1, 64, 64)
    assert peak < 16 * 2**20


def test_folder_in_natural_order_padded_to_the_longest(folder):
    lengths = {}
    for split in SPLITS:
        data = clips(split, path=folder)
        assert data.info.frame_shape == (1, 4, 6)
        assert data.info.length == 13
        batch = data.take(np.arange(len(data)))
        for x, length in zip(batch.x_BT[:, :, 0, 0, 0], batch.lengths_B.tolist(), strict=True):
            clip = length - 9
            assert x[:length].tolist() == [20 * clip + t for t in range(length)]
            assert not x[length:].any()
            lengths[clip] = split
    assert set(lengths) == set(range(5))


@pytest.mark.parametrize(
    ("modes", "channels"), [("L1", 1), (("L", "RGB"), 3), (("RGB", "RGBA"), 4), ("PL", 3)]
)
def test_folder_gets_the_channels_of_its_richest_frame(tmp_path, modes, channels):
    for c in range(3):
        (tmp_path / "c" / str(c)).mkdir(parents=True)
        for t, mode in enumerate(modes):
            Image.new(mode, (3, 3)).save(tmp_path / "c" / str(c) / f"{t}.png")
    data = clips("train", path=tmp_path / "c")
    assert data.take(np.array([0])).x_BT.shape == (1, 2, channels, 3, 3)


def test_jpeg_frames_are_read(tmp_path):
    for c in range(3):
        (tmp_path / "c" / str(c)).mkdir(parents=True)
        Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "c" / str(c) / "1.JPG")
    x = clips("train", path=tmp_path / "c").take(np.array([0])).x_BT
    assert x[0, 0, :, 4, 4].tolist() == pytest.approx([200, 100, 50], abs=3)


def test_labels_come_from_a_table(folder, tmp_path):
    table = tmp_path / "labels.csv"
    rows = [f"clip-{c},{'ab'[c % 2]},{c}" for c in reversed(range(5))]
    table.write_text("\n".join(["clip,who,how", *rows]) + "\n")
    for split in SPLITS:
        data = clips(split, path=folder, labels=table, dynamic=("how",))
        who, how = data.info.factors
        assert (who.name, who.classes, who.code) == ("who", ("a", "b"), "static")
        assert (how.name, how.classes, how.code) == ("how", tuple("01234"), "dynamic")
        batch = data.take(np.arange(len(data)))
        assert torch.equal(batch.factors["how"], batch.lengths_B - 9)
        assert torch.equal(batch.factors["who"], (batch.lengths_B - 9) % 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv:1: found the header \(empty\)"),
        ("name,who\n", r"labels\.csv:1: found the header name,who"),
        ("clip,who\nclip-0,a\nclip-0,b\n", r"labels\.csv:3: found clip 'clip-0' again"),
        ("clip,who\nclip-0\n", r"labels\.csv:2: found 1 values, wanted 2"),
        ("clip,who\nclip-0,\n", r"labels\.csv:2: found 1 values, wanted 2"),
        (
            "clip,who\nclip-0,a\n",
            "4 of 5 clips, the first is 'clip-1'; the first row is of 'clip-0'; wanted",
        ),
        ("clip,who\nclip-0.gif,a\n", "first is 'clip-0': 'clip-0.gif' is its file, whose ending"),
        (None, "the labels cannot be read"),
    ],
)
def test_bad_tables_are_refused(folder, tmp_path, text, message):
    table = tmp_path / "labels.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(DataError, match=message):
        clips("train", path=folder, labels=table)


def test_dynamic_has_to_name_a_factor(folder, tmp_path):
    (tmp_path / "labels.csv").write_text("clip,who\n")
    with pytest.raises(OptionError, match="has no factor 'how'; known: who") as caught:
        clips("train", path=folder, labels=tmp_path / "labels.csv", dynamic=("how",))
    assert caught.value.option == "dynamic"
    with pytest.raises(OptionError, match="there are no labels"):
        clips("train", path=folder, dynamic=("how",))


FLOATS = np.zeros((10, 4, 3))
FRAMES = np.zeros((10, 4, 5, 5))


def with_values(array, values):
    array = array.copy()
    for place, value in values.items():
        array[place] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            with_values(FLOATS, {(7, 3, 1): np.nan, (8, 0, 2): np.inf}),
            r"found 2 values that are NaN or infinite .* index \[7, 3, 1\]",
        ),
        (
            with_values(FLOATS, {(2, 1, 0): 1e300}),
            r"found 1 values .* infinite in float32.* \[2, 1, 0\]",
        ),
        (
            with_values(FRAMES, {(7, 3, 1, 1): 1.5, (0, 0, 1, 2): -0.1}),
            r"found 2 values outside \[0, 1\], the first at index \[0, 0, 1, 2\]",
        ),
        (np.zeros((10, 4)), r"found shape \[10, 4\] of float64, wanted \[N, T, F\]"),
        (np.zeros((2, 2, 2, 2, 2, 2)), r"found shape \[2, 2, 2, 2, 2, 2\]"),
        (np.zeros((0, 4, 3)), "there is nothing in it"),
        (np.zeros((10, 4, 3), np.int64), r"of int64, .*convert it"),
        (np.zeros((10, 4, 3), np.uint8), r"for one clip of grey pictures save x\[None\]"),
        (np.zeros((10, 4, 3, 8, 8)), r"np\.moveaxis\(x, 2, -1\) puts channels last"),
        (np.zeros((10, 4, 8, 8, 2)), r"C in 1, 3, 4"),
        (np.zeros((2, 4, 3)), "found 2 clips, of which validation takes 1 and test takes 1"),
        (np.array([{}, None]), "not of Python objects"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, array, message):
    path = saved(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=message) as caught:
        clips("train", path=path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_arrays_are_refused(tmp_path, vectors):
    with pytest.raises(DataError, match="nowhere: found nothing, wanted"):
        clips("train", path=tmp_path / "nowhere")
    (tmp_path / "x.mp4").touch()
    with pytest.raises(DataError, match=r"found a file of type '\.mp4'"):
        clips("train", path=tmp_path / "x.mp4")
    vectors.write_bytes(vectors.read_bytes()[:-8])
    with pytest.raises(DataError, match="the file was cut short"):
        clips("train", path=vectors)
    for content in (b"", b"hello", b"PK\x03\x04hello"):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as an array"):
            clips("train", path=tmp_path / "x.npz")


def test_clip_shorter_than_length_is_named(folder):
    with pytest.raises(DataError, match=r"2 clips are shorter .* 'clip-0' with 9 frames") as caught:
        clips("train", path=folder, length=11)
    assert "say length: 9" in str(caught.value)


def test_shares_that_leave_nothing_to_train_on_are_refused(vectors):
    with pytest.raises(OptionError, match="leave nothing to train on"):
        clips("train", path=vectors, validation=0.5, test=0.5)


def test_bad_folders_are_refused(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="empty: found no subfolder, wanted one subfolder per clip"):
        clips("train", path=empty)
    with pytest.raises(DataError, match="found 9 pictures but no subfolder"):
        clips("train", path=folder / "clip-0")
    (folder / "clip-7").mkdir()
    with pytest.raises(DataError, match="clip-7: found no frames"):
        clips("train", path=folder)
    (folder / "clip-7").rmdir()
    with pytest.raises(OptionError, match="a folder has no keys"):
        clips("train", path=folder, key="x")


def test_bad_frames_are_refused(folder):
    frame = folder / "clip-1" / "frame-3.png"
    Image.new("L", (5, 4)).save(frame)
    with pytest.raises(
        DataError,
        match=r"frame-3\.png: found 5 x 4 pixels, wanted 6 x 4 as in .*clip-0.frame-0\.png",
    ):
        clips("train", path=folder)
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(frame)
    with pytest.raises(DataError, match=r"frame-3\.png: found pixels of mode I;16, wanted 8 bits"):
        clips("train", path=folder)
    frame.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"frame-3\.png: found no picture"):
        clips("train", path=folder)


def test_frame_that_breaks_during_a_run_is_named(folder):
    data = clips("train", path=folder)
    everything = np.arange(len(data))
    for frame in folder.glob("*/frame-3.png"):
        frame.write_bytes(frame.read_bytes()[:45])
    with pytest.raises(DataError, match=r"frame-3\.png: the picture cannot be read"):
        data.take(everything)
    for frame in folder.glob("*/frame-3.png"):
        Image.new("L", (5, 4)).save(frame)
    with pytest.raises(DataError, match="do not change the pictures during a run"):
        data.take(everything)


@pytest.mark.parametrize(
    ("module", "name", "limit"),
    [(picture_files, "MOST_PIXELS", 23), (Image, "MAX_IMAGE_PIXELS", 3)],
)
def test_pictures_of_more_pixels_than_a_frame_has_are_refused(
    folder, monkeypatch, module, name, limit
):
    monkeypatch.setattr(module, name, limit)  # they have 24; at twice its own limit Pillow raises
    with pytest.raises(DataError, match=r"more than .* pixels, wanted frames of a sequence"):
        clips("train", path=folder)
