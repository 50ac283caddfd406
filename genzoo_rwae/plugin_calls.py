"""What plugins were asked to do: in which order, how often, and how long it took them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genzoo_rwae.plugin_modules import Plugin

__all__ = ["IMPORT", "CallLog", "Calls"]

IMPORT = "import"
"""Stands in a log where a hook's name stands otherwise: the plugin's module was imported."""

_SLOW_SHARE, _SLOW_SECONDS = 0.05, 1.0


@dataclass
class Calls:
    """The calls of one hook of one plugin; those that raised are counted too."""

    plugin: Plugin
    hook: str
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0


class CallLog:
    """Calls by plugin and hook, in the order in which each was first made.

    >>> from genzoo_rwae.plugin_modules import Plugin
    >>> log, plugin = CallLog(), Plugin("mine", "python", "mine.py")
    >>> for _ in range(3):
    ...     with log.timed(plugin, "genzoo_step_done"):
    ...         pass
    >>> [(calls.plugin.name, calls.hook, calls.count) for calls in log.rows()]
    [('mine', 'genzoo_step_done', 3)]
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Calls] = {}

    @contextmanager
    def timed(self, plugin: Plugin, hook: str) -> Iterator[None]:
        """Count what happens inside as one call."""
        calls = self._rows.setdefault((plugin.name, hook), Calls(plugin, hook))
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            calls.count += 1
            calls.seconds += seconds
            calls.longest = max(calls.longest, seconds)

    def rows(self) -> tuple[Calls, ...]:
        """All calls so far."""
        return tuple(self._rows.values())

    def slow(self, seconds: float) -> list[str]:
        """A sentence on every hook that took more than a twentieth of a build of that length."""
        return [
            f"{calls.plugin} took {calls.seconds:.1f} s of {seconds:.1f} s in {calls.hook} "
            f"({calls.count:,} calls, the longest {calls.longest:.2f} s)"
            for calls in self.rows()
            if calls.hook != IMPORT and calls.seconds > max(_SLOW_SECONDS, _SLOW_SHARE * seconds)
        ]
