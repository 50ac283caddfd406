"""What a component is and which options it has, read off its source without importing it.

Importing a component means importing torch; `genzoo show` answers faster than that.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo_rwae.example import example_spec
from genzoo_rwae.kinds import KINDS

if TYPE_CHECKING:
    from genzoo_rwae.catalogue import Entry

__all__ = ["DescribedOption", "Description", "describe", "source_of"]

Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class DescribedOption:
    """One option as a person reads it; `default` is None where the spec has to give it."""

    name: str
    type: str
    default: str | None
    help: str


@dataclass(frozen=True)
class Description:
    """All that `genzoo show` says of a component."""

    kind: str
    name: str
    text: str
    options: tuple[DescribedOption, ...]
    contract: str
    location: str
    status: str = "stable"
    paper: str = ""
    example: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def source_of(module: str) -> Path:
    """The file of a module; imports its packages, but not the module itself."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the module {module} has no source file")
    return Path(spec.origin)


def describe(
    kind: str, name: str, source: Path, entry: Entry | None, *, plugin: str = ""
) -> Description:
    """Describe the component of a kind and name that is defined in a source file.

    `plugin` is what a spec has to name for it, if it is no built-in.
    """
    tree = _parse(source)
    definition = next((d for d in _definitions(tree) if (kind, name) in _registered_as(d)), None)
    text = ast.get_docstring(definition) or "" if definition else ""
    prose = re.split(r"\n\s*(?:Args|Attributes):\n(?:(?: {4}.*)?\n)*", text + "\n")
    status, paper = "stable", ""
    if entry:
        replaced = f", replaced by {entry.replaced_by}" if entry.replaced_by else ""
        status, paper = f"{entry.status}{replaced}, since {entry.since}", str(entry.paper or "")
    options = tuple(_options(definition, tree, "")) if definition else ()
    return Description(
        kind=kind,
        name=name,
        text="\n".join(part.strip("\n") for part in prose).strip(),
        options=options,
        contract=KINDS[kind].contract,
        location=f"{source}:{definition.lineno}" if definition else str(source),
        status=status,
        paper=paper,
        example=example_spec(
            kind,
            name,
            _traits(definition, tree) if definition else (),
            # an option of a group that may be left out is none of the least
            required=[o.name for o in options if o.default is None and "." not in o.name],
            plugin=plugin,
            given=entry.example if entry else None,
        ),
    )


