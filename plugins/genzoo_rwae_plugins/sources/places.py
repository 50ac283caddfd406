"""Where a data set's files are looked for."""

from __future__ import annotations

import os
from errno import ENOENT
from pathlib import Path

from genzoo_rwae.errors import DataError
from genzoo_rwae.files import cache_folder as usual_cache_folder

__all__ = ["cache_folder", "check_regular", "data_folder"]


def data_folder(root: Path | None, /, *, source: str, within: str) -> Path:
    """The folder that holds a data set.

    Args:
        root: what the user said, or None.
        source: the source's name, for the message.
        within: the folder below GENZOO_DATA that is taken where the user said nothing.

    Returns:
        An existing folder.

    Raises:
        DataError: nothing was said and GENZOO_DATA is not set, or there is no such folder.
    """
    told = "root"
    if root is None:
        base = os.environ.get("GENZOO_DATA")
        if not base:
            raise DataError(
                f"{source}: no root was given and GENZOO_DATA is not set; give "
                f"`root: <folder>`, or set GENZOO_DATA to a folder that contains {within}"
            )
        told, root = "GENZOO_DATA", Path(base) / within
    root = root.expanduser()
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(
            f"{source}: {root} (from {told}): found {found}, wanted the folder of the data set; "
            f"correct {told}"
        )
    return root


def cache_folder(told: Path | None) -> Path:
    """Where decoded data are kept.

    Args:
        told: what the user said; None is genzoo-rwae in XDG_CACHE_HOME or ~/.cache.
    """
    return usual_cache_folder() if told is None else told.expanduser()


def check_regular(path: Path) -> None:
    """Let nothing but a file on disc be opened: a pipe is waited for, and some devices never end.

    Raises:
        OSError: it is none.
    """
    if not path.is_file():
        raise OSError(ENOENT, "found no file there")
