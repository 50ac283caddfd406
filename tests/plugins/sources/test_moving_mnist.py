"""The source `moving-mnist`, on made-up idx files and on the real ones."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.moving_mnist import moving_mnist

from genzoo_rwae.errors import DataError

BESIDE = Path(__file__).parents[4] / "shared" / "data"


def write(path, array, packed=False):
    content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def images_of(count, offset=0):
    """Image k is flat, of grey level 10 + k; its class is k mod 10."""
    numbers = np.arange(count, dtype=np.uint8) + offset
    return np.broadcast_to(numbers[:, None, None] + 10, (count, 28, 28)).copy(), numbers % 10


@pytest.fixture
def root(tmp_path):
    for part, offset, count in (("train", 0, 24), ("t10k", 100, 12)):
        images, labels = images_of(count, offset)
        write(tmp_path / f"{part}-images-idx3-ubyte", images)
        write(tmp_path / f"{part}-labels.idx1-ubyte.gz", labels, packed=True)
    return tmp_path


def test_shapes_types_and_labels(root):
    data = moving_mnist("train", root=root, sequences=30, length=6)
    batch = data.take(np.array([29, 0]))
    assert (len(data), data.info.frame_shape, data.info.length) == (30, (1, 64, 64), 6)
    assert batch.x_BT.shape == (2, 6, 1, 64, 64)
    assert batch.x_BT.dtype == torch.uint8
    assert list(batch.factors) == ["smaller-digit", "larger-digit"]
    assert (batch.factors["smaller-digit"] <= batch.factors["larger-digit"]).all()
    assert all(factor.code == "static" for factor in data.info.factors)
    assert len(moving_mnist("test", root=root, held_out=7)) == 7


@pytest.mark.parametrize(
    ("digits", "names"), [(1, ["digit"]), (3, ["digit-1", "digit-2", "digit-3"])]
)
def test_factors_follow_the_number_of_digits(root, digits, names):
    data = moving_mnist("train", root=root, digits=digits)
    batch = data.take(np.arange(20))
    assert list(batch.factors) == names == [factor.name for factor in data.info.factors]
    labels = torch.stack(list(batch.factors.values()))
    assert torch.equal(labels, labels.sort(0).values)


def test_splits_show_different_images_and_labels_are_theirs(root):
    levels = {}
    for split in ("train", "validation", "test"):
        data = moving_mnist(split, root=root, digits=1, sequences=200, held_out=200, length=1)
        batch = data.take(np.arange(200))
        level = batch.x_BT.amax((1, 2, 3, 4)).long()
        assert torch.equal((level - 10) % 10, batch.factors["digit"])
        levels[split] = set(level.tolist())
    assert levels["train"] == set(range(10, 32))
    assert levels["validation"] == {32, 33}
    assert levels["test"] == set(range(110, 122))


def test_sequence_depends_on_split_index_and_draw_alone(root):
    data = moving_mnist("train", root=root)
    whole = data.take(np.array([5, 9000, 2]), draw=4)
    alone = data.take(np.array([9000]), draw=4)
    assert torch.equal(alone.x_BT[0], whole.x_BT[1])
    # neither the number of sequences nor their length changes what is there
    longer = moving_mnist("train", root=root, sequences=9001, length=33).take(
        np.array([9000]), draw=4
    )
    assert torch.equal(longer.x_BT[:, :20], alone.x_BT)
    other = data.take(np.array([9000]), draw=5)
    assert not torch.equal(other.x_BT, alone.x_BT)
    assert other.factors == alone.factors


def test_digits_stay_inside_and_leave_walls_at_new_velocities(root):
    data = moving_mnist("train", root=root, digits=1, length=200)
    x = data.take(np.arange(64)).x_BT[:, :, 0] > 0
    assert (x.flatten(2).sum(2) == 32 * 32).all()
    row, column = x.any(3).float().argmax(2), x.any(2).float().argmax(2)
    for place in (row, column):
        # the recipe never uses the last place
        assert (place.min(), place.max()) == (0, 31)
    step = torch.stack([row.diff(dim=1), column.diff(dim=1)])
    assert step.abs().max() <= 4
    turn = (step[:, :, 1:] != step[:, :, :-1]).any(0)
    wall = (row == 0) | (row == 31) | (column == 0) | (column == 31)
    at_wall = wall[:, 1:-1]
    # the step that meets a wall is cut short, so a turn is seen at the wall or one frame before
    near_wall = at_wall | wall[:, 2:]
    assert turn.any(1).all()
    assert not (turn & ~near_wall).any()
    # at a wall both velocities are drawn anew: the one along it stays the same one time in nine
    for across, along, place in ((step[0], step[1], column), (step[1], step[0], row)):
        met = across[:, :-1] * across[:, 1:] < 0
        met &= (place[:, 1:-1] > 4) & (place[:, 1:-1] < 27)
        kept = (along[:, :-1] == along[:, 1:])[met]
        assert len(kept) > 100
        assert kept.float().mean() == pytest.approx(1 / 9, abs=0.1)
        assert len(torch.unique(across[:, 1:][met])) == 8


def test_recombine_shows_the_digits_of_one_on_the_paths_of_the_other(root):
    data = moving_mnist("train", root=root, digits=1)
    i, j = np.arange(10), np.arange(10, 20)
    assert torch.equal(data.recombine(i, i), data.take(i).x_BT)
    mixed = data.recombine(i, j)
    assert torch.equal(mixed > 0, data.take(j).x_BT > 0)
    assert torch.equal(mixed.amax((1, 2, 3, 4)), data.take(i).x_BT.amax((1, 2, 3, 4)))


def test_the_truth_of_a_swap_is_not_known_with_two_digits(root):
    data = moving_mnist("train", root=root, digits=2)
    assert data.recombine(np.arange(3), np.arange(3, 6)) is None


def test_folder_comes_from_the_environment(root, monkeypatch):
    root.rename(root.parent / "mnist")
    monkeypatch.setenv("GENZOO_DATA", str(root.parent))
    assert len(moving_mnist("test")) == 1000


def test_missing_folder_says_where_it_was_told(tmp_path, monkeypatch):
    monkeypatch.delenv("GENZOO_DATA", raising=False)
    with pytest.raises(DataError, match=r"no root was given and GENZOO_DATA is not set"):
        moving_mnist("train")
    with pytest.raises(DataError, match=r"nowhere \(from root\): found nothing"):
        moving_mnist("train", root=tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="found a file, wanted the folder"):
        moving_mnist("train", root=tmp_path / "file")
    with pytest.raises(DataError, match="found no train-images-idx3-ubyte"):
        moving_mnist("train", root=tmp_path)


def test_damaged_files_are_refused(root):
    images = root / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    for content, message in (
        (b"", r"found the header \(empty\)"),
        (gzip.compress(whole), "found the header 1f 8b"),
        (whole[:-1], "found 18815 bytes after the header, wanted 18816"),
        (whole + b"x", "found more bytes after the header"),
    ):
        images.write_bytes(content)
        with pytest.raises(DataError, match=message):
            moving_mnist("train", root=root)
    images.unlink()
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        moving_mnist("train", root=root)


def test_files_that_do_not_fit_each_other_are_refused(root):
    write(root / "train-images-idx3-ubyte", images_of(23)[0])
    with pytest.raises(DataError, match="found 23 images but 24 labels"):
        moving_mnist("train", root=root)
    write(root / "train-images-idx3-ubyte", np.zeros((24, 28, 20), np.uint8))
    with pytest.raises(DataError, match=r"found images of \(28, 20\), wanted \(28, 28\)"):
        moving_mnist("train", root=root)
    write(root / "t10k-labels.idx1-ubyte.gz", np.full(12, 11, np.uint8), packed=True)
    with pytest.raises(DataError, match="found the label 11"):
        moving_mnist("test", root=root)
    for name, array in zip(("images-idx3-ubyte", "labels.idx1-ubyte"), images_of(1), strict=True):
        write(root / f"train-{name}", array)
    with pytest.raises(DataError, match="found no images for validation"):
        moving_mnist("validation", root=root)


@pytest.mark.data
def test_real_mnist_has_its_known_classes():
    folder = Path(os.environ.get("GENZOO_DATA", BESIDE)) / "mnist"
    if not folder.is_dir():
        pytest.skip(f"no MNIST: {folder} is no folder (set GENZOO_DATA)")
    data = moving_mnist("test", root=folder, digits=1, held_out=20_000, length=1)
    labels = torch.bincount(data.take(np.arange(20_000)).factors["digit"], minlength=10)
    known = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert labels.numpy() / 2 == pytest.approx(known, rel=0.1)
