"""Runs on one, two and four ranks, compared: a script, whose processes share one import of torch.

    python on_ranks.py FOLDER

It writes FOLDER/found.json: for every case and number of ranks, how far losses, first gradients and
weights are from those of one rank, and whether all ranks have the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from cases import MODEL, cases
from lightning_fabric import Fabric
from parts import all_of, batch_norm_apart, distance, largest, mmd_apart
from rich.console import Console
from torch import Tensor

import genzoo_rwae as gz
from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.training.launch import launch, ranks_of
from genzoo_rwae.training.loop import Trainer
from genzoo_rwae.training.sharding import gathered

RANKS = (1, 2, 4)
STEPS = int(os.environ.get("RANKS_STEPS", 50))
# -- runs -----------------------------------------------------------------------------------------


class Watched(Trainer):
    """A trainer that keeps the gradients of its first step, and may stop in the middle."""

    stop_at = 0

    def _train_step(self, *given: Any) -> dict[str, Any]:
        if self.stop_at and self.step == self.stop_at:
            raise StoppedError
        row = super()._train_step(*given)
        if self.step == 0:
            parameters = self.step_module.named_parameters()
            found = {n: p.grad.clone() for n, p in parameters if p.grad is not None}
            self.gradients = gathered(found, self.ranks)
        return row


class StoppedError(Exception):
    """In the middle of a run."""


def prepared(
    fabric: Fabric,
    folder: Path,
    objective: dict[str, Any],
    trackers: Sequence[str] = (),
    **train: Any,
) -> Watched:
    """A run of the ranks that there are, before its first step."""
    zoo = gz.Zoo([str(Path(__file__).with_name("cases.py"))], use_entry_points=False)
    settings = {"steps": STEPS, "precision": "float32", "save_every": 1e6, **train}
    text = {"genzoo": 1, "name": "ranks", "data": {"use": "ragged", "batch": 10}, "model": MODEL}
    folder.mkdir(exist_ok=True)
    path = folder.parent / f"{folder.name}.{os.getpid()}.yaml"
    path.write_text(
        json.dumps({**text, "objective": objective, "train": settings, "trackers": trackers})
    )
    spec = gz.load_spec(path, zoo=zoo)
    data = [open_split(spec, split) for split in ("train", "validation")]
    assembled = assemble(spec, data[0].info)
    run = ranks_of(fabric).of_first(lambda: RunFolder.prepare(folder, spec))
    return Watched(spec, assembled, *data, run, zoo, Console(quiet=True), fabric)


def train(*given: Any, stop_at: int = 0, **train: Any) -> Watched:
    """The same after its last step."""
    trainer = prepared(*given, **train)
    trainer.stop_at = stop_at
    with contextlib.suppress(StoppedError):
        trainer.fit()
    return trainer


def state(trainer: Watched) -> dict[str, Tensor]:
    """Weights of model, penalties and critics."""
    return {
        f"{part}.{name}": value.detach().clone()
        for part in ("model", "objective")
        for name, value in getattr(trainer, part).state_dict().items()
        if isinstance(value, Tensor)
    }


def losses(trainer: Watched) -> list[dict[str, float]]:
    """Losses and terms of the logged steps."""
    rows = [json.loads(line) for line in trainer.run.metrics.read_text().splitlines()]
    speed = ("seconds", "sequences_per_second")
    return [{n: v for n, v in row.items() if n not in ("split", *speed)} for row in rows]


def are_alike(trainer: Watched) -> bool:
    """Whether all ranks have the same weights, bit for bit."""
    whole = torch.cat([value.flatten().double() for value in state(trainer).values()])
    return trainer.ranks.largest(0) == [0] and all(
        torch.equal(whole, other) for other in all_of(trainer.ranks, whole)
    )


# -- processes ------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(
    number: int, count: int, port: int, *, shard_weights: bool = False
) -> Iterator[Fabric]:
    """The processes, by what a launcher sets and `launch` finds."""
    if count == 1:
        yield launch()
        return
    os.environ.update(
        TORCHELASTIC_RUN_ID="test", TORCHELASTIC_RESTART_COUNT="0",
        RANK=str(number), LOCAL_RANK=str(number),
        WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count), GROUP_RANK="0",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    yield launch(shard_weights=shard_weights)
    dist.destroy_process_group()
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        del os.environ[name]


@dataclass(frozen=True)
class Trained:
    """What is kept of a run."""

    losses: list[dict[str, float]]
    gradients: dict[str, Tensor]
    weights: dict[str, Tensor]
    alike: bool

    @staticmethod
    def of(trainer: Watched) -> Trained:
        """After training, on every rank."""
        rows = losses(trainer) if trainer.ranks.is_first else []  # who has written them
        return Trained(rows, trainer.gradients, state(trainer), are_alike(trainer))


def work(number: int, folder: Path, ports: dict[int, int]) -> None:
    """All runs that a process takes part in, those with most processes first."""
    torch.set_num_threads(1)
    objectives = cases(gz.Zoo(use_entry_points=False))
    kept: dict[tuple[str, int], Trained] = {}
    parts: dict[int, dict[str, float]] = {}
    for count in sorted(RANKS, reverse=True):
        if number >= count:
            return
        with connected(number, count, ports[count]) as fabric:
            for index, (name, objective) in enumerate(objectives.items()):
                kept[name, count] = Trained.of(
                    train(fabric, folder / f"{index}-{count}", objective)
                )
            ranks = Ranks(dist.group.WORLD if count > 1 else None)
            parts[count] = {
                "batch norm": largest(ranks, batch_norm_apart),
                "mmd": largest(ranks, mmd_apart),
            }
            # a run that begins on four ranks goes on on two
            if count == 4:
                train(fabric, folder / "resumed", objective, stop_at=STEPS // 2, save_every=0)
            if count == 2:
                resumed = state(train(fabric, folder / "resumed", objective, save_every=0))
    found: dict[str, Any] = {
        "resumed": distance(kept[name, 1].weights, resumed),
        "parts": parts,
        "cases": {},
    }
    for name in objectives:
        one = kept[name, 1]
        found["cases"][name] = {
            str(count): {
                "losses": max(
                    distance(*rows)
                    for rows in zip(one.losses, kept[name, count].losses, strict=True)
                ),
                "gradients": distance(one.gradients, kept[name, count].gradients),
                "weights": distance(one.weights, kept[name, count].weights),
                "alike": kept[name, count].alike,
            }
            for count in RANKS[1:]
        }
    (folder / "found.json").write_text(json.dumps(found, indent=2))


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def fork(count: int, work: Callable[..., None], *given: Any) -> None:
    """Do some work in so many processes, by their numbers, and end when all have done it."""
    torch.set_num_threads(1)
    forking = multiprocessing.get_context("fork")  # before anything has run: one import of torch
    others = [forking.Process(target=work, args=(n, *given)) for n in range(1, count)]
    for other in others:
        other.start()
    work(0, *given)
    for other in others:
        other.join()
    sys.exit(max(other.exitcode or 0 for other in others))


if __name__ == "__main__":
    fork(max(RANKS), work, Path(sys.argv[1]), {count: free_port() for count in RANKS})
