"""Main memory that a step frees and the next one wants again."""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # <malloc.h>
_KEPT = 2**31 - 1  # bytes, the most that an int says
_LARGEST = (2**30, 2**25)  # bytes of a block; of old, glibc takes no more than 32 MB


@cache
def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, from now on and in this process; whether it does.

    glibc gives large blocks back to the system when they are freed, and what the next step gets
    for them is new pages, which the system fills with zeros one by one: 41,000 pages a step of the
    family's usual nets, a tenth of its time (docs/performance/step.md). The most memory that is
    needed at once is the same. Other C libraries are left alone.

    Source: glibc, mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS; Windows has none to open
        return False
    return any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST) and bool(
        mallopt(_TRIM_THRESHOLD, _KEPT)
    )
