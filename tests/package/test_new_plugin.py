"""What `genzoo new plugin` writes is a package, and its wheel says what it is."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genzoo_rwae.cli.new import plugin_files

ROOT = Path(__file__).parents[2]
ROOTS = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "kernels")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed into."""
    folder = tmp_path_factory.mktemp("plugin")
    for place, text in plugin_files("my-gap").items():
        (folder / "src" / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / "src" / place).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--target", str(folder / "site"), str(folder / "src")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "site"


def test_the_wheel_holds_one_module_and_says_what_it_needs(site: Path) -> None:
    [found] = importlib.metadata.distributions(path=[str(site)])
    assert found.metadata["Name"] == "genzoo-my-gap"
    assert "genzoo-rwae" in (found.requires or [])
    modules = {file.parts[0] for file in found.files or () if file.suffix == ".py"}
    assert modules == {"genzoo_my_gap.py"}
    [point] = found.entry_points
    assert (point.group, point.name, point.value) == ("genzoo_rwae", "my-gap", "genzoo_my_gap")


def test_the_installed_penalty_is_found_without_being_named(site: Path) -> None:
    code = "from genzoo_rwae.cli import main; main(['plugins', '--json'])"
    environ = {key: value for key, value in os.environ.items() if key != "GENZOO_PLUGINS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**environ, "PYTHONPATH": os.pathsep.join([*ROOTS, str(site)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["plugins"]}
    assert rows["my-gap"]["origin"] == "entry point"
    assert rows["my-gap"]["components"] == ["penalty my-gap"]
