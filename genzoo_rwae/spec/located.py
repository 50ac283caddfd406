"""YAML files as trees whose every value knows its place, merged without losing it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from genzoo_rwae.catalogue import zoo_specs
from genzoo_rwae.digests import Digests
from genzoo_rwae.errors import Problem, SpecError, shown
from genzoo_rwae.paths import home
from genzoo_rwae.spec.limits import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NOTED,
    MAX_PROBLEMS,
    MAX_VALUES,
    BoundedScanner,
    unspeakable,
)

__all__ = ["Located", "Place", "apply_settings", "find_spec", "merge", "parse_file", "read_yaml"]

_SOURCE = 200  # characters of a line that a problem shows
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Place:
    """Where a value was written: a file's line and column (from 1), or `--set`, or a default."""

    file: str = ""
    line: int = 0
    column: int = 0
    text: str = ""
    folder: Path | None = None

    def problem(self, path: str, message: str, hint: str = "") -> Problem:
        return Problem(path, message, self.file, self.line, self.column, self.text, hint)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Located:
    """A value with its place.

    Attributes:
        value: a scalar, a dict of Located by key, or a list of Located.
        place: where the value stands.
        key: where its key stands (its own place for list items and the root).
        stale: inherited by `extends` beside another component's `use`: an option of a part that was
            replaced, unless it belongs to the slot.
    """

    value: Scalar | dict[str, Located] | list[Located]
    place: Place
    key: Place
    stale: bool = False

    @property
    def plain(self) -> object:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: child.plain for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain for child in self.value]
        return self.value


def find_spec(reference: str | Path) -> Path:
    """A spec's file: a path, or `zoo:NAME` for one that comes with the package.

    Raises:
        SpecError: there is no such file.
        CheckpointError: it is that of a run folder, and damaged.
    """
    text = str(reference)
    if text.startswith("zoo:"):
        known = zoo_specs()
        name = text.removeprefix("zoo:").removesuffix(".yaml")
        if name in known:
            return known[name]
        raise SpecError(f"no spec of the zoo is called '{name}'; {_one_of_the_zoo(name)}")
    path = home(Path(text))
    try:
        if path.is_dir() and (path / "spec.yaml").is_file():
            Digests(path).check(path / "spec.yaml", "Give the spec that the run was made from")
            return path / "spec.yaml"
        if path.is_file():
            return path
    except OSError:
        pass  # a name that no file can have
    raise SpecError(
        f"{shown(text, 300)}: there is no such spec; wanted a YAML file, or zoo:NAME: "
        f"{_one_of_the_zoo(path.stem)}"
    )


def _one_of_the_zoo(name: str) -> str:
    """The one that may have been meant, and where all of them are told."""
    close = difflib.get_close_matches(name, zoo_specs(), n=1)
    hint = f"did you mean 'zoo:{close[0]}'? " if close else ""
    return f"{hint}`genzoo list` names all of them"


def read_yaml(path: Path) -> Located:
    """Read one YAML 1.2 file.

    Raises:
        SpecError: it is not UTF-8, not YAML, has duplicate keys, or is larger than any spec.
    """
    name = _display(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)  # not its size: some files tell none
    except OSError as error:
        raise SpecError(f"{name}: cannot be read: {error.strerror}") from error
    return parse_file(raw, name, path.resolve().parent)


def parse_file(raw: bytes, name: str, folder: Path) -> Located:
    """Parse the content of a file; `name` stands for it in messages. Raises as `read_yaml`."""
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{name}: more than {MAX_BYTES:,} bytes; no spec is that large")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    return parse_yaml(text, name, folder)


