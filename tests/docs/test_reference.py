"""The reference is made from the registry, the hooks, the command and the package, all of each."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import genzoo_rwae as gz
from genzoo_rwae.catalogue import catalogue
from genzoo_rwae.hookspecs import HOOKS
from genzoo_rwae.kinds import KINDS

pytest.importorskip("mkdocs", reason="the documentation needs the extra docs")

ROOT = Path(__file__).parents[2]


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


REFERENCE = module("reference")
PAGES: dict[str, str] = REFERENCE.pages()


@pytest.mark.parametrize("entry", catalogue().entries, ids=lambda e: f"{e.kind}-{e.name}")
def test_every_component_has_its_place_options_and_example(entry) -> None:
    page = PAGES[f"reference/components/{KINDS[entry.kind].plural}.md"]
    part = page.split(f"## `{entry.name}` {{ #{entry.name} }}\n")[1].split("\n## ")[0]
    described = gz.Zoo(use_entry_points=False).describe(entry.kind, entry.name)
    for option in described.options:
        assert f"| `{option.name}` | `{option.type}` |" in part
    assert f"```yaml\n{described.example}\n```" in part
    assert f"from `{entry.module}`" in part
    if entry.paper and entry.paper.arxiv:
        assert f"https://arxiv.org/abs/{entry.paper.arxiv}" in part


def test_every_row_of_a_table_has_the_cells_of_its_head() -> None:
    for place, text in PAGES.items():
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            rows = [re.sub(r"`[^`]*`|\\\|", "", row) for row in table.splitlines()]
            assert {row.count("|") for row in rows} == {rows[0].count("|")}, (place, table)


def test_every_hook_is_shown_with_its_example() -> None:
    page = PAGES["reference/hooks.md"]
    for hook in HOOKS:
        part = page.split(f"{{ #{hook} }}\n")[1].split("\n## ")[0]
        code = re.search(r"```python\n(.*?)\n```", part, re.DOTALL)
        assert code is not None
        assert f"def {hook}(" in code[1]
        compile(code[1], hook, "exec")


def test_every_public_name_is_shown_or_named() -> None:
    page = PAGES["reference/python.md"]
    names = set(gz.__all__) - {"__version__"}
    shown = set(re.findall(r"^::: genzoo_rwae\.\w+\.(\w+)$", page, re.MULTILINE))
    named = set(re.findall(r"`(\w+)`", page))
    assert names <= shown | named
    assert shown <= names


def test_every_verb_is_shown_with_its_options() -> None:
    page = PAGES["reference/command.md"]
    assert "\n## genzoo new plugin\n" in page
    part = page.split("\n## genzoo swap\n")[1].split("\n## ")[0]
    assert "| `RUN` | A folder that `genzoo build` made, or zoo:NAME. |" in part
    assert "| `--only FACTOR` | Exchange this static factor and nothing else. |" in part


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("P(z_t | z_<t) = N(0, I)", r"P(z\_t \| z\_&lt;t) = N(0, I)"),
        ("`a_b|c` and *d*", r"`a_b|c` and \*d\*"),
    ],
)
def test_formulas_are_shown_as_they_are_written(text: str, shown: str) -> None:
    assert REFERENCE._text(text) == shown
