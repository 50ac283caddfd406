"""How many CPU threads: tried on a batch, since more of them are often slower.

Where another process keeps a core busy, every parallel region waits for the thread that has to
share it: small nets were measured a hundred times slower on two threads than on one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from genzoo_rwae.errors import SpecError
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, SequenceData
from genzoo_rwae.spec import Spec
from genzoo_rwae.spec.located import read_yaml
from genzoo_rwae.training.batches import Batches
from genzoo_rwae.training.precision import Execution, choose_execution
from genzoo_rwae.training.trial import left_as_it_was, pass_seconds

__all__ = ["settle_threads", "threads_of", "threads_put_back", "threads_worth_it"]

_WORTH_IT = 1.25  # twice the threads have to be this much faster
_HOPELESS = 4.0  # a first try that is this much slower is the last one
_ROUNDS = 3  # in which both have their turn, after a try of each
_LONGEST = 15.0  # seconds, after which one round has to do


def settle_threads(
    spec: Spec, folder: Path, model: SequenceModel, train: SequenceData, ranks: Ranks
) -> None:
    """Let torch have the threads that a run is trained on.

    Those of the spec, or those that the run was begun with; else what a trial finds. On a GPU and
    on several ranks it is left at what torch and the launcher took.

    Args:
        spec: of the run.
        folder: of the run; where there is none yet it is begun now.
        model: of the spec.
        train: its training split.
        ranks: that train together.
    """
    if spec.train.threads:
        torch.set_num_threads(spec.train.threads)
        return
    if ranks.count > 1 or torch.cuda.is_available() or torch.get_num_threads() == 1:
        return
    threads = _threads_of_folder(folder)
    if not threads:
        batch = Batches(train, spec.data.slot.batch, spec.train.seed).at(0)
        with threads_put_back():
            torch.set_num_threads(1)  # precision is tried, and the answer kept
            execution = choose_execution(spec.train, model.info.frame_shape)
        threads = threads_worth_it(model, batch, execution, spec.train.seed)
    _use_at_most(threads)


@contextmanager
def threads_of(spec: Spec) -> Iterator[None]:
    """Meanwhile torch has the threads that a run of this spec was trained on, if it says them."""
    with threads_put_back():
        noted = (spec.resolved or {}).get("threads")
        if spec.train.threads:
            torch.set_num_threads(spec.train.threads)
        elif noted and noted > 0:
            _use_at_most(noted)
        yield


def _threads_of_folder(folder: Path) -> int | None:
    """Threads that a run was begun with; None if it is new, or its spec does not tell."""
    if not RunFolder(folder).spec.is_file():
        return None
    try:
        plain: Any = read_yaml(RunFolder(folder).spec).plain
        threads = plain["resolved"]["threads"]
    except (SpecError, LookupError, TypeError):  # what is damaged is told where the run is opened
        return None
    return threads if type(threads) is int and threads > 0 else None


def threads_worth_it(model: SequenceModel, batch: Batch, execution: Execution, seed: int) -> int:
    """Threads on which a model trains fastest; fewer of them where more would gain little.

    Weights, gradients, statistics and generators are afterwards what they were.

    Args:
        model: on the CPU.
        batch: one of those that it is trained on.
        execution: how the nets run.
        seed: of the draws.
    """
    was_training, most = model.training, torch.get_num_threads()
    passes = partial(pass_seconds, model, model, batch, execution, seed)
    chosen = 1
    execution.place(model).train()
    try:
        with threads_put_back(), left_as_it_was(model):
            while (more := min(2 * chosen, most)) > chosen and _pays(passes, chosen, more):
                chosen = more
    finally:
        model.train(was_training)
    return chosen


def _pays(seconds: Callable[[int], float], few: int, many: int) -> bool:
    """Whether more threads are so much faster; by medians, in which a busy machine shows."""
    of_few: list[float] = []
    of_many: list[float] = []
    for number in range(1 + _ROUNDS):
        if number > 1 and sum(of_few + of_many) > _LONGEST:
            break
        torch.set_num_threads(few)
        of_few.append(seconds(number))
        torch.set_num_threads(many)
        of_many.append(seconds(number))
        if of_many[0] > _HOPELESS * of_few[0]:
            return False
    return _WORTH_IT * median(of_many[1:]) <= median(of_few[1:])


def _use_at_most(threads: int) -> None:
    torch.set_num_threads(min(threads, torch.get_num_threads()))


@contextmanager
def threads_put_back() -> Iterator[None]:
    """Afterwards torch has as many threads as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
