"""Files in the idx format of MNIST, plain or gzipped.

An idx file is a big-endian header (two zero bytes, type 8 = uint8, number of axes, then each axis
as uint32) and the values in C order. Source: LeCun, Cortes and Burges, the MNIST database.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from genzoo_rwae.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["find_idx", "read_idx"]

_UINT8 = 8
_MOST_BYTES = 2**30  # all of MNIST has 55 MB


def find_idx(folder: Path, stem: str, axes: int, /) -> Path:
    """The file of a name as `train-images`, in any of its four spellings.

    Raises:
        DataError: there is none of them.
    """
    spellings = [f"{stem}{dot}idx{axes}-ubyte{gz}" for dot in ("-", ".") for gz in ("", ".gz")]
    for name in spellings:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{folder}: found no {spellings[0]} (nor {', '.join(spellings[1:])}); wanted the idx files "
        "of MNIST; put them there or correct `root`"
    )


def read_idx(path: Path, axes: int, /) -> np.ndarray:
    """The array of an idx file of bytes.

    Args:
        path: the file; a name ending in .gz is decompressed.
        axes: how many axes it has to have.

    Returns:
        uint8 array with that many axes.

    Raises:
        DataError: another type or number of axes, too few or too many bytes, or a broken gzip.
    """
    try:
        with _opened(path) as file:
            header = file.read(4 + 4 * axes)
            if len(header) < 4 + 4 * axes or header[:4] != bytes((0, 0, _UINT8, axes)):
                raise DataError(
                    f"{path}: found the header {header[:4].hex(' ') or '(empty)'}, wanted "
                    f"00 00 08 {axes:02x} (an idx file of bytes with {axes} axes); is it another "
                    "file, or still compressed?"
                )
            shape = struct.unpack(f">{axes}I", header[4:])
            wanted = math.prod(shape)
            if wanted > _MOST_BYTES:
                raise DataError(
                    f"{path}: found a header that tells of {wanted:,} bytes {shape}, wanted at "
                    f"most {_MOST_BYTES:,}; is it another file?"
                )
            # one byte more than wanted, so that a file that goes on is noticed
            values = file.read(wanted + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the file again") from error
    if len(values) != wanted:
        found = f"{len(values)} bytes" if len(values) < wanted else "more bytes"
        raise DataError(
            f"{path}: found {found} after the header, wanted {wanted} for {shape}; the file is "
            "damaged, fetch it again"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
