"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from genzoo_rwae.errors import RunError

__all__ = ["cache_folder", "why_not_written", "write_atomic", "write_atomic_with"]


def cache_folder() -> Path:
    """Where what can be made again is kept: genzoo-rwae/ in XDG_CACHE_HOME, or in ~/.cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the standard's word for what to do with a relative one
    return (base if base.is_absolute() else Path.home() / ".cache") / "genzoo-rwae"


def write_atomic(path: Path, data: bytes | str, *, keep: Path | None = None) -> Path:
    """Write a file so that a reader, or a crash, never sees a part of it.

    Args:
        path: the file.
        data: its content.
        keep: where the file that was there before goes, in the same folder. Between the two
            renames there is no file at `path`, but the one at `keep` is whole.

    Raises:
        RunError: the device is full or the folder cannot be written; the old file is as it was.
    """
    raw = data.encode("utf-8") if isinstance(data, str) else data
    return write_atomic_with(path, lambda file: file.write(raw), keep=keep)


def write_atomic_with(
    path: Path, write: Callable[[BinaryIO], object], *, keep: Path | None = None
) -> Path:
    """As `write_atomic`, for data that are produced into an open file: write, fsync, rename."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a run folder is as readable as the user's other files
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        if keep is not None and path.is_file():
            path.replace(keep)
        Path(temporary).replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True) if temporary else None
        raise RunError(
            f"{path} could not be written: {why_not_written(error)}; what was there before is "
            "untouched"
        ) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def why_not_written(error: OSError) -> str:
    """Why the system refused a write, and how to mend it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the device: make room, and the same command goes on"
    reason = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{reason}: the folder has to be writable; change that, or write elsewhere"
    return reason


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut, where folders can be synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)
