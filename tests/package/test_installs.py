"""The wheel, the sdist and the editable install, each in a clean virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# the checkout without what an earlier test or build may have left in it
PARTS = (
    "genzoo_rwae", "plugins", "kernels", "zoo", "tests", "examples", "registry.yaml",
    "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md",
)  # fmt: skip


def run(*words: object, cwd: Path) -> str:
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    folder = tmp_path_factory.mktemp("checkout")
    for part in (*PARTS, *(["releases"] if (ROOT / "releases").is_dir() else [])):
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy(source, folder / part)
    return folder


@pytest.fixture(scope="module")
def built(checkout: Path) -> dict[str, Path]:
    """Wheel and sdist, built from the checkout."""
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist", cwd=checkout)
    [wheel], [sdist] = (list((checkout / "dist").glob(kind)) for kind in ("*.whl", "*.tar.gz"))
    return {"wheel": wheel, "sdist": sdist, "editable": checkout}


def clean_venv(folder: Path) -> Path:
    """A virtual environment with this one's dependencies and nothing of ours in it."""
    venv.create(folder, with_pip=True)
    [site] = folder.glob("lib/python3*/site-packages")
    # a plain path: .pth files in it (an editable install of ours) are not followed
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_an_install_lists_and_checks_from_another_folder(
    built: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    bin_ = clean_venv(tmp_path / "venv")
    words = ["-e", built[kind]] if kind == "editable" else [built[kind]]
    run(
        bin_ / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--force-reinstall", *words, cwd=tmp_path,
    )  # fmt: skip
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "mmd" in run(bin_ / "genzoo", "list", "penalties", cwd=elsewhere)
    assert "no problems" in run(bin_ / "genzoo", "check", "zoo:quickstart", cwd=elsewhere)
    home = run(
        bin_ / "python", "-c", "import genzoo_rwae; print(genzoo_rwae.__file__)", cwd=elsewhere
    )
    root = built["editable"] if kind == "editable" else tmp_path / "venv"
    assert Path(home.strip()).is_relative_to(root)


def test_the_wheel_holds_three_typed_roots_and_nothing_beside_them(
    built: dict[str, Path],
) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    roots = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert roots == {"genzoo_rwae", "genzoo_rwae_plugins", "genzoo_rwae_kernels"}
    for root in roots:
        assert f"{root}/py.typed" in names
    assert "genzoo_rwae/registry.yaml" in names
    assert "genzoo_rwae/zoo_specs/quickstart.yaml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def test_released_weights_are_in_neither_wheel_nor_sdist(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = [*sdist.getnames(), *zipfile.ZipFile(built["wheel"]).namelist()]
    assert [name for name in names if "releases/" in name or name.endswith(".safetensors")] == []


def test_the_wheel_is_below_a_megabyte(built: dict[str, Path]) -> None:
    assert built["wheel"].stat().st_size < 1_000_000
