"""The source `sprites`: the recipe on made-up layers, the checksum on the real ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources import sprite_sheets
from genzoo_rwae_plugins.sources.sprites import sprites
from PIL import Image

from genzoo_rwae.errors import DataError

BESIDE = Path(__file__).parents[4] / "shared" / "data"
CELL = 2
LAYERS = ("body", "bottomwear", "topwear", "hair")
ROWS = 16


def make_layers(folder, cell=CELL):
    """Layer l paints one pixel of every cell: which variant (red), which row and column (green)."""
    cells = np.arange(ROWS * 13).reshape(ROWS, 13)
    for k, layer in enumerate((*LAYERS, "shoes")):
        (folder / layer).mkdir(parents=True)
        for variant in range(6) if layer != "shoes" else (1,):
            sheet = np.zeros((ROWS, cell, 13, cell, 4), np.uint8)
            # the shoes cover the hair
            sheet[:, min(k, 3) // 2, :, min(k, 3) % 2] = (10 + variant + 100 * (k == 4), 0, 0, 255)
            sheet[:, min(k, 3) // 2, :, min(k, 3) % 2, 1] = cells
            if k == 4:
                sheet[:, 1, :, 1, 3] = np.where(cells == 8 + 13 * 10, 255, 0)
            picture = Image.fromarray(sheet.reshape(ROWS * cell, 13 * cell, 4))
            picture.save(folder / layer / f"{variant}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("sprites")
    return make_layers(base / "layers"), base / "cache"


@pytest.fixture
def of_made(made):
    root, cache = made
    return lambda split, **options: sprites(
        split, root=root, cache=cache, checksum="none", **options
    )


def test_splits_are_by_character_and_of_the_benchmarks_sizes(of_made):
    seen = {}
    for split, count in (("train", 950), ("validation", 50), ("test", 296)):
        data = of_made(split)
        assert len(data) == 9 * count
        batch = data.take(np.arange(len(data)))
        labels = torch.stack([batch.factors[n] for n in ("body", "bottom", "top", "hair")], 1)
        seen[split] = set(map(tuple, labels.tolist()))
        assert len(seen[split]) == count
        assert torch.bincount(batch.factors["action"]).tolist() == [count] * 9
    assert len(set.union(*seen.values())) == 1296
    assert len(of_made("validation", validation=0)) == 0
    order = np.random.RandomState(423).permutation(1296)
    assert {((a * 6 + b) * 6 + c) * 6 + d for a, b, c, d in seen["test"]} == set(order[1000:])
    assert {((a * 6 + b) * 6 + c) * 6 + d for a, b, c, d in seen["validation"]} == set(
        order[950:1000]
    )


def test_frames_show_the_layers_of_their_labels_and_the_cells_of_their_action(of_made):
    data = of_made("test")
    batch = data.take(np.arange(len(data)))
    assert batch.x_BT.shape == (2664, 8, 3, CELL, CELL)
    assert batch.x_BT.dtype == torch.uint8
    assert batch.x_BT[0].is_contiguous(memory_format=torch.channels_last)
    for k, name in enumerate(("body", "bottom", "top")):
        red = batch.x_BT[:, :, 0, k // 2, k % 2]
        assert torch.equal(red, (10 + batch.factors[name])[:, None].expand(-1, 8).to(torch.uint8))
    actions = next(f.classes for f in data.info.factors if f.name == "action")
    assert actions == (
        "walk-front", "walk-left", "walk-right",
        "spellcast-front", "spellcast-left", "spellcast-right",
        "slash-front", "slash-left", "slash-right",
    )  # fmt: skip
    cells = batch.x_BT[:9, :, 1, 0, 0].long()
    rows, columns = cells // 13, cells % 13
    assert rows[:, 0].tolist() == [10, 9, 11, 2, 1, 3, 14, 13, 15]
    assert columns[::3].tolist() == [
        [8, 1, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 3, 4, 5, 4, 6],
        [0, 1, 2, 3, 4, 5, 4, 0],
    ]
    # walk-front begins with the one cell in which the shoes cover the hair
    corner = batch.x_BT[:9, :, 0, 1, 1]
    assert (corner == 111).nonzero().tolist() == [[0, 0]]


def test_take_ignores_draws_and_batches(of_made):
    data = of_made("train")
    whole = data.take(np.array([5, 8000, 2]))
    assert torch.equal(data.take(np.array([8000]), draw=3).x_BT[0], whole.x_BT[1])
    whole.x_BT.zero_()
    assert data.take(np.array([5])).x_BT.any()


def test_recombine_is_the_character_of_one_in_the_action_of_the_other(of_made):
    data = of_made("test")
    i, j = np.array([0, 10, 20, 2663]), np.array([8, 30, 500, 4])
    assert torch.equal(data.recombine(i, i), data.take(i).x_BT)
    mixed, wanted = data.recombine(i, j), data.take(i // 9 * 9 + j % 9)
    assert torch.equal(mixed, wanted.x_BT)
    assert torch.equal(wanted.factors["hair"], data.take(i).factors["hair"])
    assert torch.equal(wanted.factors["action"], data.take(j).factors["action"])


def test_second_use_reads_the_cache_and_a_truncated_one_is_rendered_again(
    made, of_made, monkeypatch
):
    whole = of_made("test").take(np.arange(50)).x_BT
    (cached,) = made[1].iterdir()
    size = cached.stat().st_size
    rendered = []
    write = sprite_sheets._write
    monkeypatch.setattr(
        sprite_sheets, "_write", lambda *a, **k: (rendered.append(1), write(*a, **k))[1]
    )
    of_made("test")
    assert rendered == []
    for damaged in (cached.read_bytes()[:-1], cached.read_bytes() + b"x", b"", b"not an array"):
        cached.write_bytes(damaged)
        assert torch.equal(of_made("test").take(np.arange(50)).x_BT, whole)
        assert cached.stat().st_size == size
    assert len(rendered) == 4
    assert list(made[1].iterdir()) == [cached]


def test_changed_layer_is_rendered_anew(tmp_path):
    root = make_layers(tmp_path / "layers")
    before = sprites("test", root=root, cache=tmp_path, checksum="none").take(np.arange(900)).x_BT
    (root / "body" / "0.png").write_bytes((root / "body" / "5.png").read_bytes())
    after = sprites("test", root=root, cache=tmp_path, checksum="none").take(np.arange(900)).x_BT
    assert not torch.equal(before, after)


def test_frames_that_are_not_the_published_ones_are_refused_and_not_kept(made, tmp_path, of_made):
    with pytest.raises(DataError, match=r"have sha256 \w+\.\.\., wanted 9a90d76e1172c33b"):
        sprites("test", root=made[0], cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
    of_made("test")
    with pytest.raises(DataError, match="checksum: none"):
        sprites("test", root=made[0], cache=made[1])


def test_missing_and_damaged_layers_are_refused(tmp_path):
    root = make_layers(tmp_path / "layers")
    options = {"root": root, "cache": tmp_path / "cache", "checksum": "none"}
    hair = root / "hair" / "4.png"
    whole = hair.read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], r"4\.png: the picture cannot be read"),
        (b"hello", r"4\.png: found no picture"),
    ):
        hair.write_bytes(content)
        with pytest.raises(DataError, match=message):
            sprites("train", **options)
    Image.new("RGBA", (13 * 3, ROWS * 3)).save(hair)
    with pytest.raises(
        DataError, match=r"4\.png: found cells of 3 pixels, wanted 2 as in .*0\.png"
    ):
        sprites("train", **options)
    Image.new("RGBA", (25, 32)).save(hair)
    with pytest.raises(DataError, match="found 25 x 32 pixels, wanted a sheet of 13 square cells"):
        sprites("train", **options)
    hair.unlink()
    with pytest.raises(DataError, match=r"1 of 25 layers are missing \(hair/4\.png\)"):
        sprites("train", **options)


def test_place_that_cannot_be_written_and_unset_environment_are_named(made, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be kept in .*file.*give `cache:"):
        sprites("train", root=made[0], cache=tmp_path / "file", checksum="none")
    monkeypatch.delenv("GENZOO_DATA", raising=False)
    with pytest.raises(DataError, match=r"GENZOO_DATA is not set.*sprites/layers"):
        sprites("train")


def test_default_places_come_from_the_environment(made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path))
    (tmp_path / "sprites").mkdir()
    (tmp_path / "sprites" / "layers").symlink_to(made[0])
    sprites("train", checksum="none")
    assert len(list((tmp_path / "xdg" / "genzoo-rwae").glob("sprites-*.npy"))) == 1


@pytest.mark.data
def test_rendered_set_is_the_published_one(tmp_path):
    root = Path(os.environ.get("GENZOO_DATA", BESIDE)) / "sprites" / "layers"
    if not root.is_dir():
        pytest.skip(f"no Sprites: {root} is no folder (set GENZOO_DATA)")
    data = sprites("train", root=root, cache=tmp_path)
    (cached,) = tmp_path.iterdir()
    digest = hashlib.sha256(np.load(cached, mmap_mode="r")).hexdigest()
    cached.unlink()
    assert digest == "9a90d76e1172c33b1a9e318a299657cecb9d9d19ddfd0d085e800b796a07a9f3"
    assert data.info.frame_shape == (3, 64, 64)
