"""Memory of a training over time: it has to stay what it is after the warm-up.

    python benchmarks/memory_growth.py SPEC --minutes 60 --page docs/performance/memory.md

Trains the spec in a process of its own, for so many minutes and whatever limits it sets, with a
checkpoint every ten seconds, and reads that process's memory from the system every second: resident
memory, and the anonymous part of it, which no file of the data is mapped into. A straight line
is laid through each after the warm-up; its growth is what it rises from there to the end, in
percent of where it begins. Nothing is evaluated or drawn: the training is ended by a signal.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import machine, versions

CLAIM = 1.0  # percent that memory may grow by after the warm-up
WARM_UP = 0.1  # share of the time in which caches fill and the allocator finds its size
ROWS = 10  # of the table
KINDS = {"resident": "VmRSS", "anonymous": "RssAnon"}


@dataclass(frozen=True)
class Sample:
    """Memory of the training at one moment.

    Attributes:
        seconds: since the first step.
        megabytes: kind -> how much.
    """

    seconds: float
    megabytes: dict[str, float]


@dataclass(frozen=True)
class Growth:
    """The line through the samples after the warm-up.

    Attributes:
        first, last: its ends, in MB.
        spread: the standard deviation of the samples about it, in MB.
    """

    first: float
    last: float
    spread: float

    @property
    def percent(self) -> float:
        return 100 * (self.last - self.first) / self.first


def growth(samples: Sequence[Sample], kind: str) -> Growth:
    """The growth of one kind of memory after the warm-up.

    >>> flat = [Sample(second, {"resident": 500.0}) for second in range(100)]
    >>> growth(flat, "resident").percent
    0.0
    """
    kept = settled(samples)
    seconds = np.array([sample.seconds for sample in kept])
    megabytes = np.array([sample.megabytes[kind] for sample in kept])
    middle, mean = seconds.mean(), megabytes.mean()  # about them, a flat line is exactly flat
    run = seconds - middle
    slope = float(run @ (megabytes - mean) / (run @ run))
    line = mean + slope * run
    return Growth(float(line[0]), float(line[-1]), float((megabytes - line).std()))


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """The samples after the warm-up."""
    begin = WARM_UP * samples[-1].seconds
    kept = [sample for sample in samples if sample.seconds >= begin]
    if len(kept) < 3:
        raise SystemExit(f"{len(samples)} samples are too few for a line; give more --minutes")
    return kept


def memory_of(process: int) -> dict[str, float]:
    """Memory of a process now, in MB (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    found = {line.partition(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return {kind: int(found[name]) / 1024 for kind, name in KINDS.items()}


def watched(spec: str, seed: int, minutes: float, run: Path) -> tuple[list[Sample], int]:
    """Train for some minutes; the samples, and how many steps were taken."""
    settings = (
        f"train.seed={seed}", "train.steps=1000000000", "train.epochs=null", "train.minutes=null",
        "train.save_every=10", "evaluate=[]",
    )  # fmt: skip
    words = ["build", spec, "-o", str(run), *(word for s in settings for word in ("--set", s))]
    command = [sys.executable, "-c", "from genzoo_rwae.cli import main; main()", *words]
    metrics = run / "metrics.jsonl"
    with subprocess.Popen(command, env={**os.environ, "NO_COLOR": "1"}) as training:
        while not metrics.is_file():
            if training.poll() is not None:
                raise SystemExit(f"the training ended by itself with {training.returncode}")
            time.sleep(0.1)
        began, samples = time.monotonic(), []
        while (now := time.monotonic() - began) < 60 * minutes and training.poll() is None:
            samples.append(Sample(now, memory_of(training.pid)))
            time.sleep(1 - now % 1)
        ended = training.poll()
        training.send_signal(signal.SIGTERM)
    if ended is not None:
        raise SystemExit(f"the training ended by itself with {ended}")
    return samples, metrics.read_text().count('"split": "train"')


def table(samples: Sequence[Sample]) -> str:
    """The mean of every tenth of the time, the warm-up included."""
    lines = [f"| minutes | {' | '.join(f'{kind}, MB' for kind in KINDS)} |", "|---|---|---|"]
    for part in np.array_split(np.arange(len(samples)), min(ROWS, len(samples))):
        rows = [samples[index] for index in part]
        means = (np.mean([row.megabytes[kind] for row in rows]) for kind in KINDS)
        ends = f"{rows[0].seconds / 60:.1f} to {rows[-1].seconds / 60:.1f}"
        lines.append(f"| {ends} | {' | '.join(f'{mean:,.1f}' for mean in means)} |")
    return "\n".join(lines)


def verdict(samples: Sequence[Sample]) -> str:
    """A line on the growth of each kind of memory."""
    after = settled(samples)[0].seconds / 60
    lines = []
    for kind in KINDS:
        found = growth(samples, kind)
        said = "below" if found.percent < CLAIM else "NOT below"
        lines.append(
            f"- {kind}: {found.percent:+.2f} % from minute {after:.1f} to "
            f"{samples[-1].seconds / 60:.1f} ({found.first:,.1f} to {found.last:,.1f} MB, samples "
            f"{found.spread:.1f} MB about the line): {said} {CLAIM:g} %"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, help="write a page as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        samples, rows = watched(arguments.spec, arguments.seed, arguments.minutes, run)
    print(table(samples), verdict(samples), sep="\n\n")
    if arguments.page:
        arguments.page.parent.mkdir(parents=True, exist_ok=True)
        facts = (
            f"- command: `python {shlex.join(sys.argv)}`\n- seed: {arguments.seed}\n"
            f"- machine: {machine()}, "
            f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}\n"
            f"- versions: {versions('torch', 'genzoo-rwae', 'numpy')}\n- {len(samples):,} samples"
            f", {rows:,} rows of metrics (one every ten steps)"
        )
        head = "# Memory of a training over time"
        text = __doc__.split("\n\n", 2)[2].strip()
        parts = [head, text, facts, "## Growth", verdict(samples), "## Over time", table(samples)]
        arguments.page.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
