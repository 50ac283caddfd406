"""What a spec would say if it named its parts and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genzoo_rwae.components import Option, options_of
from genzoo_rwae.spec.part import Part, qualified
from genzoo_rwae.spec.render import plain
from genzoo_rwae.spec.resolve import Resolver

if TYPE_CHECKING:
    from genzoo_rwae.spec.sections import Spec
    from genzoo_rwae.zoo import Zoo

__all__ = ["default_values", "leaves"]


def default_values(spec: Spec, zoo: Zoo) -> dict[str, object]:
    """Path -> default of every option of a spec's parts and sections that has one.

    Args:
        spec: whose parts; what they are set to does not matter.
        zoo: that it was read with.
    """
    found: dict[str, object] = {}
    _note(spec, "", Resolver(zoo), found)
    return found


def leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of all in a plain tree that is no mapping.

    >>> list(leaves({"a": {"b": 1}, "c": [2]}))
    [('a.b', 1), ('c', [2])]
    """
    if not isinstance(tree, dict):
        yield path, tree
        return
    for name, child in tree.items():
        yield from leaves(child, f"{path}.{name}" if path else str(name))


def _note(thing: Any, path: str, resolver: Resolver, found: dict[str, object]) -> None:
    """The defaults of a section or part; those of what holds it, noted before, go first."""
    for option, value in _options(thing):
        inner = f"{path}.{option.name}" if path else option.name
        if not option.required:
            default = plain(resolver.default(option, inner))
            for leaf, said in leaves(default, inner):
                found.setdefault(leaf, said)
        if isinstance(value, Part) and found.get(f"{inner}.use") != qualified(value):
            # another part than the default: the options of that one say nothing about this one
            for leaf in [leaf for leaf in found if leaf.startswith(f"{inner}.")]:
                if leaf != f"{inner}.use":
                    del found[leaf]
        if isinstance(value, Part) or option.group:
            _note(value, inner, resolver, found)


def _options(thing: Any) -> Iterator[tuple[Option, Any]]:
    """The options of a section or part, and what each is set to; none of anything else."""
    if isinstance(thing, Part):
        for option in options_of(thing.registered.component.build):
            yield option, thing.options[option.name]
        thing = thing.slot
    if hasattr(thing, "__dataclass_fields__"):
        for option in options_of(type(thing)):
            yield option, getattr(thing, option.name)
