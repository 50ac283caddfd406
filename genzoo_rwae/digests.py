"""What the files of a folder were when they were written: digests.json.

Every file is noted before it is written, beside what it was until then, and is sound if it is
either. So a process that is killed between the note and the write leaves no damage behind; what has
changed in any other way since is found out by whoever reads the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from genzoo_rwae.errors import CheckpointError
from genzoo_rwae.files import write_atomic

__all__ = ["DIGESTS", "Digest", "Digests"]

DIGESTS = "digests.json"
_FORMAT = 1
_MOST_BYTES = 10_000_000  # far beyond what the files of any run need
_BLOCK = 2**20


@dataclass(frozen=True)
class Digest:
    """What a file is to hold.

    Attributes:
        size: how many bytes.
        sha256: of them, in hexadecimal digits.
        grows: lines are appended: the file may be longer, and only its beginning is vouched for.
    """

    size: int
    sha256: str
    grows: bool = False

    @staticmethod
    def of(data: bytes, *, grows: bool = False) -> Digest:
        """The digest of data that are to be written."""
        return Digest(len(data), hashlib.sha256(data).hexdigest(), grows)

    @staticmethod
    def of_file(path: Path, most: int | None = None, *, grows: bool = False) -> Digest:
        """The digest of a file as it is, or of its first bytes; read in blocks."""
        found, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK if most is None else min(_BLOCK, most - size)):
                found.update(block)
                size += len(block)
        return Digest(size, found.hexdigest(), grows)

    def fits(self, path: Path) -> bool:
        """Whether a file holds this; one of another size than it is to have is not read."""
        found = path.stat().st_size
        if found < self.size or (found > self.size and not self.grows):
            return False
        return Digest.of_file(path, self.size, grows=self.grows) == self


@dataclass
class _Noted:
    """The content of digests.json."""

    spec: str = ""
    files: dict[str, tuple[Digest, ...]] = field(default_factory=dict)


class Digests:
    """The digests of a folder's files; they are read anew at every call.

    Args:
        folder: whose files; a folder without digests.json vouches for nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / DIGESTS

    @property
    def spec(self) -> str:
        """The digest of the spec that the folder is for; empty where nobody noted it."""
        return self._read().spec

    def is_sound(self, path: Path) -> bool:
        """Whether a file is what was written; True of one that is not there or was not noted.

        Raises:
            CheckpointError: digests.json itself is damaged.
        """
        return _is_one_of(path, self._read().files.get(self._name(path)))

    def check(self, path: Path, mend: str) -> None:
        """Refuse a file that is not what was written.

        Args:
            path: the file.
            mend: what to do about it, for the message.

        Raises:
            CheckpointError: it is not, or digests.json itself is damaged.
        """
        # once more: a build may have written the file twice since digests.json was read
        if self.is_sound(path) or self.is_sound(path):
            return
        wanted = self._read().files[self._name(path)][-1].size
        found = path.stat().st_size
        raise CheckpointError(
            f"{path} is not what genzoo wrote: found {found:,} bytes, wanted {wanted:,} "
            f"with the digest in {DIGESTS}; it is damaged, or was changed by hand. {mend}. "
            f"If the change is yours and meant, take {self.file} away: nothing is checked then"
        )

    def noted(self) -> list[Path]:
        """All files that are vouched for, whether they are there or not."""
        return [self.folder / name for name in self._read().files]

    def damaged(self) -> list[Path]:
        """All files that are there and are not what was written."""
        noted = {self.folder / name: digests for name, digests in self._read().files.items()}
        return [path for path, digests in noted.items() if not _is_one_of(path, digests)]

    def current(self, path: Path) -> Digest | None:
        """The digest of a file as it is; None if it is damaged or not there."""
        if not path.is_file():
            return None
        noted = self._read().files.get(self._name(path))
        if noted is None:
            return Digest.of_file(path)
        return next((digest for digest in reversed(noted) if digest.fits(path)), None)

    def expect(self, changes: Mapping[Path, Digest], *, spec: str | None = None) -> None:
        """Note what files are going to be; what they are now stays right until they are written.

        Args:
            changes: file -> what is going to be written.
            spec: the digest of the spec that the folder is for; None leaves it.

        Raises:
            RunError: digests.json cannot be written; it is as it was.
        """
        noted = self._read()
        for path, new in changes.items():
            before = self.current(path)
            # rows are appended before they are noted; an older note would not look at them
            is_there = before == new or (new.grows and path.is_file() and new.fits(path))
            now = () if before is None or is_there else (before,)
            noted.files[self._name(path)] = (*now, new)
        self._write(noted if spec is None else replace(noted, spec=spec))

    def forget(self, paths: Iterable[Path]) -> None:
        """Vouch for some files no more: they are about to be written by somebody else."""
        noted = self._read()
        names = {self._name(path) for path in paths}
        if names & set(noted.files):
            kept = {name: digests for name, digests in noted.files.items() if name not in names}
            self._write(replace(noted, files=kept))

    def note(self, paths: Iterable[Path]) -> None:
        """Vouch for some files as they are; where nothing is vouched for, for these neither."""
        if not self.file.is_file():
            return
        noted = self._read()
        noted.files |= {self._name(path): (Digest.of_file(path),) for path in paths}
        self._write(noted)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _write(self, noted: _Noted) -> None:
        files = {name: [_as_json(digest) for digest in of] for name, of in noted.files.items()}
        said: dict[str, Any] = {"format": _FORMAT, "spec": noted.spec, "files": files}
        write_atomic(self.file, json.dumps(said | {"sha256": _own(said)}, indent=1) + "\n")

    def _read(self) -> _Noted:
        if not self.file.is_file():
            return _Noted()
        try:
            if self.file.stat().st_size > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES:,} bytes")
            said = json.loads(self.file.read_text(encoding="utf-8"))
            if said.pop("sha256") != _own(said) or said["format"] != _FORMAT:
                raise ValueError("its own digest is another")
            files = {
                _inside(name): tuple(_from_json(digest) for digest in of)
                for name, of in said["files"].items()
            }
            return _Noted(str(said["spec"]), files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{self.file} is damaged ({error}), so no file of the run can be vouched for; take "
                "it away to go on with nothing checked: the next build writes a new one"
            ) from error


def _is_one_of(path: Path, noted: tuple[Digest, ...] | None) -> bool:
    return noted is None or not path.is_file() or any(digest.fits(path) for digest in noted)


def _own(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _as_json(digest: Digest) -> dict[str, Any]:
    grows = {"grows": True} if digest.grows else {}
    return {"bytes": digest.size, "sha256": digest.sha256, **grows}


def _from_json(said: Mapping[str, Any]) -> Digest:
    return Digest(int(said["bytes"]), str(said["sha256"]), said.get("grows") is True)


def _inside(name: str) -> str:
    """The name of a file of the folder: somebody else's digests.json has no say about others."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{name}' is no file of the folder")
    return name
