"""Files as they are now, so that what was read of them can be kept until they change."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Stamp", "stamps"]


class Stamp(NamedTuple):
    """A file, and by what a later version of it is told: time of change in ns, size in bytes."""

    path: Path
    changed: int
    size: int


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """The stamps of existing files: a key for `lru_cache`."""
    found = ((path, path.stat()) for path in paths)
    return tuple(Stamp(path, stat.st_mtime_ns, stat.st_size) for path, stat in found)
