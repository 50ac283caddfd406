"""Whose trial is whose: locks that the kernel takes back when their owner dies.

Nobody waits for a heartbeat to stop: a trial that the database calls running, and nobody holds,
was left by a process that is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genzoo_rwae.errors import RunError
from genzoo_rwae.files import why_not_written

__all__ = ["CLAIMS", "TURN", "Claim", "turn"]

TURN, CLAIMS = ".turn", ".claims"
"""What a sweep's folder has of its workers: a file that is locked, and one a trial."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait for one's turn in a sweep's folder: all that is decided about trials is decided in it.

    Raises:
        RunError: the folder cannot be written, or knows no locks.
    """
    handle = _opened(folder / TURN)
    try:
        _lock(handle, folder, wait=True)
        yield
    finally:
        os.close(handle)


class Claim:
    """A trial that this process works on.

    Args:
        folder: the sweep's.
        number: the trial's.

    To be made, given back and looked for in one's turn.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.path = folder / CLAIMS / f"{number:04}"
        self._handle: int | None = None

    def take(self) -> bool:
        """Take it, unless another process has it."""
        handle = _opened(self.path)
        try:
            taken = _lock(handle, self.path.parent.parent, wait=False)
        except BaseException:
            os.close(handle)
            raise
        if not taken:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def give_back(self) -> None:
        """Let go of it; what the trial came to is in the database."""
        if self._handle is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {why_not_written(error)}") from error


def _lock(handle: int, folder: Path, *, wait: bool) -> bool:
    """Whether the lock was had."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:
        raise RunError(
            f"{folder} cannot be locked ({error}), and without locks two workers would take one "
            "trial; put the sweep on a local disk with -o"
        ) from error
    return True
