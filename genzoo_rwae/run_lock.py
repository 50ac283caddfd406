"""One writer to a run folder: a lock that the kernel takes back when its owner dies."""

from __future__ import annotations

import json
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from genzoo_rwae.errors import CheckpointError, GenzooWarning, RunError, SpecError

__all__ = ["LOCK", "locked"]

LOCK = ".lock"
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # a stranger's .lock could lead to a file of the user's


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder: no other process builds it, measures it or draws it meanwhile.

    The lock is `flock`'s on the file .lock, which says who has it. The file of an owner that died
    holds nobody up. Where the file system knows no such locks, that is said, and nobody is held up.

    Args:
        folder: the run folder; made if there is none.

    Raises:
        CheckpointError: somebody else holds it.
        RunError: the folder cannot be made or written.
        SpecError: it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is a file; -o wants a folder for the run")
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _opened(path)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written: {error.strerror or error}; wanted a folder that genzoo "
            "may write in: give another one, or change its permissions"
        ) from error
    try:
        yield
    finally:
        # while it is still locked: whoever opened this very file finds it gone and opens anew.
        # In a folder that cannot be written any more the file stays, and holds nobody up
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _opened(path: Path) -> int:
    """The lock's file, open, locked and saying whose it is."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
        try:
            _lock(handle, path)
            if _is_at(handle, path):
                _write_who(handle)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its owner went, and took the file away, between our two calls


def _lock(handle: int, path: Path) -> None:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CheckpointError(_taken(path)) from None
    except (ImportError, OSError) as error:
        said = f"{path.parent} cannot be locked here ({error}): see to it that one build runs alone"
        warnings.warn(GenzooWarning(said), stacklevel=4)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _write_who(handle: int) -> None:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    who = {"pid": os.getpid(), "host": platform.node(), "since": since}
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps(who).encode() + b"\n")


def _taken(path: Path) -> str:
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        holder = f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        holder = "another process"  # which is about to say who it is
    return (
        f"{path.parent} is in use by {holder}, which builds, measures or draws the run; wait until "
        "it has ended, or stop it, and give the same command again. -o builds in another folder"
    )
