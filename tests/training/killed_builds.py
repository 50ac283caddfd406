"""Builds a spec twice: undisturbed, and killed again and again. Run by test_kills.py.

    python killed_builds.py SPEC FOLDER KILLS SEED

One parent imports everything once and forks the builds. Every other one is killed at a random time
after one of its first steps, the others at a random call that touches the run folder: the opening
of a file, a rename, a sync, a removal. FOLDER gets the runs `whole` and `killed`; printed is, as
JSON, at what the kills struck and the last step that was saved by then.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import torch

import genzoo_rwae as gz
import genzoo_rwae.report.compose
import genzoo_rwae.training.loop
from genzoo_rwae import files
from genzoo_rwae.run import check
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.training.checkpoint import last_state

TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod")
MOST_CALLS = 80  # of a build that has taken three steps, about
MOST_STEPS = 3
LONGEST = 0.03  # seconds that a build goes on after its last step


def killing_calls(run: Path, number: int, noted: int) -> None:
    """Kill this process at its so many-th call that touches the run folder."""
    calls = count(1)

    def strike(what: str) -> None:
        if next(calls) == number:
            os.write(noted, f"{what}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event in TOUCHES and str(arguments[0]).startswith(str(run)):
            strike(f"{event} {Path(str(arguments[0])).name.strip('.').partition('.')[0]}")

    def synced(handle: int) -> None:
        strike("fsync")
        fsync(handle)

    fsync, files.os.fsync = os.fsync, synced
    sys.addaudithook(audit)


def forked_build(spec: Path, run: Path, calls: int | None = None) -> tuple[int, int]:
    """A child that builds, and a pipe on which it says that it took a step, or what it died at."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    with (run.parent / "builds.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    record = genzoo_rwae.training.loop.Trainer._record

    def telling(trainer, *arguments):
        if calls is None:
            os.write(writing, b"step\n")
        return record(trainer, *arguments)

    genzoo_rwae.training.loop.Trainer._record = telling
    if calls is not None:
        killing_calls(run, calls, writing)
    try:
        gz.build(spec, run=run)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def kills(spec: Path, run: Path, seed: int) -> Iterator[dict[str, object]]:
    """Killed builds of one folder, each going on from where the one before was struck."""
    draw = random.Random(seed)
    for number in count():
        at_call = number % 2 == 0
        child, pipe = forked_build(spec, run, draw.randint(1, MOST_CALLS) if at_call else None)
        with os.fdopen(pipe) as told:
            struck = told.readline().strip()
            if not at_call:
                for _ in range(draw.randrange(MOST_STEPS)):
                    told.readline()
                time.sleep(draw.uniform(0, LONGEST))
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if status != signal.SIGKILL:
            raise SystemExit(
                f"build {number} ended by itself: {(run.parent / 'builds.log').read_text()}"
            )
        state = last_state(RunFolder(run))
        yield {"at": struck, "step": state.step if state else 0}


def finished(spec: Path, run: Path) -> None:
    child, pipe = forked_build(spec, run)
    os.close(pipe)
    if os.waitpid(child, 0)[1]:
        raise SystemExit((run.parent / "builds.log").read_text())


def main() -> None:
    spec, folder, number, seed = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
    torch.set_num_threads(1)
    check(spec)  # imports what a build does; a backward pass here would break those of the children
    done = list(islice(kills(spec, folder / "killed", seed), number))
    finished(spec, folder / "killed")
    finished(spec, folder / "whole")
    print(json.dumps(done))


if __name__ == "__main__":
    main()
