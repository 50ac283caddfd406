"""Any source's sequences, written as shards.

Shapes: B batch, T time, N sequences of a split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from safetensors.numpy import save

from genzoo_rwae.digests import Digest
from genzoo_rwae.errors import DataError
from genzoo_rwae.files import write_atomic
from genzoo_rwae.shards.index import (
    MOST_SHARDS,
    Shard,
    ShardIndex,
    SplitShards,
    check_rows,
    check_values,
    stored_shape,
)

if TYPE_CHECKING:
    from genzoo_rwae.sequences import SequenceData, Split

__all__ = ["write_shards", "writing_order"]

_TAKEN = 64  # most sequences that a source is asked for at a time
_SEED = 2718


class _Sequence(NamedTuple):
    """One sequence as a shard has it.

    Attributes:
        steps_T: [T, ...], the true steps.
        numbers: its number in every other tensor of the shard.
    """

    steps_T: np.ndarray
    numbers: dict[str, int]


def write_shards(
    splits: Mapping[Split, SequenceData],
    folder: Path,
    *,
    source: str,
    megabytes: int = 32,
    progress: Callable[[Split, int], None] = lambda split, done: None,
) -> ShardIndex:
    """Write the sequences of all splits (of draw 0), and then what there is: shards.json.

    Until shards.json is there, the folder is no data set: a process that is killed leaves none.

    Args:
        splits: the data.
        folder: where the files go, empty; made if there is none.
        source: the name of the data's source.
        megabytes: a shard is full when its steps have so many.
        progress: told how many sequences of a split are done.

    Raises:
        DataError: the folder has something in it, there would be more shards than an index can
            name, or a source contradicts its own `info`.
        RunError: the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        # nothing is written over: it may be what these very splits are read from
        raise DataError(f"{folder}: found something there already; give another place, or clear it")
    _check_number(splits, source, megabytes)
    written = {
        name: _write_split(name, data, folder, source, 10**6 * megabytes, progress)
        for name, data in splits.items()
    }
    index = ShardIndex(source, written)
    index.write(folder)
    return index


def writing_order(split: Split, count: int) -> np.ndarray:
    """Which sequences of a split its shards have, one after the other: [N].

    Training data are mixed, once and always alike, so that a few shards are as good as all.
    """
    if split == "train":
        return np.random.RandomState(_SEED).permutation(count)
    return np.arange(count)


def _write_split(
    split: Split,
    data: SequenceData,
    folder: Path,
    source: str,
    most: int,
    progress: Callable[[Split, int], None],
) -> SplitShards:
    of = SplitShards(data.info, _dtype(data, source), _is_grouped(data), ())
    shards: list[Shard] = []
    pile: list[_Sequence] = []
    held = 0
    for done, sequence in enumerate(_sequences(split, data, of), 1):
        pile.append(sequence)
        held += sequence.steps_T.nbytes
        if held >= most or done == len(data):
            path = folder / f"{split}-{len(shards):06}.safetensors"
            shards.append(_write_shard(path, pile, of, source))
            pile, held = [], 0
            progress(split, done)
    return SplitShards(of.info, of.dtype, of.grouped, tuple(shards))


def _write_shard(path: Path, pile: list[_Sequence], of: SplitShards, source: str) -> Shard:
    rows = {name: np.array([one.numbers[name] for one in pile]) for name in of.row_names}
    steps_S = np.concatenate([one.steps_T for one in pile])
    try:
        if (steps_S.dtype, steps_S.shape[1:]) != (np.dtype(of.dtype), stored_shape(of.info)):
            raise ValueError(f"steps {list(steps_S.shape[1:])} of {steps_S.dtype}")
        check_rows(of.info, rows)
        check_values(of.info, steps_S)
    except ValueError as error:
        raise DataError(
            f"the source '{source}' gives what its own description does not allow: found {error}; "
            "this is a fault of the source"
        ) from error
    raw = save({"steps": steps_S, **rows})
    write_atomic(path, raw)
    return Shard(path.name, len(pile), len(raw), Digest.of(raw).sha256)


def _sequences(split: Split, data: SequenceData, of: SplitShards) -> Iterator[_Sequence]:
    order_N = writing_order(split, len(data))
    for start in range(0, len(data), _TAKEN):
        indices_B = order_N[start : start + _TAKEN]
        batch = data.take(indices_B)
        columns = {"lengths": batch.lengths_B.numpy()}
        for factor in of.info.factors:
            columns[f"factor:{factor.name}"] = batch.factors[factor.name].numpy()
        if of.grouped:
            columns["group"] = np.asarray(data.groups(indices_B))
        x_BT = batch.x_BT.movedim(2, -1) if batch.x_BT.ndim == 5 else batch.x_BT
        for row, x_T in enumerate(x_BT.numpy()):
            numbers = {name: int(of_B[row]) for name, of_B in columns.items()}
            # a view would keep the whole batch in memory, its padding too
            yield _Sequence(x_T[: numbers["lengths"]].copy(), numbers)


def _check_number(splits: Mapping[Split, SequenceData], source: str, megabytes: int) -> None:
    """Refuse what the index could not name, before days of writing."""
    most = sum(
        len(data)
        * data.info.length
        * math.prod(data.info.frame_shape)
        * np.dtype(_dtype(data, source)).itemsize
        for data in splits.values()
    )
    if most > MOST_SHARDS * 10**6 * megabytes:
        raise DataError(
            f"{sum(map(len, splits.values())):,} sequences of {most / 1e12:,.1f} TB, were all as "
            f"long as the longest, in shards of {megabytes} MB: an index names {MOST_SHARDS:,} of "
            f"them; give --size {math.ceil(most / MOST_SHARDS / 10**6)} or more"
        )


def _dtype(data: SequenceData, source: str) -> Literal["uint8", "float32"]:
    if not len(data):
        return "uint8" if data.info.bounded else "float32"
    found = str(data.take(np.arange(1)).x_BT.dtype).removeprefix("torch.")
    if found == "uint8":
        return "uint8"
    if found == "float32":
        return "float32"
    raise DataError(f"the source '{source}' gives values of {found}, wanted uint8 or float32")


def _is_grouped(data: SequenceData) -> bool:
    return len(data) > 0 and data.groups(np.arange(1)) is not None
