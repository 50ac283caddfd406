"""The fuzzer of specs finds nothing in a short run, and what is planted in the reader soon."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from genzoo_rwae.errors import SpecError
from genzoo_rwae.spec import load_spec

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RUNS = 256  # of which the zoo's own specs are 26

needs_atheris = pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris is not installed: the extra [fuzz]"
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("fuzz_specs")


def fuzzed(folder: Path, *options: str, host: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A run of the script, on the reader that lies in `host`."""
    roots = (host, ROOT / "plugins", ROOT / "kernels")
    return subprocess.run(
        [sys.executable, str(HERE / "fuzz_specs.py"), str(folder), "-seed=1", *options],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, roots)),
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
@needs_atheris
def test_a_short_run_reads_or_refuses_all_and_reaches_what_the_zoo_does_not(
    tmp_path: Path,
) -> None:
    done = fuzzed(tmp_path, f"-runs={RUNS}")
    assert done.returncode == 0, done.stderr[-5_000:]
    assert list((tmp_path / "findings").iterdir()) == []
    of_the_zoo, of_all = (
        int(re.search(rf"{moment}\s+cov: (\d+)", done.stderr)[1])  # type: ignore[index]
        for moment in ("INITED", "DONE")
    )
    assert of_all > of_the_zoo > 100
    ended = re.search(rf"^{RUNS} specs: (.*); slowest", done.stderr, re.MULTILINE)
    assert ended is not None
    counts = {name: int(n) for name, n in re.findall(r"'(\w+)': (\d+)", ended[1])}
    assert min(counts["read"], counts["SpecError"]) > RUNS / 20  # both sides are tried


@pytest.mark.slow
@needs_atheris
def test_a_fault_planted_in_the_reader_is_found_with_the_spec_that_shows_it(
    tmp_path: Path,
) -> None:
    host = tmp_path / "host"
    shutil.copytree(ROOT / "genzoo_rwae", host / "genzoo_rwae")
    for name in ("zoo", "registry.yaml"):
        (host / name).symlink_to(ROOT / name)
    reader = host / "genzoo_rwae" / "spec" / "resolve.py"
    sound = reader.read_text(encoding="utf-8")
    place = "            for detail in error.errors(include_url=False):\n"
    assert sound.count(place) == 1
    reader.write_text(sound.replace(place, f'            raise RuntimeError("planted")\n{place}'))
    done = fuzzed(tmp_path / "fuzz", "-runs=2000", host=host)
    assert done.returncode != 0
    assert "RuntimeError: planted" in done.stdout + done.stderr
    (finding,) = (tmp_path / "fuzz" / "findings").iterdir()
    assert str(finding) in done.stderr
    spec = tmp_path / "fuzz" / "specs" / "spec.yaml"  # beside the specs that it may extend
    assert spec.read_bytes() == finding.read_bytes()
    with pytest.raises(SpecError, match=r"found .*; input should be"):  # what the fault took away
        load_spec(spec)


def test_without_atheris_the_script_says_what_to_install(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    monkeypatch.setattr(sys, "argv", ["fuzz_specs.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"pip install 'genzoo-rwae\[fuzz\]'"):
        script.main()
    assert list(tmp_path.iterdir()) == []


def test_a_word_of_a_spec_becomes_another_and_nothing_else_does(script: ModuleType) -> None:
    found = {
        script.with_another_word(b"use: mmd\nscale: 1e-3\n", [b"x"], Random(seed))
        for seed in range(50)
    }
    assert found == {
        b"x: mmd\nscale: 1e-3\n",
        b"use: x\nscale: 1e-3\n",
        b"use: mmd\nx: 1e-3\n",
        b"use: mmd\nscale: x\n",
    }
    assert script.with_another_word(b"", [b"x"], Random(0)) == b"x"


def test_the_dictionary_has_the_words_that_libfuzzer_takes(script: ModuleType) -> None:
    words = [b"use", b"", b'"\n', b"x" * 65]
    assert script.dictionary(words) == '"\\x75\\x73\\x65"\n"\\x22\\x0A"\n'
