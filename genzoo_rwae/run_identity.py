"""Whether a spec is the one that a run folder is for: what decides the weights decides that."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo_rwae.spec import differences, render
from genzoo_rwae.spec.located import parse_yaml

if TYPE_CHECKING:
    from genzoo_rwae.spec import Spec

__all__ = ["digest_of", "identity_digest", "is_said_alike", "what_differs"]

# what may differ between two builds of one folder: none of it changes the weights
_FREE = ("resolved", "description", "plugins", "evaluate", "judge", "trackers")
_FREE_IN_TRAIN = ("minutes", "save_every", "validate_every")


def identity_digest(spec: Spec) -> str:
    """The digest of all that a run's weights depend on."""
    return digest_of(_read_back(spec))


def digest_of(tree: Any) -> str:
    """`identity_digest` of the tree of a spec.yaml."""
    return hashlib.sha256(json.dumps(_core(tree), sort_keys=True).encode()).hexdigest()


def what_differs(there: Any, spec: Spec) -> tuple[str, ...]:
    """Lines on what makes a spec another than that of a run folder; none: it is the same.

    What the folder does not know and the spec does not say is no difference: an option that its
    component got since then, at its default.

    Args:
        there: the tree of the folder's spec.yaml.
        spec: the other.
    """
    before = _core(there)
    changed = differences(before, _without_newer(_core(_read_back(spec)), before, spec))
    return (*changed, *_changed_plugins(there, spec))


def is_said_alike(there: Any, spec: Spec) -> bool:
    """Whether a spec says nothing that the folder's does not, down to what may differ."""
    return _said(there) == _said(_read_back(spec))


def _read_back(spec: Spec) -> Any:
    """The spec as its own file will read: numbers and texts as YAML has them."""
    return parse_yaml(render(spec, origins=False), "spec.yaml", Path.cwd()).plain


def _core(tree: Any) -> dict[str, Any]:
    core = {name: value for name, value in tree.items() if name not in _FREE}
    core["train"] = {k: v for k, v in tree["train"].items() if k not in _FREE_IN_TRAIN}
    return core


def _without_newer(here: Any, there: Any, spec: Spec, path: str = "") -> Any:
    """A tree without what another one lacks and nobody wrote into the spec."""
    if not isinstance(here, dict) or not isinstance(there, dict):
        return here
    inner = {name: f"{path}.{name}" if path else name for name in here}
    return {
        name: _without_newer(value, there.get(name), spec, inner[name])
        for name, value in here.items()
        if name in there or inner[name] in spec.places
    }


def _said(tree: Any) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in ("resolved", "plugins")}


def _changed_plugins(there: Any, spec: Spec) -> list[str]:
    """Plugin files that the run's parts come from and that are not what they were."""
    before = (there.get("resolved") or {}).get("plugins") or {}
    used = {part.registered.plugin for part in spec.parts()}
    return [
        f"plugin '{plugin.name}': {plugin.location} has changed since the run was begun"
        for plugin in used
        if plugin.sha256 and before.get(plugin.name, {}).get("sha256") not in (None, plugin.sha256)
    ]
