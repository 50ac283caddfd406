"""A run folder: what a build leaves behind, and how it is told from another spec's."""

from __future__ import annotations

import json
import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo_rwae.digests import DIGESTS, Digest, Digests
from genzoo_rwae.errors import CheckpointError, GenzooWarning, RunError, SpecError
from genzoo_rwae.files import why_not_written, write_atomic
from genzoo_rwae.releases import find_run, release_name
from genzoo_rwae.run_identity import digest_of, identity_digest, is_said_alike, what_differs
from genzoo_rwae.run_lock import LOCK
from genzoo_rwae.spec import render
from genzoo_rwae.spec.located import parse_file, read_yaml

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo_rwae.spec import Spec

__all__ = ["RunFolder"]

_BUILD = "`genzoo build` with the run's spec and folder"
# name of a file of a run folder -> what mends it
_MENDS = {
    "spec.yaml": f"{_BUILD} writes it again: give the spec that it was made from",
    "last.pt": "A build goes on from previous.pt if that is whole; move checkpoints/ away to start "
    "the run anew from step 0",
    "previous.pt": "last.pt is what a build goes on from",
    "best.safetensors": "It cannot be had again; model.safetensors has the weights of the end",
    "model.safetensors": f"{_BUILD} writes it again",
    "metrics.jsonl": "Move it away to go on without the rows that it has",
    "evaluation.json": f"{_BUILD} measures anew",
    "measured.json": f"{_BUILD} measures anew",
}
_DRAWN = "`genzoo report` with the run's folder writes it again"  # pictures, sounds and pages
_RELEASED = "It is part of a release: check it out again"
# what a line of metrics.jsonl gives that is no row
_NO_ROW = (ValueError, LookupError, TypeError, RecursionError)


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run folder, and the digest of the spec that it is for."""

    path: Path
    spec_digest: str = ""

    @property
    def spec(self) -> Path:
        return self.path / "spec.yaml"

    @property
    def state(self) -> Path:
        return self.path / "checkpoints" / "last.pt"

    @property
    def state_before(self) -> Path:
        return self.path / "checkpoints" / "previous.pt"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def measurement(self) -> Path:
        return self.path / "checkpoints" / "measured.json"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def sounds(self) -> Path:
        return self.path / "sounds"

    @property
    def pages(self) -> tuple[Path, Path]:
        return self.path / "report.html", self.path / "README.md"

    @property
    def digests(self) -> Digests:
        return Digests(self.path)

    @staticmethod
    def open(reference: str | Path) -> RunFolder:
        """An existing run folder: a path, or `zoo:NAME` for a released run.

        Raises:
            CheckpointError: it is none, or its spec is damaged.
        """
        path = find_run(reference)
        run = RunFolder(path)
        if not run.spec.is_file():
            found = "there is no spec.yaml in it" if path.exists() else "it is not there"
            raise CheckpointError(
                f"{path} is no run folder: {found}; wanted a folder that `genzoo build` made"
            )
        run._check_links(run.state.parent, run.pictures, run.sounds)
        run._say_if_unchecked()
        run.check(run.spec)
        return run

    @property
    def measuring(self) -> str:
        """What measures and draws a run that is trained, whatever its plugins are by now."""
        path = shlex.quote(str(self.path))
        return (
            f"genzoo evaluate {path}, then genzoo report {path}, with -p FILE for a plugin file "
            "that has changed"
        )

    @staticmethod
    def prepare(path: Path, spec: Spec) -> RunFolder:
        """The folder for a spec: new, or of the same spec. To be called by who has locked it.

        Raises:
            CheckpointError: its spec is damaged, and nothing says that it was this one; or a
                folder in it is a link.
            SpecError: the folder is of another spec (says what differs), or holds other things; or
                the spec could not be read back.
        """
        text = _readable(spec)
        run = RunFolder(path, identity_digest(spec))
        folders = [inside for inside in sorted(path.iterdir()) if inside.is_dir()]
        run._check_links(run.state.parent, run.pictures, run.sounds, run.metrics, *folders)
        if run._has_lost_its_spec():
            said = f"{run.spec} was damaged, or changed by hand; it is written again from this spec"
            warnings.warn(GenzooWarning(said), stacklevel=2)
        elif run.spec.is_file():
            run._say_if_unchecked()
            there = read_yaml(run.spec).plain
            if lines := what_differs(there, spec):
                listing = "\n  ".join(lines[:12])
                # the plugin may have changed in a metric alone
                later = all(line.startswith("plugin ") for line in lines) and run.model.is_file()
                raise SpecError(
                    f"{path} is the run folder of another spec and is left as it is. Different "
                    f"are:\n  {listing}\ngive -o another folder"
                    + (f", or measure what is trained there: {run.measuring}" if later else "")
                )
            # an option that is newer than the folder leaves it the run that it was
            run = replace(run, spec_digest=run.digests.spec or digest_of(there))
            if is_said_alike(there, spec):
                text = run.spec.read_bytes()  # as it is, with the origins of its values
        elif any(not _is_remnant(inside) for inside in path.iterdir()):
            raise SpecError(
                f"{path} holds files and is no run folder; give -o a new or an empty folder"
            )
        for folder in (path, run.state.parent, run.pictures, run.sounds):
            for remnant in folder.glob(".*.tmp"):
                remnant.unlink(missing_ok=True)
        run.digests.expect({run.spec: Digest.of(text)}, spec=run.spec_digest)
        write_atomic(run.spec, text)
        return run

    def _has_lost_its_spec(self) -> bool:
        """Whether spec.yaml is damaged, but known to have been the one that this is for.

        Raises:
            CheckpointError: it is damaged, and was another.
        """
        if self.digests.is_sound(self.spec):
            return False
        if self.digests.spec != self.spec_digest:
            self.check(self.spec)
        return True

    # -- whether files are what was written -----------------------------------------------------

    def check(self, *paths: Path) -> None:
        """Refuse files that are not what was written into them.

        Raises:
            CheckpointError: names the file, and how to mend it.
        """
        for path in paths:
            mend = _RELEASED if release_name(self.path) else _MENDS.get(path.name, _DRAWN)
            self.digests.check(path, mend)

    def vouches_for(self, path: Path) -> bool:
        """Whether a file is there, and is known to be what was written into it."""
        return path in self.digests.noted() and self.digests.current(path) is not None

    def check_all(self) -> None:
        """Refuse a folder in which any file is not what was written into it.

        Raises:
            CheckpointError: names all such files, and how to mend them.
        """
        found = []
        for path in self.digests.damaged():
            try:
                self.check(path)
            except CheckpointError as error:
                found.append(str(error))
        if found:
            raise CheckpointError("\n".join(found))

    def check_shown(self) -> None:
        """`check` what a report is made of: figures, metrics, pictures and sounds."""
        self.check(self.evaluation, self.measurement, self.metrics, *self.drawings())

    def drawings(self) -> list[Path]:
        """The pictures and sounds that are vouched for; what else lies beside them is not ours."""
        return [p for p in self.digests.noted() if p.parent in (self.pictures, self.sounds)]

    def _say_if_unchecked(self) -> None:
        noted = self.digests.noted()
        unknown = [p for p in (self.model, self.state) if p.is_file() and p not in noted]
        if unknown or not self.digests.file.is_file():
            said = (
                f"{self.path} has no {DIGESTS} of when it was trained, as a run of genzoo-rwae 0.1 "
                "or one whose digests were taken away: whether its files are damaged is not checked"
            )
            warnings.warn(GenzooWarning(said), stacklevel=3)

    # -- writing --------------------------------------------------------------------------------

    def write(self, path: Path, data: bytes) -> None:
        """Write a file of the folder, its digest first.

        Raises:
            RunError: no space left, or the folder cannot be written; the old file is as it was.
        """
        self.digests.expect({path: Digest.of(data)})
        write_atomic(path, data)

    def write_state(self, data: bytes) -> None:
        """Write the last checkpoint; the one before is kept, unless it is damaged.

        The metrics so far are vouched for from now on.

        Raises:
            RunError: as `write`.
        """
        changes = {self.state: Digest.of(data)}
        before = self.digests.current(self.state)
        if before:
            changes[self.state_before] = before
        if self.metrics.is_file():
            changes[self.metrics] = Digest.of(_lasting(self.metrics), grows=True)
        self.digests.expect(changes)
        write_atomic(self.state, data, keep=self.state_before if before else None)

    def _check_links(self, *paths: Path) -> None:
        """Refuse links where files are written or appended to: they would be somebody's else.

        Files that are links may be read: so hubs keep them. Written anew, they are files.
        """
        for path in paths:
            if path.is_symlink():
                raise CheckpointError(
                    f"{path} is a link, to {path.readlink()}; what a run writes stays in its "
                    "folder. Put what it leads to in its place, or take it away"
                )

    def save_model(self, weights: Mapping[str, Tensor]) -> None:
        """Write model.safetensors."""
        from genzoo_rwae.training.checkpoint import packed_weights

        self.write(self.model, packed_weights(weights))

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Write the weights of the lowest loss so far."""
        from genzoo_rwae.training.checkpoint import packed_weights

        self.write(self.best, packed_weights(weights))

    @contextmanager
    def redrawn(self, *before: Path) -> Iterator[list[Path]]:
        """Vouch for some files no more, and for those that the list gets when all are written."""
        self.digests.forget(before)
        written: list[Path] = []
        yield written
        self.digests.note(written)

    def truncate_metrics(self, step: int) -> None:
        """Drop rows of metrics.jsonl after a step: those steps will be taken again.

        Raises:
            CheckpointError: it is damaged.
        """
        if not self.metrics.is_file():
            self.digests.forget([self.metrics])  # moved away: the next rows are other ones
            return
        self.check(self.metrics)
        kept = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                stays = json.loads(line)["step"] <= step
            except _NO_ROW:
                break  # a killed run's last line
            if stays:
                kept.append(line + "\n")
        data = "".join(kept).encode()
        self.digests.expect({self.metrics: Digest.of(data, grows=True)})
        write_atomic(self.metrics, data)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl.

        Raises:
            RunError: no space left, or the folder cannot be written.
        """
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise RunError(
                f"{self.metrics} could not be written: {why_not_written(error)}"
            ) from error

    # -- what was measured ----------------------------------------------------------------------

    def read_evaluation(self) -> dict[str, Any]:
        """evaluation.json; empty where there is none, or one without a digest cannot be read.

        Raises:
            CheckpointError: it is damaged.
        """
        self.check(self.evaluation)
        return _read_json(self.evaluation)

    def measured_step(self) -> int:
        """The step at which the run was measured last; 0 where that was not noted."""
        step = _read_json(self.measurement).get("step")
        return step if isinstance(step, int) else 0

    def measured(self, step: int) -> dict[str, Any]:
        """Metric -> options that it was measured with at this very step."""
        noted = _read_json(self.measurement)
        metrics = noted.get("metrics") if noted.get("step") == step else {}
        return metrics if isinstance(metrics, dict) else {}

    def save_evaluation(
        self, figures: Mapping[str, Any], *, step: int, metrics: Mapping[str, Any]
    ) -> None:
        """Write evaluation.json, and beside the checkpoint what it was measured with."""
        self.write(self.evaluation, (json.dumps(figures, indent=2) + "\n").encode())
        noted = json.dumps({"step": step, "metrics": metrics}, indent=2) + "\n"
        self.write(self.measurement, noted.encode())


def _readable(spec: Spec) -> bytes:
    """The content of spec.yaml.

    Raises:
        SpecError: it is more than can be read: the run could be trained, and never opened again.
    """
    text = render(spec).encode()
    try:
        parse_file(text, "its spec.yaml", Path.cwd())
    except SpecError as error:
        raise SpecError(
            "the run folder could not be opened again, for its spec.yaml, which has the names of "
            f"all classes of the data under `resolved`, could not be read: {error}\nwanted fewer "
            "or shorter names of classes"
        ) from error
    return text


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lasting(path: Path) -> bytes:
    """The content of a file that was appended to, once it would outlast a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return file.read()


def _is_remnant(path: Path) -> bool:
    """What a build that was killed before it wrote spec.yaml may leave (see files.py)."""
    unfinished = path.name.startswith(".") and path.name.endswith(".tmp")
    return unfinished or path.name in (LOCK, DIGESTS)
