"""The JSON schema of specs, with which editors complete and check them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from genzoo_rwae.components import Option, Use, options_of, summary_of
from genzoo_rwae.kinds import KINDS
from genzoo_rwae.spec.sections import Spec

if TYPE_CHECKING:
    from genzoo_rwae.zoo import Zoo

__all__ = ["json_schema"]


def json_schema(zoo: Zoo) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of specs made of what `zoo` has.

    A part is a name or a mapping discriminated by `use`; unknown keys are forbidden. Keys of the
    place beside a part (`weight`) depend on the place, so each place has a definition of its own.
    """
    whole, over = _Writer(zoo), _Writer(zoo, over_a_parent=True)
    otherwise, then = whole.group(Spec, "A genzoo spec."), over.group(Spec, "A genzoo spec.")
    then["properties"]["extends"] = {
        "type": "string",
        "description": "another spec, relative to this one or zoo:NAME, that this one is laid over",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "genzoo spec",
        "type": "object",
        # under `extends` the parent may hold what this file leaves out
        "if": {"required": ["extends"]},
        "then": then,
        "else": otherwise,
        "$defs": {**whole.definitions, **over.definitions},
    }


class _Writer:
    """Writes the schema of whole specs, or of those that are laid over a parent."""

    def __init__(self, zoo: Zoo, *, over_a_parent: bool = False) -> None:
        self.zoo, self.over_a_parent = zoo, over_a_parent
        self.definitions: dict[str, Any] = {}

    def group(self, section: type, description: str) -> dict[str, Any]:
        options = options_of(section)
        return {
            "type": "object",
            "description": description,
            "properties": {option.name: self.option(option) for option in options},
            "required": self.required(options),
            "additionalProperties": False,
        }

    def required(self, options: Iterable[Option]) -> list[str]:
        return [o.name for o in options if o.required and not self.over_a_parent]

    def option(self, option: Option) -> dict[str, Any]:
        about = {"description": option.help} if option.help else {}
        if option.use and option.use.many:
            return {"type": "array", "items": self.place(option.use), **about}
        if option.use:
            place = self.place(option.use)
            return (
                {"anyOf": [place, {"type": "null"}], **about} if option.default is None else place
            )
        if option.group:
            group = self.group(option.group, option.help)
            return {"anyOf": [group, {"type": "null"}]} if option.default is None else group
        schema = TypeAdapter(option.annotation).json_schema()
        default = option.default
        if isinstance(default, str | int | float | bool | list | tuple) and not option.required:
            schema["default"] = list(default) if isinstance(default, tuple) else default
        return {**schema, **about}

    def place(self, use: Use) -> dict[str, Any]:
        parts = [use.kind, use.of.__name__ if use.of else "", use.slot.__name__ if use.slot else ""]
        name = "-".join(part for part in (*parts, "over" if self.over_a_parent else "") if part)
        if name not in self.definitions:
            self.definitions[name] = {}  # parts may nest: stands in while its members are written
            self.definitions[name] = self._choice(use)
        return {"$ref": f"#/$defs/{name}"}

    def _choice(self, use: Use) -> dict[str, Any]:
        bare: list[str] = []
        members: list[dict[str, Any]] = []
        for registered in self.zoo.all(use.kind):
            build = registered.component.build
            if use.of and not (isinstance(build, type) and issubclass(build, use.of)):
                continue
            name = registered.component.name
            options = (*options_of(build), *(options_of(use.slot) if use.slot else ()))
            required = self.required(options)
            # beside the name what `genzoo check --resolved` writes: plugin:name
            names = [name, f"{registered.plugin.name}:{name}"]
            if not required:
                bare += names
            members.append(
                {
                    "type": "object",
                    "title": name,
                    "description": summary_of(build),
                    "properties": {
                        "use": {"enum": names},
                        **{option.name: self.option(option) for option in options},
                    },
                    "required": ["use", *required],
                    "additionalProperties": False,
                }
            )
        if self.over_a_parent:
            members.append(_options_of_the_parents(members))
        about = f"a {use.kind}: {KINDS[use.kind].contract}"
        return {"description": about, "oneOf": [{"enum": bare}, *members]}


def _options_of_the_parents(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A mapping without `use`, for the part that the parent chose: options of any component."""
    found: dict[str, list[Any]] = {}
    for member in members:
        for name, schema in member["properties"].items():
            if name != "use" and schema not in found.setdefault(name, []):
                found[name].append(schema)
    return {
        "type": "object",
        "title": "options over the parent's",
        "properties": {
            name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
            for name, schemas in found.items()
        },
        "additionalProperties": False,
    }
