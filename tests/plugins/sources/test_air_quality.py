"""The source `air-quality`: on made-up stations, and what the real ones hold."""

from __future__ import annotations

import os
from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.air_quality import CHANNELS, air_quality

from genzoo_rwae.errors import DataError

BESIDE = Path(__file__).parents[4] / "shared" / "data"
SPLITS = ("train", "validation", "test")
HEADER = (
    '"No","year","month","day","hour","PM2.5","PM10","SO2","NO2","CO","O3","TEMP","PRES","DEWP",'
    '"RAIN","wd","WSPM","station"'
)
MONTHS = [(2015, month) for month in range(1, 9)] + [(2016, month) for month in range(1, 4)]


def make_stations(folder, count=6, months=MONTHS):
    """PM2.5 is the station's number, TEMP the date as yymmdd, PRES the hour; wet on 2nd days."""
    folder.mkdir()
    for station in range(count):
        lines = [HEADER]
        for (year, month), day, hour in product(months, (1, 2, 3), range(24)):
            when = date(year, month, day)
            temperature = (year - 2000) * 10_000 + month * 100 + day
            rain = 0.3 if day == 2 and hour == 5 else "NA" if day == 3 else 0
            lines.append(
                f"{len(lines)},{when.year},{when.month},{when.day},{hour},{station},1,NA,4,300,7,"
                f'{temperature},{hour},2,{rain},"NNW",4.4,"Place{station}"'
            )
        path = folder / f"PRSA_Data_Place{station}_20130301-20170228.csv"
        path.write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def stations(tmp_path_factory):
    return make_stations(tmp_path_factory.mktemp("air") / "made")


def of(split, root, **options):
    """Data, batch of all, and of every sequence its station, dates and hours."""
    data = air_quality(split, root=root, **options)
    batch = data.take(np.arange(len(data)))
    x = data.scaling.in_units(batch.x_BT).round()
    place = [CHANNELS.index(name) for name in ("PM2.5", "TEMP", "PRES")]
    return data, batch, x[..., place].long().numpy()


def test_a_sequence_is_a_day_of_a_station_from_its_first_hour(stations):
    for split in SPLITS:
        data, batch, told = of(split, stations)
        assert data.info.frame_shape == (10,)
        assert (data.info.display.names, data.info.display.step) == (CHANNELS, 3600.0)
        assert (told[..., 2] == np.arange(24)).all()
        assert (told[:, :1, :2] == told[..., :2]).all()
        station, month = batch.factors["station"].numpy(), batch.factors["month"].numpy()
        assert (station == told[:, 0, 0]).all()
        assert (month + 1 == told[:, 0, 1] // 100 % 100).all()
        wet = batch.factors["rain"].numpy().astype(bool)
        assert (wet == (told[:, 0, 1] % 100 == 2)).all()
    codes = {factor.name: factor.code for factor in data.info.factors}
    assert codes == {"month": "static", "station": "static", "rain": "dynamic"}


def test_gaps_are_missing_and_empty_days_are_left_out(stations):
    data, batch, _ = of("train", stations)
    assert data.info.missing
    assert batch.x_BT.isnan().float().mean(dim=(0, 1))[CHANNELS.index("SO2")] == 1
    assert len(data) % 3 == 0  # three days a month: none of the 25 and more that the grid fills in


def test_2016_is_for_testing_and_no_month_is_in_two_splits_at_any_station(stations):
    months = {}
    for split in SPLITS:
        _, _, told = of(split, stations)
        months[split] = set((told[:, 0, 1] // 100).tolist())
        assert len(told) == 6 * 3 * len(months[split])
    assert months["test"] == {1601, 1602, 1603}
    assert (len(months["train"]), len(months["validation"])) == (7, 1)
    assert not months["train"] & months["validation"]


def test_splits_by_station_share_no_station(stations):
    seen = {split: set(of(split, stations, split_by="station")[2][:, 0, 0]) for split in SPLITS}
    assert sorted(len(part) for part in seen.values()) == [2, 2, 2]
    assert set().union(*seen.values()) == set(range(6))


def test_longer_windows_stay_within_a_month(stations):
    _, _, told = of("train", stations, length=672)
    assert len(told) == 6 * 7
    first, last = told[:, 0, 1], told[:, 71, 1]
    assert (first // 100 == last // 100).all()
    assert (first % 100 == 1).all()


def test_2016_moves_no_scale(stations, tmp_path):
    before = air_quality("train", root=stations).scaling
    make_stations(tmp_path / "air")
    for path in (tmp_path / "air").iterdir():
        path.write_text(path.read_text().replace(",2016,1,1,0,", ",2016,1,1,0,9999"))
    after = air_quality("train", root=tmp_path / "air").scaling
    np.testing.assert_array_equal(before.mean_F, after.mean_F)
    np.testing.assert_array_equal(before.sd_F, after.sd_F)


def test_what_is_wrong_is_named(tmp_path, monkeypatch):
    make_stations(tmp_path / "few", count=3)
    with pytest.raises(DataError, match="found 3 files PRSA_Data"):
        air_quality("train", root=tmp_path / "few")
    make_stations(tmp_path / "short", months=[(2015, 1), (2015, 2)])
    with pytest.raises(DataError, match="found 2 months, wanted those from March 2013"):
        air_quality("train", root=tmp_path / "short")
    bad = next((make_stations(tmp_path / "bad")).iterdir())
    bad.write_text(bad.read_text().replace(",2015,2,3,7,", ",2015,2,31,7,"))
    with pytest.raises(DataError, match=r":129: found 2015, 2, 31, 7 for year, month, day, hour"):
        air_quality("train", root=tmp_path / "bad")
    monkeypatch.delenv("GENZOO_DATA", raising=False)
    with pytest.raises(DataError, match="beijing_air"):
        air_quality("train")


@pytest.mark.data
def test_the_real_stations_hold_a_day_a_row():
    root = Path(os.environ.get("GENZOO_DATA", BESIDE)) / "beijing_air"
    if not root.is_dir():
        pytest.skip(f"no air quality data at {root}")
    data = {split: air_quality(split, root=root) for split in SPLITS}
    # 36 months but for 2016, of which 5 are for validation; some days have no value at all
    assert len(data["test"]) == 12 * 366
    assert 12 * 365 * 3 < sum(map(len, data.values())) <= 12 * 1461
    x = data["train"].take(np.arange(len(data["train"]))).x_BT
    assert 0 < x.isnan().float().mean() < 0.03
    assert x.nanmean().abs() < 0.01
