"""Series and skeletons with gaps through the whole model: trained, measured, drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import genzoo_rwae as gz

SPEC = """\
genzoo: 1
name: gaps
data: {{{data}, batch: 8}}
model:
  use: rwae
  encoder: {{use: lstm, hidden: 8, frames: {{use: mlp, hidden: 8, width: 8}}}}
  static: {{size: 3, head: {{use: pooled, hidden: 8}}}}
  dynamic: {{size: 2, head: {{use: lstm, hidden: 8}}, prior: {{use: lstm, hidden: 8}}}}
  decoder: {{use: lstm, hidden: 8, frames: {{use: mlp, hidden: 8}}}}
objective:
  static: {{use: mmd, weight: 1}}
  dynamic: {{use: mmd, weight: 1}}
train: {{steps: 2, save_every: 0}}
evaluate: [reconstruction, probes, swap, sample, prior-match]
"""


def series_table(folder: Path) -> str:
    """Two days of twelve stations: a channel with gaps, one of gaps alone, an hour left out."""
    rows = [
        f"{day} {hour:02}:00,s{station},{'' if hour % 3 else hour + station},,{hour}"
        for station in range(12)
        for day in ("2020-01-01", "2020-01-02")
        for hour in range(24)
        if hour != 5
    ]
    (folder / "x.csv").write_text("time,station,a,never,b\n" + "\n".join(rows) + "\n")
    return (
        "use: series, path: x.csv, time: time, entity: station, labels: [station], length: 6, "
        "values: [a, never, b]"
    )


def skeletons_array(folder: Path) -> str:
    """Four joints in 3-D, of which some are not seen."""
    x = np.random.default_rng(0).normal(size=(30, 6, 4, 3))
    x[::2, 2, 1] = np.nan
    x[3] = np.nan
    np.save(folder / "x.npy", x)
    return "use: skeletons, path: x.npy, bones: [[0, 1], [1, 2], [2, 3]]"


@pytest.mark.parametrize(("make", "film"), [(series_table, 1), (skeletons_array, 6)])
def test_data_with_gaps_are_trained_measured_and_drawn(tmp_path, monkeypatch, make, film) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gaps.yaml").write_text(SPEC.format(data=make(tmp_path)))
    gz.build(tmp_path / "gaps.yaml", run=tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["split"] == "train"]
    assert losses
    assert all(math.isfinite(loss) for loss in losses)
    figures = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert figures["reconstruction"]["mse"]["value"] > 0
    values = [figure["value"] for name in figures for figure in flat(figures[name])]
    assert all(value is None or math.isfinite(value) for value in values)
    with Image.open(tmp_path / "run/pictures/swap.gif") as gif:
        assert getattr(gif, "n_frames", 1) == film
    reconstruction = np.asarray(Image.open(tmp_path / "run/pictures/reconstruction.png"))
    assert (reconstruction < 128).any()


def flat(figures: dict) -> list[dict]:
    """All figures of a metric, whose figures may stand in groups."""
    return [
        one
        for figure in figures.values()
        for one in ([figure] if "value" in figure else flat(figure))
    ]
