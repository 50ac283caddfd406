"""The source `physionet`: on made-up stays, and what the real ones hold."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from genzoo_rwae_plugins.sources.physionet import physionet

from genzoo_rwae.errors import DataError

BESIDE = Path(__file__).parents[4] / "shared" / "data"
SPLITS = ("train", "validation", "test")
STAYS = 20
# one that is 0 was not measured; written out, for the source's own list to be held against
NEVER_ZERO = (
    "ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "DiasABP",
    "FiO2", "GCS", "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "MechVent", "Mg",
    "NIDiasABP", "NIMAP", "NISysABP", "Na", "PaCO2", "PaO2", "Platelets", "RespRate", "SaO2",
    "SysABP", "Temp", "WBC", "Weight", "pH",
)  # fmt: skip


def make_stays(folder, extra=()):
    """Stay n has GCS n + 3 in its first hour, twice, and MAP 50 + n as the last hour ends."""
    (folder / "set-a").mkdir(parents=True)
    outcomes = ["RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"]
    for stay in range(STAYS):
        outcomes.append(f"{1000 + stay},6,1,5,-1,{int(stay % 4 == 0)}")
        rows = [
            "Time,Parameter,Value", f"00:00,RecordID,{1000 + stay}", "00:00,Age,54",
            f"00:00,Gender,{stay % 3 - 1}", "00:00,Weight,-1", f"00:07,GCS,{stay + 2}",
            f"00:59,GCS,{stay + 4}", "01:10,Temp,-17.8", "02:30,MAP,0", "02:30,pH,735",
            "03:10,Urine,0", "03:10,TroponinI,0", "03:10,TroponinT,0", "03:20,Novel,5",
            *(f"04:00,{name},0" for name in NEVER_ZERO), f"48:00,MAP,{50 + stay}", *extra,
        ]  # fmt: skip
        (folder / "set-a" / f"{1000 + stay}.txt").write_text("\n".join(rows) + "\n")
    (folder / "Outcomes-a.txt").write_text("\n".join(outcomes) + "\n")
    return folder


@pytest.fixture
def stays(tmp_path):
    return make_stays(tmp_path / "made")


def of(split, root, **options):
    data = physionet(split, root=root, **options)
    batch = data.take(np.arange(len(data)))
    return data, batch, data.scaling.in_units(batch.x_BT).numpy()


def test_an_hour_has_the_mean_of_what_was_measured_in_it(stays):
    data, batch, x = of("train", stays)
    names = data.info.display.names
    assert data.info.missing
    assert x.shape[1:] == (48, 10)
    stay = x[:, 0, names.index("GCS")] - 3
    np.testing.assert_allclose(stay, stay.round(), atol=1e-4)
    np.testing.assert_allclose(x[:, 47, names.index("MAP")], 50 + stay, atol=1e-4)
    assert np.isfinite(x).sum() == 2 * len(x)  # impossible values are none
    stay = stay.round().astype(int)
    assert batch.factors["death"].tolist() == [int(n % 4 == 0) for n in stay]
    gender = data.info.factors[1].classes
    assert [gender[k] for k in batch.factors["gender"].tolist()] == [
        ("unknown", "female", "male")[n % 3] for n in stay
    ]
    assert {factor.code for factor in data.info.factors} == {"static"}


def test_all_channels_are_thirty_seven(stays):
    data, _, x = of("train", stays, channels="all")
    names = data.info.display.names
    assert data.info.frame_shape == (37,)
    assert np.isnan(x[..., names.index("pH")]).all()  # 735 is no pH


def test_only_urine_and_troponin_may_be_zero(stays):
    data, _, x = of("train", stays, channels="all")
    place = data.info.display.names.index
    may = ["Urine", "TroponinI", "TroponinT"]
    assert {*may, *NEVER_ZERO} == set(data.info.display.names)
    assert (x[:, 3, [place(name) for name in may]] == 0).all()
    assert np.isnan(x[:, 4, [place(name) for name in NEVER_ZERO]]).all()


def test_splits_are_by_patient_and_lose_none(stays):
    seen = [of(split, stays)[2] for split in SPLITS]
    gcs = [np.nanmax(x[:, 0], axis=1).round().astype(int).tolist() for x in seen]
    assert [len(part) for part in gcs] == [14, 3, 3]
    assert sorted(gcs[0] + gcs[1] + gcs[2]) == list(range(3, STAYS + 3))


def test_patients_of_other_splits_move_no_scale(stays):
    data, _, x = of("test", stays)
    before = data.scaling
    patient = 997 + int(np.nanmax(x[0, 0]).round())
    path = stays / "set-a" / f"{patient}.txt"
    path.write_text(path.read_text() + "05:00,SysABP,99999\n06:00,GCS,99999\n")
    after = physionet("train", root=stays).scaling
    np.testing.assert_array_equal(before.mean_F, after.mean_F)
    np.testing.assert_array_equal(before.sd_F, after.sd_F)


def test_a_stay_without_a_measurement_is_left_out(stays):
    _, _, x = of("train", stays)
    patient = 997 + int(np.nanmax(x[0, 0]).round())
    (stays / "set-a" / f"{patient}.txt").write_text("Time,Parameter,Value\n00:00,Age,54\n")
    assert len(physionet("train", root=stays)) == len(x) - 1


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("01:00,HR,abc", "abc"),
        ("1,HR,70", "1,HR"),
        ("49:00,HR,70", "49:00"),
        ("01:00,HR,inf", "inf"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, found):
    make_stays(tmp_path / "bad", extra=(row,))
    line = len((tmp_path / "bad" / "set-a" / "1000.txt").read_text().splitlines())
    with pytest.raises(DataError, match=rf"1000\.txt:{line}: found .*{found}"):
        physionet("train", root=tmp_path / "bad")


def test_what_is_missing_is_named(stays):
    path = stays / "set-a" / "1000.txt"
    whole = path.read_text()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"1000\.txt:1: found the header a,b"):
        physionet("train", root=stays)
    path.write_text(whole)
    path.rename(stays / "set-a" / "7.txt")
    with pytest.raises(DataError, match=r"Outcomes-a\.txt: found no outcome of 7, wanted"):
        physionet("train", root=stays)
    (stays / "Outcomes-a.txt").unlink()
    with pytest.raises(DataError, match=r"found 20 stays in set-a and no Outcomes-a\.txt"):
        physionet("train", root=stays)


@pytest.mark.data
def test_the_real_stays():
    root = Path(os.environ.get("GENZOO_DATA", BESIDE)) / "physionet2012"
    if not root.is_dir():
        pytest.skip(f"no PhysioNet data at {root}")
    data = [physionet(split, root=root) for split in SPLITS]
    assert sum(map(len, data)) == 3995  # of 3,996; one has none of the ten
    deaths = np.concatenate([d.take(np.arange(len(d))).factors["death"] for d in data])
    assert deaths.mean() == pytest.approx(0.139, abs=0.002)
