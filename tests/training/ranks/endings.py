"""How two ranks end where not all goes well: a script, whose processes share one import of torch.

    python endings.py FOLDER

It writes FOLDER/found.json: what was raised on either rank, by the name of the case, and whether
the first one had saved and told its trackers when the second one left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning_fabric import Fabric
from on_ranks import connected, fork, free_port, prepared, train

OBJECTIVE = {"static": {"use": "mmd"}, "dynamic": {"use": "mmd"}}


def terminated(fabric: Fabric, folder: Path) -> None:
    """SIGTERM reaches the second rank alone; the first one saves, and its trackers are slow."""
    trainer = prepared(fabric, folder, OBJECTIVE, steps=4)
    step = trainer._train_step

    def killed(*given: Any) -> dict[str, Any]:
        if trainer.step == 1 and not trainer.ranks.is_first:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*given)

    def close() -> None:
        if trainer.ranks.is_first:
            time.sleep(0.5)
            (folder / "told").touch()

    trainer._train_step, trainer.trackers.close = killed, close  # type: ignore[method-assign]
    try:
        trainer.fit()
    except SystemExit:
        (folder / "left.json").write_text(
            json.dumps([(folder / "checkpoints/last.pt").exists(), (folder / "told").exists()])
        )
        raise


def tracker_that_cannot_be_had(fabric: Fabric, folder: Path) -> None:
    """A tracker whose package is not there."""
    prepared(fabric, folder, OBJECTIVE, trackers=["unreachable"])


def damaged(name: str) -> Callable[[Fabric, Path], None]:
    """A run that goes on in a folder of which a file is damaged."""

    def run(fabric: Fabric, folder: Path) -> None:
        trainer = train(fabric, folder, OBJECTIVE, steps=1)
        if trainer.ranks.is_first:
            (folder / name).write_bytes((folder / name).read_bytes()[:-20] + bytes(20))
        trainer.ranks.largest(0)
        train(fabric, folder, OBJECTIVE, steps=1)

    return run


def checkpoint_of_another_model(fabric: Fabric, folder: Path) -> None:
    """What is loaded does not fit."""
    train(fabric, folder, OBJECTIVE, steps=1)
    trainer = prepared(fabric, folder, OBJECTIVE, steps=1)
    assert trainer.before
    trainer.before = replace(trainer.before, model={})
    trainer.fit()


CASES = {
    "terminated": terminated,
    "a tracker that cannot be had": tracker_that_cannot_be_had,
    "damaged metrics": damaged("metrics.jsonl"),
    "a damaged checkpoint": damaged("checkpoints/last.pt"),
    "a checkpoint of another model": checkpoint_of_another_model,
}


def work(number: int, folder: Path, port: int) -> None:
    """All cases, one after the other."""
    found = {}
    with connected(number, 2, port) as fabric:
        for index, (name, case) in enumerate(CASES.items()):
            raised = "nothing"
            try:
                case(fabric, folder / str(index))
            except SystemExit as left:
                raised = f"SystemExit {left.code}"
            except Exception as error:
                raised = f"{type(error).__name__}: {error}"
            both = [None, None]
            dist.all_gather_object(both, raised)
            found[name] = both
    if number == 0:
        left = json.loads((folder / "0" / "left.json").read_text())
        (folder / "found.json").write_text(json.dumps({"raised": found, "left after": left}))


if __name__ == "__main__":
    fork(2, work, Path(sys.argv[1]), free_port())
