"""Arrays that verbs write and the sequences that they take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genzoo_rwae.errors import DataError, SpecError
from genzoo_rwae.files import write_atomic_with
from genzoo_rwae.releases import outputs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import SequenceData, Split
    from genzoo_rwae.zoo import Zoo

__all__ = ["check_action", "open_data", "open_run", "pick", "place_of", "save_arrays"]


def save_arrays(path: Path, **arrays: Tensor) -> Path:
    """Write tensors as a compressed .npz without pickles."""
    plain: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
    return write_atomic_with(path, lambda file: np.savez_compressed(file, **plain))


def pick(data: SequenceData, text: str | None, count: int, option: str) -> np.ndarray:
    """Indices from the text of an option, or `count` of them spread over the split.

    Raises:
        SpecError: the text holds no whole numbers, or some that the split does not have.
    """
    from genzoo_rwae.evaluation.codes import spread_indices

    if text is None:
        return spread_indices(len(data), count)
    try:
        indices = np.array([int(word) for word in text.split(",")])
    except ValueError:
        raise SpecError(f"{option} {text}: wanted whole numbers, as 0,5,12") from None
    if len(data) == 0 or indices.min() < 0 or indices.max() >= len(data):
        raise SpecError(f"{option} {text}: the split has the sequences 0 to {len(data) - 1}")
    return indices


def place_of(run: Path, name: str, output: Path | None, other: Sequence[str] | None) -> Path:
    """Where a verb writes: where it is told to, or into the run's folder what is of its own data.

    Raises:
        SpecError: nobody said where what is made of other data goes.
    """
    if other and output is None:
        raise SpecError(
            "--data without -o: the run's folder holds what is made of its own data; say where "
            "this goes"
        )
    return output or outputs_of(run) / name


def check_action(model: SequenceModel, action: int | None) -> None:
    """Refuse an action that a model does not have.

    Raises:
        SpecError: it has none, or fewer.
    """
    if action is None or 0 <= action < model.actions:
        return
    known = f"the actions 0 to {model.actions - 1}" if model.actions else "no actions"
    raise SpecError(f"--action {action}: this model has {known}")


def open_run(
    run: Path, split: Split, zoo: Zoo, other: Sequence[str] | None = None
) -> tuple[SequenceModel, SequenceData]:
    """The model of a run folder and one split of its data, or of other data.

    Args:
        other: `option=value` of the run's source.

    Raises:
        CheckpointError, DataError: as `genzoo_rwae.load` and the data's source.
        SpecError: the split is empty; the source has no such option; the model does not fit.
    """
    from genzoo_rwae.run import load

    model, data = load(run, zoo=zoo), open_data(run, split, zoo, other)
    if other and data.info.frame_shape != model.info.frame_shape:
        raise SpecError(
            f"--data {' '.join(other)}: frames are {data.info.frame_shape}; the model of {run} was "
            f"built for {model.info.frame_shape}: give options with which the source makes such"
        )
    return model, data


def open_data(
    run: Path, split: Split, zoo: Zoo, other: Sequence[str] | None = None
) -> SequenceData:
    """One split of a run folder's data, or of other data.

    Raises:
        CheckpointError: it is no run folder.
        DataError: as the data's source.
        SpecError: the split is empty.
    """
    from genzoo_rwae.assemble import open_split
    from genzoo_rwae.run_folder import RunFolder
    from genzoo_rwae.spec import load_spec

    spec = RunFolder.open(run).spec
    if not other:
        data = open_split(load_spec(spec, zoo=zoo), split)
    else:
        asked = f"--data {' '.join(other)}"
        if lost := [option for option in other if "=" not in option]:
            raise SpecError(f"{asked}: found {lost[0]}; wanted OPTION=VALUE, as path=CLIPS")
        try:
            settings = [f"data.{option}" for option in other]
            data = open_split(load_spec(spec, zoo=zoo, settings=settings), split)
        except (DataError, SpecError) as error:  # which tell of the run's own spec
            kind = DataError if isinstance(error, DataError) else SpecError
            raise kind(f"{asked}: {error}") from error
    if not len(data):
        whose = "these" if other else "this run's"
        raise SpecError(f"the {split} split of {whose} data is empty; take another --split")
    return data
