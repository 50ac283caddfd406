"""What ends a run before its limit: SIGINT and SIGTERM, and who gives it up."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from genzoo_rwae.errors import GenzooError

__all__ = ["GivenUpError", "InterruptedRunError", "Signals", "noted_signals"]

_SAME = 1.0  # seconds in which a second signal is the first one, told twice


class GivenUpError(GenzooError):
    """Whoever asked for the run wants no more of it; its state is saved."""


class InterruptedRunError(GenzooError):
    """A signal ended the run; its state is saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Signals:
    """The number of the signal that came first, 0 for none, and when."""

    received = 0
    at = 0.0


@contextmanager
def noted_signals() -> Iterator[Signals]:
    """Note SIGINT and SIGTERM and let the step end; one that comes later acts at once.

    Within a second it is the same one: some press a key twice, and some senders tell a process and
    its group.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not signals.received:
            signals.received, signals.at = number, now
        elif now - signals.at > _SAME:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
