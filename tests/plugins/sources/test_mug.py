"""The source `mug`, on a small tree in the database's layout: no part of the database itself."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.mug import mug
from genzoo_rwae_plugins.sources.mug_takes import EXPRESSIONS
from PIL import Image

from genzoo_rwae.errors import DataError

SUBJECTS = ("001", "002", "006", "007", "010", "013", "020", "031")
SIDE = 16
STEPS = 7


def save_take(folder, subject, expression, steps):
    """Frame t is flat, of a colour that tells who, which expression and when."""
    folder.mkdir(parents=True)
    for t in range(steps):
        colour = (10 + 30 * subject, 10 + 40 * expression, 10 + 30 * t)
        # without leading zeros, so that names in the order of letters are not in that of time
        Image.new("RGB", (SIDE, SIDE), colour).save(folder / f"img_{t + 6}.jpg", quality=100)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Every second subject has sessions; all have what is no take of the six expressions."""
    root = tmp_path_factory.mktemp("mug") / "subjects3"
    for who, subject in enumerate(SUBJECTS):
        for which, expression in enumerate(EXPRESSIONS):
            for take in range(2):
                session = (f"session{take}",) if who % 2 else ()
                number = f"take00{0 if who % 2 else take}"
                folder = root.joinpath(subject, *session, expression, number)
                save_take(folder, who, which, STEPS + take)
        save_take(root / subject / "neutral" / "take000", 0, 0, 1)
        save_take(root / subject / "mixed" / "take000", 0, 0, 1)
    (root / "readme").mkdir()
    (root / "001" / "anger" / "notes.txt").touch()
    return root


@pytest.fixture
def opened(root, tmp_path):
    return lambda split="train", **more: mug(
        split, **{"root": root, "cache": tmp_path / "cache", "length": 4, "size": (8, 8), **more}
    )


def everything(data):
    return data.take(np.arange(len(data)))


def test_clips_run_evenly_from_the_first_frame_to_the_last_and_are_labelled(opened):
    count = 0
    for split in ("train", "validation", "test"):
        data = opened(split)
        assert (data.info.frame_shape, data.info.length) == ((3, 8, 8), 4)
        assert [factor.code for factor in data.info.factors] == ["static", "dynamic"]
        subjects, expressions = (factor.classes for factor in data.info.factors)
        assert (subjects, expressions) == (SUBJECTS, EXPRESSIONS)
        batch = everything(data)
        red, green, blue = batch.x_BT.float().mean((3, 4)).unbind(2)
        assert (red - (10 + 30 * batch.factors["subject"][:, None])).abs().max() < 3
        assert (green - (10 + 40 * batch.factors["expression"][:, None])).abs().max() < 3
        step = ((blue - 10) / 30).round().long()
        assert set(map(tuple, step.tolist())) == {(0, 2, 4, 6), (0, 2, 5, 7)}
        count += len(data)
    assert count == len(SUBJECTS) * len(EXPRESSIONS) * 2


def subjects_of(data):
    return set(everything(data).factors["subject"].tolist())


def test_no_subject_of_one_split_is_in_another_and_a_quarter_is_tested(opened):
    splits = [subjects_of(opened(split)) for split in ("train", "validation", "test")]
    assert [len(part) for part in splits] == [5, 1, 2]
    assert set.union(*splits) == set(range(8))
    assert len(opened("validation", validation=0)) == 0
    assert len(subjects_of(opened("train", validation=0))) == 6


def test_published_partition_shares_out_takes_and_shows_every_face_in_training(opened):
    parts = [opened(split, partition="published") for split in ("train", "validation", "test")]
    assert [len(data) for data in parts] == [65, 7, 24]
    assert subjects_of(parts[2]) & subjects_of(parts[0])
    clips = [bytes(x.numpy()) for data in parts for x in everything(data).x_BT]
    assert len(set(clips)) == len(clips)


