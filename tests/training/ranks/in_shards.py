"""A run on two ranks that keep shards, beside the same on one: a script of two forked processes.

    python in_shards.py FOLDER

It writes FOLDER/found.json: how far losses, gradients and checkpoints are from those of one rank,
what a rank keeps, and how a run in shards ends.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from cases import Ragged, small
from endings import terminated
from lightning_fabric import Fabric
from on_ranks import StoppedError, Watched, connected, fork, free_port, losses, prepared
from parts import distance
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.tensor import DTensor

import genzoo_rwae as gz
from genzoo_rwae.training.checkpoint import load_state

STEPS = 20
ZOO = gz.Zoo(use_entry_points=False)
OBJECTIVE = {
    "static": small(ZOO, "gan"),
    "dynamic": {"use": "mmd", "weight": 10.0, "given": "path", "prior_gradient": "stop"},
    "information": {"static": {"weight": 0.01}},
}
# gradients of every step are longer
SETTINGS: dict[str, Any] = {"steps": STEPS, "clip": 0.05}


def run(fabric: Fabric, folder: Path, *, stop_at: int = 0, **settings: Any) -> Watched:
    """A run after its last step, with measurements on a validation split every four steps."""
    saved = {"save_every": 0} if stop_at else {}
    trainer = prepared(fabric, folder, OBJECTIVE, **{**SETTINGS, **saved, **settings})
    trainer.validation.data, trainer.stop_at = Ragged("train"), stop_at
    try:
        trainer.fit()
    except StoppedError:
        assert stop_at
    return trainer


def kept(folder: Path) -> dict[str, Tensor]:
    """All numbers of a run's last checkpoint, and its best weights."""
    state = load_state(folder / "checkpoints" / "last.pt")
    found: dict[str, Any] = {"best": load_file(folder / "checkpoints" / "best.safetensors")}
    found |= {"model": state.model, "objective": state.objective, "optimizer": state.optimizer}
    return dict(flat("", found))


def flat(name: str, value: Any) -> list[tuple[str, Tensor]]:
    """Tensors of nested dicts, by their whole names."""
    if isinstance(value, dict):
        return [pair for key, one in value.items() for pair in flat(f"{name}.{key}", one)]
    return [(name, value)] if isinstance(value, Tensor) else []


def share(tensors: dict[str, Any]) -> float:
    """The part of some tensors' numbers that this rank has."""
    pairs = [(value.to_local(), value) for _, value in flat("", tensors) if value.dim()]
    return sum(own.numel() for own, _ in pairs) / sum(whole.numel() for _, whole in pairs)


def shares(trainer: Watched) -> dict[str, float]:
    """What this rank has of what lies in shards, and numbers in the model that lent its weights."""
    weights = dict(trainer.model.named_parameters())
    return {
        "weights": share(weights),
        "gradients": share({n: p.grad for n, p in weights.items() if p.grad is not None}),
        "optimizer": share(trainer.optimizer.state_dict()["state"]),
        "lender": float(sum(p.numel() for p in trainer.built.parameters())),
    }


def apart(one: Path, other: Path) -> float:
    """How far the checkpoints of two runs are from each other."""
    return distance(kept(one), kept(other))


def rows_apart(one: Watched, other: Watched) -> float:
    """How far losses, norms of gradients and validation figures are from each other."""
    return max(distance(*rows) for rows in zip(losses(one), losses(other), strict=True))


def in_shards(fabric: Fabric, folder: Path, found: dict[str, Any]) -> dict[str, Watched]:
    """The runs of both ranks."""
    runs = {
        "float32": run(fabric, folder / "shards"),
        "bf16": run(fabric, folder / "shards-bf16", steps=4, precision="bf16"),
    }
    begun = run(fabric, folder / "begun in shards", stop_at=STEPS // 2)
    found["shares"] = both(shares(begun))
    run(fabric, folder / "begun on one")
    raised = "nothing"
    try:
        terminated(fabric, folder / "terminated")
    except SystemExit as left:
        raised = f"SystemExit {left.code}"
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
    found["terminated"] = both(raised)
    return runs


def both(value: Any) -> list[Any]:
    """A value of either rank."""
    values = [None, None]
    dist.all_gather_object(values, value)
    return values


def work(number: int, folder: Path, port: int) -> None:
    """All runs that a process takes part in."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    ones: dict[str, Watched] = {}
    if number == 0:
        with connected(0, 1, port) as alone:
            ones["float32"] = run(alone, folder / "one")
            ones["bf16"] = run(alone, folder / "one-bf16", steps=4, precision="bf16")
            run(alone, folder / "begun on one", stop_at=STEPS // 2)
    with connected(number, 2, port, shard_weights=True) as fabric:
        runs = in_shards(fabric, folder, found)
    if number:
        return
    with connected(0, 1, port) as alone:
        run(alone, folder / "begun in shards")
    whole = runs["float32"].built.state_dict()
    norms = [row["gradient_norm"] for row in losses(ones["float32"]) if "gradient_norm" in row]
    found |= {
        "losses": rows_apart(ones["float32"], runs["float32"]),
        "losses in bf16": rows_apart(ones["bf16"], runs["bf16"]),
        "gradients": distance(ones["float32"].gradients, runs["float32"].gradients),
        "kept": apart(folder / "one", folder / "shards"),
        "begun in shards": apart(folder / "one", folder / "begun in shards"),
        "begun on one": apart(folder / "one", folder / "begun on one"),
        "model": distance(whole, load_file(folder / "shards" / "model.safetensors")),
        "model is plain": not any(isinstance(value, DTensor) for value in whole.values()),
        "terminated at": load_state(folder / "terminated/checkpoints/last.pt").step,
        "clip": SETTINGS["clip"],
        "shortest gradient": min(norms),
    }
    (folder / "found.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    fork(2, work, Path(sys.argv[1]), free_port())
