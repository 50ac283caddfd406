"""report.html as a browser makes it."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genzoo_rwae.report.facts import RunFacts
from genzoo_rwae.report.page import write_report
from genzoo_rwae.report.pictures import clip_rows, save_png

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
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
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser on PATH: looked for {', '.join(BROWSERS)}")
    return found


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
