"""`genzoo build` on ranks that Ray starts, on one machine or on a cluster of them.

    pip install "genzoo-rwae[ray]"
    python examples/ray_build.py zoo:moving-shapes runs/shapes 2 train.steps=200

Spec, run folder, number of ranks, and settings over the spec's. The run folder lies where every
rank sees it. Begun so, a run goes on under `genzoo build` as well, on any number of ranks. Weights
are whole on every rank; for `--shard-weights` use torchrun.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import ray
from rich.console import Console

import genzoo_rwae as gz


class Rank:
    """One process; to the others a machine of its own, with the one GPU that Ray gives it."""

    def address(self) -> tuple[str, int]:
        """Where the others find this one: a port that nobody listens at yet."""
        with socket.socket() as listener:
            listener.bind(("", 0))
            return ray.util.get_node_ip_address(), listener.getsockname()[1]

    def build(
        self, number: int, count: int, first: tuple[str, int], spec: str, run: str, *settings: str
    ) -> None:
        """Build as torchrun would have it do, by what that sets."""
        os.environ.update(
            TORCHELASTIC_RUN_ID="ray", TORCHELASTIC_RESTART_COUNT="0",
            RANK=str(number), WORLD_SIZE=str(count), GROUP_RANK=str(number),
            LOCAL_RANK="0", LOCAL_WORLD_SIZE="1",
            MASTER_ADDR=first[0], MASTER_PORT=str(first[1]),
        )  # fmt: skip
        try:
            gz.build(spec, run=run, settings=settings, console=Console(stderr=True))
        except SystemExit as left:  # all but the first rank; what went wrong is said by that one
            print(f"rank {number} of {count} left with code {left.code}", file=sys.stderr)


def main(spec: str, run: str, count: str, *settings: str) -> None:
    """Start the ranks and wait for them."""
    ray.init(include_dashboard=False)
    there = ray.cluster_resources()
    if there["CPU"] < int(count):
        sys.exit(
            f"{count} ranks on a cluster of {there['CPU']:g} processors; wanted as many at least"
        )
    gpus = 1 if there.get("GPU", 0) >= int(count) else 0
    if there.get("GPU", 0) and not gpus:
        print(f"{there['GPU']:g} GPUs for {count} ranks: training on processors", file=sys.stderr)
    remote = ray.remote(num_cpus=1, num_gpus=gpus)(Rank)
    ranks = [remote.remote() for _ in range(int(count))]
    first = ray.get(ranks[0].address.remote())
    spec = str(Path(spec).resolve()) if Path(spec).exists() else spec
    given = (first, spec, str(Path(run).resolve()), *settings)
    ray.get([rank.build.remote(n, len(ranks), *given) for n, rank in enumerate(ranks)])


if __name__ == "__main__":
    main(*sys.argv[1:])
