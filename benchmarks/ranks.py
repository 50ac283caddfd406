"""Time and memory of the exact MMD of a global batch that is spread over ranks.

    python benchmarks/ranks.py docs/performance/ranks.md

Every rank has its rows of the codes in its graph. They are gathered, each rank sums over its share
of the pairs, and the gradients come back to the rows: what the penalty `mmd` does in training.
Processes talk through gloo on one machine. Seconds of processor are what a rank computes; on a
machine with fewer cores than ranks they, and not the clock, tell what ranks save. Memory is the
peak of a rank beyond what it had.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import socket
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from genzoo_rwae_plugins.penalties.mmd import mmd
from measuring import machine, time_and_memory, versions

from genzoo_rwae.ranks import Ranks, RowShares

WIDTH = 16
SMALL, LARGE = 16_384, 65_536
CASES = ((SMALL, 1), (SMALL, 2), (SMALL, 4), (LARGE, 4))


def work(number: int, count: int, rows: int, port: int, folder: str) -> None:
    """One rank: its figures go into a file."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=number, world_size=count)
    ranks = Ranks(dist.group.WORLD)
    shares = RowShares(ranks, rows)
    generator = torch.Generator().manual_seed(0)
    q_BD, p_BD = torch.randn(2, rows, WIDTH, generator=generator)
    q_bD = (1.1 * q_BD[shares.rows]).requires_grad_()
    p_bD = p_BD[shares.rows].clone()
    del q_BD, p_BD
    values: list[float] = []

    def call() -> None:
        value = mmd(shares.gather(q_bD), shares.gather(p_bD), False, None, ranks)
        value.backward()
        values.append(value.item())

    dist.barrier()
    before = time.process_time()
    seconds, megabytes = time_and_memory(call)
    assert q_bD.grad is not None
    figures = {
        "seconds": seconds,
        "processor": time.process_time() - before,
        "megabytes": megabytes,
        "value": values[0],
        "gradient": float(q_bD.grad.double().square().sum()) / count**2,
    }
    (Path(folder) / f"{number}.json").write_text(json.dumps(figures))
    dist.destroy_process_group()


def measured(rows: int, count: int) -> dict[str, float]:
    """Of all ranks: the slowest, the largest; the value; the norm of the gradient of the mean."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        given = (count, rows, port, folder)
        ranks = [fork.Process(target=work, args=(number, *given)) for number in range(count)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join()
        found = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    assert len(found) == count, "a rank has failed"
    worst = {n: max(one[n] for one in found) for n in ("seconds", "processor", "megabytes")}
    norm = sum(one["gradient"] for one in found) ** 0.5
    return {**worst, "value": found[0]["value"], "gradient": norm}


def page() -> str:
    """The page."""
    rows = [(batch, count, measured(batch, count)) for batch, count in CASES]
    lines = [
        f"| {batch:,} | {count} | {of['processor']:.1f} s | {of['seconds']:.1f} s | "
        f"{of['megabytes']:.0f} MB | {of['value']:.9g} | {of['gradient']:.9g} |"
        for batch, count, of in rows
    ]
    about = (__doc__ or "").split("\n\n")
    return "\n".join(
        [
            "# The MMD of a batch that is spread over ranks",
            "",
            about[2].strip(),
            "",
            f"- command: `{shlex.join(['python', *sys.argv])}`",
            f"- codes {WIDTH} wide, unbiased estimator, the default kernel (seven scales), float32",
            "- seed: 0",
            f"- machine: {machine()}, one thread a rank",
            f"- versions: {versions('torch', 'genzoo-rwae')}",
            "",
            "| global batch | ranks | processor, slowest rank | clock | memory a rank | MMD² | "
            "norm of its gradient |",
            "|---|---|---|---|---|---|---|",
            *lines,
            "",
            "The same batch gives the same value and gradient on any number of ranks, but for the "
            "order of float32 roundings.",
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, nargs="?", help="where to write; default: print")
    asked = parser.parse_args()
    text = page()
    print(text) if asked.page is None else asked.page.write_text(text)