def test_take_depends_on_indices_alone(opened):
    data = opened()
    whole = data.take(np.array([5, 40, 2]))
    assert torch.equal(data.take(np.array([40]), draw=3).x_BT[0], whole.x_BT[1])
    whole.x_BT.zero_()
    assert data.take(np.array([5])).x_BT.any()


@pytest.fixture
def copied(root, tmp_path):
    return shutil.copytree(root, tmp_path / "copied")


def of_all_splits(opened, **more):
    return torch.cat([everything(opened(s, **more)).x_BT for s in ("train", "validation", "test")])


def test_faces_are_cut_out_where_the_table_says(opened, copied, tmp_path):
    """The upper left of one take's pictures is white: its box holds nothing else."""
    names = [
        path.relative_to(copied).as_posix()
        for expression in EXPRESSIONS
        for path in copied.glob(f"*/**/{expression}/take*")
    ]
    table = tmp_path / "boxes.csv"
    rows = [f"{name},0,0,6,6" for name in names]
    table.write_text("\n".join(["take,left,top,right,bottom", *rows]) + "\n")
    for path in (copied / "001" / "fear" / "take001").iterdir():
        with Image.open(path) as picture:
            picture.load()
        picture.paste((255, 255, 255), (0, 0, 8, 8))
        picture.save(path, quality=100)
    whole = of_all_splits(opened, root=copied).flatten(1)
    cut = of_all_splits(opened, root=copied, boxes=table).flatten(1)
    assert (whole.amin(1) > 240).sum() == 0
    assert (cut.amin(1) > 240).sum() == 1
    table.write_text(table.read_text().replace(f"{names[0]},0,0,6,6", f"{names[0]},0,0,6,17"))
    with pytest.raises(DataError, match=r"found 16 x 16 pixels, wanted the box \(0, 0, 6, 17\)"):
        of_all_splits(opened, root=copied, boxes=table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the boxes cannot be read"),
        ("take,x\n", r"boxes\.csv:1: found the header take,x"),
        ("take,left,top,right,bottom\na,1,2,3\n", r"boxes\.csv:2: found a,1,2,3, wanted a take"),
        ("take,left,top,right,bottom\na,1,2,3,x\n", r"boxes\.csv:2: found a,1,2,3,x, wanted"),
        ("take,left,top,right,bottom\na,5,0,5,9\n", r"boxes\.csv:2: found a,5,0,5,9, wanted"),
        ("take,left,top,right,bottom\n", r"no row for 96 of 96 takes, the first is '001/anger/"),
    ],
)
def test_bad_boxes_are_refused(opened, tmp_path, text, message):
    table = tmp_path / "boxes.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(DataError, match=message):
        opened(boxes=table)


def test_other_folders_and_short_takes_are_refused(opened, root, tmp_path):
    with pytest.raises(DataError, match=r"found no takes, wanted SUBJECT/.*subjects3"):
        opened(root=root / "001")
    with pytest.raises(DataError, match=r"take000: found 7 frames, wanted at least 8"):
        opened(length=8)
    save_take(tmp_path / "few" / "001" / "anger" / "take000", 0, 0, 5)
    with pytest.raises(DataError, match=r"found 1 subjects, of which test takes 1"):
        opened(root=tmp_path / "few")
    (tmp_path / "few" / "001" / "anger" / "take001").mkdir()
    with pytest.raises(DataError, match=r"take001: found no pictures"):
        opened(root=tmp_path / "few")


def test_damaged_picture_is_named(opened, copied):
    picture = copied / "002" / "session0" / "fear" / "take000" / "img_6.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(DataError, match=r"002.session0.fear.take000.img_6\.jpg: "):
        of_all_splits(opened, root=copied)


def test_default_root_is_within_the_environments(opened, root, tmp_path, monkeypatch):
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path))
    (tmp_path / "mug").mkdir()
    (tmp_path / "mug" / "subjects3").symlink_to(root)
    assert len(opened(root=None)) == 60
