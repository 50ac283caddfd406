"""A component in a spec: the least that `genzoo check` accepts, for `genzoo show` to print.

A component stands in its kind's place of a spec of the zoo; what needs more than that says so in
registry.yaml (`example:`). Nothing is imported that a fast answer could not afford.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["example_spec"]

_BASE = "zoo:quickstart"
# where a component of a kind stands; `[]`: in a list
_PLACES = {
    "model": "model",
    "encoder": "model.encoder",
    "frame-encoder": "model.encoder.frames",
    "static-head": "model.static.head",
    "dynamic-head": "model.dynamic.head",
    "action-head": "model.action.head",
    "augmentation": "model.dynamic.augment[]",
    "prior": "model.dynamic.prior",
    "decoder": "model.decoder",
    "frame-decoder": "model.decoder.frames",
    "cost": "objective.cost",
    "penalty": "objective.static",
    "kernel": "objective.static.kernel",
    "source": "data",
    "metric": "evaluate[]",
    "judge": "judge",
    "tracker": "trackers[]",
    "optimizer": "train.optimizer",
    "schedule": "train.schedule",
}
# where it stands instead if it has a trait: a base class, a wired parameter's name or type
_PLACES_OF_TRAITS = {
    "prior": {"StaticPrior": "model.static.prior"},
    "penalty": {"split": "objective.independence", "Categorical": "objective.action"},
}
# what has to be there as well
_AROUND: dict[str, dict[str, object]] = {
    "model.action.head": {"model.action.count": 8, "objective.action": "categorical-kl"},
    "objective.action": {"model.action.count": 8},
    "model.decoder": {"model.decoded": None},  # some decoders cannot leave frames out
}
_PLAIN = re.compile(r"[A-Za-z/][\w:./-]*")
_NO_TEXT = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def example_spec(
    kind: str,
    name: str,
    traits: Iterable[str] = (),
    *,
    required: Iterable[str] = (),
    plugin: str = "",
    given: Mapping[str, Any] | None = None,
) -> str:
    """A spec with a component in its place, as YAML.

    Args:
        kind: of the component.
        name: what the spec calls it.
        traits: names of its base classes, of what is wired into it, and of their types.
        required: its options without a default, for whose values their names stand.
        plugin: the plugin that a spec has to name for it.
        given: what registry.yaml says in place of all that; may name another spec to extend.

    >>> print(example_spec("encoder", "lstm"))
    extends: zoo:quickstart
    model:
      encoder: {use: lstm}
    >>> print(example_spec("metric", "mine", plugin="mine.py"))
    extends: zoo:quickstart
    plugins: [mine.py]
    evaluate: [mine]
    """
    tree: dict[str, Any] = {"extends": _BASE}
    if given:
        tree |= given
        return "\n".join(_lines(tree))
    if plugin:
        tree["plugins"] = [plugin]
    special = _PLACES_OF_TRAITS.get(kind, {})
    found = set(traits)
    place = next((place for trait, place in special.items() if trait in found), _PLACES[kind])
    values = {option: f"<{option}>" for option in required}
    part: Any = {"use": name, **values}
    for path, value in _AROUND.get(place, {}).items():
        _put(tree, path, value)
    if place.endswith("[]"):
        _put(tree, place.removesuffix("[]"), [part if values else name])
    else:
        _put(tree, place, part)
    return "\n".join(_lines(tree))


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *outer, last = path.split(".")
    for key in outer:
        tree = tree.setdefault(key, {})
    tree[last] = value


def _lines(tree: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Block style, but for the innermost mappings, which take a line."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)
