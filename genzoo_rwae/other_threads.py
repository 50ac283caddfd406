"""Threads of libraries that are not torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["torchs_threads"]


@contextmanager
def torchs_threads() -> Iterator[None]:
    """Meanwhile other libraries have as many threads as torch, which were chosen for the run.

    By default they take all cores. Beside a process that keeps one of two busy, logistic
    regressions were measured ten times slower on two threads than on one.
    """
    from threadpoolctl import threadpool_limits  # knows what is loaded by now

    with threadpool_limits(torch.get_num_threads()):
        yield
