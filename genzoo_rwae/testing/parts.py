"""A component with its options, as the host would build it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genzoo_rwae.components import Component, component_of, options_of, wired_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.plugin_modules import Plugin
from genzoo_rwae.spec.part import Part
from genzoo_rwae.zoo import Registered

__all__ = ["component_of_kind", "part_of", "title_of"]


def component_of_kind(kind: str, thing: Any) -> Component:
    """The record of a decorated callable.

    Raises:
        PluginError: it is none of that kind.
    """
    component = component_of(thing)
    if component is None:
        name = getattr(thing, "__name__", repr(thing))
        raise PluginError(
            f"{name} is no component; put @{kind.replace('-', '_')}('its-name') above it"
        )
    if component.kind != kind:
        raise PluginError(f"{title_of(component)} is of another kind; wanted: {kind}")
    return component


def part_of(component: Component, given: Mapping[str, Any]) -> Part:
    """The component with options: those that are given, and its own defaults.

    Raises:
        PluginError: an option that is given is none of the component's, or a required one is not
            given.
    """
    options = {option.name: option for option in options_of(component.build)}
    known = ", ".join(options) or "none"
    if unknown := sorted(set(given) - set(options)):
        raise PluginError(
            f"{title_of(component)} has no option {', '.join(map(repr, unknown))}; it has: {known}"
        )
    missing = [name for name, option in options.items() if option.required and name not in given]
    if missing:
        raise PluginError(
            f"{title_of(component)} has options without a default: {', '.join(missing)}; give them "
            f"values, as check_{component.kind.replace('-', '_')}(..., {missing[0]}=...)"
        )
    values = {}
    for name, option in options.items():
        value = given.get(name, option.default)
        # a class that wants nothing wired, such as a kernel, is used as an object
        of_a_kind = option.use is not None and isinstance(value, type)
        values[name] = value() if of_a_kind and not wired_of(value) else value
    plugin = Plugin("testing", "kit", getattr(component.build, "__module__", "?"))
    return Part(Registered(component, plugin), values, path="")


def title_of(component: Component) -> str:
    """What a report calls a component."""
    return f"the {component.kind} '{component.name}'"
