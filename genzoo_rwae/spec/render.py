"""The resolved spec: every value written out, with where it came from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from genzoo_rwae.spec.part import Part, qualified

if TYPE_CHECKING:
    from genzoo_rwae.spec.sections import Spec

__all__ = ["differences", "plain", "render"]


def plain(thing: Any) -> Any:
    """A section, part or value as what YAML and JSON can hold."""
    if isinstance(thing, Part):
        values = {**dict(thing.options), **(vars(thing.slot) if thing.slot else {})}
        return {"use": qualified(thing), **{name: plain(value) for name, value in values.items()}}
    if hasattr(thing, "__dataclass_fields__"):
        return {
            name: plain(getattr(thing, name))
            for name in thing.__dataclass_fields__
            if name != "places"
        }
    if isinstance(thing, Mapping):
        return {str(name): plain(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in thing]
    if isinstance(thing, Enum):
        return plain(thing.value)
    # those of NumPy and of enumerations are derived from them, and YAML knows no such thing
    base = next((base for base in (float, str, int) if isinstance(thing, base)), None)
    if base and not isinstance(thing, bool):
        return base(thing)
    return str(thing) if isinstance(thing, Path) else thing


def render(spec: Spec, *, origins: bool = True) -> str:
    """The spec as YAML, defaults filled in; with `origins` each value says where it came from."""
    tree = plain(spec)
    if tree["resolved"] is None:
        del tree["resolved"]
    document = _commented(tree, "", spec, origins)
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _commented(value: Any, path: str, spec: Spec, origins: bool) -> Any:
    if isinstance(value, dict):
        mapping = CommentedMap()
        for name, child in value.items():
            inner = f"{path}.{name}" if path else name
            mapping[name] = _commented(child, inner, spec, origins)
            is_leaf = not isinstance(child, dict) and not (
                isinstance(child, list) and any(isinstance(item, dict) for item in child)
            )
            if origins and is_leaf and not inner.startswith("resolved"):
                mapping.yaml_add_eol_comment(_origin(inner, spec), name, column=0)
        return mapping
    if isinstance(value, list):
        sequence = CommentedSeq(
            _commented(item, f"{path}[{number}]", spec, origins)
            for number, item in enumerate(value)
        )
        if not any(isinstance(item, dict) for item in value):
            sequence.fa.set_flow_style()
        return sequence
    return value


def _origin(path: str, spec: Spec) -> str:
    node = spec.places.get(path)
    if node is None and path.endswith(".use"):
        node = spec.places.get(path.removesuffix(".use"))
    if node is None or isinstance(node.value, dict):
        return "default"
    return " ".join(str(node.place).split()) or "default"


def differences(there: Any, here: Any, path: str = "") -> list[str]:
    """What two plain trees differ in, one line a value: `path: THERE there, HERE here`."""
    if isinstance(there, dict) and isinstance(here, dict):
        lines = []
        for name in dict.fromkeys((*there, *here)):
            inner = f"{path}.{name}" if path else str(name)
            if name not in here or name not in there:
                lines.append(f"{inner}: only {'there' if name in there else 'here'}")
            else:
                lines += differences(there[name], here[name], inner)
        return lines
    return [] if there == here else [f"{path}: {there!r} there, {here!r} here"]
