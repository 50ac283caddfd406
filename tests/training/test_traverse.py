"""`genzoo traverse`, `genzoo swap --only` and `genzoo compare` on a run that was built."""

import json

import numpy as np
import pytest

import genzoo_rwae as gz
from genzoo_rwae.cli import main


@pytest.fixture(scope="module")
def built(tmp_path_factory, tiny_text):
    folder = tmp_path_factory.mktemp("built")
    (folder / "tiny.yaml").write_text(tiny_text)
    gz.build(folder / "tiny.yaml", run=folder / "run", settings={"evaluate": ["reconstruction"]})
    return folder / "run"


@pytest.fixture
def called(built, capsys):
    """Call the command and read the JSON that it prints."""

    def call(*words):
        try:
            main([*map(str, words), "--json"])
            code = 0
        except SystemExit as left:
            code = left.code or 0
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else captured.err

    return call


@pytest.mark.parametrize(("code", "width"), [("static", 4), ("dynamic", 2)])
def test_traverse_writes_pictures_arrays_and_directions(called, built, tmp_path, code, width):
    ended, said = called("traverse", built, "--code", code, "--directions", 3, "--index", 5,
                         "-o", tmp_path / "out")  # fmt: skip
    assert ended == 0
    names = {"traverse.png", "traverse.gif", "traverse.npz", "directions.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert len(said["files"]) == 4
    rows = min(3, width)
    with np.load(tmp_path / "out" / "traverse.npz") as arrays:
        assert arrays["x"].shape[:3] == (rows, 5, 4)
    told = json.loads((tmp_path / "out" / "directions.json").read_text())
    assert (told["code"], told["sequence"]) == (code, 5)
    assert [len(direction["axis"]) for direction in told["directions"]] == [width] * rows
    sds = [direction["sd"] for direction in told["directions"]]
    assert sds == sorted(sds, reverse=True)
    assert set(told["factors"]) == {"digit"}
    assert all(len(one["moves along"]) == 4 for one in told["factors"]["digit"])


def test_swapping_one_factor_differs_from_swapping_the_code(called, built, tmp_path):
    made = {}
    for name, more in {"whole": (), "digit": ("--only", "digit")}.items():
        words = ("--static", "0,1", "--motion", "0,2,3", *more, "-o", tmp_path / name)
        assert called("swap", built, *words)[0] == 0
        with np.load(tmp_path / name / "swap.npz") as arrays:
            made[name] = arrays["x"]
    assert made["whole"].shape == made["digit"].shape
    assert np.allclose(made["whole"][0, 0], made["digit"][0, 0], atol=1e-5)  # a donor of itself
    assert not np.allclose(made["whole"][1], made["digit"][1], atol=1e-5)


def test_only_a_static_factor_of_the_data_can_be_exchanged(called, built):
    for name in ("direction", "gone"):
        code, said = called("swap", built, "--only", name)
        assert code == 2
        assert f"--only {name}" in said
        assert "digit" in said
    assert not (built / "swap-gone").exists()


def test_sequence_that_is_not_there_is_refused(called, built):
    code, said = called("traverse", built, "--index", 10_000)
    assert code == 2
    assert "--index 10000" in said


def test_comparison_counts_parameters(called, built):
    code, said = called("compare", built)
    assert code == 0
    wanted = sum(parameter.numel() for parameter in gz.load(built).parameters())
    assert said["facts"]["parameters"] == [f"{wanted:,}"]
    assert said["figures"][0]["name"] == "mse"
