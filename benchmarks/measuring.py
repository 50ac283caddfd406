"""Time and extra memory of a call, measured in one process and in turns."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

Call = Callable[[], object]


class Times(NamedTuple):
    """Seconds of a call, each the shortest of all turns.

    Attributes:
        again: of the calls of a turn in a row, as timeit takes them.
        first: of the first call of a turn, whose caches another call has filled.
    """

    again: float
    first: float


def best_times(
    calls: Mapping[str, Call], *, rounds: int, seconds: float = 20.0, turn: float = 0.02
) -> dict[str, Times]:
    """The shortest times of each call, from rounds in which every call has its turn.

    On a shared machine the shortest of interleaved turns is what the call costs; means tell about
    the neighbours. A turn is one call, or as many as fit into `turn` seconds. Rounds end early when
    `seconds` are over, but every call has had two turns.
    """
    best = {name: Times(float("inf"), float("inf")) for name in calls}
    began = time.perf_counter()
    for number in range(rounds):
        for name, call in calls.items():
            taken = [_seconds(call)]
            while sum(taken) < turn:
                taken.append(_seconds(call))
            again, first = best[name]
            best[name] = Times(min(again, *taken), min(first, taken[0]))
        if number and time.perf_counter() - began > seconds:
            break
    return best


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_and_memory(call: Call) -> tuple[float, float]:
    """Seconds of one call, and its peak resident memory beyond what was there, in MB (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or freed memory that the process kept would serve unseen
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before, start = _status("VmRSS"), time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    return seconds, max(0.0, (_status("VmHWM") - before) / 1024)


def peak() -> float:
    """The most resident memory that this process has had, in MB (Linux)."""
    return _status("VmHWM") / 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def machine() -> str:
    """The processor and how many cores of it are at hand."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def versions(*packages: str) -> str:
    """Versions of packages, as one line."""
    found = [f"python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def page_of_a_table(
    title: str, doc: str, columns: Sequence[str], rows: Sequence[str], facts: Sequence[str]
) -> str:
    """The page of a script that measures one table, with seed 0 and on one thread.

    Args:
        title: of the page.
        doc: the script's docstring, of which all is shown but its first line and its command.
        columns: their names.
        rows: in Markdown.
        facts: what is known beside command, seed and machine, each as `name: what`.
    """
    known = [f"command: `python {shlex.join(sys.argv)}`", "seed: 0"]
    known += [f"machine: {machine()}, one thread", *facts]
    table = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns), *rows]
    parts = [
        f"# {title}",
        doc.split("\n\n", 2)[2].strip(),
        "\n".join(f"- {fact}" for fact in known),
        "\n".join(table),
    ]
    return "\n\n".join(parts) + "\n"
