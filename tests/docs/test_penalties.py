"""docs/penalties.md says what is so: its specs assemble, its code runs, its table is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import genzoo_rwae as gz

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "penalties.md").read_text()
ZOO = gz.Zoo(use_entry_points=False)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_specs_on_the_page_train_for_a_step(tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    settings = {"train.steps": 1, "evaluate": [], "model.encoder.frames.channels": 2}
    gz.build(tmp_path / "spec.yaml", run=tmp_path / "run", settings=settings, zoo=ZOO)
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize("code", blocks("python"))
def test_code_on_the_page_runs_and_its_tests_pass(tmp_path: Path, code: str) -> None:
    path = tmp_path / "page.py"
    path.write_text(code)
    names: dict[str, object] = {}
    exec(compile(code, str(path), "exec"), names)  # the page's own words
    for name, thing in names.items():
        if name.startswith("test_") and callable(thing):
            thing()


def test_every_penalty_is_in_the_table() -> None:
    table = PAGE.split("## Which penalty")[1].split("## MMD by itself")[0]
    assert [name for name in ZOO.names("penalty") if f"`{name}`" not in table] == []


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
