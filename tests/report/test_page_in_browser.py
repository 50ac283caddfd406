"""report.html as a browser makes it."""

import html
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genzoo_rwae.evaluation.measured_run import MeasuredRun
from genzoo_rwae.evaluation.tables import compare
from genzoo_rwae.report.comparison import write_comparison
from genzoo_rwae.report.facts import CardPart, RunFacts
from genzoo_rwae.report.page import write_report
from genzoo_rwae.report.pictures import clip_rows, save_png

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
RUNS = "document.title='owned';document.body.dataset.owned='yes'"
HOSTILE = f'</title><script>{RUNS}</script><img src=x onerror="{RUNS}"><svg onload="{RUNS}">\''
COLOUR = (12, 200, 34)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    probes = {"action": {"value": 0.125, "chance": 0.0625, "note": HOSTILE}, HOSTILE: 0.5}
    (run / "evaluation.json").write_text(json.dumps({"probes": probes}))
    (run / "spec.yaml").write_text(HOSTILE)
    rows = ({"step": step, "loss": 9.0 / step, HOSTILE: 1.0} for step in range(1, 20))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    x = np.broadcast_to(np.array(COLOUR, np.uint8)[None, None, :, None, None], (2, 4, 3, 32, 32))
    save_png(clip_rows(x, labels=[HOSTILE] * 2), run / "pictures" / "a.png", caption=HOSTILE)
    return write_report(run, RunFacts(name=HOSTILE, summary=HOSTILE, command=HOSTILE))


def open_page(browser: str, page: Path, *flags: str) -> str:
    profile = page.parent.parent / f"profile{len(list(page.parent.parent.iterdir()))}"
    command = [browser, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout


def test_figures_are_in_the_dom_and_hostile_names_run_nothing(browser, page) -> None:
    # the policy of the page would stop scripts even were a name not escaped: take it away
    text = page.read_text()
    bare = re.sub(r"<meta http-equiv=[^>]*>", "", text)
    assert bare != text
    page.write_text(bare)
    dom = open_page(browser, page, "--dump-dom")
    assert "0.125" in dom
    assert "0.0625" in dom
    assert "data-owned" not in dom
    assert html.unescape(dom.split("<title>")[1].split("</title>")[0]) == HOSTILE
    assert dom.count("<svg") == 2  # the curves


def test_the_probe_itself_runs_where_it_is_not_escaped(browser, tmp_path) -> None:
    page = tmp_path / "run" / "probe.html"
    page.parent.mkdir()
    page.write_text(f"<body>{HOSTILE}</body>")
    assert "data-owned" in open_page(browser, page, "--dump-dom")


@pytest.mark.parametrize("width", [1280, 500])
def test_pictures_are_seen(browser, page, tmp_path, width) -> None:
    shot = tmp_path / "shot.png"
    open_page(browser, page, f"--window-size={width},3000", f"--screenshot={shot}")
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB"))
    seen = (np.abs(pixels.astype(int) - COLOUR) <= 2).all(axis=-1)
    assert seen.sum() > 2 * 3 * 48 * 48


# -- what a page asks for ------------------------------------------------------------------------


def report_of(folder: Path, name: str) -> Path:
    """A report in which every text that there can be is one name."""
    run = folder / "run"
    (run / "pictures").mkdir(parents=True)
    figure = {"value": name, "chance": name, "note": name, "good": name, "baselines": {name: name}}
    evaluation = {name: {name: figure}, "probes": {name: 0.5, "a": [name]}}
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    (run / "spec.yaml").write_text(name)
    rows = ({"step": step, name: 1.0 / step, "split": name} for step in range(1, 5))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = name.replace("/", "\N{DIVISION SLASH}")[:100] + ".png"
    save_png(Image.new("RGB", (8, 8)), run / "pictures" / "a.png", caption=name)
    (run / "pictures" / file).write_bytes((run / "pictures" / "a.png").read_bytes())
    (run / "pictures" / f"z{file}").write_bytes(b"no picture")
    part = CardPart(name, name, name, name, (name, name))
    facts = RunFacts(
        name, name, "unfinished", name, {name: name}, name, name, 1.0, 1, (part,),
    )  # fmt: skip
    return write_report(run, facts, captions={file: name})


def comparison_of(folder: Path, name: str) -> Path:
    """The page of two runs, both of one name."""
    figure = {"value": 1.0, "good": name, "baselines": {name: 1.0}}
    runs = [
        MeasuredRun(Path(name), name, seed, {name: f"{name}{seed}"}, {(name, name): figure})
        for seed in (0, 1)
    ]
    (folder / "run").mkdir(parents=True)
    return write_comparison(compare(runs), folder / "run" / "page.html")


@pytest.mark.parametrize("made", [report_of, comparison_of])
def test_a_page_of_hostile_names_asks_for_nothing_and_runs_nothing(
    browser, listener, tmp_path, made
) -> None:
    page = made(tmp_path, listener.hostile)
    text = page.read_text()
    bare = re.sub(r"<meta http-equiv=[^>]*>", "", text)  # the policy would hide what is not escaped
    assert bare != text
    page.write_text(bare)
    dom = open_page(browser, page, "--dump-dom", "--virtual-time-budget=2000")
    assert "data-owned" not in dom
    assert listener.asked == []
    assert html.escape(listener.hostile[-20:], quote=False) in dom  # it is there, as text
    tags = set(re.findall(r"<([a-z]+)", dom))
    assert not {"script", "link", "iframe", "object", "video", "base"} & tags


@pytest.mark.parametrize("made", [report_of, comparison_of])
def test_the_policy_of_a_page_stops_what_might_slip_in(browser, listener, tmp_path, made) -> None:
    page = made(tmp_path, "tiny")
    text = page.read_text()
    page.write_text(text.replace("</main>", f"{listener.hostile}</main>"))
    dom = open_page(browser, page, "--dump-dom", "--virtual-time-budget=2000")
    assert "data-owned" not in dom
    assert listener.asked == []
    page.write_text(f"<body>{listener.hostile}</body>")  # without a policy it does what it says
    assert "data-owned" in open_page(browser, page, "--dump-dom", "--virtual-time-budget=2000")
    assert {"/img", "/js", "/css", "/frame"} <= set(listener.asked)
