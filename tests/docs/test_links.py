"""Links of the pages lead somewhere, as one reads them in a checkout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "releases/*/*.md", "benchmarks/*.md")
    for page in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    # notes are cut into the pages of results
    folder = ROOT / "docs" / "results" if page.name.endswith(".notes.md") else page.parent
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    files = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in files if not (folder / target).exists()] == []
