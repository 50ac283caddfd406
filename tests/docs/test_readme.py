"""The README says what is so: its commands, its code, its table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae.catalogue import markdown_table, zoo_specs

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_two_commands_install_and_run_and_install_and_test() -> None:
    run, test = blocks("sh")[:2]
    assert "pip install . " in run
    assert run.strip().endswith("genzoo build zoo:quickstart")
    assert "pip install -e '.[test]'" in test
    assert test.strip().endswith("pytest")
    assert README.index(run) < README.index(test) < 700


def test_the_table_of_components_is_the_catalogue() -> None:
    found = README.split("<!-- genzoo list --markdown -->\n")[1].split("\n<!-- end -->")[0]
    assert found == markdown_table(), "run `genzoo list --markdown` and paste what it prints"


def test_every_spec_of_the_zoo_is_named() -> None:
    assert [name for name in zoo_specs() if f"zoo:{name}" not in README] == []


def test_the_penalty_of_one_s_own_and_its_spec_work_as_printed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(blocks("python")[0])
    (tmp_path / "spec.yaml").write_text(blocks("yaml")[0])
    spec = gz.load_spec(tmp_path / "spec.yaml", zoo=gz.Zoo(use_entry_points=False))
    penalty = spec.objective.static
    assert penalty.options == {"power": 1.5}
    assert penalty(torch.ones(8, 1), torch.zeros(8, 1)).item() == pytest.approx(1.0)


def test_the_python_example_runs_as_printed(tmp_path: Path) -> None:
    code = blocks("python")[1]
    shorter = 'run="runs/quickstart", settings={"train.steps": 2, "evaluate": []})'
    code = code.replace('run="runs/quickstart")', shorter, 1)
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec(code, names)  # the README's own words
    clips, codes = names["clips"], names["codes"]
    assert isinstance(clips, torch.Tensor)
    assert clips.shape == (6, 16, 1, 24, 24)
    assert codes.static.mean.shape == (6, 16)  # type: ignore[attr-defined]
    assert codes.dynamic.mean.shape == (6, 16, 2)  # type: ignore[attr-defined]


def test_the_printed_problems_are_those_that_check_prints(tmp_path: Path) -> None:
    text = (ROOT / "zoo" / "quickstart.yaml").read_text()
    body = text[text.index("genzoo: 1") :]
    body, changed = re.subn(
        r"  dynamic:\n(    .*\n)+", "  dynamic: {size: 4, prior: gaussian}\n", body
    )
    assert changed == 1
    body = body.replace("static: {use: mmd", "static: {use: mdm")
    (tmp_path / "mine.yaml").write_text(body)
    with pytest.raises(gz.SpecError) as caught:
        gz.load_spec(tmp_path / "mine.yaml", zoo=gz.Zoo(use_entry_points=False))
    assert str(caught.value).replace(f"{tmp_path}/", "") == blocks("text")[0].strip()


def test_files_that_the_readme_points_to_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
