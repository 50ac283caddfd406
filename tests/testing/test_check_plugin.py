"""`genzoo check --plugin FILE`: the kit on a user's file, from the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genzoo_rwae.cli import main

PLUGIN = '''\
import torch
from genzoo_rwae import hookimpl, kernel, penalty, schedule


@penalty("good")
def good(q_ND: torch.Tensor, p_ND: torch.Tensor, /) -> torch.Tensor:
    """Squared distance of means."""
    return (q_ND.mean(0) - p_ND.mean(0)).square().sum()


@penalty("bad")
def bad(q_ND: torch.Tensor, p_ND: torch.Tensor, /) -> torch.Tensor:
    """Distance of means, with no guard at 0."""
    return good(q_ND, p_ND).sqrt()


@penalty("asks")
def asks(q_ND: torch.Tensor, p_ND: torch.Tensor, /, *, factor: float) -> torch.Tensor:
    """Wants an option."""
    return factor * good(q_ND, p_ND)


@schedule("cubes")
def cubes(progress, /):
    """A schedule, for which there is no kit."""
    return progress**3


@hookimpl
def genzoo_penalties():
    yield from (GIVEN)


@hookimpl
def genzoo_schedules():
    yield cubes
'''

Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Run `genzoo check` on a plugin that yields some penalties; code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENZOO_PLUGINS", "none")
    monkeypatch.setenv("COLUMNS", "100")

    def run(given: str, *words: str) -> tuple[int, str, str]:
        (tmp_path / "mine.py").write_text(PLUGIN.replace("GIVEN", given))
        with pytest.raises(SystemExit) as ended:
            main(["check", *words])
        code = ended.value.code
        said = capsys.readouterr()
        return (code if isinstance(code, int) else 0), said.out, said.err

    return run


def test_a_fault_ends_with_1_and_shows_the_property_and_its_smallest_example(check: Check) -> None:
    code, out, _ = check("good, bad", "--plugin", "mine.py")
    assert code == 1
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[:4]}
    assert rows["good"][0] == rows["bad"][0] == "penalty"
    assert (rows["good"][2], rows["bad"][2]) == ("0", "1")
    assert int(rows["good"][1]) == int(rows["bad"][1]) + 1 > 10
    assert rows["cubes"] == ["schedule", "no", "kit"]
    assert "penalty bad: finite\nValue and gradient are finite, also where rows coincide." in out
    assert "q = torch.tensor([[0.0], [0.0]], dtype=torch.float64)" in out
    assert "found a gradient of q with [nan, nan]; wanted finite numbers" in out
    assert "mend: sqrt and norm" in out


def test_a_plugin_without_fault_ends_with_0(check: Check) -> None:
    code, out, _ = check("good,", "-p", "mine.py")
    assert code == 0
    assert "smallest example" not in out


def test_what_cannot_be_tried_is_said_and_is_no_fault(check: Check) -> None:
    code, out, _ = check("asks,", "-p", "mine.py")
    assert code == 0
    assert "not tried" in out
    assert "options without a default: factor" in out


def test_a_default_that_no_spec_could_say_is_a_fault_of_its_component_alone(
    check: Check, tmp_path: Path
) -> None:
    wrong = PLUGIN.replace("factor: float)", "factor: float = None)")
    (tmp_path / "wrong.py").write_text(wrong.replace("GIVEN", "asks, good"))
    code, out, _ = check("good,", "-p", "wrong.py")
    assert code == 1
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[:4]}
    assert (rows["asks"][2] != "0", rows["good"][2]) == (True, "0")
    assert "penalty asks: defaults\nA spec could say every default." in out
    assert "the option 'factor' of the penalty 'asks' of plugin 'wrong'" in out
    assert "wanted a default of float, or float | None" in out


def test_json_has_every_finding(check: Check) -> None:
    code, out, _ = check("good, bad", "-p", "mine.py", "--json")
    assert code == 1
    rows = {row["name"]: row for row in json.loads(out)["components"]}
    assert set(rows) == {"good", "bad", "cubes"}
    assert rows["cubes"]["kit"] is False
    (finding,) = rows["bad"]["failed"]
    assert finding["property"] == "finite"
    assert finding["example"].startswith("q = torch.tensor(")
    assert finding["message"].startswith("found")
    assert rows["good"]["failed"] == []
    assert {entry["property"] for entry in rows["good"]["passed"]} >= {"gradient", "row order"}
    assert rows["good"]["plugin"] == "mine"


@pytest.mark.parametrize("words", [[], ["-p", "no:mine"]], ids=["nothing", "a block alone"])
def test_nothing_to_check_is_an_error_in_words(check: Check, words: list[str]) -> None:
    code, _, err = check("good,", *words)
    assert code == 2
    assert err.startswith("genzoo: nothing to check; say `genzoo check SPEC`")
    assert "`genzoo check --plugin FILE`" in err


def test_settings_without_a_spec_are_an_error(check: Check) -> None:
    code, _, err = check("good,", "-p", "mine.py", "--set", "train.steps=1")
    assert code == 2
    assert "--set and --resolved are about a spec; name one" in err


def test_a_spec_is_checked_as_ever_beside_a_plugin(check: Check, tiny_spec: Path) -> None:
    words = ["-p", "mine.py", "--set", "objective.static.use=bad"]
    code, out, _ = check("good, bad", str(tiny_spec), *words)
    assert code == 0
    assert "tiny: no problems" in out


def test_without_hypothesis_the_extra_is_named(
    genzoo: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN.replace("GIVEN", "good,"))
    (tmp_path / "hypothesis.py").write_text("raise ImportError('there is none')\n")
    ended = genzoo("check", "-p", "mine.py", GENZOO_PLUGINS="none")
    assert ended.returncode == 2
    assert "pip install 'genzoo-rwae[testing]'" in ended.stderr
    assert "Traceback" not in ended.stderr