def parse_yaml(text: str, name: str, folder: Path) -> Located:
    """Parse YAML text; `name` stands for it in messages. Raises SpecError as `read_yaml`."""
    lines = text.splitlines()
    yaml = YAML(typ="rt", pure=True)
    yaml.Scanner = BoundedScanner
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        source = lines[line] if line < len(lines) else ""
        hint = ""
        if "\t" in source[: column + 1]:
            indents = not source[: column + 1].strip()
            hint = "YAML indents with spaces, not tabs" if indents else "a tab; YAML wants a space"
        problem = error.problem or error.context or "not YAML"
        place = Place(name, line + 1, column + 1, source[:_SOURCE].replace("\t", " "))
        raise SpecError([place.problem("", problem, hint)]) from error
    except (AssertionError, KeyError) as error:  # ruamel.yaml's, looking a version's rules up
        raise SpecError(
            f"{name}: a line %YAML with a version that is not known; wanted 1.2, or no such line"
        ) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{name}: not YAML: {error}") from error
    if root is None:
        raise SpecError(f"{name}: the file is empty; see `genzoo new spec`")
    reader = _Reader(name, folder, lines)
    located = reader.read(root, "", 0, None)
    if reader.problems:
        raise SpecError(reader.problems)
    return located


class _Reader:
    def __init__(self, name: str, folder: Path, lines: Sequence[str]) -> None:
        self.name, self.folder, self.lines = name, folder, lines
        self.problems: list[Problem] = []
        self.count = self.count_noted = 0

    def place(self, node: Node) -> Place:
        line, column = node.start_mark.line, node.start_mark.column
        text = self.lines[line] if line < len(self.lines) else ""
        source = text[:_SOURCE].replace("\t", " ")  # so that the caret stands where it should
        return Place(self.name, line + 1, column + 1, source, self.folder)

    def read(self, node: Node, path: str, depth: int, key: Place | None) -> Located:
        place = self.place(node)
        if path.startswith("resolved"):
            self.count_noted += 1
        else:
            self.count += 1
        too_many = self.count > MAX_VALUES or self.count + self.count_noted > MAX_NOTED
        if too_many or depth > MAX_DEPTH:
            most = MAX_NOTED if path.startswith("resolved") else MAX_VALUES
            raise SpecError(
                [
                    place.problem(
                        path,
                        f"more than {most:,} values or {MAX_DEPTH} levels; "
                        "no spec is that large (aliases count as often as they are used)",
                    )
                ]
            )
        value: Scalar | dict[str, Located] | list[Located]
        if not isinstance(node, ScalarNode) and str(node.tag) not in _PLAIN_TAGS:
            self._note_tag(str(node.tag), path, place)
        if isinstance(node, MappingNode):
            value = self._mapping(node, path, depth)
        elif isinstance(node, SequenceNode):
            value = [
                self.read(item, f"{path}[{number}]", depth + 1, None)
                for number, item in enumerate(node.value)
            ]
        else:
            value = self._scalar(str(node.value), str(node.tag), path, place)
            if wrong := unspeakable(value):
                self._note(place.problem(path, wrong))
                value = None
        return Located(value, place, key or place)

    def _mapping(self, node: MappingNode, path: str, depth: int) -> dict[str, Located]:
        children: dict[str, Located] = {}
        for key_node, value_node in node.value:
            at = self.place(key_node)
            if not isinstance(key_node, ScalarNode) or str(key_node.tag).endswith(":merge"):
                said = "keys are words; for merging there is `extends`, not '<<'"
                self._note(at.problem(path, said))
                continue
            name = str(key_node.value)
            inner = f"{path}.{name}" if path else name
            if wrong := unspeakable(name):
                self._note(at.problem(path, wrong))
                continue
            if name in children:
                first = children[name].key
                said = f"the key stands twice; first in line {first.line}"
                self._note(at.problem(inner, said, "keep one of the two"))
                continue
            children[name] = self.read(value_node, inner, depth + 1, at)
        return children

    def _scalar(self, text: str, full_tag: str, path: str, place: Place) -> Scalar:
        tag = full_tag.rpartition(":")[2]
        try:
            if tag == "null":
                return None
            if tag == "bool":
                return text.lower() in ("true", "yes", "on")
            if tag == "int":
                digits = text.replace("_", "")
                has_prefix = digits.lstrip("+-")[:2].lower() in ("0x", "0o", "0b")
                return int(digits, 0 if has_prefix else 10)
            if tag == "float":
                digits = text.replace("_", "").lower()
                return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            self._note(place.problem(path, f"{text[:50]!r} is no number of YAML 1.2"))
            return None
        if tag in ("str", "timestamp", "value", "merge"):
            return text
        self._note_tag(full_tag, path, place)
        return None

    def _note_tag(self, tag: str, path: str, place: Place) -> None:
        said = f"the tag {tag[:100]} is not known here; specs are plain YAML"
        self._note(place.problem(path, said))

    def _note(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= MAX_PROBLEMS:
            raise SpecError(self.problems)


def merge(over: Located, under: Located, *, keep_places: bool = False) -> Located:
    """Lay one tree over another: mappings key by key, everything else replaced.

    A mapping made of two stands where `over`'s does; with `keep_places`, where `under`'s does.
    Where `over` chooses another `use`, the keys that only `under` has are marked stale.
    """
    upper, lower = _as_mapping(over, under), _as_mapping(under, over)
    if not isinstance(upper.value, dict) or not isinstance(lower.value, dict):
        return over
    chosen, before = upper.value.get("use"), lower.value.get("use")
    replaced = chosen is not None and before is not None and chosen.value != before.value
    merged: dict[str, Located] = {
        name: replace(child, stale=True) if replaced and name != "use" else child
        for name, child in lower.value.items()
    }
    for name, child in upper.value.items():
        below = merged.get(name)
        if below and not below.stale:
            child = merge(child, below, keep_places=keep_places)
        merged[name] = child
    return replace(lower if keep_places else upper, value=merged)


def _as_mapping(node: Located, other: Located) -> Located:
    if isinstance(node.value, str) and isinstance(other.value, dict):
        return replace(node, value={"use": replace(node, key=node.place)})
    return node


def apply_settings(tree: Located, settings: Sequence[str] | Mapping[str, object]) -> Located:
    """Apply `--set path=value` settings, later ones over earlier ones.

    Raises:
        SpecError: a setting has no '=', or its value is no YAML.
    """
    folder = Path.cwd()
    for setting in settings:
        path, equals, text = setting.partition("=")
        name = f"--set {shown(setting, 200)}"
        if isinstance(settings, Mapping):
            path, equals, name = setting, "=", f"the setting {setting}"
            node = _from_python(settings[setting], Place(name, folder=folder))
        elif equals:
            value = parse_yaml(text or "null", name, folder)
            node = _relocate(value, Place(name, folder=folder))
        if not equals or not all(path.strip().split(".")):
            raise SpecError(f"{name}: wanted --set path.to.key=value")
        for key in reversed(path.strip().split(".")):
            node = Located({key: node}, node.place, node.place)
        tree = merge(node, tree, keep_places=True)
    return tree


def _from_python(value: object, place: Place) -> Located:
    """A value that was given from Python, not as text."""
    found: Scalar | dict[str, Located] | list[Located]
    if isinstance(value, Mapping):
        found = {str(name): _from_python(child, place) for name, child in value.items()}
    elif isinstance(value, list | tuple):
        found = [_from_python(item, place) for item in value]
    else:
        found = value if isinstance(value, Scalar) else str(value)
    return Located(found, place, place)


def _relocate(node: Located, place: Place) -> Located:
    value = node.value
    if isinstance(value, dict):
        value = {name: _relocate(child, place) for name, child in value.items()}
    elif isinstance(value, list):
        value = [_relocate(child, place) for child in value]
    return Located(value, place, place)


def _display(path: Path) -> str:
    if zoo_specs().get(path.stem) == path:
        return f"zoo:{path.stem}"
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
