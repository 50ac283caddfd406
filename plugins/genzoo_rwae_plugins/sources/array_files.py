"""Arrays on disc: a .npy file, which is memory-mapped, or one entry of a .npz file.

Pickles are never loaded, and a header is believed only where as many bytes are behind it.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from genzoo_rwae.errors import DataError

__all__ = ["loaded_array"]

_MAGIC = b"\x93NUMPY"
# of one entry of a .npz file, which comes into memory whole
_MOST_UNPACKED = 2 * 2**30
_MOST_RATIO = 10  # unpacked to packed, above it: a bomb has a thousand
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# what zipfile and numpy raise of files that are damaged, or made to look so
_DAMAGED = (
    OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, RuntimeError, ArithmeticError,
    MemoryError, RecursionError, TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def loaded_array(path: Path, key: str | None) -> np.ndarray:
    """The array of a .npy file, memory-mapped, or one of a .npz file.

    Args:
        path: an existing file.
        key: which of a .npz file; None where there is one.

    Raises:
        DataError: there is none, or several and no key; it is damaged, holds Python objects, or
            says that it is larger than it is; or a .npz entry unpacks to more than 2 GB and to more
            than ten times its size.
    """
    try:
        with path.open("rb") as file:
            single = file.read(len(_MAGIC)) == _MAGIC
            if single:
                if key is not None:
                    raise DataError(f"{path}: found one array, wanted no `key`; take `key` away")
                _check_header(path, file, path.stat().st_size)
        if single:
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        return _of_archive(path, key)
    except _DAMAGED as error:
        raise DataError(
            f"{path}: cannot be read as an array ({str(error)[:200]}); wanted one that numpy.save "
            "or numpy.savez wrote, of numbers and not of Python objects; save it again"
        ) from error


def _of_archive(path: Path, key: str | None) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        entry = entries[_key_of(path, list(entries), key)]
        if entry.file_size > max(_MOST_UNPACKED, _MOST_RATIO * entry.compress_size):
            raise DataError(
                f"{path}: found an array that unpacks from {entry.compress_size:,} to "
                f"{entry.file_size:,} bytes, wanted at most {_MOST_UNPACKED:,}; save it as .npy, "
                "which is not read into memory"
            )
        with archive.open(entry) as file:
            file.read(len(_MAGIC))
            _check_header(path, file, entry.file_size)
        with archive.open(entry) as file:
            # zipfile gives no byte more than the entry says, whatever it unpacks to
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _key_of(path: Path, known: list[str], key: str | None) -> str:
    if key is None and len(known) == 1:
        return known[0]
    if key is None or key not in known:
        found = "several arrays and no `key`" if key is None else f"no array '{key}'"
        raise DataError(f"{path}: found {found}, wanted `key: ` one of {', '.join(known[:40])}")
    return key


def _check_header(path: Path, file: IO[bytes], held: int) -> None:
    """Refuse a header that says more than the file holds; numpy would set memory aside for it."""
    version = tuple(file.read(2))
    if version not in _READERS:
        raise ValueError(f"format {version} of numpy's files")
    shape, _, dtype = _READERS[version](file)
    if dtype.hasobject:
        raise ValueError("Python objects, which would be a pickle")
    claimed, behind = math.prod(shape) * dtype.itemsize, held - file.tell()
    if min(shape, default=0) < 0 or claimed > behind:
        raise DataError(
            f"{path}: found {behind:,} bytes behind a header that tells of {claimed:,} (shape "
            f"{list(shape)[:8]} of {dtype}), wanted as many; the file was cut short, copy it again"
        )
