"""Run folders written by hand: what `compare` reads, and nothing else."""

import json

import pytest

SPEC = """\
genzoo: 1
name: {name}
data: {{use: digits, batch: 16}}
objective:
  static: {{use: mmd, weight: {weight}}}
  information: {{static: {{weight: {price}}}}}
train: {{steps: 100, seed: {seed}}}
evaluate: [probes]
"""


@pytest.fixture
def run_folder(tmp_path):
    """Write one; `figures` are name -> value, or a whole evaluation."""

    def write(folder, figures, *, name="a", seed=0, weight=10, price=0.0, seconds=60.0):
        path = tmp_path / folder
        path.mkdir()
        text = SPEC.format(name=name, seed=seed, weight=weight, price=price)
        (path / "spec.yaml").write_text(text)
        (path / "evaluation.json").write_text(json.dumps(figures))
        rows = [
            {"split": "train", "step": 50, "seconds": seconds / 2},
            {"split": "train", "step": 90, "seconds": seconds},
            {"split": "validation", "step": 100, "mse": 0.1},
        ]
        lines = [*map(json.dumps, rows), '{"split": "tr']
        (path / "metrics.jsonl").write_text("\n".join(lines))
        return path

    return write


@pytest.fixture
def figure():
    """One figure in one group."""

    def make(value, **more):
        return {"probes": {"static code": {"who": {"value": value, **more}}}}

    return make
