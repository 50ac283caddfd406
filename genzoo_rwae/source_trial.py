"""A plugin's data source, looked through before anything is built on it: a fault shows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genzoo_rwae.errors import DataError
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequence_model import SLACK
from genzoo_rwae.sequences import Batch, DataInfo, SequenceData, Split

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["try_source"]

_FEW = 4  # sequences


def try_source(data: object, name: str, split: Split = "train") -> None:
    """Take a few sequences of a split, and compare them with what `SequenceData` promises.

    Args:
        data: what a source returned.
        name: the source's.
        split: which one it is.

    Raises:
        DataError: they differ; says in what.
    """
    for fault in _faults(data, split):
        raise DataError(f"the source '{name}' gives {fault}")


def _faults(data: object, split: Split) -> Iterable[str]:
    """What is wrong and what is wanted, the most basic first; later ones rest on earlier ones."""
    if not isinstance(data, SequenceData):
        yield f"a {type(data).__name__}; wanted a SequenceData"
        return
    info = getattr(data, "info", None)
    if not isinstance(info, DataInfo):
        yield "a SequenceData without `info`; wanted a DataInfo there"
        return
    if not len(data):
        if split == "test":
            yield "no test sequences; wanted at least one to measure on"
        return
    asked_B = spread_indices(len(data), _FEW)
    batch = data.take(asked_B, draw=0)
    if not isinstance(batch, Batch):
        yield f"a {type(batch).__name__} where sequences are taken; wanted a Batch"
        return
    for attribute, value in {
        "x_BT": batch.x_BT,
        "lengths_B": batch.lengths_B,
        "indices_B": batch.indices_B,
        **{f"factors[{name!r}]": labels_B for name, labels_B in batch.factors.items()},
    }.items():
        if not isinstance(value, Tensor):
            yield (
                f"a {type(value).__name__} as {attribute} of a batch; wanted a torch.Tensor: "
                "torch.from_numpy makes one of an array"
            )
    yield from _faults_of_frames(batch, info, len(asked_B))
    if batch.indices_B.tolist() != asked_B.tolist():
        yield (
            f"the sequences {batch.indices_B.tolist()} where {asked_B.tolist()} are asked for; "
            "wanted these as indices_B, in their order"
        )
    yield from _faults_of_labels(batch, info)
    again, backwards = data.take(asked_B, draw=0), data.take(asked_B[::-1].copy(), draw=0)
    if not _are_same(again.x_BT, batch.x_BT):
        yield (
            "other values when the same sequences are taken again; wanted values that depend on "
            "the index and `draw` alone, of a generator that both have seeded: a run that was "
            "interrupted goes on with the same data"
        )
    for what, ahead, back in (
        ("values", batch.x_BT, backwards.x_BT),
        ("lengths_B", batch.lengths_B, backwards.lengths_B),
        *((f"labels of '{n}'", batch.factors[n], backwards.factors[n]) for n in batch.factors),
    ):
        if not _are_same(back.flip(0), ahead):
            yield (
                f"other {what} of a sequence that stands elsewhere in a batch; wanted rows that "
                "depend on their own index and `draw` alone: ranks take parts of a batch"
            )


def _are_same(one_BT: Tensor, other_BT: Tensor) -> bool:
    """Missing values too."""
    same_missing = torch.equal(one_BT.isnan(), other_BT.isnan())
    return same_missing and torch.equal(one_BT.nan_to_num(), other_BT.nan_to_num())


def _faults_of_frames(batch: Batch, info: DataInfo, count: int) -> Iterable[str]:
    x_BT, lengths_B = batch.x_BT, batch.lengths_B
    shape, frame = list(x_BT.shape), list(info.frame_shape)
    said = f"info says {info.length} steps of {frame}"
    if shape[:1] != [count] or shape[2:] != frame or not 1 <= shape[1] <= info.length:
        wanted = ", ".join(str(side) for side in (count, info.length, *frame))
        yield f"frames of shape {shape} for {count} sequences; {said}: wanted [{wanted}]"
    if x_BT.dtype != torch.uint8 and not x_BT.is_floating_point():
        yield f"{x_BT.dtype} frames; wanted torch.uint8 (bytes from 0 to 255) or torch.float32"
    whole = not (lengths_B.is_floating_point() or lengths_B.dtype == torch.bool)
    if list(lengths_B.shape) != [count] or not whole:
        yield (
            f"lengths_B of shape {list(lengths_B.shape)} and {lengths_B.dtype}; wanted [{count}] "
            "and torch.int64"
        )
    least, most = int(lengths_B.min()), int(lengths_B.max())
    if least < 1 or most > shape[1]:
        yield f"lengths_B from {least} to {most}; wanted true lengths from 1 to {shape[1]}"
    true_BT = true_steps(shape[1], lengths_B, x_BT.device)
    if (x_BT[~true_BT] != 0).any():
        yield "values that are not 0 beyond the true lengths; wanted zeros there"
    seen = x_BT[true_BT].float()
    if not info.missing and seen.isnan().any():
        yield (
            "values that are NaN, and info does not say that some are missing; wanted numbers, or "
            "DataInfo(..., missing=True)"
        )
    seen = seen[~seen.isnan()]
    if seen.isinf().any():
        yield "values that are infinite; wanted numbers"
    if info.bounded and x_BT.dtype != torch.uint8 and seen.numel():
        low, high = (float(end) for end in seen.aminmax())
        if low < -SLACK or high > 1 + SLACK:
            yield (
                f"values from {low:.3g} to {high:.3g}, and info calls them bounded; wanted bytes "
                "(uint8), floats in [0, 1], or DataInfo(..., bounded=False)"
            )


def _faults_of_labels(batch: Batch, info: DataInfo) -> Iterable[str]:
    for factor in info.factors:
        labels_B = batch.factors.get(factor.name)
        if labels_B is None:
            yield f"no labels of the factor '{factor.name}'; info names it: wanted them in factors"
            return
        whole = not labels_B.is_floating_point()
        if labels_B.shape != batch.lengths_B.shape or not whole:
            yield (
                f"labels of '{factor.name}' of shape {list(labels_B.shape)} and {labels_B.dtype}; "
                f"wanted {list(batch.lengths_B.shape)} and torch.int64"
            )
        least, most = int(labels_B.min()), int(labels_B.max())
        if least < 0 or most >= len(factor.classes):
            yield (
                f"labels of '{factor.name}' from {least} to {most}; info names "
                f"{len(factor.classes)} classes: wanted 0 to {len(factor.classes) - 1}"
            )
