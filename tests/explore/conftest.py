"""Models that were not trained, and data to try them on: who knows nothing can still be clicked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.explore.exploration import Exploration
from genzoo_rwae.explore.page import page
from genzoo_rwae.explore.server import address_of, listen, own_folder, server
from genzoo_rwae.run import check
from genzoo_rwae.sequences import Batch, Factor, SequenceData, Sound

SETTINGS = {"model.action": {"count": 3}, "objective.action.use": "mmd"}


class Renamed(SequenceData):
    """Data whose factors and classes have one name, and whose frames hum."""

    def __init__(self, data: SequenceData, name: str) -> None:
        self._data = data
        self._old = [factor.name for factor in data.info.factors]
        factors = tuple(
            Factor(f"{n}{name}", tuple(name for _ in factor.classes), factor.code)
            for n, factor in enumerate(data.info.factors)
        )
        self.info = replace(data.info, factors=factors)

    def __len__(self) -> int:
        return len(self._data)

    def take(self, indices_B, /, *, draw=0) -> Batch:
        batch = self._data.take(indices_B, draw=draw)
        labels = [batch.factors[name] for name in self._old]
        names = [factor.name for factor in self.info.factors]
        return replace(batch, factors=dict(zip(names, labels, strict=True)))

    def sound(self, x_T, /, *, like=None) -> Sound:
        return Sound(np.zeros(800 * len(x_T), np.float32), 8_000)


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory, tiny_text: str) -> Path:
    path = tmp_path_factory.mktemp("explore") / "tiny.yaml"
    path.write_text(tiny_text)
    return path


@pytest.fixture(scope="session")
def exploration(tiny_file: Path) -> Exploration:
    """Of a model with three actions, on digits."""
    torch.manual_seed(0)
    spec, assembled = check(tiny_file, settings=SETTINGS)
    splits = (open_split(spec, split) for split in ("test", "train"))
    return Exploration(assembled.model.eval(), *splits)


@pytest.fixture
def named(tiny_file: Path):
    """An exploration all of whose names are one, and whose data are heard."""

    def make(name: str) -> Exploration:
        spec, _ = check(tiny_file)
        test, train = (Renamed(open_split(spec, split), name) for split in ("test", "train"))
        model = assemble(spec, test.info).model
        return Exploration(model.eval(), test, train)

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve the page of an exploration until the test is over; gives its address."""
    pytest.importorskip("gradio", reason="the page needs Gradio: the extra explore")
    with ExitStack() as held:

        def start(exploration: Exploration, **about: Any) -> str:
            held.enter_context(own_folder())
            listener = held.enter_context(listen(0))
            here = server(page(exploration, **about))
            thread = threading.Thread(target=here.run, kwargs={"sockets": [listener]})
            thread.start()
            held.callback(thread.join)
            held.callback(setattr, here, "should_exit", True)
            return address_of(listener)

        yield start
