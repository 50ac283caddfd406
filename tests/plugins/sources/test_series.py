"""The source `series`: windows of the user's tables, and what can be wrong with them."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.sources.series import series

from genzoo_rwae.errors import DataError, OptionError

SPLITS = ("train", "validation", "test")
START = datetime(2020, 1, 31, 22)


def written(path, header, rows, delimiter=","):
    lines = [delimiter.join(map(str, row)) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def hours(count, start=START):
    return [(start + timedelta(hours=hour)).isoformat(sep=" ") for hour in range(count)]


def all_of(data):
    return data.take(np.arange(len(data)))


def in_units(data):
    """Every sequence of a split, in units, [N, T, F]."""
    return data.scaling.in_units(all_of(data).x_BT).numpy()


@pytest.fixture
def one(tmp_path):
    """120 hours of one series: a counts hours, b is noise."""
    noise = np.random.default_rng(0).normal(size=120).round(4)
    return written(
        tmp_path / "one.csv", ("time", "a", "b"), zip(hours(120), range(120), noise, strict=True)
    )


@pytest.fixture
def many(tmp_path):
    """Ten stations of 24 hours, interleaved as they were measured: a is 100 station + hour."""
    rows = [
        (time, f"s{station}", 100 * station + hour, "day" if 8 <= hour < 20 else "night")
        for hour, time in enumerate(hours(24))
        for station in range(10)
    ]
    return written(tmp_path / "many.csv", ("time", "station", "a", "light"), rows)


def test_windows_are_the_rows_of_the_file_in_units(one):
    data = series("train", path=one, time="time", length=8, stride=4, gap=0)
    found = in_units(data)
    rows = np.loadtxt(one, delimiter=",", skiprows=1, usecols=(1, 2))
    assert data.info.frame_shape == (2,)
    assert data.info.display.names == ("a", "b")
    assert data.info.display.step == 3600.0
    assert not data.info.missing
    for number, window in enumerate(found):
        np.testing.assert_allclose(window, rows[4 * number : 4 * number + 8], atol=1e-4)


def test_training_segments_have_mean_0_and_spread_1_channel_by_channel(one):
    x = all_of(series("train", path=one, time="time", length=8, gap=0)).x_BT
    flat = x.flatten(0, 1).double()
    assert len(flat) == 96  # a multiple of 8: windows cover the segment
    assert flat.mean(0).abs().max() < 1e-6
    torch.testing.assert_close(flat.std(0, correction=0), torch.ones(2).double())


@pytest.mark.parametrize("gap", [0, 5, None])
def test_splits_by_time_share_no_step_and_keep_their_gap(one, gap):
    steps = {
        split: series(split, path=one, time="time", length=6, stride=1, validation=0.2, test=0.2,
                      gap=gap)
        for split in SPLITS
    }  # fmt: skip
    steps = {split: in_units(data)[..., 0].round() for split, data in steps.items()}
    assert steps["train"].max() == 71
    assert steps["validation"].min() - steps["train"].max() == 1 + (6 if gap is None else gap)
    assert steps["test"].min() - steps["validation"].max() == 1 + (6 if gap is None else gap)
    assert steps["test"].max() == 119
    assert all((np.diff(windows, axis=1) == 1).all() for windows in steps.values())


def test_a_validation_share_of_0_is_an_empty_split(one):
    assert len(series("validation", path=one, time="time", length=6, validation=0)) == 0


def test_splits_by_time_cut_all_series_at_the_same_time(tmp_path):
    rows = [(day, who, day) for who, days in (("x", range(40)), ("y", range(20, 60)))
            for day in days]  # fmt: skip
    path = written(tmp_path / "x.csv", ("t", "who", "a"), rows)
    options = {"path": path, "time": "t", "entity": "who", "values": ("a",), "split_by": "time"}
    ends = {
        split: in_units(series(split, length=2, stride=1, gap=0, test=0.25, **options)).round()
        for split in SPLITS
    }
    assert ends["train"].max() < ends["validation"].min()
    assert ends["validation"].max() < ends["test"].min()


def test_splits_by_entity_share_no_entity_and_lose_none(many):
    stations = {}
    for split in SPLITS:
        data = series(split, path=many, time="time", entity="station", length=8, test=0.3)
        found = in_units(data)[..., 0]
        stations[split] = set((found.round() // 100).astype(int).ravel().tolist())
        assert len(data) == 3 * len(stations[split])
    assert [len(of_split) for of_split in stations.values()] == [6, 1, 3]
    assert set().union(*stations.values()) == set(range(10))


def test_a_folder_holds_a_series_a_file(tmp_path):
    for who in range(6):
        written(tmp_path / f"p{who}.csv", ("a",), [(10 * who + step,) for step in range(5)])
    (tmp_path / "NOTES.txt").write_text("no table")
    found = [in_units(series(split, path=tmp_path, length=5)) for split in SPLITS]
    starts = sorted(int(window[0, 0].round()) for windows in found for window in windows)
    assert starts == [0, 10, 20, 30, 40, 50]
    written(tmp_path / "p6.csv", ("b",), [(1,)])
    with pytest.raises(DataError, match=r"p6\.csv: found no column 'a'; its columns are b"):
        series("train", path=tmp_path, length=5)


def test_an_outlier_outside_training_moves_no_scale(one):
    def scale():
        scaling = series("train", path=one, time="time", length=6).scaling
        return scaling.mean_F.copy(), scaling.sd_F.copy()

    before = scale()
    lines = one.read_text().splitlines()
    for row in (105, 119):  # of validation, of test
        cells = lines[1 + row].split(",")
        lines[1 + row] = f"{cells[0]},{cells[1]},1e12"
    one.write_text("\n".join(lines))
    np.testing.assert_array_equal(scale(), before)
    lines[1 + 50] = f"{hours(51)[50]},50,1e12"  # of training
    one.write_text("\n".join(lines))
    assert scale()[1][1] > 1e9


def test_splits_agree_on_the_scale(one):
    scales = [series(split, path=one, time="time", length=6).scaling for split in SPLITS]
    for scaling in scales:
        np.testing.assert_array_equal(scaling.mean_F, scales[0].mean_F)
        np.testing.assert_array_equal(scaling.sd_F, scales[0].sd_F)


def test_empty_cells_and_left_out_times_are_missing_values(tmp_path):
    cells = ["1", "", "NA", "nan", "null", "6"]
    rows = [(time, a, 1) for time, a in zip(hours(6), cells, strict=True)] + [(hours(9)[8], 9, 1)]
    path = written(
        tmp_path / "x.csv", ("time", "a", "b"), [*rows, *((t, 1, 1) for t in hours(30)[9:])]
    )
    data = series("train", path=path, time="time", length=9, validation=0, test=0.4, gap=0)
    x = data.scaling.in_units(all_of(data).x_BT)[0, :, 0]
    assert data.info.missing
    assert x.isnan().tolist() == [False, True, True, True, True, False, True, True, False]
    assert all_of(data).lengths_B[0] == 9
    # a time that is left out lacks all values
    assert all_of(data).x_BT[0, 6:8].isnan().all()


def test_windows_in_which_nothing_is_there_are_left_out(tmp_path):
    rows = [(step, "" if 10 <= step < 20 else step) for step in range(100)]
    path = written(tmp_path / "x.csv", ("t", "a"), rows)
    found = in_units(series("train", path=path, time="t", values=("a",), length=5))
    starts = found[:, 0, 0].round().tolist()
    assert 5.0 in starts
    assert len(starts) == 14  # 80 training steps, less two windows
    assert not np.isnan(found).all(axis=(1, 2)).any()
    empty = written(tmp_path / "y.csv", ("t", "a"), [(step, "") for step in range(100)])
    with pytest.raises(
        DataError, match="no train sequence of 5 steps in 80 steps that has a value"
    ):
        series("train", path=empty, time="t", values=("a",), length=5)


def test_a_value_that_training_never_has_is_missing_everywhere(tmp_path):
    rows = [(step, step, "", 7.5, "" if step < 90 else 1e30) for step in range(100)]
    path = written(tmp_path / "x.csv", ("t", "a", "never", "constant", "late"), rows)
    columns = ("a", "never", "constant", "late")
    for split in SPLITS:
        x = all_of(series(split, path=path, time="t", values=columns, length=5)).x_BT
        assert x[..., [1, 3]].isnan().all()
        assert x[..., [0, 2]].isfinite().all()
        assert (x[..., 2] == 0).all()
    scaling = series("train", path=path, time="t", values=columns, length=5).scaling
    assert np.isnan([scaling.mean_F, scaling.sd_F])[:, [1, 3]].all()


def test_a_short_series_is_padded_and_says_its_length(tmp_path):
    rows = [(who, step) for who in range(8) for step in range(3 + who)]
    path = written(tmp_path / "x.csv", ("who", "a"), rows)
    for split in SPLITS:
        batch = all_of(series(split, path=path, entity="who", values=("a",), length=6))
        steps = torch.arange(6)
        assert (batch.x_BT[steps >= batch.lengths_B[:, None]] == 0).all()
        assert batch.x_BT.isfinite().all()
    assert min(batch.lengths_B.tolist()) >= 3


def test_a_window_has_the_most_common_class_of_its_steps(many):
    data = series("train", path=many, time="time", entity="station", length=8, values=("a",),
                  labels=("light", "station"), dynamic=("light",))  # fmt: skip
    light, station = data.info.factors
    assert (light.name, light.classes, light.code) == ("light", ("day", "night"), "dynamic")
    assert (station.classes[:2], station.code) == (("s0", "s1"), "static")
    batch = all_of(data)
    a = data.scaling.in_units(batch.x_BT)[..., 0].round()
    hour = a % 100
    by_day = ((hour >= 8) & (hour < 20)).sum(1)
    # four against four: the first class
    assert (batch.factors["light"] == (by_day < 4).long()).all()
    assert (batch.factors["station"] == a[:, 0].long() // 100).all()


def test_a_step_has_the_class_of_its_last_row_or_of_the_step_before(tmp_path):
    rows = [(step, step, "" if step % 3 else f"c{step % 2}") for step in range(40) if step != 4]
    path = written(tmp_path / "x.csv", ("t", "a", "kind"), rows)
    options = {"path": path, "time": "t", "values": ("a",), "labels": ("kind",), "length": 1}
    data = series("train", **options)
    (kind,) = data.info.factors
    batch = all_of(data)
    steps = data.scaling.in_units(batch.x_BT)[:, 0, 0].round().long().tolist()
    found = [kind.classes[label] for label in batch.factors["kind"].tolist()]
    assert kind.classes == ("(empty)", "c0", "c1")
    assert found == ["(empty)" if step % 3 else f"c{step % 2}" for step in steps]
    # steps of two rows: the later one; the step that is left out: that of the step before
    pairs = series("train", **options, step=2.0)
    labels = [kind.classes[label] for label in all_of(pairs).factors["kind"].tolist()]
    assert labels[:4] == ["(empty)", "c1", "(empty)", "(empty)"]


def test_rows_of_a_step_are_averaged_in_any_order(tmp_path):
    rows = [(step + offset, 10 * step + value, "")
            for step in range(60) for offset, value in ((0.9, 4), (0.0, 2))]  # fmt: skip
    rows = [row for row in rows if int(row[0]) != 7]
    np.random.default_rng(0).shuffle(rows)
    path = written(tmp_path / "x.csv", ("t", "a", "b"), rows)
    data = series("train", path=path, time="t", step=1.0, length=4, values=("a", "b"), gap=0)
    a = in_units(data)[..., 0].ravel()
    wanted = 10.0 * np.arange(len(a)) + 3
    wanted[7] = np.nan
    np.testing.assert_allclose(a, wanted, atol=1e-4)
    with pytest.raises(DataError, match="found an earlier time than before"):
        series("train", path=path, time="t", length=4)
    with pytest.raises(OptionError, match="wanted `time`"):
        series("train", path=path, step=1.0, length=4)


def test_what_follows_a_window_ends_with_its_split(one):
    data = series("train", path=one, time="time", length=8, stride=8, gap=0)
    after = data.following(np.array([0, len(data) - 1]), 5)
    assert after[0, :, 0].tolist() == [8, 9, 10, 11, 12]
    assert after[1].isnan().all()  # the last window ends with the segment
    shorter = series("train", path=one, time="time", length=8, stride=7, gap=0)
    last = shorter.following(np.array([len(shorter) - 1]), 20)[0, :, 0]
    assert last.isfinite().sum() == 4
    assert last.nan_to_num(0).max() == 95


def test_parquet_is_read_as_csv_is(many, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    table = csv.read_csv(many)
    assert pyarrow.types.is_timestamp(table["time"].type)
    a = table["a"].to_pylist()
    table = table.set_column(2, "a", pyarrow.array([None if v == 3 else v for v in a]))
    parquet.write_table(table, tmp_path / "many.parquet")
    text = many.read_text().replace(",s0,3,", ",s0,,")
    many.write_text(text)
    options = {"time": "time", "entity": "station", "length": 8, "labels": ("light",)}
    for split in SPLITS:
        one, other = (
            series(split, path=path, **options) for path in (many, tmp_path / "many.parquet")
        )
        assert one.info == other.info
        torch.testing.assert_close(all_of(one).x_BT, all_of(other).x_BT, equal_nan=True)
        assert torch.equal(all_of(one).factors["light"], all_of(other).factors["light"])
    with pytest.raises(DataError, match="found no column 'nobody'"):
        series("train", path=tmp_path / "many.parquet", length=8, values=("nobody",))


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'genzoo-rwae\[series\]'"):
        series("train", path=tmp_path / "x.parquet", length=8)


def test_a_damaged_parquet_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as a table"):
        series("train", path=tmp_path / "x.parquet", length=8)


def test_a_parquet_file_that_names_a_column_twice_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    steps = pyarrow.array(range(40))
    parquet.write_table(pyarrow.table([steps] * 3, ["time", "a", "a"]), tmp_path / "x.parquet")
    for options in ({}, {"time": "time"}, {"values": ("time",)}, {"values": ("a",)}):
        with pytest.raises(
            DataError, match=r"x\.parquet: found several columns 'a', wanted a diff"
        ):
            series("train", path=tmp_path / "x.parquet", length=4, **options)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_a_byte_order_mark_are_understood(tmp_path, delimiter):
    path = written(tmp_path / "x.csv", ("t", "a"), [(k, k) for k in range(50)], delimiter)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    data = series("train", path=path, time="t", length=5, gap=0)
    assert in_units(data)[0, :, 0].round().tolist() == [0, 1, 2, 3, 4]


def test_time_zones_are_minded(tmp_path):
    rows = [(f"2020-03-29T{hour:02}:00:00+0{1 + (hour >= 2)}:00", hour)
            for hour in range(24) if hour != 2]  # fmt: skip
    path = written(tmp_path / "x.csv", ("t", "a"), rows)  # clocks go forward: 23 hours, no gap
    assert not series("train", path=path, time="t", length=2, gap=0).info.missing


@pytest.mark.parametrize(
    ("first", "later", "wanted"),
    [("", "+01:00", "without"), ("+01:00", "", "with"), ("Z", "", "with")],
)
def test_dates_with_and_without_a_time_zone_are_not_mixed(tmp_path, first, later, wanted):
    rows = [(f"2020-03-01T{hour:02}:00:00{first if hour < 20 else later}", hour)
            for hour in range(24)]  # fmt: skip
    path = written(tmp_path / "x.csv", ("t", "a"), rows)
    with pytest.raises(
        DataError,
        match=rf"x\.csv:22: column 't': found '2020-03-01T20.*a date {wanted} a time zone",
    ):
        series("train", path=path, time="t", length=2, gap=0)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("{}", "2020-03-01T{:02}:00", "dates without a time zone, and numbers in"),
        (
            "2020-03-01T{:02}:00",
            "2020-03-01T{:02}:00Z",
            "dates with a time zone, and dates without a time zone in",
        ),
    ],
)
def test_files_of_one_folder_have_one_kind_of_time(tmp_path, one, other, said):
    for name, form in (("a", one), ("b", other)):
        rows = [(form.format(hour), hour) for hour in range(24)]
        written(tmp_path / f"{name}.csv", ("t", "v"), rows)
    with pytest.raises(DataError, match=rf"b\.csv: column 't': found {said}.*a\.csv"):
        series("train", path=tmp_path, time="t", length=2)


def test_times_too_many_steps_from_0_are_refused(one, tmp_path):
    with pytest.raises(DataError, match=r"one\.csv:2: found a time of 1\.58.*larger `step`"):
        series("train", path=one, time="time", step=1e-10, length=2)
    rows = [("far", 1e20, 0), *(("near", step, step) for step in range(40))]
    path = written(tmp_path / "x.csv", ("who", "t", "a"), rows)
    with pytest.raises(DataError, match=r"x\.csv:2: found a time of 1e\+20, wanted"):
        series("train", path=path, time="t", entity="who", split_by="time", length=2)


@pytest.mark.parametrize("size", [1e300, 1.7e308])
def test_values_too_large_to_scale_are_refused(tmp_path, size):
    rows = [(step, step, size if step % 3 else -step) for step in range(40)]
    path = written(tmp_path / "x.csv", ("t", "a", "b"), rows)
    with pytest.raises(DataError, match=r"x\.csv: column 'b': found values up to 1\.?7?e\+30"):
        series("train", path=path, time="t", length=2)


def test_a_file_that_has_changed_is_read_again(one):
    before = series("train", path=one, time="time", length=6)
    one.write_text(one.read_text().replace(",0,", ",-1000,", 1))
    after = series("train", path=one, time="time", length=6)
    assert in_units(before)[0, 0, 0].round() == 0
    assert in_units(after)[0, 0, 0].round() == -1000


GOOD = "time,a\n" + "".join(f"{k},{k}\n" for k in range(40))


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("", {}, r"x\.csv:1: found the header '\(empty\)'"),
        ("time,a\n", {}, r"x\.csv: found no rows"),
        ("time,a,a\n1,2,3\n", {}, r"x\.csv:1: found the header 'time,a,a', wanted a different"),
        (GOOD + "40\n", {}, r"x\.csv:42: found 1 cells, wanted 2"),
        (GOOD + "40,1,2\n", {}, r"x\.csv:42: found 3 cells, wanted 2"),
        (GOOD + "40,abc\n", {}, r"x\.csv:42: column 'a': found 'abc', wanted a finite number"),
        (GOOD + "40,inf\n", {}, r"x\.csv:42: column 'a': found 'inf'"),
        (GOOD + "40,1_000\n", {}, r"x\.csv:42: column 'a': found '1_000'"),
        ("t;a\n1;3,5\n", {"time": "t", "values": ("a",)}, r":2: .*'3,5'.*decimals with a point"),
        (GOOD + "\n\n39,4\n", {}, r"x\.csv:44: found the time of the row before again.*`step`"),
        (GOOD + "3,4\n", {}, r"x\.csv:42: found an earlier time .*sort by time, or, .* `entity`"),
        (GOOD + "40.5,4\n", {}, r"x\.csv:42: found a time 40\.5 steps after .*say `step`"),
        (GOOD + "1e9,4\n", {}, r"x\.csv:42: found 1,000,000,001 steps for 41 rows"),
        (GOOD + "noon,4\n", {}, r"x\.csv:42: column 'time': found 'noon', wanted a finite number"),
        (GOOD + ",4\n", {}, r"x\.csv:42: column 'time': found ''"),
        ("time,a\n2020-01-01,1\n01.02.2020,2\n", {}, r":3: .*wanted a date as 2016-07-01 13:00"),
        (GOOD, {"values": ("b",)}, r"x\.csv: found no column 'b'; its columns are time, a"),
        (GOOD, {"time": "when"}, r"found no column 'when'"),
        ("time,a\n1,x\n2,y\n", {}, "no column of numbers"),
        (GOOD, {"length": 60}, r"no train sequence of 60 steps in 32 steps"),
        (GOOD, {"length": 5, "test": 0.05}, "no validation sequence .* in 0 steps .*`gap` below 5"),
        (GOOD, {"length": 5, "gap": 1, "test": 0.1}, "no validation .* of 5 steps in 3 steps"),
        (GOOD, {"length": 5, "validation": 0, "test": 0.2}, r"no test .* in 3 .*`gap` below 5"),
        ("time,who,a\n1,,1\n2,,2\n", {"entity": "who"}, r"x\.csv:2: column 'who': found nothing"),
        ("time,who,a\n1,x,1\n2,x,2\n1,y,1\n", {"entity": "who"}, "found 2 entities, of which"),
        ("time,who,a\n1,x,1\n1,y,2\n", {"entity": "who"}, "a single row for every entity"),
        ("a\n" + "x" * 200_000 + "\n", {"time": None}, "cannot be read as a table"),
        ("x" * 200_000 + "\n1\n", {"time": None}, "cannot be read as a table"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said_at_its_place(tmp_path, text, options, said):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        series("train", **{"path": tmp_path / "x.csv", "time": "time", "length": 4, **options})


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,\xff\xfe\n")
    with pytest.raises(DataError, match=r"x\.csv: cannot be read as a table \('utf-8'"):
        series("train", path=tmp_path / "x.csv", length=4)
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"found a file of type '\.xlsx', wanted"):
        series("train", path=tmp_path / "x.xlsx", length=4)
    with pytest.raises(DataError, match="found nothing, wanted"):
        series("train", path=tmp_path / "none.csv", length=4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found no file that ends in"):
        series("train", path=tmp_path / "empty", length=4)


def test_an_entity_in_two_files_is_refused(tmp_path):
    for name in ("x", "y"):
        written(tmp_path / f"{name}.csv", ("who", "a"), [("s", 1), ("s", 2)])
    with pytest.raises(DataError, match=r"y\.csv: found 's', which .*x\.csv has, too"):
        series("train", path=tmp_path, entity="who", length=2)


def test_options_that_do_not_fit_are_named(one):
    with pytest.raises(OptionError, match="leave nothing to train on"):
        series("train", path=one, length=4, validation=0.5, test=0.5)
    with pytest.raises(OptionError, match="'b' is none of `labels`"):
        series("train", path=one, length=4, labels=("a",), dynamic=("b",))
