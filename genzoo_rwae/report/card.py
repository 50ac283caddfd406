"""The README.md of a run folder: a model card in the form that Hugging Face reads.

Everything that comes from a spec, a plugin or a data set is escaped: a name cannot become markup,
a link or a key of the front matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from genzoo_rwae.report.facts import CardPart, DataFacts
from genzoo_rwae.report.figures import ShownFigure

__all__ = ["Card", "CardPart", "DataFacts", "escape_markdown", "model_card"]

# what is markup anywhere, what only opens a block, and what GitHub makes links of by itself
_MARKUP = re.compile(r"([\\`*_{}\[\]|~@$>])")
_OPENING = re.compile(r"^(#+(?=\s|$)|[+-](?=\s|$)|=+|-{2,}|\d+(?=[.)](\s|$)))")
_LINK = re.compile(r"(:)(?=//)|(?<=www)(\.)", re.IGNORECASE)
_ARXIV = re.compile(r"\d{4}\.\d{4,5}(v\d+)?")
_TAGS = ("sequence-modeling", "disentanglement", "genzoo-rwae")

# words of figures' names -> what holds where one of them is
_LIMITS = {
    ("",): "One training run with one seed. A ± beside a figure is the spread over repeated draws "
    "from this model, unless its note says otherwise; it is not the spread over seeds.",
    (
        "swap",
        "fix motion",
    ): "Accuracy of the action under a fixed motion is blind to identity: a model that "
    "ignores its static code scores full marks. Read it beside the share of identities that "
    "changed and beside the reconstruction error.",
    (
        "prior means",
    ): "Codes of the prior's means show less than the prior makes: what leaks into the "
    "dynamic codes, and motion that goes wrong, shows on its samples.",
    (
        "judge",
    ): "The judge is a trained network with errors and preferences of its own: its accuracy "
    "on real data and on reconstructions bounds what its verdicts can mean.",
    (
        "probe",
    ): "Linear probes show what can be read from a code with a linear map. What they do not "
    "find may still be there.",
    (
        "sample",
        "unconditional",
    ): "Figures on samples tell about the data set as a whole, not whether one sample is "
    "plausible.",
}
_EVERY_CARD = (
    "Measured on the data set above and on nothing else. Static and dynamic codes are separated "
    "as far as the figures say; which factors of other data they would carry is unknown.",
)


@dataclass(frozen=True)
class Card:
    """What a model card says.

    Attributes:
        name: the spec's name.
        summary: what the model is, in one or two sentences.
        parts: what it is put together from.
        data: what it was fitted to; None where nobody said.
        figures: what was measured.
        versions: package -> version.
        command: the command line that made the run.
        license: an identifier that the hub knows, as `apache-2.0`.
        tags: further tags.
        place: where the run is found, as a command says it.
    """

    name: str
    summary: str = ""
    parts: tuple[CardPart, ...] = ()
    data: DataFacts | None = None
    figures: tuple[ShownFigure, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    license: str = "unknown"
    tags: tuple[str, ...] = ()
    place: str = "path/to/this/folder"


def model_card(card: Card) -> str:
    """The card as Markdown with YAML front matter.

    Args:
        card: what it is to say.

    Returns:
        The text of README.md.

    >>> print(model_card(Card(name="tiny")).splitlines()[1])
    license: "unknown"
    """
    blocks = [
        _front_matter(card),
        f"# {escape_markdown(card.name)}",
        escape_markdown(card.summary),
        "A model of sequences with a static code (what does not change along a sequence) and a "
        "dynamic code for each step (how it moves), made with genzoo-rwae.",
        "## Parts",
        _parts(card.parts),
        "## Data",
        _data(card.data),
        "## Figures",
        _figures(card.figures),
        "## What the figures do not show",
        "\n".join(f"- {line}" for line in _limits(card.figures)),
        "## Use",
        _use(card),
        "## Made with",
        _made_with(card),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape_markdown(text: str) -> str:
    """A text that Markdown shows as it is, on one line.

    >>> escape_markdown("a_b <i>[x](y)")
    'a\\\\_b &lt;i\\\\>\\\\[x\\\\](y)'
    """
    line = " ".join(str(text).split()).replace("&", "&amp;")
    line = _MARKUP.sub(r"\\\1", line).replace("<", "&lt;")
    line = _LINK.sub(lambda found: "\\" + found[0], line)
    return _OPENING.sub(lambda found: _block_as_text(found[0]), line)


def _block_as_text(opening: str) -> str:
    """`1` of a `1.` cannot take a backslash: its character reference is no list's number."""
    return f"&#{ord(opening[0])};{opening[1:]}"


