"""From a located tree to validated sections and parts, all problems collected.

Three steps: fill (defaults), validate (pydantic, strictly, value by value), resolve (parts).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from genzoo_rwae.components import MISSING, Component, Option, Use, component_of, options_of
from genzoo_rwae.errors import PluginError, Problem, SpecError, shown
from genzoo_rwae.paths import anchored, home
from genzoo_rwae.spec.limits import MAX_PROBLEMS
from genzoo_rwae.spec.located import Located, Place
from genzoo_rwae.spec.part import Part, qualified
from genzoo_rwae.spec.render import plain
from genzoo_rwae.spec.sections import KIND_DEFAULT
from genzoo_rwae.zoo import Registered, UnknownComponentError

if TYPE_CHECKING:
    from genzoo_rwae.zoo import Zoo

__all__ = ["INVALID", "Resolver", "check_sayable", "in_order"]

INVALID: Any = type("Invalid", (), {"__repr__": lambda self: "INVALID"})()
"""Stands where a value was wrong; its problem has been noted."""


class Resolver:
    """Validates trees against sections and components.

    Args:
        zoo: where components are looked up.
        whole: what the file is called in messages.

    Attributes:
        problems: everything that was found wrong.
        places: path -> Located of every value that was given.
    """

    def __init__(self, zoo: Zoo, whole: str = "the spec") -> None:
        self.zoo, self.whole = zoo, whole
        self.problems: list[Problem] = []
        self.places: dict[str, Located] = {}

    def group(
        self, section: type, node: Located, path: str, options: tuple[Option, ...] | None = None
    ) -> Any:
        """A keyword-only dataclass from a mapping; INVALID if any of its values is.

        Args:
            options: those of `section`, where the place has defaults of its own.
        """
        if not isinstance(node.value, dict):
            self._note(node.place, path, f"found {_found(node)}, wanted a mapping")
            return INVALID
        self.places[path] = node
        options = options_of(section) if options is None else options
        values = self._options(options, node.value, node, path, path or self.whole)
        return INVALID if INVALID in values.values() else section(**values)

    def part(self, use: Use, node: Located, path: str) -> Any:
        """The part that a `use:` (or a bare name) chooses; INVALID if it cannot be had."""
        self.places[path] = node
        name_node, given = node, dict[str, Located]()
        if isinstance(node.value, dict):
            if "use" not in node.value:
                known = ", ".join(sorted(self.zoo.names(use.kind)))
                self._note(
                    node.key, path, f"which {use.kind}? wanted a key 'use'", f"known: {known}"
                )
                return INVALID
            name_node, given = node.value["use"], node.value
            path_of_name = f"{path}.use"
            self.places[path_of_name] = name_node
        else:
            path_of_name = path
        if not isinstance(name_node.value, str):
            self._note(
                name_node.place,
                path_of_name,
                f"found {_found(name_node)}, wanted the name of a {use.kind}",
            )
            return INVALID
        try:
            registered = self.zoo.find(use.kind, name_node.value)
        except UnknownComponentError as error:
            self._note(name_node.place, path_of_name, error.message, error.hint)
            return INVALID
        if use.of and not self._derived(registered.component, use.of):
            fitting = [
                other.component.name
                for other in self.zoo.all(use.kind)
                if self._derived(other.component, use.of)
            ]
            self._note(
                name_node.place,
                path_of_name,
                f"the {use.kind} '{name_node.value}' is no {use.of.__name__}",
                f"wanted one of: {', '.join(fitting)}",
            )
            return INVALID
        return self._fill_part(use, registered, node, given, path)

    def _fill_part(
        self, use: Use, registered: Registered, node: Located, given: dict[str, Located], path: str
    ) -> Any:
        own = options_of(registered.component.build)
        slot = options_of(use.slot) if use.slot else ()
        who = f"the {use.kind} '{registered.component.name}'"
        # keys that an `extends` left over from a replaced part stay only if they are the slot's
        slot_names = {option.name for option in slot}
        if taken := slot_names & {option.name for option in own}:
            raise PluginError(
                f"{who} of plugin '{registered.plugin.name}' ({registered.plugin.location}) has "
                f"the option '{min(taken)}', which a spec gives to the place, not to the "
                "component; it needs another name"
            )
        given = {n: c for n, c in given.items() if n != "use" and (not c.stale or n in slot_names)}
        values = self._options((*own, *slot), given, node, path, who)
        if INVALID in values.values():
            return INVALID
        slot_values = {option.name: values.pop(option.name) for option in slot}
        check_sayable(registered, own, values)
        return Part(registered, values, path, use.slot(**slot_values) if use.slot else None)

    def _options(
        self,
        options: tuple[Option, ...],
        given: Mapping[str, Located],
        node: Located,
        path: str,
        who: str,
    ) -> dict[str, Any]:
        known = {option.name: option for option in options}
        for name, child in given.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                listing = ", ".join(known) or "none"
                self._note(
                    child.key,
                    f"{path}.{name}" if path else name,
                    f"{who} has no option '{name}'",
                    f"{hint}known: {listing}",
                )
        values: dict[str, Any] = {}
        for option in options:
            inner = f"{path}.{option.name}" if path else option.name
            if option.name in given:
                values[option.name] = self._value(option, given[option.name], inner)
            elif option.required:
                wanted = f"; {option.help}" if option.help else ""
                self._note(node.key, path, f"{who} needs the key '{option.name}'{wanted}")
                values[option.name] = INVALID
            else:
                try:
                    values[option.name] = self.default(option, inner)
                except UnknownComponentError as error:  # the built-ins are blocked
                    self._note(node.key, inner, error.message, error.hint)
                    values[option.name] = INVALID
        return values

    def default(self, option: Option, path: str) -> Any:
        """The value of an option that the spec does not give."""
        value = option.default
        if option.group and value is None:
            return None
        if option.group:
            inner = _group_options(option)
            return option.group(**{o.name: self.default(o, f"{path}.{o.name}") for o in inner})
        if option.use is None:
            return _anchored(value, Place())
        if value is KIND_DEFAULT:
            registered = self.zoo.default(option.use.kind)
            return self._default_part(option.use, registered, {}, path)
        if option.use.many:
            return tuple(self._default_one(option.use, item, path) for item in value)
        return self._default_one(option.use, value, path)

    def _default_one(self, use: Use, value: Any, path: str) -> Any:
        options: Mapping[str, Any] = {}
        if isinstance(value, partial):
            value, options = value.func, value.keywords
        if value is None:
            return None
        component = component_of(value)
        if component is None and (component := component_of(type(value))):
            options = {o.name: getattr(value, o.name) for o in options_of(component.build)}
        registered = self.zoo.registered(component) if component else None
        if registered is None:
            raise PluginError(
                f"{path}: the default {getattr(value, '__name__', value)!r} is no {use.kind} that "
                "a hook yields, so no spec could name it; decorate it and yield it"
            )
        return self._default_part(use, registered, options, path)

    def _default_part(
        self, use: Use, registered: Registered, given: Mapping[str, Any], path: str
    ) -> Part:
        own = options_of(registered.component.build)
        values = {
            option.name: given.get(option.name, MISSING)
            if option.name in given
            else self.default(option, f"{path}.{option.name}")
            for option in own
        }
        check_sayable(registered, own, values)
        slot = options_of(use.slot) if use.slot else ()
        slot_values = {
            option.name: self.default(option, f"{path}.{option.name}") for option in slot
        }
        return Part(registered, values, path, use.slot(**slot_values) if use.slot else None)

    def _value(self, option: Option, node: Located, path: str) -> Any:
        use = option.use
        if (use or option.group) and node.value is None and option.default is None:
            self.places[path] = node
            return None
        if use and use.many:
            self.places[path] = node
            if not isinstance(node.value, list):
                self._note(node.place, path, f"found {_found(node)}, wanted a list of {use.kind}s")
                return INVALID
            items = [
                self.part(replace(use, many=False), item, f"{path}[{number}]")
                for number, item in enumerate(node.value)
            ]
            return INVALID if INVALID in items else tuple(items)
        if use:
            return self.part(use, self._with_default_use(option, node, path), path)
        if option.group:
            return self.group(option.group, node, path, _group_options(option))
        return self._plain(option, node, path)

    def _with_default_use(self, option: Option, node: Located, path: str) -> Located:
        """Options without a `use` are those of the part that stands there by default."""
        if not isinstance(node.value, dict) or "use" in node.value:
            return node
        default = None if option.default is MISSING else self.default(option, path)
        if not isinstance(default, Part):
            return node
        name = Located(qualified(default), Place(), node.key)
        return replace(node, value={"use": name, **node.value})

    def _plain(self, option: Option, node: Located, path: str) -> Any:
        self._remember(node, path)
        try:
            # JSON mode is the strictness that YAML wants: lists may be tuples, text may be a path,
            # but '256' is no number and 1 is no truth value
            text = json.dumps(node.plain, allow_nan=True)
            value = TypeAdapter(option.annotation).validate_json(text, strict=True)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._note_invalid(detail, node, path, option)
            return INVALID
        return _anchored(value, node.place)

    def _note_invalid(self, detail: Any, node: Located, path: str, option: Option) -> None:
        for key in detail["loc"]:  # loc also holds names of union members: skip what is no key
            children = node.value
            if isinstance(children, dict) and key in children:
                node, path = children[key], f"{path}.{key}"
            elif isinstance(children, list) and isinstance(key, int) and key < len(children):
                node, path = children[key], f"{path}[{key}]"
        message = str(detail["msg"])
        wanted = message[:1].lower() + message[1:]
        problem = node.place.problem(path, f"found {_found(node)}; {wanted}", option.help)
        if problem not in self.problems:
            self._add(problem)

    def _remember(self, node: Located, path: str) -> None:
        self.places[path] = node
        if isinstance(node.value, dict):
            for name, child in node.value.items():
                self._remember(child, f"{path}.{name}")

    def _note(self, place: Place, path: str, message: str, hint: str = "") -> None:
        self._add(place.problem(path, message, hint))

    def _add(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= MAX_PROBLEMS:
            raise SpecError(in_order(self.problems))

    @staticmethod
    def _derived(component: Component, base: type) -> bool:
        return isinstance(component.build, type) and issubclass(component.build, base)


def check_sayable(
    registered: Registered,
    options: Iterable[Option],
    values: Mapping[str, Any],
    group: str = "",
) -> None:
    """Whether a spec could say the values of a plugin's options, as that of the run does.

    Args:
        registered: the component.
        options: its own, or those of a group of them.
        values: of these, as they were given or stand in the signature.
        group: `name.` of that group.

    Raises:
        PluginError: a value is none that YAML has, or not of its annotation.
    """
    if registered.plugin.origin == "built-in":
        return
    for option in options:
        value = values[option.name]
        if option.use or value is MISSING:
            continue
        if option.group:
            if value is not None:
                inner = options_of(option.group)
                held = {of.name: getattr(value, of.name) for of in inner}
                check_sayable(registered, inner, held, f"{group}{option.name}.")
            continue
        if reason := _unsayable(option, value):
            component = registered.component
            by_default = " by default" * (value is option.default)
            raise PluginError(
                f"the option '{group}{option.name}' of the {component.kind} '{component.name}' of "
                f"{registered.plugin} is {shown(repr(value), 80)}{by_default}, which {reason}"
            )


def _unsayable(option: Option, value: Any) -> str:
    """Why a spec could not say a value, and how to mend it; empty if it could."""
    kind = getattr(option.annotation, "__name__", str(option.annotation))
    try:
        said = json.dumps(plain(value), allow_nan=True)
    except TypeError:
        return (
            "no spec could say; wanted what YAML has: a plain number, a text, a list, a name that "
            f"the component looks up ({option.name}: Literal['one', 'other'] = 'one'), or a "
            "component under Use(...)"
        )
    try:
        TypeAdapter(option.annotation).validate_json(said, strict=True)
    except ValidationError as error:
        message = str(error.errors(include_url=False)[0]["msg"])
        other = f"{kind} | None" if value is None else "another annotation"
        return (
            f"its annotation {kind} does not allow ({message[:1].lower() + message[1:]}); wanted "
            f"a default of {kind}, or {other}"
        )
    except PydanticUserError:
        return f"is annotated as {kind}, no type of a spec's values; wanted int, str, list[int]..."
    return ""


def _group_options(option: Option) -> tuple[Option, ...]:
    """A group's options; a default instance in the signature goes before the class's defaults."""
    assert option.group is not None
    own = options_of(option.group)
    if not isinstance(option.default, option.group):
        return own
    return tuple(replace(o, default=getattr(option.default, o.name)) for o in own)


def _anchored(value: Any, place: Place) -> Any:
    """Paths are relative to the file that says them, on the command line to the current folder."""
    if isinstance(value, Path):
        value = home(value)
        return value if value.is_absolute() else anchored(value, place.folder or Path.cwd())
    if isinstance(value, tuple):
        return tuple(_anchored(item, place) for item in value)
    return value


def _found(node: Located) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    return "nothing" if node.value is None else shown(repr(node.value), 80)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems as they come in the files."""
    return sorted(problems, key=lambda p: (p.file, p.line, p.column))
