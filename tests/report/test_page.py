"""report.html: whole in itself, honest about what is missing, and proof against hostile names."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from genzoo_rwae.errors import CheckpointError
from genzoo_rwae.report.facts import CardPart, RunFacts
from genzoo_rwae.report.page import read_pictures, run_name, write_report
from genzoo_rwae.report.pictures import clip_rows, save_png

HOSTILE = (
    "</title></style><script>document.title='owned'</script><img src=x onerror='1'>\"'&{{7*7}}"
)


class Page(HTMLParser):
    """Tags and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "background", "action"):
                self.loads.append(value or "")
            if name == "href" and tag in ("link", "image", "use"):
                self.loads.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with everything in it, and a hostile name wherever a name can stand."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "spec.yaml").write_text(f"genzoo: 1\nname: tiny\n# {HOSTILE}\n")
    figure = {
        "value": 0.5,
        "chance": 0.25,
        "good": "higher",
        "note": HOSTILE,
        "baselines": {HOSTILE: 1.0},
    }
    evaluation = {"probes": {"action": figure, HOSTILE: 0.75}, HOSTILE: {"x": HOSTILE}}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    rows = [{"step": s, "loss": 100 / s, HOSTILE: 1.0, "split": HOSTILE} for s in range(1, 9)]
    rows += [{"step": s, "split": "train", "loss": 100 / s} for s in range(1, 9)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    x = np.random.default_rng(0).random((2, 4, 3, 16, 16))
    save_png(clip_rows(x), folder / "pictures" / "reconstruction.png", caption=HOSTILE)
    save_png(clip_rows(x), folder / "pictures" / "a<b>\"'.png")
    return folder


def hostile_facts() -> RunFacts:
    part = CardPart(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE, HOSTILE))
    return RunFacts(
        name=HOSTILE,
        summary=HOSTILE,
        training="finished",
        command=HOSTILE,
        versions={HOSTILE: HOSTILE},
        device=HOSTILE,
        started=HOSTILE,
        seconds=71.0,
        parameters=1234567,
        parts=(part,),
    )


def test_page_loads_nothing_from_outside(run) -> None:
    text = write_report(run, hostile_facts()).read_text()
    page = Page(text)
    assert page.loads
    assert all(load.startswith(("data:image/", "#")) for load in page.loads)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not re.findall(r"url\((?!#)|@import", text)
    assert "default-src 'none'" in text


def test_hostile_names_are_text_wherever_they_stand(run) -> None:
    page = Page(write_report(run, hostile_facts()).read_text())
    assert not page.handlers
    assert page.tags.count("img") == 2  # the pictures, and none from a name
    assert page.tags.count("title") == 1


def test_figures_stand_with_value_chance_and_direction(run) -> None:
    text = write_report(run).read_text()
    row = text[text.index("<span>action</span>") :].split("</tr>")[0]
    assert "0.5" in row
    assert "chance <b>0.25</b>" in row
    assert "↑" in row


def test_name_comes_from_the_spec_and_else_from_the_folder(run, tmp_path) -> None:
    assert "<h1>tiny</h1>" in write_report(run).read_text()
    (run / "spec.yaml").write_text("name: [broken")
    assert run_name(run) == "run"
    assert "<h1>run</h1>" in write_report(run).read_text()


def test_empty_folder_gives_a_page_that_says_what_is_missing(tmp_path) -> None:
    text = write_report(tmp_path).read_text()
    said = ("No training metrics", "Not measured yet", "no pictures yet", "holds no spec.yaml")
    assert all(words in text for words in said)


def test_unfinished_training_is_said_with_its_last_step(run) -> None:
    text = write_report(run, RunFacts(training="unfinished")).read_text()
    assert "Training has not finished; the last step on record is 8" in text
    assert "has not finished" not in write_report(run, RunFacts(training="finished")).read_text()


def test_broken_files_are_said_and_stop_nothing(run) -> None:
    (run / "evaluation.json").write_text("{")
    (run / "pictures" / "cut.gif").write_bytes(b"GIF89a")
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2}\n{"st')
    text = write_report(run).read_text()
    assert "The evaluation cannot be read" in text
    assert "cannot be read as a picture" in text
    assert "1 line of metrics.jsonl could not be read" in text


def test_captions_are_given_or_from_the_file_or_usual(run) -> None:
    save_png(clip_rows(np.zeros((1, 2, 1, 8, 8))), run / "pictures" / "swap.png")
    by_name = {p.name: p.caption for p in read_pictures(run / "pictures", {"swap.png": "mine"})}
    assert by_name["swap.png"] == "mine"
    assert by_name["reconstruction.png"] == HOSTILE
    usual = {p.name: p.caption for p in read_pictures(run / "pictures", {})}
    assert usual["swap.png"].startswith("Rows share a static code")


def test_too_large_picture_is_named_and_not_embedded(run, monkeypatch) -> None:
    monkeypatch.setattr("genzoo_rwae.report.page._LARGEST_PICTURE", 10)
    pictures = read_pictures(run / "pictures", {})
    assert not any(picture.uri for picture in pictures)
    assert "too large" in pictures[0].caption


def test_missing_run_folder_is_an_error_that_says_how_to_make_one(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="genzoo build"):
        write_report(tmp_path / "none")


def test_a_page_is_replaced_whole(run) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert sorted(path.name for path in run.iterdir()) == [
        "evaluation.json",
        "metrics.jsonl",
        "pictures",
        "report.html",
        "spec.yaml",
    ]
