"""report.html: one self-contained page on a run, the first thing that its maker opens.

The page asks for nothing outside itself: pictures are data URIs, the style sheet is inline, there
is no script, and a content security policy forbids all of these to whatever might slip in.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from genzoo_rwae.errors import CheckpointError, SpecError
from genzoo_rwae.files import write_atomic
from genzoo_rwae.report.curves import History, read_history, training_curves
from genzoo_rwae.report.facts import RunFacts
from genzoo_rwae.report.figures import ShownFigure, read_figures
from genzoo_rwae.spec.located import read_yaml

__all__ = ["Picture", "read_pictures", "run_figures", "run_name", "write_report"]

_FORMATS = {"PNG": "image/png", "GIF": "image/gif", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_NO_PICTURE = (
    UnidentifiedImageError, PillowImage.DecompressionBombError, LookupError, OSError, SyntaxError,
    ValueError, EOFError, struct.error,
)  # fmt: skip
_SUFFIXES = (".png", ".gif", ".jpg", ".jpeg", ".webp")
_MOST_OF_SPEC = 250_000  # bytes; nobody scrolls further
_LARGEST_PICTURE = 8 * 2**20  # bytes; the page should still open at once
_CAPTIONS = {
    "reconstruction": "Each sequence above its reconstruction, time from left to right.",
    "swap": "Rows share a static code, columns share a motion. The first column and the first "
    "row show the sequences that the codes come from.",
    "sample": "Unconditional samples: both codes are drawn from their priors.",
    "rollout": "The dynamic prior rolled out beyond the length of the training sequences.",
    "traverse": "One code is moved along, all others stay.",
    "actions": "A row for every action that the model tells apart.",
}
_SECTIONS = {"actions": "Actions"}  # pictures that have a heading of their own


@dataclass(frozen=True)
class Picture:
    """One picture of a run, ready for the page.

    Attributes:
        name: the file's name.
        uri: its data URI; empty where it could not be embedded, and `caption` says why.
        caption: what it shows (not yet escaped).
        width, height: pixels.
        section: the heading that it stands under.
    """

    name: str
    uri: str
    caption: str
    width: int = 0
    height: int = 0
    section: str = "Pictures"


def write_report(
    run: Path, facts: RunFacts | None = None, *, captions: Mapping[str, str] | None = None
) -> Path:
    """Write report.html of a run folder from what is in it.

    Reads spec.yaml, evaluation.json, metrics.jsonl and pictures/; what is missing or cannot be read
    is said on the page and stops nothing.

    Args:
        run: the run folder.
        facts: what the folder does not say by itself.
        captions: file name in pictures/ -> caption; it wins over the one in the file.

    Returns:
        The path of report.html.

    Raises:
        CheckpointError: the run folder is not there.
        RunError: it cannot be written.
    """
    if not run.is_dir():
        raise CheckpointError(f"{run}: no such run folder; `genzoo build SPEC -o {run}` makes one")
    facts = facts or RunFacts()
    history = read_history(run / "metrics.jsonl")
    figures, problem = run_figures(run)
    pictures = read_pictures(run / "pictures", captions or {})
    template = resources.files("genzoo_rwae.report").joinpath("page.html.j2")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template.read_text(encoding="utf-8")).render(
        name=facts.name or run_name(run),
        facts=facts,
        at_a_glance=_at_a_glance(facts, history),
        notices=_notices(facts, history, problem, pictures),
        groups=[(group, list(rows)) for group, rows in groupby(figures, lambda f: f.group)],
        galleries=[
            (section, [picture for picture in pictures if picture.section == section])
            for section in ("Pictures", *_SECTIONS.values())
        ],
        # the SVGs are matplotlib's, which escapes their texts; nothing else is trusted
        curves=[(curve, Markup(curve.svg)) for curve in training_curves(history)],
        spec=_text(run / "spec.yaml"),
    )
    return write_atomic(run / "report.html", page.encode("utf-8", "replace"))


def read_pictures(folder: Path, captions: Mapping[str, str]) -> tuple[Picture, ...]:
    """The pictures of a folder as data URIs: those that every run has first, then by name.

    Args:
        folder: where they are; one that is not there holds none.
        captions: file name -> caption. Without one, the caption is what `save_png` and `save_gif`
            wrote into the file, then what is usual for a picture of this name.
    """
    if not folder.is_dir():
        return ()
    paths = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
    paths.sort(key=lambda path: (_place(path), path.name))
    return tuple(_picture(path, captions.get(path.name, "")) for path in paths)


def run_name(run: Path) -> str:
    """The spec's name as spec.yaml says it, or else the run folder's own."""
    try:
        spec = read_yaml(run / "spec.yaml").plain
    except SpecError:
        spec = None
    name = spec.get("name") if isinstance(spec, dict) else None
    return str(name or run.resolve().name)


def run_figures(run: Path) -> tuple[tuple[ShownFigure, ...], str]:
    """The figures of a run folder, and what to say where there are none."""
    path = run / "evaluation.json"
    if not path.is_file():
        return (), "Not measured yet: `genzoo build` with this spec and folder measures the model."
    try:
        figures = read_figures(path)
    except CheckpointError as error:
        return (), f"The evaluation cannot be read: {error}"
    return figures, "" if figures else "The evaluation holds no figures."


def _picture(path: Path, caption: str) -> Picture:
    size = path.stat().st_size if path.is_file() else 0
    section = next((s for stem, s in _SECTIONS.items() if path.stem.startswith(stem)), "Pictures")
    if size > _LARGEST_PICTURE:
        said = f"{size / 2**20:.0f} MB, too large for this page; it is in pictures/"
        return Picture(path.name, "", said, section=section)
    data = path.read_bytes() if size else b""
    try:
        # its header alone: a browser decodes it, not this process
        with PillowImage.open(io.BytesIO(data), formats=tuple(_FORMATS)) as image:
            kind, sides, written = _FORMATS[image.format or ""], image.size, image.info
    except _NO_PICTURE:
        said = "This file cannot be read as a picture."
        return Picture(path.name, "", said, section=section)
    note = written.get("Description") or written.get("comment") or ""
    note = note.decode("utf-8", "replace") if isinstance(note, bytes) else str(note)
    usual = [*_CAPTIONS.values(), ""][_place(path)]
    words = path.stem.replace("_", " ").replace("-", " ")
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return Picture(path.name, uri, caption or note or usual or words, *sides, section)


def _place(path: Path) -> int:
    """Where a picture of this name comes; after all that are known where it is not."""
    known = (place for place, stem in enumerate(_CAPTIONS) if path.stem.startswith(stem))
    return next(known, len(_CAPTIONS))


def _notices(
    facts: RunFacts, history: History, problem: str, pictures: tuple[Picture, ...]
) -> list[str]:
    """What is missing, in the order in which it matters."""
    said = []
    if facts.training == "unfinished":
        said.append(
            f"Training has not finished; the last step on record is {history.last_step:,}. "
            "The same `genzoo build` goes on from there."
        )
    if not history.rows:
        said.append("No training metrics are on record (metrics.jsonl).")
    if history.unreadable:
        lines = "1 line" if history.unreadable == 1 else f"{history.unreadable:,} lines"
        said.append(f"{lines} of metrics.jsonl could not be read, as after a run that was killed.")
    if problem:
        said.append(problem)
    if not pictures:
        said.append("There are no pictures yet (pictures/).")
    return said


def _at_a_glance(facts: RunFacts, history: History) -> list[tuple[str, str]]:
    steps = f"{history.last_step:,}" if history.last_step else ""
    training = "" if facts.training == "unknown" else facts.training
    parameters = "" if facts.parameters is None else f"{facts.parameters:,}"
    rows = [
        ("training", training),
        ("steps", steps),
        ("time", _duration(facts.seconds)),
        ("parameters", parameters),
        ("device", facts.device),
        ("started", facts.started),
    ]
    return [(name, value) for name, value in rows if value]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.3g} s"


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_MOST_OF_SPEC).decode("utf-8", "replace")
