"""docs/performance.md says what the pages say that it is made of."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("benchmarks/ is not part of a source distribution")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("headlines")


def test_the_page_is_what_the_script_makes_of_the_pages(script: ModuleType) -> None:
    made = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert made == script.page(), "run python benchmarks/headlines.py"


def test_every_page_on_speed_or_memory_has_its_figure(script: ModuleType) -> None:
    pages = {path.stem for path in (ROOT / "docs" / "performance").glob("*.md")}
    assert pages <= set(script.FIGURES)


def test_a_figure_is_that_of_the_page(script: ModuleType) -> None:
    text = (
        "# Ranks\n\n- command: `python benchmarks/ranks.py`\n\n"
        "| 16,384 | 1 | 1.2 s | 7.2 s | 22 MB | 0.01 |\n"
        "| 65,536 | 8 | 2.5 s | 96.5 s | 67 MB | 0.01 |\n"
    )
    row = script.headline("ranks", text)
    assert "[Ranks](performance/ranks.md)" in row
    assert "65,536 on 8 ranks: 2.5 s of a rank's processor, 67 MB" in row
    assert "`python benchmarks/ranks.py`" in row
    with pytest.raises(ValueError, match="mend the page"):
        script.headline("ranks", text.replace("65,536", "32,768"))


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        (
            "startup",
            "| `genzoo --help` | 0.21 s | 0.20 s | below 0.4 s | yes |",
            "`genzoo --help`: 0.21 s (below 0.4 s)",
        ),
        (
            "cost",
            "| 1,000 | 64,000 | 9.00 ms | 0.10 ms | 1.00 ms | 8.00 ms | 2.00 ms | 20.1 ms | 45% | "
            "0.1 h | 99.5 |",
            "1,000 GPUs, by arithmetic: 20.1 ms a step, 45% of it the nets; 0.1 h for 10⁹ clips, "
            "99.5 times as fast as one",
        ),
    ],
)
def test_the_figures_of_pages_that_take_long_to_make(
    script: ModuleType, name: str, line: str, said: str
) -> None:
    assert said in script.headline(name, f"# Title\n\n- command: `python x`\n\n{line}\n")
