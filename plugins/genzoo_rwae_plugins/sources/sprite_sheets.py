"""Rendering of the Sprites benchmark from its layer sheets, and the cache of the rendered set.

Shapes: H W C frame.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.picture_files import read_picture

__all__ = ["ACTIONS", "CHARACTERS", "LAYERS", "PUBLISHED_SHA256", "STEPS", "VARIANTS", "frames_of"]

LAYERS = ("body", "bottomwear", "topwear", "hair")
VARIANTS = 6
CHARACTERS = VARIANTS ** len(LAYERS)
STEPS = 8
PUBLISHED_SHA256 = "9a90d76e1172c33b1a9e318a299657cecb9d9d19ddfd0d085e800b796a07a9f3"

_SHOES = Path("shoes", "1.png")
_COLUMNS = 13  # cells in a row of a sheet
# the cells of an action: the sheet's row for each direction, and its columns in time
_DIRECTIONS = ("front", "left", "right")
_ROWS = {"walk": (10, 9, 11), "spellcast": (2, 1, 3), "slash": (14, 13, 15)}
_STEP_COLUMNS = {
    "walk": (8, 1, 2, 3, 4, 5, 6, 7),
    "spellcast": (0, 1, 2, 3, 4, 5, 4, 6),
    "slash": (0, 1, 2, 3, 4, 5, 4, 0),
}
ACTIONS = tuple(f"{move}-{direction}" for move in _ROWS for direction in _DIRECTIONS)


def frames_of(folder: Path, cache: Path, *, check: bool) -> np.ndarray:
    """The rendered set, from the cache or, the first time, from the layers.

    Args:
        folder: the layers' folder.
        cache: folder of the rendered set; made if there is none.
        check: the rendered frames have to be the published ones.

    Returns:
        Memory-mapped uint8 [1296 characters, 9 actions, 8 steps, H, W, 3], read-only.

    Raises:
        DataError: a layer is missing, damaged or of another size, the frames are not the
            published ones, or the cache cannot be written.
    """
    paths = _layer_paths(folder)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    layers = digest.hexdigest()[:16]
    for path in sorted(cache.glob(f"sprites-{layers}-*.npy")):
        frames = _cached(path)
        if frames is not None:
            if check:
                _check_sha256(path.stem.rpartition("-")[2], folder)
            return frames
    strips = {path: _strip(path) for path in paths}
    if len({strip.size for strip in strips.values()}) > 1:
        first, other = _two_of_different_size(strips)
        raise DataError(
            f"{other}: found cells of {strips[other].width} pixels, wanted {strips[first].width} "
            f"as in {first}; layers have to be of one size"
        )
    try:
        path = _write(cache, layers, strips, folder, check=check)
    except OSError as error:
        raise DataError(
            f"sprites: the rendered frames (1.1 GB) cannot be kept in {cache} "
            f"({error.strerror or error}); give `cache: <a folder with room>`"
        ) from error
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def _layer_paths(folder: Path) -> list[Path]:
    names = [Path(layer, f"{k}.png") for layer in LAYERS for k in range(VARIANTS)] + [_SHOES]
    missing = [str(name) for name in names if not (folder / name).is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{folder}: {len(missing)} of {len(names)} layers are missing ({shown}); wanted "
            f"{', '.join(LAYERS)} with 0.png to 5.png each, and {_SHOES}; point `root` at the "
            "folder layers of github.com/YingzhenLi/Sprites"
        )
    return [folder / name for name in names]


def _strip(path: Path) -> Image.Image:
    """The 9 x 8 cells that the recipe uses, one below the other."""
    sheet = read_picture(path, "RGBA")
    side, rest = divmod(sheet.shape[1], _COLUMNS)
    rows = 1 + max(itertools.chain(*_ROWS.values()))
    if rest or side == 0 or sheet.shape[0] < rows * side:
        raise DataError(
            f"{path}: found {sheet.shape[1]} x {sheet.shape[0]} pixels, wanted a sheet of "
            f"{_COLUMNS} square cells a row and at least {rows} rows (832 x 1344 as published)"
        )
    cells = [
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for move, rows_of_move in _ROWS.items()
        for row in rows_of_move
        for column in _STEP_COLUMNS[move]
    ]
    return Image.fromarray(np.concatenate(cells))


def _rendered(strips: dict[Path, Image.Image]) -> Iterator[np.ndarray]:
    """The characters in order: [9, 8, H, W, 3] each."""
    *layers, shoes = strips.values()
    side = shoes.width
    black = Image.new("RGBA", shoes.size, (0, 0, 0, 255))
    composites = [black]
    for k in range(len(LAYERS) - 1):
        variants = layers[k * VARIANTS : (k + 1) * VARIANTS]
        composites = [Image.alpha_composite(c, v) for c in composites for v in variants]
    for dressed, hair in itertools.product(composites, layers[-VARIANTS:]):
        character = Image.alpha_composite(Image.alpha_composite(dressed, hair), shoes)
        yield np.asarray(character.convert("RGB")).reshape(len(ACTIONS), STEPS, side, side, 3)


def _write(
    cache: Path, layers: str, strips: dict[Path, Image.Image], folder: Path, *, check: bool
) -> Path:
    """Render into a file that gets its name when it is whole; of two processes, the last wins."""
    cache.mkdir(parents=True, exist_ok=True)
    side = next(iter(strips.values())).width
    shape = (CHARACTERS, len(ACTIONS), STEPS, side, side, 3)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    unfinished = cache / f".sprites-{layers}.{os.getpid()}.tmp"
    digest = hashlib.sha256()
    try:
        # written as a stream: a full disc is an error here, in a memory map it would be a SIGBUS
        with unfinished.open("wb") as file:
            file.write(header.getvalue())
            for character in _rendered(strips):
                values = character.tobytes()
                digest.update(values)
                file.write(values)
            file.flush()
            os.fsync(file.fileno())
        if check:
            _check_sha256(digest.hexdigest(), folder)
        path = cache / f"sprites-{layers}-{digest.hexdigest()}.npy"
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _cached(path: Path) -> np.ndarray | None:
    """The cached frames, or None where the file is truncated or is no such array."""
    try:
        frames = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    whole = (
        isinstance(frames, np.memmap)
        and frames.dtype == np.uint8
        and frames.ndim == 6
        and frames.shape[:3] == (CHARACTERS, len(ACTIONS), STEPS)
        and path.stat().st_size == frames.offset + frames.nbytes
    )
    return frames if whole else None


def _check_sha256(found: str, folder: Path) -> None:
    if found != PUBLISHED_SHA256:
        raise DataError(
            f"{folder}: the rendered frames have sha256 {found[:16]}..., wanted "
            f"{PUBLISHED_SHA256[:16]}... of the published benchmark; fetch the layers again, or, "
            "with layers of your own, say `checksum: none`"
        )


def _two_of_different_size(strips: dict[Path, Image.Image]) -> tuple[Path, Path]:
    first, *others = strips
    return first, next(path for path in others if strips[path].size != strips[first].size)
