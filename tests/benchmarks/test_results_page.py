"""Seeds of one spec, built for real: one column for `genzoo compare` and for a page of results."""

from __future__ import annotations

import importlib
import json
import re
import statistics
from pathlib import Path
from types import ModuleType

import pytest

import genzoo_rwae as gz
from genzoo_rwae.cli import main

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KL = {"objective.static": {"use": "kl"}, "objective.dynamic": {"use": "kl", "weight": 0.5}}
MSE = "reconstruction: mse"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> dict[str, list[Path]]:
    """Three seeds of the tiny spec for two steps, two of it with other penalties for longer."""
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "tiny.yaml").write_text(tiny_text)
    built: dict[str, list[Path]] = {}
    for name, seeds, steps, more in (("short", 3, 2, {}), ("long", 2, 30, KL)):
        for seed in range(seeds):
            run = folder / f"{name}-{seed}"
            settings = {"train.seed": seed, "train.steps": steps, "evaluate": ["reconstruction"]}
            gz.build(folder / "tiny.yaml", run=run, settings={**settings, **more})
            built.setdefault(name, []).append(run)
    return built


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not part of a source distribution")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("results_page")


def errors(runs: list[Path]) -> list[float]:
    told = [json.loads((run / "evaluation.json").read_text()) for run in runs]
    return [figures["reconstruction"]["mse"]["value"] for figures in told]


def rows_of(page: str, head: str) -> dict[str, list[str]]:
    """First cell -> the others, of the table whose head begins so."""
    lines = page[page.index(f"| {head} |") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in [cells[0], *cells[2:]]}


def test_runs_that_differ_in_their_seed_are_compared_by_mean_and_spread(
    runs: dict[str, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["compare", *map(str, runs["short"] + runs["long"]), "--json"])
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert [column["seeds"] for column in told["columns"]] == [[0, 1, 2], [0, 1]]
    cells = next(row["cells"] for row in told["figures"] if row["name"] == "mse")
    for cell, values in zip(cells, map(errors, runs.values()), strict=True):
        assert cell["mean"] == pytest.approx(statistics.fmean(values))
        assert cell["spread"] == pytest.approx(statistics.stdev(values))
        assert cell["spread"] > 0
    short, long = cells
    assert short["mean"] - long["mean"] > max(short["spread"], long["spread"])
    assert [cell["best"] for cell in cells] == [False, True]
    parameters = sum(p.numel() for p in gz.load(runs["short"][0]).parameters())
    assert told["facts"]["parameters"] == [f"{parameters:,}"] * 2
    assert all(float(minutes) > 0 for minutes in told["facts"]["training, minutes"])


def test_what_follows_from_another_part_is_no_setting_that_differs(
    runs: dict[str, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", str(runs["short"][0]), str(runs["long"][0]), "--json"])
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings == {
        "objective.static.use": ["genzoo:mmd", "genzoo:kl"],
        "objective.dynamic.use": ["genzoo:mmd", "genzoo:kl"],
        "objective.dynamic.weight": ["10.0", "0.5"],
        "train.steps": ["2", "30"],
    }


def test_seeds_are_one_column_of_every_table_of_a_page(
    runs: dict[str, list[Path]], script: ModuleType, tmp_path: Path
) -> None:
    first, *others = runs["short"]
    script.write_page(first, tmp_path / "page.md", None, [*others, *runs["long"]])
    page = (tmp_path / "page.md").read_text()
    labels = [f"tiny ({first.name}), 3 seeds", f"tiny ({runs['long'][0].name}), 2 seeds"]
    figures, terms = rows_of(page, "measured"), rows_of(page, "term")
    assert figures["measured"][2:] == labels
    assert figures[MSE][3].startswith("**")
    assert terms["term"] == labels
    mean, spread = map(float, figures[MSE][2].split(" ± "))
    assert mean == pytest.approx(statistics.fmean(errors(runs["short"])), rel=1e-3)
    assert spread == pytest.approx(statistics.stdev(errors(runs["short"])), rel=1e-3)
    assert "- seeds: 0, 1, 2\n" in page
    assert re.search(r"- training: 2 steps, [\d.e-]+ ± [\d.e-]+ minutes each\n", page)
    assert rows_of(page, "run")["seeds"] == ["0, 1, 2", "0, 1"]
    for text in (*terms["cost"], *terms["mse"]):
        assert re.fullmatch(r"[\d.e+-]+ ± [\d.e+-]+", text)
    ((_, error),) = [cells for step, cells in rows_of(page, "step").items() if step == "2"]
    assert error == terms["mse"][0]
    assert "Of seed 0." in page


def test_a_page_may_say_why_it_shows_no_pictures(
    runs: dict[str, list[Path]], script: ModuleType, tmp_path: Path
) -> None:
    script.write_page(runs["short"][0], tmp_path / "page.md", None, [], "None: licence.")
    page = (tmp_path / "page.md").read_text()
    assert "## Pictures\n\nNone: licence.\n" in page
    assert "![" not in page
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["spec.yaml"]
    script.write_page(runs["short"][0], tmp_path / "page.md", None, [])
    assert "![" in (tmp_path / "page.md").read_text()


def test_one_run_is_a_page_without_spread(
    runs: dict[str, list[Path]], script: ModuleType, tmp_path: Path
) -> None:
    script.write_page(runs["short"][0], tmp_path / "page.md", None, [])
    page = (tmp_path / "page.md").read_text()
    assert "±" not in page
    assert "- seed: 0\n" in page
    assert (tmp_path / "page" / "spec.yaml").is_file()