@cache
def _parse(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"), str(source))


def _definitions(tree: ast.Module) -> Iterator[Definition]:
    for node in tree.body:
        if isinstance(node, Definition):
            yield node


def _registered_as(definition: Definition) -> list[tuple[str, str]]:
    found = []
    for decorator in definition.decorator_list:
        if isinstance(decorator, ast.Call) and decorator.args:
            name, first = ast.unparse(decorator.func).rpartition(".")[2], decorator.args[0]
            if isinstance(first, ast.Constant):
                found.append((name.replace("_", "-"), str(first.value)))
    return found


def _options(definition: Definition, tree: ast.Module, prefix: str) -> Iterator[DescribedOption]:
    texts = _option_texts(definition, tree)
    if isinstance(definition, ast.ClassDef) and (base := _inherited_init(definition, tree)):
        for option in _options(*base, prefix):
            yield replace(option, help=texts.get(option.name, option.help))
        return
    for name, annotation, default in _keywords(definition):
        written = ast.unparse(annotation).removesuffix(" | None") if annotation else ""
        group = _find(tree, written) if written else None
        if group and isinstance(group[0], ast.ClassDef) and group[0].decorator_list:
            yield from _options(*group, f"{prefix}{name}.")
            continue
        yield DescribedOption(
            prefix + name,
            _type_text(annotation, tree),
            None if default is None else _default_text(default, tree),
            texts.get(name, ""),
        )


def _option_texts(definition: Definition, tree: ast.Module) -> dict[str, str]:
    """What its docstring says of arguments, or those of its bases where it says nothing."""
    texts: dict[str, str] = {}
    for base in reversed(definition.bases if isinstance(definition, ast.ClassDef) else []):
        if found := _find(tree, ast.unparse(base)):
            texts |= _option_texts(*found)
    return texts | _argument_texts(ast.get_docstring(definition) or "")


def _inherited_init(
    definition: ast.ClassDef, tree: ast.Module
) -> tuple[Definition, ast.Module] | None:
    """The base class whose __init__ a class takes over, if that can be read."""
    body = definition.body
    if any(isinstance(node, ast.FunctionDef) and node.name == "__init__" for node in body):
        return None
    bases = (_find(tree, ast.unparse(base)) for base in definition.bases)
    return next((base for base in bases if base and not _is_group(base[0])), None)


def _is_group(definition: Definition) -> bool:
    return any("dataclass" in ast.unparse(node) for node in definition.decorator_list)


def _keywords(
    definition: Definition,
) -> Iterator[tuple[str, ast.expr | None, ast.expr | None]]:
    if isinstance(definition, ast.ClassDef):
        methods = {d.name: d for d in definition.body if isinstance(d, ast.FunctionDef)}
        if "__init__" not in methods:  # a dataclass: its fields are its options
            for node in definition.body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    yield node.target.id, node.annotation, node.value
            return
        definition = methods["__init__"]
    arguments = definition.args
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, argument.annotation, default


def _type_text(annotation: ast.expr | None, tree: ast.Module) -> str:
    """`Annotated[.., Use('kernel')]` is 'a kernel'; pydantic's words become plain ones."""
    if annotation is None:
        return "any"
    text = ast.unparse(_expand(annotation, tree))
    if used := re.search(r"Use\('([a-z-]+)'(?:, of=(\w+))?", text):
        which = f" ({used[2]})" if used[2] else ""
        many = "many=True" in text
        return f"a list of {used[1]}s{which}" if many else f"a {used[1]}{which}"
    for pattern, plain in (
        (r"Positive(Int|Float)", r"\1 > 0"),
        (r"NonNegative(Int|Float)", r"\1 >= 0"),
        (r"Annotated\[(.+), Field\((.+?)\)\]", r"\1 (\2)"),
        (r"\bInt\b", "int"),
        (r"\bFloat\b", "float"),
        (r"Literal\[(.+?)\]", lambda m: m[1].replace("'", "").replace(", ", " | ")),
    ):
        text = re.sub(pattern, plain, text)
    return text


def _expand(annotation: ast.expr, tree: ast.Module) -> ast.expr:
    """Replace names of type aliases and constants by what they stand for."""

    class Expand(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            found = _assigned(tree, node.id)
            return _expand(*found) if found else node

    expanded = Expand().visit(ast.parse(ast.unparse(annotation), mode="eval").body)
    assert isinstance(expanded, ast.expr)
    return expanded


def _assigned(tree: ast.Module, name: str) -> tuple[ast.expr, ast.Module] | None:
    """What a name is assigned in a module, or where the module imports it from, and where."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            # `_LOW, _HIGH = -1, 1` as well
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=True))
                for left, right in pairs:
                    if isinstance(left, ast.Name) and left.id == name:
                        return right, tree
    module = _imported_from(tree, name)
    return _assigned(*module) if module else None


def _default_text(default: ast.expr, tree: ast.Module) -> str:
    """A default as a spec would say it: components by their names, module constants by value."""
    text = ast.unparse(default)
    found = _find(tree, text.removesuffix("()"))
    if found and (names := _registered_as(found[0])):
        return names[0][1]
    return ast.unparse(_expand(default, tree)).replace("'", "")


def _find(tree: ast.Module, name: str) -> tuple[Definition, ast.Module] | None:
    """A definition by its name, in the module or where the module imports it from, and where."""
    for definition in _definitions(tree):
        if definition.name == name:
            return definition, tree
    module = _imported_from(tree, name)
    return _find(*module) if module else None


def _imported_from(tree: ast.Module, name: str) -> tuple[ast.Module, str] | None:
    """The module of ours that a name is imported from, and what it is called there."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and "genzoo" in node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _parse(source_of(node.module)), alias.name
    return None


def _argument_texts(docstring: str) -> dict[str, str]:
    from genzoo_rwae.components import argument_texts

    return argument_texts(inspect.cleandoc(docstring))


def _traits(definition: Definition, tree: ast.Module) -> Iterator[str]:
    """Names of the base classes, of what is wired into a call, and of their types."""
    called: ast.stmt | None = definition
    if isinstance(definition, ast.ClassDef):
        for base in definition.bases:
            name = ast.unparse(base)
            yield name.rpartition(".")[2]
            if found := _find(tree, name):
                yield from _traits(*found)
        methods = {d.name: d for d in definition.body if isinstance(d, ast.FunctionDef)}
        called = methods.get("forward", methods.get("__call__"))
    if isinstance(called, ast.FunctionDef):
        for parameter in (*called.args.posonlyargs, *called.args.args):
            yield parameter.arg
            if parameter.annotation:
                yield ast.unparse(parameter.annotation)
