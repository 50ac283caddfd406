"""How long the command takes to answer, and how large the package is.

    python benchmarks/startup.py docs/performance/startup.md

Every call is a process of its own, from its start to its end: seconds of the clock and of the
processor, the least of several. The wheel is built from the checkout as pip builds it.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measuring import machine, versions

ROOT = Path(__file__).parents[1]
# words of the command -> seconds that it may take
CALLS = {"--help": 0.4, "list": 0.4, "check zoo:quickstart": 3.0}
LARGEST = 1.0  # MB


def call_seconds(words: Sequence[str]) -> tuple[float, float]:
    """Of the clock and of the processor, of one process that has to succeed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)}: {done.stderr}")
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return clock, worked


def least(words: Sequence[str], rounds: int) -> tuple[float, float]:
    """The least of each over some calls."""
    clocks, works = zip(*(call_seconds(words) for _ in range(rounds)), strict=True)
    return min(clocks), min(works)


def wheel_megabytes() -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder]
        call_seconds([*command, str(ROOT)])
        [wheel] = Path(folder).glob("*.whl")
        return wheel.stat().st_size / 1e6


def row(what: str, found: Sequence[str], reached: bool, limit: str) -> str:
    return f"| {what} | {' | '.join(found)} | {limit} | {'yes' if reached else 'NO'} |"


def page(rounds: int) -> str:
    genzoo = [sys.executable, "-m", "genzoo_rwae"]
    roots = os.pathsep.join(str(ROOT / root) for root in (".", "plugins", "kernels"))
    os.environ["PYTHONPATH"] = roots  # of this checkout, whatever is installed
    rows = []
    for words, limit in CALLS.items():
        clock, worked = least([*genzoo, *words.split()], rounds)
        found = f"{clock:.2f} s", f"{worked:.2f} s"
        rows.append(row(f"`genzoo {words}`", found, clock < limit, f"below {limit:g} s"))
    nothing, _ = least([sys.executable, "-c", "pass"], rounds)
    size = wheel_megabytes()
    wheel = row("the wheel", (f"{size:.2f} MB", ""), size < LARGEST, f"below {LARGEST:g} MB")
    about = (__doc__ or "").split("\n\n")
    return "\n".join(
        [
            "# How long the command takes to answer",
            "",
            about[2].strip(),
            "",
            f"- command: `{shlex.join(['python', *sys.argv])}`",
            f"- the least of {rounds} calls; an empty program takes {nothing:.2f} s",
            f"- machine: {machine()}",
            f"- versions: {versions('torch', 'typer', 'genzoo-rwae')}",
            "",
            "| what | clock or size | processor | wanted | reached |",
            "|---|---|---|---|---|",
            *rows,
            wheel,
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, nargs="?", help="where to write; default: print")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    text = page(asked.rounds)
    print(text) if asked.page is None else asked.page.write_text(text)
