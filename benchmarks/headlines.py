"""One page on all that was measured of speed and memory: a figure of every page, and its command.

    python benchmarks/headlines.py

Figures and commands are read from the pages in docs/performance, so that docs/performance.md says
what they say; a test holds it. A page that has not been made is left out.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
# page -> where its figure stands, and how it is said; in the order of the list
FIGURES = {
    "step": (r"^- (zoo:sprites-rwae-mmd: [\d.,]+ sequences a second); (at least \d+)", "{0} ({1})"),
    "cost": (
        r"^\| 1,000 \|.*\| ([\d.,]+ ms) \| (\d+%) \| ([\d.,]+ h) \| ([\d.,]+) \|$",
        "1,000 GPUs, by arithmetic: {0} a step, {1} of it the nets; {2} for 10⁹ clips, {3} times "
        "as fast as one",
    ),
    "mmd": (
        r"^- fused (against plain torch: [\d.,]+x)",
        "the MMD in one sweep {0} or more, up to 64 wide and with 512 sequences or more or "
        "T n² >= 30,000",
    ),
    "ranks": (
        r"^\| (65,536) \| (\d+) \| ([\d.,]+ s) \| [^|]* \| (\d+ MB) \|",
        "a batch of {0} on {1} ranks: {2} of a rank's processor, {3}",
    ),
    "streaming": (r"^(.* are read with at most .* of\b.*): ", "{0}"),
    "shard-formats": (
        r"^\| (safetensors) \|.*?\| ([\d,]+/s) \|",
        "{0}, which was chosen, reads {1}",
    ),
    "startup": (r"^\| `(genzoo --help)` \| ([\d.]+ s) \|.*\| (below .*) \| ", "`{0}`: {1} ({2})"),
    "memory": (
        r"^- resident: ([+-][\d.]+ %) from minute ([\d.]+) to ([\d.]+) ",
        "resident memory {0} from minute {1} to minute {2}",
    ),
    "gpu": (
        r"^\| (256) \| (bf16) \| [\d.,]+ ms \| ([\d.,]+) \|",
        "the family's usual nets, batches of {0}, {1}: {2} sequences a second",
    ),
}
HEAD = """\
# How fast it is

What was measured, each on a page of its own with the machine, the versions and the command, which
makes it again in a checkout. The figures here are read from those pages by
`python benchmarks/headlines.py`.

| page | a figure of it | made by |
|---|---|---|
"""
TAIL = """
## What a run chooses for itself

Precision, layout of images and threads, by looking at the machine: bfloat16 where a short trial
finds it faster, channels-last, and as many threads as pay: a batch is tried on one, two, four and
so on, and twice as many are taken only where they are 1.25 times as fast. Beside a process that
keeps a core busy they are not: every thread waits for the one that shares it. A run goes on with
the precision and the threads that it was begun with. The first line of a run says them;
`train.precision`, `train.layout` and `train.threads` force them.

Where there is a C++ compiler, maps are normalised, and MMDs summed, by code that is built for
the machine in the first step of the first run, in about five seconds, and kept. `genzoo doctor`
says whether that works; `GENZOO_FUSED=0` forbids it.

With glibc, memory that a build on a CPU once needed stays with its process. Given back to the
system and asked for anew, it would come as new pages, more than a hundred thousand in a step
of the usual nets. `MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_` and what `GLIBC_TUNABLES` says
of malloc are left as they are set.

`train.compile: true` has torch.compile try the nets before the first step. The run says what a
batch takes compiled and what it takes eagerly, and goes on with the faster. Where nothing can be
compiled, for want of a C++ compiler for one, it says why and goes on eagerly. Penalties are never
compiled, and weights keep their names. Compiled nets round in another way, and which are faster
is measured anew by every build: leave it out where weights have to come out bit for bit. It wants
one rank.

On a GPU bfloat16 is taken without a trial. It halves memory; small batches it makes slower, for
more kernels are launched, and `train.precision: float32` is for them. They leave a GPU idle anyway:
a step of 64 sequences of the usual nets takes less than one and a half times as long as one of 16;
from there on the GPU is busy. In float32 the numbers are those of a processor but for rounding. For
MMD the backend `triton`, which `auto` takes where Triton is installed, needs a small part of the
memory.
"""


def headline(name: str, text: str) -> str:
    """The row of a page.

    Raises:
        ValueError: the page has no such figure, title or command.
    """
    pattern, said = FIGURES[name]
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    command = re.search(r"^- command: (`.+`)$", text, re.MULTILINE)
    figure = re.search(pattern, text, re.MULTILINE)
    if not (title and command and figure):
        raise ValueError(
            f"docs/performance/{name}.md has no title, command or line like {pattern}; wanted them "
            "for docs/performance.md: mend the page, or FIGURES in benchmarks/headlines.py"
        )
    return (
        f"| [{title[1]}](performance/{name}.md) | {said.format(*figure.groups())} | {command[1]} |"
    )


def page(folder: Path = DOCS / "performance") -> str:
    """The page, of those that there are."""
    there = {name: folder / f"{name}.md" for name in FIGURES}
    rows = [
        headline(name, path.read_text(encoding="utf-8"))
        for name, path in there.items()
        if path.is_file()
    ]
    return HEAD + "\n".join(rows) + "\n" + TAIL


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    PAGE.write_text(page(), encoding="utf-8")
