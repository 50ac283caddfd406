"""Which library's files could be the shards: what each costs and what it does with bad files.

    pip install webdataset litdata pyarrow
    pip install --no-deps mosaicml-streaming
    python benchmarks/shard_formats.py docs/performance/shard-formats.md

Every library writes the same sequences, uint8 [8, 64, 64, 3], as files of 16 MB, and reads all of
them into batches of 64, in a process of its own: safetensors and Arrow in the order of the source
`shards`, the others shuffled in their own way. Seconds are the processor's, since the machine is
shared; the files are in the system's cache. Reading is the faster of two, memory the peak of the
second beyond what the process had. Then each reads what is planted: a Python object whose
pickle would leave a mark, and a shard of which half is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from genzoo_rwae_plugins.sources.shard_order import ShardOrder
from measuring import machine, time_and_memory, versions
from packaging.requirements import Requirement

SHAPE, COUNT, BATCH, WINDOW = (8, 64, 64, 3), 2_000, 64, 8
OF_SHARD = 16_000_000 // int(np.prod(SHAPE))
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
SHARDS = -(-COUNT // OF_SHARD)


class Payload:
    """What a pickle would do: leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


class Format(NamedTuple):
    """How a library is used.

    Attributes:
        module: what is imported.
        write: arrays, or one object, into a folder.
        read: what is in the folder, in the order of the indices if the library finds them.
        finds: whether it finds a sequence by its index.
        licence: of the library.
    """

    module: str
    write: Callable[[Path, list[list[Any]]], None]
    read: Callable[[Path, np.ndarray], Iterator[Any]]
    finds: bool
    licence: str


def write_safetensors(folder: Path, shards: list[list[Any]]) -> None:
    from safetensors.numpy import save_file

    for number, items in enumerate(shards):
        save_file({"steps": np.stack(items)}, folder / f"{number:03}.safetensors")


def read_safetensors(folder: Path, order: np.ndarray) -> Iterator[Any]:
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    opened: dict[int, Any] = {}
    for number, place in zip(*np.divmod(order, OF_SHARD), strict=True):
        if number not in opened:
            if len(opened) > WINDOW:
                opened.pop(next(iter(opened)))
            with safe_open(files[number], framework="pt") as file:
                opened[number] = file.get_tensor("steps").numpy()
        yield opened[number][place]


def write_arrow(folder: Path, shards: list[list[Any]]) -> None:
    import pyarrow as pa

    for number, items in enumerate(shards):
        column = pa.array([item.tobytes() for item in items])
        batch = pa.record_batch([column], ["steps"])
        with pa.ipc.new_file(folder / f"{number:03}.arrow", batch.schema) as file:
            file.write_batch(batch)


def read_arrow(folder: Path, order: np.ndarray) -> Iterator[Any]:
    import pyarrow as pa

    files = sorted(folder.glob("*.arrow"))
    opened: dict[int, Any] = {}
    for number, place in zip(*np.divmod(order, OF_SHARD), strict=True):
        if number not in opened:
            if len(opened) > WINDOW:
                opened.pop(next(iter(opened)))
            batch = pa.ipc.open_file(pa.memory_map(str(files[number]))).get_batch(0)
            batch.validate(full=True)  # which its manual asks for where files are strangers'
            opened[number] = batch.column(0)
        raw = opened[number][int(place)].as_buffer()
        yield np.frombuffer(raw, np.uint8).reshape(SHAPE)


def write_webdataset(folder: Path, shards: list[list[Any]]) -> None:
    from webdataset import TarWriter

    for number, items in enumerate(shards):
        with TarWriter(str(folder / f"{number:03}.tar")) as file:
            for place, item in enumerate(items):
                is_array = isinstance(item, np.ndarray)
                told = {"x.bin": item.tobytes()} if is_array else {"x.pyd": pickle.dumps(item)}
                file.write({"__key__": f"{number:03}-{place:06}", **told})


def read_webdataset(folder: Path, order: np.ndarray) -> Iterator[Any]:
    from webdataset import WebDataset

    files = sorted(str(path) for path in folder.glob("*.tar"))
    data = WebDataset(files, shardshuffle=len(files), seed=0).shuffle(WINDOW * OF_SHARD).decode()
    for item in data:
        if "x.bin" in item:
            yield np.frombuffer(item["x.bin"], np.uint8).reshape(SHAPE)


def write_litdata(folder: Path, shards: list[list[Any]]) -> None:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_bytes="16MB")
    for place, item in enumerate(item for items in shards for item in items):
        writer[place] = item
    writer.done()
    writer.merge()


def read_litdata(folder: Path, order: np.ndarray) -> Iterator[Any]:
    from litdata import StreamingDataset

    yield from StreamingDataset(str(folder), shuffle=True, seed=0)


FORMATS = {
    "safetensors": Format("safetensors", write_safetensors, read_safetensors, True, "Apache-2.0"),
    "Arrow IPC": Format("pyarrow", write_arrow, read_arrow, True, "Apache-2.0"),
    "litdata": Format("litdata", write_litdata, read_litdata, True, "Apache-2.0"),
    "webdataset": Format("webdataset", write_webdataset, read_webdataset, False, "BSD-3-Clause"),
}


# -- one library, in a process of its own ---------------------------------------------------------


