"""Sequences of frames that functions of frames are tried with.

Shapes: B batch, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genzoo_rwae.components import Component
from genzoo_rwae.errors import OptionError
from genzoo_rwae.testing.findings import Report
from genzoo_rwae.testing.parts import title_of
from genzoo_rwae.testing.properties import Property, investigate, not_built
from genzoo_rwae.testing.strategies import seeded

__all__ = ["FRAME_SHAPES", "Sequences", "investigate_on_frames"]

FRAME_SHAPES = ((6,), (17, 2), (1, 8, 8), (3, 16, 16))


@dataclass(frozen=True)
class Sequences:
    """Some sequences of values in (0, 1)."""

    frame_shape: tuple[int, ...]
    batch: int
    steps: int

    def values(self, dtype: torch.dtype = torch.float32, *, seed: int = 1) -> Tensor:
        drawn = seeded(seed, self.batch, self.steps, *self.frame_shape, dtype=dtype)
        return torch.sigmoid(drawn)


def investigate_on_frames(
    component: Component,
    properties: Sequence[Property],
    subject: Callable[[list[tuple[int, ...]]], Any],
    call: Callable[[Tensor], object],
    frame_shapes: Sequence[tuple[int, ...]],
    *,
    claims: Collection[str] = (),
    exceptions: Collection[str] = (),
) -> Report:
    """Try all properties on frames of the shapes that a component takes.

    Args:
        component: what is tried.
        properties: of its kind.
        subject: makes the subject of these from the shapes.
        call: gives it frames; a shape at which it raises an OptionError is left out.
        frame_shapes: shapes to choose from.
        claims, exceptions: as of `investigate`.
    """
    title, taken = title_of(component), []
    refusal: Exception = OptionError("there is no shape of frames to try it with")
    for shape in frame_shapes:
        try:
            call(Sequences(tuple(shape), 1, 2).values())
        except OptionError as error:
            refusal = error
        except Exception as error:  # whatever its author's code raises
            return not_built(title, f"frame_shape = {shape}", error)
        else:
            taken.append(tuple(shape))
    if not taken:
        return not_built(title, f"frame_shapes = {list(frame_shapes)}", refusal)
    return investigate(title, properties, subject(taken), claims=claims, exceptions=exceptions)
