"""The source `etth1`: borders, windows and what follows them."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.etth1 import CHANNELS, etth1

from genzoo_rwae.errors import DataError

BESIDE = Path(__file__).parents[4] / "shared" / "data"
SPLITS = ("train", "validation", "test")
MONTH = 720


def make_file(folder, hours=20 * MONTH + 50, change=lambda hour: hour):
    """Every channel counts hours."""
    folder.mkdir(exist_ok=True)
    start = datetime(2016, 7, 1)
    rows = (
        f"{start + timedelta(hours=hour)}," + ",".join([str(change(hour))] * 7)
        for hour in range(hours)
    )
    (folder / "ETTh1.csv").write_text("\n".join([",".join(("date", *CHANNELS)), *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_file(tmp_path_factory.mktemp("etth1"))


def test_splits_are_the_benchmarks_and_share_no_hour(made):
    hours = {}
    for split in SPLITS:
        data = etth1(split, root=made, length=24)
        batch = data.take(np.arange(len(data)))
        found = data.scaling.in_units(batch.x_BT).round().long().numpy()
        assert (np.diff(found[..., 0], axis=1) == 1).all()
        assert (found == found[..., :1]).all()
        hours[split] = found[..., 0]
    assert (hours["train"].min(), hours["train"].max()) == (0, 12 * MONTH - 1)
    assert (hours["validation"].min(), hours["validation"].max()) == (12 * MONTH, 16 * MONTH - 1)
    assert (hours["test"].min(), hours["test"].max()) == (16 * MONTH, 20 * MONTH - 1)
    assert [len(of_split) for of_split in hours.values()] == [12 * MONTH - 23, 120, 120]
    assert not data.info.missing


def test_what_follows_is_at_hand_in_units(made):
    data = etth1("validation", root=made, length=24)
    after = data.following(np.array([0, 119]), 3)[..., CHANNELS.index("OT")]
    assert after[0].tolist() == [12 * MONTH + 24 + k for k in range(3)]
    assert after[1].isnan().all()  # the next hours are test's


def test_later_hours_move_no_scale(made, tmp_path):
    make_file(tmp_path / "x", change=lambda hour: hour if hour < 12 * MONTH else 1e9)
    one, other = (etth1("test", root=root).scaling for root in (made, tmp_path / "x"))
    np.testing.assert_array_equal(one.mean_F, other.mean_F)
    np.testing.assert_array_equal(one.sd_F, other.sd_F)


def test_a_short_or_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"ETTh1\.csv: found nothing"):
        etth1("train", root=tmp_path)
    make_file(tmp_path, hours=500)
    with pytest.raises(DataError, match="found 500 hours, wanted at least 14,400"):
        etth1("train", root=tmp_path)


@pytest.mark.data
def test_the_real_file():
    root = Path(os.environ.get("GENZOO_DATA", BESIDE)) / "etth1"
    if not root.is_dir():
        pytest.skip(f"no ETTh1 at {root}")
    data = etth1("train", root=root)
    # the mean oil temperature of the first twelve months
    assert data.scaling.mean_F[-1] == pytest.approx(17.128, abs=0.001)
