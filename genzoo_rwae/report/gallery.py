"""The actions that a model tells apart, as a gallery: who was put where, and what each one makes.

Shapes: A actions, M clips of an action, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genzoo_rwae.evaluation.codes import encode_split
from genzoo_rwae.report.frames import Film, film_for, to_array
from genzoo_rwae.report.tiles import Cells, blank, label, on_paper, text, tile

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import Display, SequenceData

__all__ = ["FoundAction", "action_film", "action_sheet", "found_actions"]

_BAND, _APART = 18, 10  # pixels: for the headings above, and between what is found and made
_BETWEEN = 9  # pixels: a strip's own frames are closer to each other


@dataclass(frozen=True)
class FoundAction:
    """One action of a model.

    Attributes:
        action: its index, in [0, A).
        count: how many of the sequences it is the likeliest action of.
        certainty: its mean probability in these; 0 where there are none.
        indices: their places in the split, the most certain first, as many as are shown.
        clips_MT: these sequences.
        lengths: their true lengths.
        made_MT: samples with this action; sample m of every action has the same noise.
        display: how the data say that they are drawn.
    """

    action: int
    count: int
    certainty: float
    indices: tuple[int, ...]
    clips_MT: NDArray[Any]
    lengths: tuple[int, ...]
    made_MT: NDArray[Any]
    display: Display | None = None


def found_actions(
    model: SequenceModel,
    data: SequenceData,
    *,
    sequences: int = 2_000,
    shown: int = 4,
    made: int = 3,
    seed: int = 0,
) -> list[FoundAction]:
    """The actions of a model on a split of its data, by index; none if the model has none.

    Args:
        model: with or without actions.
        data: not empty.
        sequences: most sequences to look at, spread evenly.
        shown: most of them that stand for an action.
        made: samples of each action.
        seed: of the samples.
    """
    if not model.actions:
        return []
    codes = encode_split(model, data, sequences)
    assert codes.action_NA is not None
    probability_NA = codes.action_NA.cpu()
    likeliest_N = probability_NA.argmax(-1)
    found = []
    for action in range(model.actions):
        own = (likeliest_N == action).nonzero().flatten()
        certain = probability_NA[own, action]
        first = own[certain.argsort(descending=True, stable=True)[:shown]]
        indices = codes.indices_N[first]
        batch = data.take(indices.numpy())
        generator = torch.Generator().manual_seed(seed)
        samples = model.sample(made, generator=generator, action=action).x_BT
        found.append(
            FoundAction(
                action=action,
                count=len(own),
                certainty=float(certain.mean()) if len(own) else 0.0,
                indices=tuple(indices.tolist()),
                clips_MT=to_array(model.prepare(batch.x_BT)),
                lengths=tuple(batch.lengths_B.tolist()),
                made_MT=to_array(samples),
                display=model.info.display,
            )
        )
    return found


def action_sheet(found: Sequence[FoundAction], *, steps: int = 3) -> Image:
    """A row for every action: sequences that have it, then samples with it, as film strips.

    Args:
        found: at least one.
        steps: frames in each strip, evenly spaced, ends kept.
    """
    film = _film(found, steps)
    return _picture(
        found,
        [[film.strip(*clip) for clip in _clips(one)] for one in found],
        [[film.strip(clip) for clip in one.made_MT] for one in found],
    )


def action_film(found: Sequence[FoundAction]) -> list[Image]:
    """The same, moving: one picture a step, to be saved as a GIF; vectors do not move."""
    film = _film(found, 1)
    times = range(found[0].made_MT.shape[1]) if film.image else range(1)
    return [
        _picture(
            found,
            [
                [film.frame(clip, min(time, length - 1)) for clip, length in _clips(one)]
                for one in found
            ],
            [[film.frame(clip, time) for clip in one.made_MT] for one in found],
        )
        for time in times
    ]


def _clips(one: FoundAction) -> list[tuple[NDArray[Any], int]]:
    return list(zip(one.clips_MT, one.lengths, strict=True))


def _film(found: Sequence[FoundAction], steps: int) -> Film:
    clips = [one.clips_MT for one in found if len(one.clips_MT)]
    across = max(len(one.clips_MT) for one in found) + len(found[0].made_MT)
    shown = [found[0].made_MT, *clips]
    return film_for(shown, most=steps, across=across, room=1200, display=found[0].display)


def _picture(
    found: Sequence[FoundAction], real: Sequence[list[Image]], made: Sequence[list[Image]]
) -> Image:
    """Tile what is found and what is made, with a heading in a band above each."""
    width, height = made[0][0].size
    most = max(map(len, real))
    empty, apart = blank(width, height), blank(_APART, height)
    cells: Cells = [
        [label(f"{one.action}: {one.count:,}", height), *own, *[empty] * (most - len(own)), apart]
        for one, own in zip(found, real, strict=True)
    ]
    start = max(row[0].width for row in cells if row[0]) + _BETWEEN
    grid = tile([[*row, *more] for row, more in zip(cells, made, strict=True)], between=_BETWEEN)
    second = start + most * (width + _BETWEEN) + _APART + _BETWEEN
    headings = [(second, text("made with the action"))]
    if most:
        headings.append((start, text("found in the data")))
    right = max(grid.width, *(place + words.width for place, words in headings))
    picture = blank(right, _BAND + grid.height)
    picture.paste(grid, (0, _BAND))
    for place, words in headings:
        picture.paste(words, (place, 0))
    return on_paper(picture)
