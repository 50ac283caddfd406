"""No split shows what another one does: whatever a source says that it splits by."""

from __future__ import annotations

import os
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.clips import clips
from genzoo_rwae_plugins.sources.digits import digits
from genzoo_rwae_plugins.sources.moving_mnist import moving_mnist
from genzoo_rwae_plugins.sources.moving_shapes import moving_shapes
from genzoo_rwae_plugins.sources.mug import mug
from genzoo_rwae_plugins.sources.mug_takes import EXPRESSIONS
from genzoo_rwae_plugins.sources.sprites import sprites
from PIL import Image

BESIDE = Path(__file__).parents[4] / "shared" / "data"
SPLITS = ("train", "validation", "test")


def taken(data):
    return data.take(np.arange(len(data)))


def labels(data, *names):
    batch = taken(data)
    return set(zip(*(batch.factors[name].tolist() for name in names), strict=True))


def first_frames(data):
    """On a canvas without room to move these are the images themselves."""
    return {bytes(frame) for frame in taken(data).x_BT[:, 0].contiguous().numpy()}


def clips_of_an_array(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(50.0)[:, None, None].repeat(3, 1))
    return lambda split: {
        float(x[0, 0]) for x in taken(clips(split, path=tmp_path / "x.npy", test=0.3)).x_BT
    }


def clips_of_a_folder(tmp_path):
    for c in range(9):
        (tmp_path / "clips" / str(c)).mkdir(parents=True)
        Image.new("L", (1, 1), c).save(tmp_path / "clips" / str(c) / "0.png")
    return lambda split: {
        int(x[0, 0, 0, 0]) for x in taken(clips(split, path=tmp_path / "clips", test=0.3)).x_BT
    }


def images_of_digits(tmp_path):
    return lambda split: first_frames(digits(split, canvas=16, length=1))


def combinations_of_shapes(tmp_path):
    names = ("shape", "colour", "size", "motion", "place")
    return lambda split: labels(moving_shapes(split, sequences=1_400, held_out=200), *names)


def subjects_of_mug(tmp_path):
    for subject, expression in product(range(8), EXPRESSIONS):
        folder = tmp_path / "mug" / f"{subject:03d}" / expression / "take000"
        folder.mkdir(parents=True)
        for t in range(2):
            Image.new("RGB", (2, 2)).save(folder / f"{t}.jpg")
    options = {"root": tmp_path / "mug", "cache": tmp_path / "cache", "length": 2, "size": (2, 2)}
    return lambda split: labels(mug(split, **options), "subject")


def characters_of_sprites(tmp_path):
    for layer in ("body", "bottomwear", "topwear", "hair", "shoes"):
        (tmp_path / layer).mkdir()
        for variant in range(6):  # sheets of single pixels
            Image.new("RGBA", (13, 16)).save(tmp_path / layer / f"{variant}.png")
    options = {"root": tmp_path, "cache": tmp_path / "cache", "checksum": "none"}
    return lambda split: labels(sprites(split, **options), "body", "bottom", "top", "hair")


def images_of_mnist(tmp_path):
    root = Path(os.environ.get("GENZOO_DATA", BESIDE)) / "mnist"
    if not root.is_dir():
        pytest.skip(f"no MNIST: {root} is no folder (set GENZOO_DATA)")
    options = {"root": root, "digits": 1, "canvas": 33, "length": 1}
    return lambda split: first_frames(moving_mnist(split, sequences=3_000, **options))


@pytest.mark.parametrize(
    "units",
    [
        clips_of_an_array,
        clips_of_a_folder,
        images_of_digits,
        combinations_of_shapes,
        subjects_of_mug,
        characters_of_sprites,
        pytest.param(images_of_mnist, marks=pytest.mark.data),
    ],
)
def test_splits_share_nothing(units, tmp_path):
    of = units(tmp_path)
    seen = {split: of(split) for split in SPLITS}
    assert all(seen.values())
    for one, other in combinations(SPLITS, 2):
        assert not seen[one] & seen[other], f"{one} and {other} share some"
