"""Released runs: `zoo:NAME` is a run that every verb takes and none writes to."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import genzoo_rwae as gz
from genzoo_rwae import releases as module
from genzoo_rwae.assemble import open_split
from genzoo_rwae.catalogue import zoo_specs
from genzoo_rwae.releases import find_run, outputs_of, own_copy, release_name, releases
from genzoo_rwae.run_folder import RunFolder

SHIPPED = releases()
HOLDS = ["README.md", "digests.json", "evaluation.json", "metrics.jsonl", "model.safetensors",
         "spec.yaml"]  # fmt: skip
MOST_BYTES = 10_000_000
WEIGHTS = "model.safetensors"
checkout_alone = pytest.mark.skipif(
    not SHIPPED, reason="releases/ is not part of a source distribution"
)


@pytest.fixture
def released(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release called `tiny`, the only one that there is; the current folder is an empty one."""
    folder = tmp_path / "releases" / "tiny"
    shutil.copytree(built, folder, ignore=lambda _, names: set(names) - set(HOLDS))
    monkeypatch.setattr(module, "_FOLDER", folder.parent)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- the releases of this checkout ----------------------------------------------------------------


@checkout_alone
@pytest.mark.parametrize("name", SHIPPED)
def test_a_release_is_whole_small_and_tells_of_no_machine(name: str) -> None:
    folder = SHIPPED[name]
    assert sorted(path.name for path in folder.iterdir()) == HOLDS
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES
    run = RunFolder.open(f"zoo:{name}")
    vouched = {path.name for path in run.digests.noted()}
    assert vouched == set(HOLDS) - {"digests.json"}
    run.check_all()
    for path in folder.iterdir():
        if path.name != WEIGHTS:
            assert not re.search(r"(?<![\w:/.])/(work|home|root|tmp|Users)/", path.read_text())


@checkout_alone
@pytest.mark.parametrize("name", SHIPPED)
def test_a_release_is_of_a_spec_of_the_zoo_and_its_card_says_whose_data_it_saw(name: str) -> None:
    assert name in zoo_specs()
    model = gz.load(f"zoo:{name}")
    card = (SHIPPED[name] / "README.md").read_text()
    assert model.info.licence
    assert model.info.licence in card
    assert 'license: "unknown"' not in card
    assert f"genzoo swap zoo:{name}" in card


@checkout_alone
def test_digits_are_swapped_without_training(genzoo, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows, columns = [0, 20, 40, 60, 80, 100], [10, 30, 50, 70, 90, 110]
    words = ["--static", ",".join(map(str, rows)), "--motion", ",".join(map(str, columns))]
    ended = genzoo("swap", "zoo:quickstart", *words)
    assert ended.code == 0, ended.err
    swapped_RCT = np.load(tmp_path / "runs/zoo-quickstart/swap/swap.npz")["x"]
    data = open_split(gz.load_spec("zoo:quickstart"), "test")

    def error(static: np.ndarray, dynamic: np.ndarray) -> np.ndarray:
        """Of each cell of the grid, from those digits on those paths."""
        true_RCT = data.recombine(static.ravel(), dynamic.ravel()).numpy() / 255
        return np.square(swapped_RCT - true_RCT.reshape(swapped_RCT.shape)).mean((2, 3, 4, 5))

    row_RC, column_RC = np.meshgrid(rows, columns, indexing="ij")
    truth_RC, static_RC, motion_RC = (
        error(row_RC, column_RC), error(row_RC, row_RC), error(column_RC, column_RC)
    )  # fmt: skip
    assert (truth_RC < np.minimum(static_RC, motion_RC)).mean() > 0.8
    assert truth_RC.mean() < 0.5 * min(static_RC.mean(), motion_RC.mean())


# -- what is done with one ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "made"),
    {
        "sample zoo:tiny": "sample-0/sample.png",
        "swap zoo:tiny": "swap/swap.png",
        "traverse zoo:tiny": "traverse-static/traverse.png",
        "reconstruct zoo:tiny": "reconstruct/reconstruction.png",
        "encode zoo:tiny": "codes-test.npz",
        "report zoo:tiny": "pictures/swap.png",
        "sample ../releases/tiny": "sample-0/sample.png",
        "evaluate ../releases/tiny sample": "report.html",
    }.items(),
)
def test_a_verb_takes_it_and_writes_elsewhere(genzoo, released, line, made) -> None:
    before = contents(released)
    ended = genzoo(*line.split())
    assert ended.code == 0, ended.err
    assert Path("runs/zoo-tiny", made).is_file()
    assert contents(released) == before


def test_it_is_compared_and_nothing_is_written(genzoo, released) -> None:
    ended = genzoo("compare", "zoo:tiny", "--markdown")
    assert "| folder | zoo:tiny |" in ended.out
    assert "| parameters |" in ended.out
    assert list(Path().iterdir()) == []


