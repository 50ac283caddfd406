"""No label reaches the training of an unsupervised spec: what is done to them changes no weight."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import genzoo_rwae as gz
from genzoo_rwae.report import compose
from genzoo_rwae.training import loop

Change = Callable[[Mapping[str, Tensor], Tensor], Mapping[str, Tensor]]


def permuted(factors: Mapping[str, Tensor], indices_B: Tensor) -> Mapping[str, Tensor]:
    """Every sequence gets another one's labels."""
    return {name: labels_B.roll(1) for name, labels_B in factors.items()}


def destroyed(factors: Mapping[str, Tensor], indices_B: Tensor) -> Mapping[str, Tensor]:
    return {name: torch.zeros_like(labels_B) for name, labels_B in factors.items()}


def absent(factors: Mapping[str, Tensor], indices_B: Tensor) -> Mapping[str, Tensor]:
    return {}


class Relabelled(gz.SequenceData):
    """A split whose labels were changed."""

    def __init__(self, data: gz.SequenceData, change: Change) -> None:
        self.data, self.info, self.change = data, data.info, change
        self.taken = 0

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> gz.Batch:
        batch = self.data.take(indices_B, draw=draw)
        self.taken += len(batch)
        return replace(batch, factors=self.change(batch.factors, batch.indices_B))


@pytest.fixture
def trained(
    tiny_spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., bytes]:
    """The weights after a few steps, with the labels of the training split changed."""

    def train(change: Change | None, **settings: object) -> bytes:
        seen = []

        class Batches(loop.Batches):
            def __init__(self, data: gz.SequenceData, size: int, seed: int) -> None:
                data = Relabelled(data, change) if change else data
                seen.append(data)
                super().__init__(data, size, seed)

        run = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        with monkeypatch.context() as patch:
            patch.setattr(loop, "Batches", Batches)
            patch.setattr(compose, "draw", lambda *_: None)  # slow, and not asked about here
            gz.build(tiny_spec, run=run, settings={"train.steps": 6, **settings})
        assert [getattr(data, "taken", 96) for data in seen] == [96]  # six batches of sixteen
        return (run / "model.safetensors").read_bytes()

    return train


@pytest.mark.parametrize("change", [permuted, destroyed, absent])
def test_weights_of_an_unsupervised_spec_are_bit_equal_whatever_its_labels_say(
    trained: Callable[..., bytes], change: Change
) -> None:
    assert trained(None) == trained(change)


def test_a_spec_that_asks_for_labels_does_see_them(trained: Callable[..., bytes]) -> None:
    asks = {
        "model.action": {"count": 10},
        "objective.labels": {"factor": "digit", "share": 1.0, "weight": 10.0},
    }
    assert trained(None, **asks) != trained(destroyed, **asks)


def test_no_label_helps_to_choose_the_best_weights(tiny_spec: Path, tmp_path: Path) -> None:
    settings = {
        "train.steps": 6,
        "model.action": {"count": 10},
        "objective.labels": {"factor": "digit", "share": 1.0},
    }
    gz.build(tiny_spec, run=tmp_path / "run", settings=settings)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    seen = {row["split"]: "labels" in row for row in rows}
    assert seen == {"train": True, "validation": False}
