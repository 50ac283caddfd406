"""Data beyond memory: shards of any size are written, and read as in training.

    python benchmarks/streaming.py --gigabytes 20 docs/performance/streaming.md

A process writes a gigabyte of made-up clips (uint8, 8 frames of 64x64x3, 98 KB each) as
`genzoo data shard` does, and its shards are copied until there are enough; another takes the
batches of one epoch as the training loop does, with the next one made ahead, from the source
`shards` with its default options. Resident memory is the peak of the process, its libraries and
the mapped files included. "Cold": the system has been asked to forget the files first, so that they
come from the disc. The machine is shared: what the processor did tells more than the clock. The
shards are deleted in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from genzoo_rwae_plugins.sources.shards import shards
from measuring import machine, peak, versions

from genzoo_rwae.sequences import Batch, DataInfo, Factor, SequenceData
from genzoo_rwae.shards import read_index, write_shards
from genzoo_rwae.training.batches import Batches

SHAPE = (8, 64, 64, 3)
BYTES = int(np.prod(SHAPE))
BATCH = 64
CLAIM = 1000.0  # MB that the reading process may have
KIND = Factor("kind", tuple("abcd"), "static")


class Noise(SequenceData):
    """Clips that are cheap to make, and told apart by their first bytes: those of their index."""

    info = DataInfo((3, 64, 64), 8, bounded=True, factors=(KIND,))

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = np.random.default_rng(0).integers(0, 256, 4 * BYTES, np.uint8)

    def __len__(self) -> int:
        return self.count

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        x_BN = np.stack(
            [self.pool[(k := 7919 * int(i) % (3 * BYTES)) : k + BYTES] for i in indices_B]
        )
        x_BN[:, :8] = np.asarray(indices_B, np.int64)[:, None].view(np.uint8)
        x_BT = torch.from_numpy(x_BN.reshape(-1, *SHAPE)).permute(0, 1, 4, 2, 3)
        indices = torch.as_tensor(indices_B)
        return Batch(x_BT, torch.full((len(x_BN),), 8), indices, {"kind": indices % 4})


def write(folder: Path, gigabytes: float) -> dict[str, float]:
    """Write a gigabyte, or less if less is wanted."""
    count = round(min(gigabytes, 1.0) * 1e9 / BYTES)
    began, worked = time.perf_counter(), time.process_time()
    none = Noise(0)
    write_shards({"train": Noise(count), "validation": none, "test": none}, folder, source="noise")
    return {
        "seconds": time.perf_counter() - began, "processor": time.process_time() - worked,
        "memory": peak(), "sequences": count,
    }  # fmt: skip


def copy(folder: Path, times: int) -> None:
    """Have every shard so many times, under names of their own."""
    index = read_index(folder)
    of = index.splits["train"]
    every = list(of.shards)
    for number in range(1, times):
        for shard in of.shards:
            name = f"copy-{number:03}-{shard.file}"
            shutil.copyfile(folder / shard.file, folder / name)
            every.append(replace(shard, file=name))
    splits = {**index.splits, "train": replace(of, shards=tuple(every))}
    replace(index, splits=splits).write(folder)


def read(folder: Path, first: float, last: float) -> dict[str, float]:
    """Take the batches of a part of an epoch; every sequence is there once at most, and whole."""
    data = shards("train", path=folder)
    batches = Batches(data, BATCH, seed=0)
    start, end = (round(share * batches.per_epoch) for share in (first, last))
    seen = np.zeros(len(data), bool)
    before, began, worked = peak(), time.perf_counter(), time.process_time()
    for step, batch in enumerate(batches.start(start, end), start + 1):
        indices_B = batch.indices_B.numpy()
        assert not seen[indices_B].any()
        seen[indices_B] = True
        if step == end:
            break
    return {
        "seconds": time.perf_counter() - began, "processor": time.process_time() - worked,
        "sequences": int(seen.sum()), "memory": peak(), "before": before,
    }  # fmt: skip


def forget(folder: Path) -> None:
    """Have the system drop its cache of the shards."""
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())  # what is not on the disc yet cannot be forgotten
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def in_a_process(task: str, folder: Path, *words: object) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--task", task, str(folder), *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def row(what: str, found: dict[str, float]) -> str:
    libraries = f" ({found['before']:,.0f} before the first batch)" if "before" in found else ""
    return (
        f"| {what} | {found['sequences']:,} | {found['seconds']:,.0f} s | "
        f"{found['processor']:,.0f} s | {found['sequences'] / found['processor']:,.0f} | "
        f"{found['memory']:,.0f} MB{libraries} |"
    )


def table(folder: Path, gigabytes: float) -> tuple[str, str]:
    """The rows, and a sentence on the claim."""
    written = in_a_process("write", folder, gigabytes)
    copy(folder, max(1, round(gigabytes)))
    of = read_index(folder).splits["train"]
    rows = [row("written", written)]
    most = 0.0
    for name, first, last in (("read cold, an epoch", 0, 1), ("read cold, its end", 0.9, 1)):
        forget(folder)
        found = in_a_process("read", folder, first, last)
        most = max(most, found["memory"])
        rows.append(row(name, found))
    size = sum(shard.size for shard in of.shards) / 1e9
    said = "below" if most < CLAIM else "NOT below"
    head = "| what | sequences | clock | processor | sequences a processor's second | peak memory |"
    lines = [head, "|---|---|---|---|---|---|", *rows]
    claim = (
        f"{size:.1f} GB in {len(of.shards):,} shards are read with at most {most:,.0f} MB of "
        f"resident memory: {said} {CLAIM:,.0f} MB."
    )
    return "\n".join(lines), claim


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--folder", type=Path, help="where there is room [a temporary one]")
    parser.add_argument("page", type=Path, nargs="?", help="write a page")
    parser.add_argument("--task", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        name, folder, *words = arguments.task
        tasks = {"write": write, "read": read}
        print(json.dumps(tasks[name](Path(folder), *map(float, words))))
        return
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        if shutil.disk_usage(folder).free < 1.1e9 * arguments.gigabytes:
            raise SystemExit(f"{folder} has no room for {arguments.gigabytes} GB")
        rows, claim = table(folder, arguments.gigabytes)
    finally:
        shutil.rmtree(folder)
    print(rows, claim, sep="\n\n")
    if arguments.page:
        facts = (
            f"- command: `python {' '.join(sys.argv)}`\n- seed: 0; batches of {BATCH}\n"
            f"- machine: {machine()}, "
            f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}\n"
            f"- versions: {versions('torch', 'safetensors', 'numpy', 'genzoo-rwae')}"
        )
        text = __doc__.split("\n\n", 2)[2].strip()
        parts = ["# Data beyond memory", text, facts, rows, claim]
        arguments.page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
