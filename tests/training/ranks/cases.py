"""What is trained: data of unequal lengths, and objectives with every penalty of the registry."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import genzoo_rwae as gz
from genzoo_rwae.codes import Categorical
from genzoo_rwae.components import hookimpl, options_of, source, tracker
from genzoo_rwae.errors import OptionError
from genzoo_rwae.objective import law_of

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


@tracker("unreachable")
def unreachable(run: Path, /) -> object:
    """A tracker whose package cannot be had."""
    raise OptionError("its package is not installed")


@hookimpl
def genzoo_sources() -> Iterator[object]:
    yield ragged


@hookimpl
def genzoo_trackers() -> Iterator[object]:
    yield unreachable


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
