"""Clips and figures as pieces of HTML: pictures and sounds are data URIs, every text is escaped.

Shapes: T time, ... the frame.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from genzoo_rwae.explore.exploration import Clip
from genzoo_rwae.report.figures import ShownFigure
from genzoo_rwae.report.frames import Film, film_for, to_array
from genzoo_rwae.report.pictures import gif_bytes, png_bytes
from genzoo_rwae.report.sounds import wav_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

    from genzoo_rwae.sequences import SequenceData

__all__ = ["cards", "figures_table", "heading", "said", "stills"]

_ROOM = 900  # pixels across all clips
_FPS = 10  # a frame is a whole number of GIF's hundredths: all clips begin again together
_SIDE = 200  # pixels: about as wide as an image is shown


@dataclass(frozen=True)
class _Card:
    title: str
    about: str
    picture: str
    width: int
    is_image: bool
    sound: str


def cards(clips: Sequence[Clip], data: SequenceData) -> str:
    """Clips beside each other, drawn alike: they move, and are heard where the data are sound.

    Args:
        clips: at least one.
        data: knows how clips are drawn and heard.
    """
    film = _film(clips, data)
    steps = max(clip.length for clip in clips)
    shown = [_card(clip, film, steps, data, _mark(clips)) for clip in clips]
    return _render("cards.html.j2", cards=shown)


def stills(clips: Sequence[Clip], data: SequenceData) -> list[Image]:
    """The first frame of each clip; a vector clip whole."""
    film = _film(clips, data)
    return [film.frame(to_array(clip.x_T), 0, clip.length) for clip in clips]


def figures_table(figures: Sequence[ShownFigure], problem: str = "") -> str:
    """What was measured, each figure beside what to compare it with.

    Args:
        figures: maybe none.
        problem: why there are none.
    """
    groups = [(group, list(rows)) for group, rows in groupby(figures, lambda f: f.group)]
    return _render("figures.html.j2", groups=groups, problem=problem)


def heading(name: str, about: str) -> str:
    """What the page is about."""
    return _render("heading.html.j2", name=name, about=about)


def said(text: str) -> str:
    """A message in place of clips."""
    return _render("said.html.j2", text=text)


def _film(clips: Sequence[Clip], data: SequenceData) -> Film:
    arrays = [to_array(clip.x_T)[None] for clip in clips]
    return film_for(arrays, most=1, across=len(clips), room=_ROOM, display=data.info.display)


def _mark(clips: Sequence[Clip]) -> str:
    """What tells these clips from all others.

    A browser goes on with a picture that it has shown before where it was; a picture that carries
    the mark of its neighbours is a new one beside new neighbours, and they begin together.
    """
    content = sha256()
    for clip in clips:
        content.update(to_array(clip.x_T).tobytes())
    return content.hexdigest()


def _card(clip: Clip, film: Film, steps: int, data: SequenceData, mark: str) -> _Card:
    x_T = to_array(clip.x_T)
    # what is a picture moves, all clips for as long as the longest; vectors are drawn whole
    times = range(steps if film.image else 1)
    frames = [film.frame(x_T, time, clip.length) for time in times]
    picture = _uri("image/gif", gif_bytes(frames, _FPS, caption=mark)) if film.image else _uri(
        "image/png", png_bytes(frames[0])
    )  # fmt: skip
    sound = data.sound(clip.x_T[: clip.length], like=clip.like)
    width = film.size[0]
    is_image = film.image and film.stage is None
    native = width // film.zoom
    return _Card(
        title=clip.title,
        about=clip.about,
        picture=picture,
        # whole pixels: as many times a frame's own width
        width=native * max(film.zoom, round(_SIDE / native)) if is_image else width,
        is_image=is_image,
        sound=_uri("audio/wav", wav_bytes(sound)) if sound else "",
    )


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _render(template: str, /, **values: object) -> str:
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("genzoo_rwae.explore", "templates"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