def measured(name: str) -> dict[str, Any]:
    """Everything about one library."""
    of = FORMATS[name]
    began = time.process_time()
    __import__(of.module)
    found: dict[str, Any] = {"import": time.process_time() - began}
    draw = np.random.default_rng(0)
    x_N = draw.integers(0, 256, (COUNT, *SHAPE), np.uint8)
    shards = [list(x_N[first : first + OF_SHARD]) for first in range(0, COUNT, OF_SHARD)]
    order = ShardOrder(np.array([len(shard) for shard in shards]), WINDOW, draw)[:]
    total = int(x_N.sum(dtype=np.int64))
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        whole.mkdir()
        began = time.process_time()
        of.write(whole, shards)
        found["write"] = x_N.nbytes / 10**6 / (time.process_time() - began)
        del x_N, shards

        taken = []

        def read() -> None:
            began = time.process_time()
            batch = np.empty((BATCH, *SHAPE), np.uint8)
            seen = 0
            for number, item in enumerate(of.read(whole, order)):
                batch[number % BATCH] = item
                seen += int(batch[number % BATCH].sum(dtype=np.int64))
            assert seen == total, f"{name} did not give every sequence once"
            taken.append(time.process_time() - began)

        time_and_memory(read)  # which may import more
        _, found["memory"] = time_and_memory(read)
        found["read"] = COUNT / min(taken)
        found["pickle"] = planted(of, Path(folder))
        found["cut"] = cut_short(of, whole, order)
    return found


def planted(of: Format, folder: Path) -> str:
    """What becomes of a Python object in a shard."""
    mark, there = folder / "mark", folder / "planted"
    there.mkdir()
    try:
        of.write(there, [[Payload(mark)]])
    except Exception:  # whatever a library says of what it cannot hold
        return "cannot hold one"
    try:
        list(of.read(there, np.zeros(1, np.int64)))
    except Exception:  # likewise
        return "**run**" if mark.exists() else "refused"
    return "**run**" if mark.exists() else "not run"


def cut_short(of: Format, whole: Path, order: np.ndarray) -> str:
    """What becomes of a shard whose second half is missing."""
    path = max(whole.iterdir(), key=lambda path: path.stat().st_size)
    os.truncate(path, path.stat().st_size // 2)
    try:
        count = sum(1 for _ in of.read(whole, order))
    except Exception as error:  # likewise
        said = f"{type(error).__name__}, "
        return said + ("names the file" if path.name in str(error) else "does not name the file")
    return f"nothing said, {count:,} of {COUNT:,} sequences"


def in_a_process(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--only", name],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    return {"failed": done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]}


def needs(name: str) -> str:
    """What a library needs that genzoo-rwae does not bring, and what it wants otherwise."""
    ours = packages_of_ours()
    wanted = [one for one in required(name) if one.name.lower() not in ours]
    other = [
        str(one)
        for one in required(name)
        if one.name.lower() in ours and not one.specifier.contains(version(one.name))
    ]
    added = 1 + len(wanted) if name.lower() not in ours else 0
    return f"{added}" + (f"; wants {', '.join(other)}" if other else "")


def required(name: str) -> list[Requirement]:
    """What an installed package asks for in every case; nothing is known of others."""
    try:
        found = [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:
        return []
    none = {"extra": ""}
    return [one for one in found if one.marker is None or one.marker.evaluate(none)]


def packages_of_ours() -> set[str]:
    """What an install of genzoo-rwae without extras has."""
    seen: set[str] = set()
    waiting = list(tomllib.loads(PROJECT.read_text())["project"]["dependencies"])
    while waiting:
        name = Requirement(waiting.pop()).name.lower()
        if name not in seen:
            seen.add(name)
            waiting += [str(one).partition(";")[0] for one in required(name)]
    return seen


# -- the page -------------------------------------------------------------------------------------


def table(found: dict[str, dict[str, Any]]) -> str:
    head = (
        "library", "packages that it adds", "import", "writes", "reads, sequences",
        "memory", "by index", "a pickle in a shard", "a shard cut short", "licence",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, row in found.items():
        of = FORMATS[name]
        adds = needs(of.module)
        if "failed" in row:
            cells = [adds, f"failed: {row['failed'][0][:80]}", *[""] * 7]
        else:
            cells = [
                adds, f"{row['import']:.1f} s", f"{row['write']:,.0f} MB/s",
                f"{row['read']:,.0f}/s", f"{row['memory']:,.0f} MB",
                "yes" if of.finds else "no", row["pickle"], row["cut"], of.licence,
            ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(
        f"| mosaicml-streaming | {needs('mosaicml-streaming')} |" + " not measured |" + " |" * 7
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, nargs="?", help="write a page")
    parser.add_argument("--only", choices=FORMATS, help="one library, as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measured(arguments.only)))
        return
    rows = table({name: in_a_process(name) for name in FORMATS})
    print(rows)
    if arguments.page:
        facts = (
            f"- command: `python {' '.join(sys.argv)}`\n"
            f"- {COUNT:,} sequences, {SHARDS} shards, {WINDOW} of them mixed at a time; seed: 0\n"
            f"- machine: {machine()}, "
            f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}\n"
            f"- versions: {versions('safetensors', 'pyarrow', 'litdata', 'webdataset', 'torch')}"
        )
        notes = Path(__file__).with_name("shard_formats.notes.md").read_text(encoding="utf-8")
        text = __doc__.split("\n\n", 2)[2].strip()
        parts = ["# Whose files the shards are", text, facts, rows, notes.strip()]
        arguments.page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
