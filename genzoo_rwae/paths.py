"""Paths as a spec or a command line says them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["anchored", "home", "inside"]


def home(path: Path) -> Path:
    """A path whose `~` is a home; as in a shell, that of nobody is left as it is.

    >>> home(Path("~nobody-of-that-name/a")).as_posix()
    '~nobody-of-that-name/a'
    """
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def anchored(path: Path, folder: Path) -> Path:
    """A path in full, all links followed: relative ones are relative to `folder`.

    >>> anchored(Path("b/../c"), Path("/a")).as_posix()
    '/a/c'
    """
    whole = folder / home(path)
    try:
        return whole.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that no file can have
        return whole


def inside(path: Path, folder: Path) -> bool:
    """Whether a path, all links followed, lies in a folder or below it.

    >>> inside(Path("/a/b/../../c"), Path("/a"))
    False
    """
    return anchored(path, folder).is_relative_to(anchored(folder, Path.cwd()))