def test_python_loads_it_and_measures_a_copy(released) -> None:
    before = contents(released)
    assert gz.load("zoo:tiny").info.frame_shape == (1, 32, 32)
    assert set(gz.evaluate("zoo:tiny", ["sample"])) == {"reconstruction", "sample"}
    assert contents(released) == before
    copy = RunFolder.open(Path("runs/zoo-tiny"))
    assert set(copy.read_evaluation()) == {"reconstruction", "sample"}
    copy.check_all()
    gz.evaluate("zoo:tiny", ["prior-match"])
    assert set(copy.read_evaluation()) == {"reconstruction", "sample", "prior-match"}


def test_samples_need_no_data(genzoo, released, monkeypatch) -> None:
    def gone() -> None:
        raise gz.DataError("no digits here")

    monkeypatch.setattr("genzoo_rwae_plugins.sources.digits._digits", gone)
    assert genzoo("sample", "zoo:tiny").code == 0
    assert "no digits here" in genzoo("swap", "zoo:tiny").err


def test_a_copy_that_was_broken_off_is_made_anew(released) -> None:
    copy = Path("runs/zoo-tiny")
    copy.mkdir(parents=True)
    (copy / WEIGHTS).write_bytes(b"half")
    assert own_copy(Path("zoo:tiny")) == copy
    assert contents(copy).keys() == {str(copy / name) for name in HOLDS}
    gz.load(copy)


def test_another_model_in_the_place_of_the_copy_is_left(genzoo, released) -> None:
    copy = own_copy(Path("zoo:tiny"))
    (copy / WEIGHTS).write_bytes(b"other")
    before = contents(copy)
    ended = genzoo("evaluate", "zoo:tiny")
    assert ended.code == 2
    assert f"{copy} is no copy of zoo:tiny: its {WEIGHTS} is another; move it away" in ended.err
    assert contents(copy) == before


def test_a_copy_that_lost_its_weights_is_refused_in_words(released) -> None:
    (own_copy(Path("zoo:tiny")) / WEIGHTS).unlink()
    with pytest.raises(gz.CheckpointError, match=f"its {WEIGHTS} is not there; move it away"):
        own_copy(Path("zoo:tiny"))


def test_a_damaged_release_is_refused_and_to_be_checked_out_again(genzoo, released) -> None:
    raw = bytearray((released / WEIGHTS).read_bytes())
    raw[len(raw) // 2] ^= 16
    (released / WEIGHTS).write_bytes(raw)
    ended = genzoo("sample", "zoo:tiny")
    assert ended.code == 2
    assert "is not what genzoo wrote" in ended.err
    assert "check it out again" in ended.err


# -- names ----------------------------------------------------------------------------------------


def test_a_run_of_ones_own_is_the_folder_that_was_said(released, built) -> None:
    for run in (built, Path("runs/mine"), Path("tiny")):
        assert find_run(run) == outputs_of(run) == own_copy(run) == run
        assert release_name(run) == ""


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("zoo:tinny", "no released run is called 'tinny'; did you mean 'zoo:tiny'? known: tiny"),
        ("zoo:dsvae", "known: tiny; `genzoo build zoo:dsvae` trains it"),
        ("zoo:../releases/tiny", "no released run is called '../releases/tiny'"),
        ("zoo:", "no released run is called ''"),
    ],
)
def test_a_name_that_is_not_released_is_answered_with_those_that_are(
    genzoo, released, reference, said
) -> None:
    ended = genzoo("sample", reference)
    assert ended.code == 2
    assert said in ended.err


def test_an_installed_package_says_where_the_weights_are(genzoo, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "_FOLDER", tmp_path / "site-packages" / "releases")
    monkeypatch.chdir(tmp_path)
    ended = genzoo("swap", "zoo:quickstart")
    assert ended.code == 2
    assert "come with a checkout of the repository, and not with the installed package" in ended.err
    assert "give the folder, as genzoo-rwae/releases/NAME" in ended.err
    assert "`genzoo build zoo:quickstart` trains it" in ended.err
    assert "released runs" not in genzoo("list").out


def test_an_installed_package_finds_them_in_the_checkout_that_one_is_in(
    released, monkeypatch, tmp_path
) -> None:
    checkout = module._FOLDER.parent
    monkeypatch.setattr(module, "_FOLDER", tmp_path / "site-packages" / "releases")
    monkeypatch.chdir(checkout)
    assert [path.resolve() for path in releases().values()] == [checkout / "releases" / "tiny"]


def test_list_names_them(genzoo, released) -> None:
    assert "released runs, trained already (genzoo swap zoo:NAME)\n  tiny\n" in genzoo("list").out


def test_json_of_evaluate_says_which_folder_was_measured(genzoo, released) -> None:
    told = json.loads(genzoo("evaluate", "zoo:tiny", "--json").out)
    assert told["run"] == "runs/zoo-tiny"


def test_measured_on_the_validation_split_it_is_not_copied(genzoo, released) -> None:
    before = contents(released)
    told = json.loads(genzoo("evaluate", "zoo:tiny", "--on", "validation", "--json").out)
    assert (told["run"], set(told["figures"])) == ("zoo:tiny", {"reconstruction"})
    assert set(gz.evaluate("zoo:tiny", on="validation")) == {"reconstruction"}
    assert list(Path().iterdir()) == []
    assert contents(released) == before
