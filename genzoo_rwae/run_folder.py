"""A run folder: what a build leaves behind, and how it is told from another spec's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo_rwae.errors import CheckpointError, RunError, SpecError
from genzoo_rwae.files import write_atomic
from genzoo_rwae.spec import differences, render
from genzoo_rwae.spec.located import parse_yaml, read_yaml

if TYPE_CHECKING:
    from torch import nn

    from genzoo_rwae.spec import Spec

__all__ = ["RunFolder"]

# what may differ between two builds of one folder: none of it changes the weights
_FREE = ("resolved", "description", "plugins", "evaluate", "judge", "trackers")
_FREE_IN_TRAIN = ("minutes", "save_every", "validate_every")


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
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def sounds(self) -> Path:
        return self.path / "sounds"

    @staticmethod
    def open(path: Path) -> RunFolder:
        """An existing run folder.

        Raises:
            CheckpointError: it is none.
        """
        run = RunFolder(path)
        if not run.spec.is_file():
            found = "there is no spec.yaml in it" if path.exists() else "it is not there"
            raise CheckpointError(
                f"{path} is no run folder: {found}; wanted a folder that `genzoo build` made"
            )
        return run

    @staticmethod
    def prepare(path: Path, spec: Spec) -> RunFolder:
        """The folder for a spec: new, or of the same spec.

        Raises:
            SpecError: the folder is of another spec (says what differs), or holds other things.
        """
        run = RunFolder(path, _digest(spec))
        if path.exists() and not path.is_dir():
            raise SpecError(f"{path} is a file; -o wants a folder for the run")
        if run.spec.is_file():
            there, here = read_yaml(run.spec).plain, _read_back(spec)
            if lines := (*differences(_core(there), _core(here)), *_changed_plugins(there, spec)):
                listing = "\n  ".join(lines[:12])
                raise SpecError(
                    f"{path} is the run folder of another spec and is left as it is. Different "
                    f"are:\n  {listing}\ngive -o another folder"
                )
            if _said(there) == _said(here):
                return run  # as it is, with the origins of its values
        elif path.is_dir() and any(not _is_remnant(inside) for inside in path.iterdir()):
            raise SpecError(
                f"{path} holds files and is no run folder; give -o a new or an empty folder"
            )
        for remnant in (*path.glob(".*.tmp"), *path.glob("checkpoints/.*.tmp")):
            if _is_remnant(remnant):
                remnant.unlink(missing_ok=True)
        write_atomic(run.spec, render(spec))
        return run

    def save_model(self, model: nn.Module) -> None:
        """Write model.safetensors."""
        from genzoo_rwae.training.checkpoint import save_weights

        save_weights(self.model, model)

    def truncate_metrics(self, step: int) -> None:
        """Drop rows of metrics.jsonl after a step: those steps will be taken again."""
        if not self.metrics.is_file():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break  # a killed run's last line
            if row["step"] <= step:
                kept.append(line + "\n")
        write_atomic(self.metrics, "".join(kept))

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl.

        Raises:
            RunError: no space left, or the folder cannot be written.
        """
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise RunError(f"{self.metrics} could not be written: {error.strerror}") from error

    def read_evaluation(self) -> dict[str, Any]:
        """evaluation.json; empty where there is none, or where it cannot be read."""
        return _read_json(self.evaluation)

    def measured_step(self) -> int:
        """The step at which the run was measured last; 0 where that was not noted."""
        return int(_read_json(self.path / "checkpoints" / "measured.json").get("step", 0))

    def measured(self, step: int) -> dict[str, Any]:
        """Metric -> options that it was measured with at this very step."""
        noted = _read_json(self.path / "checkpoints" / "measured.json")
        return noted.get("metrics", {}) if noted.get("step") == step else {}

    def save_evaluation(
        self, figures: Mapping[str, Any], *, step: int, metrics: Mapping[str, Any]
    ) -> None:
        """Write evaluation.json, and beside the checkpoint what it was measured with."""
        write_atomic(self.evaluation, json.dumps(figures, indent=2) + "\n")
        noted = json.dumps({"step": step, "metrics": metrics}, indent=2) + "\n"
        write_atomic(self.path / "checkpoints" / "measured.json", noted)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_remnant(path: Path) -> bool:
    """What a process that was killed while it wrote a file left behind (see files.py)."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _read_back(spec: Spec) -> Any:
    """The spec as its own file will read: numbers and texts as YAML has them."""
    return parse_yaml(render(spec, origins=False), "spec.yaml", Path.cwd()).plain


def _core(tree: Any) -> dict[str, Any]:
    core = {name: value for name, value in tree.items() if name not in _FREE}
    core["train"] = {k: v for k, v in tree["train"].items() if k not in _FREE_IN_TRAIN}
    return core


def _said(tree: Any) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in ("resolved", "plugins")}


def _changed_plugins(there: Any, spec: Spec) -> list[str]:
    """Plugin files that the run's parts come from and that are not what they were."""
    before = (there.get("resolved") or {}).get("plugins") or {}
    used = {part.registered.plugin for part in spec.parts()}
    return [
        f"plugin '{plugin.name}': {plugin.location} has changed since the run was begun"
        for plugin in used
        if plugin.sha256 and before.get(plugin.name, {}).get("sha256") not in (None, plugin.sha256)
    ]


def _digest(spec: Spec) -> str:
    return hashlib.sha256(json.dumps(_core(_read_back(spec)), sort_keys=True).encode()).hexdigest()
