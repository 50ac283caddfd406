"""Runs on one, two and four ranks, compared: a script, whose processes share one import of torch.

    python on_ranks.py FOLDER

It writes FOLDER/found.json: for every case and number of ranks, how far losses, first gradients and
weights are from those of one rank, and whether all ranks have the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rich.console import Console
from torch import Tensor

import genzoo_rwae as gz
from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.codes import Categorical
from genzoo_rwae.components import hookimpl, options_of, source
from genzoo_rwae.objective import law_of
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.training.launch import launch, ranks_of
from genzoo_rwae.training.loop import Trainer

RANKS = (1, 2, 4)
STEPS = int(os.environ.get("RANKS_STEPS", 50))
FACTOR = gz.Factor("kind", ("a", "b", "c"), "dynamic")


class Ragged(gz.SequenceData):
    """Random vectors of unequal lengths; every sequence depends on its index and the draw alone."""

    info = gz.DataInfo((4,), 3, bounded=False, factors=(FACTOR,))

    def __init__(self, split: str) -> None:
        self.split = split

    def __len__(self) -> int:
        return 40 if self.split == "train" else 0

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
        rows = [np.random.default_rng([int(i), draw]) for i in indices_B]
        x_BTF = torch.from_numpy(np.stack([row.normal(size=(3, 4)) for row in rows])).float()
        lengths_B = torch.from_numpy(1 + np.asarray(indices_B) % 3)
        x_BTF[torch.arange(3) >= lengths_B[:, None]] = 0.0
        indices = torch.from_numpy(np.asarray(indices_B))
        return gz.Batch(x_BTF, lengths_B, indices, {"kind": indices % 3})


@source("ragged")
def ragged(split: str, /) -> Ragged:
    """Random vectors of unequal lengths."""
    return Ragged(split)


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield ragged


# -- specs ----------------------------------------------------------------------------------------

MODEL = {
    "use": "rwae",
    "encoder": {"use": "frame", "frames": {"use": "mlp", "hidden": 8, "width": 8}},
    "static": {"size": 3, "head": {"use": "pooled", "hidden": 8}, "frames": "shuffled"},
    "dynamic": {
        "size": 2,
        "head": {"use": "lstm", "hidden": 8},
        "prior": {"use": "lstm", "hidden": 8},
        "augment": ["time-mask"],
    },
    "action": {"count": 3, "head": {"use": "lstm", "hidden": 8}, "prior": "given-action"},
    "decoder": {"use": "frame", "hidden": 8, "frames": {"use": "mlp", "hidden": 8}},
    "decoded": 2,
}  # fmt: skip


def cases(zoo: gz.Zoo) -> dict[str, dict[str, Any]]:
    """Objectives in which every penalty of the registry stands at least once."""
    laws = {
        name: law_of(zoo.find("penalty", name).component.build) for name in zoo.names("penalty")
    }
    splits = [name for name in laws if "split" in parameters(zoo, name)]
    samples = [name for name, law in laws.items() if law is None and name not in splits]
    gaussian = [name for name, law in laws.items() if law is gz.DiagonalGaussian]
    categorical = [name for name, law in laws.items() if law is Categorical]
    found = {}
    for start in range(0, len(samples), 3):
        static, dynamic, independence = ((samples * 2)[start + i] for i in range(3))
        terms = {"static": static, "dynamic": dynamic, "independence": independence}
        found[", ".join(terms.values())] = {slot: small(zoo, n) for slot, n in terms.items()}
    for static, dynamic in zip(gaussian, reversed(gaussian), strict=True):
        coupled = zoo.find("penalty", dynamic).component.batch_coupled
        found[f"{static}, {dynamic}, {splits[0]}, {categorical[0]}"] = {
            "static": small(zoo, static),
            "dynamic": {**small(zoo, dynamic), "given": "none" if coupled else "state"},
            "independence": {**small(zoo, splits[0]), "motion": "path"},
            "action": small(zoo, categorical[0]),
            "labels": {"factor": "kind", "share": 0.5},
        }
    found["paths, a prior that does not learn, prices"] = {
        "static": {"use": "mmd", "weight": 10.0, "target": 0.1},
        "dynamic": {"use": "mmd", "weight": 10.0, "given": "path", "prior_gradient": "stop"},
        "action": {"use": "mmd"},
        "information": {"static": {"weight": 0.01}, "dynamic": {"weight": 0.01, "target": 1.0}},
    }
    return found


def parameters(zoo: gz.Zoo, name: str) -> tuple[str, ...]:
    """Names of what a penalty is called with."""
    build = zoo.find("penalty", name).component.build
    return tuple(inspect.signature(getattr(build, "forward", build)).parameters)


def small(zoo: gz.Zoo, name: str) -> dict[str, Any]:
    """A penalty with small nets, where it has some."""
    sizes = {"hidden": 8, "layers": 2, "projections": 8, "r1": 0.1, "iterations": 20}
    known = {option.name for option in options_of(zoo.find("penalty", name).component.build)}
    return {"use": name, **{option: size for option, size in sizes.items() if option in known}}


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
            self.gradients = {n: p.grad.clone() for n, p in parameters if p.grad is not None}
        return row


class StoppedError(Exception):
    """In the middle of a run."""


def train(folder: Path, objective: dict[str, Any], stop_at: int = 0, **train: Any) -> Watched:
    """A run of the ranks that there are."""
    zoo = gz.Zoo([__file__], use_entry_points=False)
    settings = {"steps": STEPS, "precision": "float32", "save_every": 1e6, **train}
    text = {"genzoo": 1, "name": "ranks", "data": {"use": "ragged", "batch": 10}, "model": MODEL}
    path = folder.parent / f"{folder.name}.{os.getpid()}.yaml"
    path.write_text(json.dumps({**text, "objective": objective, "train": settings}))
    spec = gz.load_spec(path, zoo=zoo)
    data = [open_split(spec, split) for split in ("train", "validation")]
    assembled = assemble(spec, data[0].info)
    fabric = launch()
    run = ranks_of(fabric).of_first(lambda: RunFolder.prepare(folder, spec))
    trainer = Watched(spec, assembled, *data, run, zoo, Console(quiet=True), fabric)
    trainer.stop_at = stop_at
    with contextlib.suppress(StoppedError):
        trainer.fit()
    return trainer


def state(trainer: Watched) -> dict[str, Tensor]:
    """Weights of model, penalties and critics."""
    return {
        name: value.detach().clone()
        for name, value in trainer.step_module.state_dict().items()
        if isinstance(value, Tensor)
    }


def losses(trainer: Watched) -> list[dict[str, float]]:
    """Losses and terms of the logged steps."""
    rows = [json.loads(line) for line in trainer.run.metrics.read_text().splitlines()]
    speed = ("seconds", "sequences_per_second")
    return [{n: v for n, v in row.items() if n not in ("split", *speed)} for row in rows]


def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest difference, relative to the largest entry of the same tensor."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    pairs = [
        (torch.as_tensor(v).double(), torch.as_tensor(other[n]).double()) for n, v in one.items()
    ]
    return max(float((a - b).abs().max() / (1e-3 + a.abs().max())) for a, b in pairs)


def are_alike(trainer: Watched) -> bool:
    """Whether all ranks have the same weights, bit for bit."""
    whole = torch.cat([value.flatten().double() for value in state(trainer).values()])
    return trainer.ranks.largest(0) == [0] and all(
        torch.equal(whole, other) for other in all_of(trainer.ranks, whole)
    )


def all_of(ranks: Ranks, value: Tensor) -> list[Tensor]:
    """A tensor of every rank."""
    if ranks.count == 1:
        return [value]
    found = [torch.empty_like(value) for _ in range(ranks.count)]
    dist.all_gather(found, value)
    return found


# -- processes ------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(number: int, count: int, port: int) -> Iterator[None]:
    """What a launcher sets, for `launch` to find."""
    if count == 1:
        yield
        return
    os.environ.update(
        TORCHELASTIC_RUN_ID="test", RANK=str(number), LOCAL_RANK=str(number),
        WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count), GROUP_RANK="0",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    yield
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
        return Trained(losses(trainer), trainer.gradients, state(trainer), are_alike(trainer))


def work(number: int, folder: Path, ports: dict[int, int]) -> None:
    """All runs that a process takes part in, those with most processes first."""
    torch.set_num_threads(1)
    objectives = cases(gz.Zoo(use_entry_points=False))
    kept: dict[tuple[str, int], Trained] = {}
    for count in sorted(RANKS, reverse=True):
        if number >= count:
            return
        with connected(number, count, ports[count]):
            for index, (name, objective) in enumerate(objectives.items()):
                kept[name, count] = Trained.of(train(folder / f"{index}-{count}", objective))
            # a run that begins on four ranks goes on on two
            if count == 4:
                train(folder / "resumed", objective, stop_at=STEPS // 2, save_every=0)
            if count == 2:
                resumed = state(train(folder / "resumed", objective, save_every=0))
    found: dict[str, Any] = {"resumed": distance(kept[name, 1].weights, resumed), "cases": {}}
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


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    ports = {count: free_port() for count in RANKS}
    fork = multiprocessing.get_context("fork")  # before anything has run: torch is imported once
    others = [fork.Process(target=work, args=(n, place, ports)) for n in range(1, max(RANKS))]
    for other in others:
        other.start()
    work(0, place, ports)
    for other in others:
        other.join()
    sys.exit(max(other.exitcode or 0 for other in others))
