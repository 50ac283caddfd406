"""Checkpoints: the whole state of a run in one file that is there whole or not at all."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors.torch import load as load_weights_bytes
from safetensors.torch import save as save_weights_bytes

from genzoo_rwae.errors import CheckpointError, GenzooWarning
from genzoo_rwae.training.archives import check_archive, check_fields

if TYPE_CHECKING:
    from genzoo_rwae.run_folder import RunFolder

__all__ = [
    "State",
    "last_state",
    "load_state",
    "load_weights",
    "packed_weights",
    "save_state",
]

_FORMAT = 1


@dataclass(frozen=True)
class State:
    """Where a run is.

    Draws and data order are functions of the seed and `step` (see randomness.py), so the step
    restores every generator.

    Attributes:
        spec: digest of the spec that the run was started with.
        step: optimisation steps taken.
        seconds: training time so far, earlier sessions included.
        precision: in which the nets ran; a run goes on in the same.
        best: lowest loss on the validation split so far; None before the first measurement.
        model, objective, optimizer: state dicts.
    """

    spec: str
    step: int
    seconds: float
    precision: Literal["bf16", "float32"]
    best: float | None
    model: dict[str, Any]
    objective: dict[str, Any]
    optimizer: dict[str, Any]


def save_state(run: RunFolder, state: State) -> None:
    """Write a run's last checkpoint: write, fsync, rename. The one that was the last is kept.

    Raises:
        RunError: no space left, or the folder cannot be written; the checkpoint before stays.
    """
    content = {"format": _FORMAT, **{name: getattr(state, name) for name in _field_names()}}
    buffer = io.BytesIO()  # torch would wrap an OSError of the file into one of its own
    torch.save(content, buffer)
    run.write_state(buffer.getvalue())


def last_state(run: RunFolder) -> State | None:
    """A run's last checkpoint; None if there is none.

    Where the last one is damaged, a warning says so and the one before it is taken.

    Raises:
        CheckpointError: no checkpoint that there is can be read.
    """
    damage: CheckpointError | None = None
    for path in (run.state, run.state_before):
        if not path.is_file():
            continue
        try:
            run.check(path)
            state = load_state(path)
        except CheckpointError as error:
            damage = damage or error
            continue
        if damage:
            said = f"{damage}\nIt goes on from the checkpoint before, {path} of step {state.step}"
            warnings.warn(GenzooWarning(said), stacklevel=2)
        return state
    if damage:
        raise damage
    return None


def load_state(path: Path) -> State:
    """Read a checkpoint; executes nothing that it holds.

    Raises:
        CheckpointError: it is truncated, or no checkpoint of genzoo.
    """
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file is a program that goes wrong in any way
        raise CheckpointError(
            f"{path} cannot be read: truncated, or not a checkpoint of genzoo "
            f"({type(error).__name__}); move {path.parent} away to start the run anew from step 0"
        ) from error
    names = _field_names()
    if (
        not isinstance(content, dict)
        or content.get("format") != _FORMAT
        or set(names) - set(content)
    ):
        found = (
            sorted(map(str, content))[:5] if isinstance(content, dict) else type(content).__name__
        )
        raise CheckpointError(
            f"{path} is not a checkpoint of genzoo (format {_FORMAT}): it holds {found}; move "
            f"{path.parent} away to start the run anew"
        )
    try:
        check_fields(content, path.stat().st_size)
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of genzoo: {error}; move it away"
        ) from error
    return State(**{name: content[name] for name in names})


def _field_names() -> tuple[str, ...]:
    """Names of a State's fields."""
    return tuple(State.__dataclass_fields__)


def packed_weights(weights: Mapping[str, torch.Tensor]) -> bytes:
    """A model's state dict as safetensors."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    return save_weights_bytes(tensors)


def load_weights(path: Path, model: torch.nn.Module) -> None:
    """Read weights into a model.

    Raises:
        CheckpointError: the file is missing, truncated, or of a model with other parts.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path} is not there: the run has not been trained to its end yet; `genzoo build` "
            "with its spec and folder goes on"
        )
    try:
        tensors = load_weights_bytes(path.read_bytes())
    except Exception as error:  # likewise
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}; `genzoo build` with the same spec and "
            "folder writes it again"
        ) from error
    own = model.state_dict()
    wrong = [
        f"{name}: {_kind(tensors[name])} in the file, {_kind(own[name])} in the model"
        for name in own
        if name in tensors and _kind(tensors[name]) != _kind(own[name])
    ]
    missing = [f"{name}: missing in the file" for name in own if name not in tensors]
    extra = [f"{name}: unknown to the model" for name in tensors if name not in own]
    if wrong or missing or extra:
        listing = "\n  ".join((wrong + missing + extra)[:8])
        raise CheckpointError(f"{path} has weights of another model:\n  {listing}")
    model.load_state_dict(tensors)


def _kind(tensor: torch.Tensor) -> str:
    """Shape and type, as `[4, 8]` or `[4, 8] int64`."""
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{list(tensor.shape)}" + ("" if kind == "float32" else f" {kind}")
