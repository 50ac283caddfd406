"""The comparison of runs as a page and on the terminal."""

import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from genzoo_rwae.evaluation.measured_run import MeasuredRun
from genzoo_rwae.evaluation.tables import compare
from genzoo_rwae.report.comparison import terminal_tables, write_comparison

EVIL = "<script>x</script>[bold]|"


def run(name, seed, value, weight):
    figure = {"value": value, "good": "higher", "chance": 0.25}
    return MeasuredRun(
        Path(f"runs/{name}{seed}"), name, seed, {"objective.static.weight": weight},
        {(EVIL, "who"): figure}, 10, 60.0, 1234,
    )  # fmt: skip


@pytest.fixture
def comparison():
    return compare([
        run(EVIL, 0, 0.9, 1), run(EVIL, 1, 0.92, 1), run("b", 0, 0.5, 2), run("b", 1, 0.52, 2),
    ])  # fmt: skip


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.seen, self.bold = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.seen and self.seen[-1][0] == "strong" and data.strip():
            self.bold.append(data)
            self.seen.append(("", {}))


def test_page_is_escaped_whole_and_asks_for_nothing(comparison, tmp_path):
    page = write_comparison(comparison, tmp_path / "page.html").read_text()
    tags = Tags(page)
    names = [tag for tag, _ in tags.seen]
    assert "script" not in names
    assert not any({"src", "href"} & set(attributes) for _, attributes in tags.seen)
    assert names.count("table") == 3
    assert tags.bold == ["0.91 ± 0.01414"]
    for said in ("0.51 ± 0.01414", "chance 0.25", "1,234", "objective.static.weight"):
        assert said in page, said


def test_terminal_shows_the_same_and_takes_no_markup_from_names(comparison):
    console = Console(width=200, record=True, file=io.StringIO())
    for table in terminal_tables(comparison):
        console.print(table, highlight=False)
    said = console.export_text()
    for text in (EVIL, "0.91 ± 0.01414", "0.51 ± 0.01414", "chance 0.25", "1,234", "setting"):
        assert text in said, text