def _front_matter(card: Card) -> str:
    # a JSON string is a YAML string, whatever is in it
    tags = dict.fromkeys((*_TAGS, *card.tags))
    lines = [
        "---",
        f"license: {json.dumps(card.license)}",
        "library_name: genzoo-rwae",
        "tags:",
        *(f"- {json.dumps(tag)}" for tag in tags),
        "---",
    ]
    return "\n".join(lines)


def _parts(parts: tuple[CardPart, ...]) -> str:
    if not parts:
        return "See spec.yaml."
    rows = [
        (part.role, f"{part.name} ({part.kind})", part.summary, _paper(*part.paper))
        for part in parts
    ]
    escaped = ([*map(escape_markdown, row[:3]), row[3]] for row in rows)
    return _table(("slot", "part", "what it is", "paper"), escaped)


def _paper(title: str, arxiv: str) -> str:
    if _ARXIV.fullmatch(arxiv):
        number = f"[arXiv:{arxiv}](https://arxiv.org/abs/{arxiv})"
    else:
        number = escape_markdown(arxiv)
    return " ".join(text for text in (escape_markdown(title), number) if text)


def _data(data: DataFacts | None) -> str:
    if data is None:
        return "Not recorded; see spec.yaml."
    lines = [f"- source: {escape_markdown(data.name)}"]
    if data.frame_shape:
        shape = " × ".join(str(side) for side in data.frame_shape)
        steps = f", up to {data.length} steps" if data.length else ""
        lines.append(f"- frames: {shape}{steps}")
    if data.sequences:
        counts = (f"{escape_markdown(split)} {n:,}" for split, n in data.sequences.items())
        lines.append(f"- sequences: {', '.join(counts)}")
    for name, classes, code in data.factors:
        words = f"{escape_markdown(name)} ({classes} classes, {escape_markdown(code)})"
        lines.append(f"- factor: {words}")
    if data.note:
        lines.append(f"- {escape_markdown(data.note)}")
    return "\n".join(lines)


def _figures(figures: tuple[ShownFigure, ...]) -> str:
    if not figures:
        return "Not measured yet. `genzoo build` on this folder measures the model."
    rows = (
        (
            escape_markdown(" / ".join(part for part in (figure.group, figure.name) if part)),
            escape_markdown(figure.value),
            escape_markdown("; ".join(f"{what} {value}" for what, value in figure.compared)),
            figure.good,
            escape_markdown(figure.note),
        )
        for figure in figures
    )
    return _table(("quantity", "value", "to compare with", "better", "note"), rows)


def _limits(figures: tuple[ShownFigure, ...]) -> Iterator[str]:
    """What holds for every card, and what holds for the figures that this one has."""
    yield from _EVERY_CARD
    if figures:
        groups = " ".join(f"{figure.group} {figure.name}" for figure in figures)
        for words, line in _LIMITS.items():
            if any(word in groups for word in words):
                yield line


def _use(card: Card) -> str:
    python = (
        "import genzoo_rwae as gz\n\n"
        f'model = gz.load("{card.place}")\n'
        "samples = model.sample(8).x_BT\n"
        "swapped = model.swap(static_BT, dynamic_BT).x_BT  # who the first are, as the second move"
    )
    shell = f"genzoo sample {card.place}\ngenzoo swap {card.place}"
    return "\n\n".join([_fenced(python, "python"), _fenced(shell, "sh")])


def _made_with(card: Card) -> str:
    lines = [f"- spec: {escape_markdown(card.name)} (spec.yaml holds every option)"]
    lines += [
        f"- {escape_markdown(package)} {escape_markdown(version)}"
        for package, version in card.versions.items()
    ]
    made = "\n".join(lines)
    return f"{made}\n\n{_fenced(card.command, 'sh')}" if card.command else made


def _fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
