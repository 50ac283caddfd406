"""What the page and the card are told about a run, as plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CardPart", "DataFacts", "RunFacts", "Training"]

Training = Literal["finished", "unfinished", "unknown"]
"""Whether the training reached its limit; unknown where nobody said."""


@dataclass(frozen=True)
class CardPart:
    """One part that a model is put together from.

    Attributes:
        role: its slot in the spec, as `objective.static`.
        kind: the kind of component, as `penalty`.
        name: what the spec calls it, as `mmd`.
        summary: the first line of its docstring.
        paper: (title, arXiv number); either may be empty.
    """

    role: str
    kind: str
    name: str
    summary: str = ""
    paper: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class DataFacts:
    """What a model was fitted to.

    Attributes:
        name: the source's name in the spec.
        frame_shape: (C, H, W) or (F,).
        length: T, steps of the longest sequence; 0 unknown.
        sequences: split -> number of sequences.
        factors: (name, number of classes, the code that should carry it).
        note: anything else, as where the data come from and under which licence.
    """

    name: str
    frame_shape: tuple[int, ...] = ()
    length: int = 0
    sequences: Mapping[str, int] = field(default_factory=dict)
    factors: tuple[tuple[str, int, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class RunFacts:
    """What is known about a run that its folder's files do not say by themselves.

    Attributes:
        name: the spec's name; empty: taken from spec.yaml, or else the folder's name.
        summary: what the model is, in one or two sentences.
        training: whether it reached its limit.
        command: the command line that made the run.
        versions: package -> version, in the order to be shown.
        device: as `NVIDIA H100, bf16`.
        started: when, as text.
        seconds: wall-clock time that the run took; None unknown.
        parameters: number of trainable values; None unknown.
        parts: what the model is put together from.
    """

    name: str = ""
    summary: str = ""
    training: Training = "unknown"
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    started: str = ""
    seconds: float | None = None
    parameters: int | None = None
    parts: tuple[CardPart, ...] = ()
