"""The catalogue of built-in components, read from registry.yaml without importing any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "Catalogue",
    "Entry",
    "Paper",
    "catalogue",
    "markdown_table",
    "package_file",
    "zoo_specs",
]


@dataclass(frozen=True)
class Paper:
    """Where a component comes from."""

    title: str
    arxiv: str = ""
    equation: str = ""

    def __str__(self) -> str:
        return ", ".join(
            part
            for part in (self.title, self.arxiv and f"arXiv {self.arxiv}", self.equation)
            if part
        )


@dataclass(frozen=True)
class Entry:
    """One built-in component, as registry.yaml has it.

    Attributes:
        kind, name: what a spec calls it.
        module: where it is implemented; imported when the component is first used.
        summary: the first line of its docstring.
        since: the version of genzoo-rwae that brought it.
        status: `deprecated` components name their successor in `replaced_by`.
        needs: extras of the package that have to be installed.
        batch_coupled: its value couples the whole batch (penalties).
        default: what a spec that does not choose gets, for kinds that every run needs.
        example: what a spec says of it over zoo:quickstart (or over another: `extends`), where it
            takes more than its name in its kind's place.
    """

    kind: str
    name: str
    module: str
    summary: str
    since: str
    status: Literal["stable", "experimental", "deprecated"] = "stable"
    replaced_by: str = ""
    paper: Paper | None = None
    needs: tuple[str, ...] = ()
    batch_coupled: bool = False
    default: bool = False
    example: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Catalogue:
    """All built-in components, in the order of registry.yaml."""

    entries: tuple[Entry, ...]

    def of(self, kind: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind == kind)

    def find(self, kind: str, name: str) -> Entry | None:
        return next((entry for entry in self.of(kind) if entry.name == name), None)


def package_file(inside: str, beside: str) -> Path:
    """A data file of the package: in the package (a wheel), or beside it (a checkout)."""
    package = Path(__file__).parent
    installed = package / inside
    return installed if installed.exists() else package.parent / beside


def zoo_specs() -> dict[str, Path]:
    """The specs that come with the package, by name (`zoo:NAME`)."""
    folder = package_file("zoo_specs", "zoo")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


@cache
def catalogue() -> Catalogue:
    """Read registry.yaml, with libyaml where it is: half of what looking a part up costs."""
    import yaml

    text = package_file("registry.yaml", "registry.yaml").read_text(encoding="utf-8")
    raw = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return Catalogue(
        tuple(_entry(kind, row) for kind, rows in raw["components"].items() for row in rows)
    )


def markdown_table() -> str:
    """The catalogue as a Markdown table, for the README."""
    lines = ["| kind | name | what it is |", "|---|---|---|"]
    lines += [
        f"| {entry.kind} | `{entry.name}` | {entry.summary.replace('|', chr(92) + '|')} |"
        for entry in catalogue().entries
    ]
    return "\n".join(lines)


def _entry(kind: str, row: dict[str, object]) -> Entry:
    fields = {key.replace("-", "_"): value for key, value in row.items()}
    paper = fields.pop("paper", None)
    needs = fields.pop("needs", ())
    return Entry(
        kind=kind,
        paper=Paper(**paper) if isinstance(paper, dict) else None,
        needs=tuple(needs),  # type: ignore[arg-type]
        **fields,  # type: ignore[arg-type]
    )
