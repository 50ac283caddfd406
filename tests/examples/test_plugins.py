"""A third party's penalty: as a file named by a spec, and as an installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import genzoo_rwae as gz

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples" / "plugins"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sliced_w2() -> Callable[..., torch.Tensor]:
    file = EXAMPLES / "genzoo-sliced-wasserstein" / "genzoo_sliced_wasserstein.py"
    zoo = gz.Zoo([str(file)], use_entry_points=False)
    return zoo.find("penalty", "sliced-w2").component.build


def test_the_distance_of_a_shifted_sample_is_the_shift_s_share_of_a_direction(
    sliced_w2: Callable[..., torch.Tensor],
) -> None:
    torch.manual_seed(0)
    x_ND = torch.randn(200, 5)
    shift_D = torch.tensor([3.0, 0.0, 0.0, 0.0, 0.0])
    # E <s, u>^2 = |s|^2 / D over directions u on the sphere: here 9 / 5
    value = sliced_w2(x_ND, x_ND + shift_D, projections=20_000)
    assert value.item() == pytest.approx(9 / 5, rel=0.05)
    assert sliced_w2(x_ND, x_ND[torch.randperm(200)]).item() == 0


def test_the_example_spec_trains_with_the_penalty_of_its_file(tmp_path: Path) -> None:
    settings = {"train.steps": 2, "evaluate": []}
    gz.build(EXAMPLES / "digits-sliced.yaml", run=tmp_path / "run", settings=settings)
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert row["static"] > 0
    spec = (tmp_path / "run" / "spec.yaml").read_text()
    assert "use: genzoo_sliced_wasserstein:sliced-w2" in spec
    assert "sha256" in spec
    assert isinstance(gz.load(tmp_path / "run"), gz.SequenceModel)


def test_the_other_options_of_the_slot_stay_when_the_penalty_changes() -> None:
    spec = gz.load_spec(EXAMPLES / "digits-sliced.yaml")
    assert spec.objective.dynamic.slot.given == "none"
    assert spec.objective.dynamic.slot.weight == 50
    assert "kernel" not in spec.objective.dynamic.options


def test_the_installed_package_is_found_by_its_entry_point(genzoo: Command, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    package = EXAMPLES / "genzoo-sliced-wasserstein"
    done = subprocess.run(
        [*pip, "--target", str(tmp_path / "site"), str(package)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    path = {"PYTHONPATH": f"{roots}{os.pathsep}{tmp_path / 'site'}"}
    listed = json.loads(genzoo("plugins", "--json", **path).stdout)["plugins"]
    assert [plugin["origin"] for plugin in listed] == ["entry point"]
    assert listed[0]["components"] == ["penalty sliced-w2"]
    (tmp_path / "mine.yaml").write_text(
        "genzoo: 1\nextends: zoo:quickstart\nname: mine\n"
        "objective: {static: {use: sliced-w2}, dynamic: {use: sliced-wasserstein:sliced-w2}}\n"
    )
    checked = genzoo("check", "mine.yaml", **path)
    assert checked.returncode == 0, checked.stderr
    without = genzoo("check", "mine.yaml", GENZOO_PLUGINS="none", **path)
    assert without.returncode == 2
    assert "no penalty is called 'sliced-w2'" in without.stderr
