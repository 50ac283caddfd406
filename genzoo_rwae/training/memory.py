"""Main memory that a step frees and the next one wants again."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache

__all__ = ["keep_freed_memory", "trim_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # <malloc.h>
_NEVER = -1
_LARGEST = (2**30, 2**25)  # bytes of a block; of old, glibc takes no more than 32 MB
_SET_BY_HAND = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


@cache
def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, from now on and in this process; whether it does.

    glibc gives large blocks back to the system when they are freed, and what the next step gets
    for them is new pages, which the system fills with zeros one by one (docs/performance/step.md
    counts them). So memory that was once needed stays with the process, for what comes next in it,
    until it ends or `trim_freed_memory` is called. Where the environment says how glibc is to deal
    with memory, it does that, and other C libraries are left alone.

    Source: glibc, mallopt(3).
    """
    if any(name in os.environ for name in _SET_BY_HAND):
        return False
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS; Windows has none to open
        return False
    return any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST) and bool(
        mallopt(_TRIM_THRESHOLD, _NEVER)
    )


def trim_freed_memory() -> None:
    """Give back what is free now, where the C library can.

    What a step takes does not always lie in the same places: in hours, pages are touched that few
    steps need, and a process grows without anything being lost (docs/performance/memory.md). To be
    called now and then: the next step takes about a third longer.

    Source: glibc, malloc_trim(3).
    """
    with suppress(AttributeError, OSError, TypeError):  # as above
        ctypes.CDLL(None).malloc_trim(0)
