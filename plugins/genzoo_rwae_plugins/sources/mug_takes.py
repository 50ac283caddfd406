"""The MUG Facial Expression Database on disc: its takes, and the faces in them.

Shapes: H W C frame.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.kept_clips import Recording
from genzoo_rwae_plugins.sources.picture_files import fitted, opened_picture
from genzoo_rwae_plugins.sources.places import check_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EXPRESSIONS", "Take", "read_boxes", "takes_of"]

EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")

_LAYOUT = "SUBJECT/[SESSION/]EXPRESSION/TAKE/*.jpg, as 001/session0/anger/take000/img_0000.jpg"
_SUFFIXES = (".jpg", ".jpeg")
_PIXELS = re.compile(r"[0-9]{1,9}")
_HEADER = ["take", "left", "top", "right", "bottom"]

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Take:
    """One expression of one subject, from a neutral face and back to it.

    Attributes:
        name: its place below the root, as `001/session0/anger/take000`.
        subject: the number of the subject, as the folder is called.
        expression: one of EXPRESSIONS.
        frames: its pictures in time.
    """

    name: str
    subject: str
    expression: str
    frames: tuple[Path, ...]

    def recording(self, length: int, size: tuple[int, int], box: Box | None) -> Recording:
        """The take as a clip of `length` frames, spread evenly from its first to its last.

        Args:
            length: T.
            size: (H, W) that faces are scaled to.
            box: the face: left, top, right, bottom in pixels; None is the whole picture.

        Raises:
            DataError: it has fewer frames.
        """
        if len(self.frames) < length:
            raise DataError(
                f"{self.frames[0].parent}: found {len(self.frames)} frames, wanted at least "
                f"{length}; lower `length` or take the folder away"
            )
        places = np.linspace(0, len(self.frames) - 1, length).round().astype(int)
        files = tuple(self.frames[place] for place in places)
        recipe = f"faces, box {box}, size {size}"
        return Recording(self.name, files, recipe, partial(_faces, files, size, box))


def takes_of(root: Path) -> list[Take]:
    """All takes of the six expressions, by subject, session and expression.

    Raises:
        DataError: there are none, or one has no pictures.
    """
    subjects = sorted(path for path in root.iterdir() if path.name.isdigit() and path.is_dir())
    found = [take for subject in subjects for take in _takes_of_subject(root, subject)]
    if not found:
        raise DataError(
            f"{root}: found no takes, wanted {_LAYOUT}; point `root` at the folder subjects3 of "
            "the database"
        )
    return found


def read_boxes(path: Path, takes: list[Take]) -> dict[str, Box]:
    """Faces from a table with a row for every take.

    Raises:
        DataError: no such table, another header, a row that is no box, or a take without a row.
    """
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: the boxes cannot be read ({error}); wanted a CSV file") from error
    if header != _HEADER:
        raise DataError(
            f"{path}:1: found the header {','.join(header) or '(empty)'}, wanted "
            f"{','.join(_HEADER)}; mend the first line"
        )
    boxes: dict[str, Box] = {}
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        sides = [int(side) for side in row[1:] if _PIXELS.fullmatch(side)]
        if len(row) != 5 or len(sides) != 4 or sides[0] >= sides[2] or sides[1] >= sides[3]:
            raise DataError(
                f"{path}:{line}: found {','.join(row)}, wanted a take and whole pixels with 0 <= "
                "left < right and 0 <= top < bottom; mend the row"
            )
        boxes[row[0]] = (sides[0], sides[1], sides[2], sides[3])
    if missing := [take.name for take in takes if take.name not in boxes]:
        raise DataError(
            f"{path}: found no row for {len(missing)} of {len(takes)} takes, the first is "
            f"'{missing[0]}'; wanted one for each; add them"
        )
    return boxes


def _takes_of_subject(root: Path, subject: Path) -> Iterator[Take]:
    sessions = sorted(path for path in subject.glob("session*") if path.is_dir())
    for place in (subject, *sessions):
        for expression in EXPRESSIONS:
            folders = [path for path in (place / expression).glob("take*") if path.is_dir()]
            for folder in sorted(folders, key=lambda path: natural_order(path.name)):
                frames = [p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES]
                if not frames:
                    raise DataError(
                        f"{folder}: found no pictures, wanted {_LAYOUT}; take the folder away"
                    )
                yield Take(
                    folder.relative_to(root).as_posix(),
                    subject.name,
                    expression,
                    tuple(sorted(frames, key=lambda path: natural_order(path.name))),
                )


def _faces(files: tuple[Path, ...], size: tuple[int, int], box: Box | None) -> Iterator[np.ndarray]:
    for path in files:
        with opened_picture(path) as picture:
            if box and (box[2] > picture.width or box[3] > picture.height):
                raise DataError(
                    f"{path}: found {picture.width} x {picture.height} pixels, wanted the box "
                    f"{box} within; mend `boxes`"
                )
            converted = picture.convert("RGB")
        yield np.asarray(fitted(converted.crop(box) if box else converted, size))
