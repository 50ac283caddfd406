"""Specs: YAML files that name parts, read with the place of every value.

`load_spec` is the way in. It raises SpecError with every problem at once.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from genzoo_rwae.errors import PluginError, SpecError
from genzoo_rwae.paths import anchored, home, inside
from genzoo_rwae.spec.located import Located, apply_settings, find_spec, merge, read_yaml
from genzoo_rwae.spec.part import Part, PlacedOptionError, follows_progress, qualified
from genzoo_rwae.spec.render import differences, plain, render
from genzoo_rwae.spec.resolve import INVALID, Resolver, in_order
from genzoo_rwae.spec.schema import json_schema
from genzoo_rwae.spec.sections import Spec, place_values
from genzoo_rwae.zoo import Zoo

if TYPE_CHECKING:
    from genzoo_rwae.errors import Problem

__all__ = [
    "Part",
    "PlacedOptionError",
    "Spec",
    "differences",
    "find_spec",
    "json_schema",
    "load_spec",
    "plain",
    "qualified",
    "render",
]


# what `genzoo build` writes into the spec of a run folder, and later reads there
_RESOLVED: dict[str, Any] = {
    "versions": dict[str, str],
    "command": str,
    "machine": str,
    "threads": int,
    "plugins": dict[str, dict[str, str]],
    "data": dict[str, Any],
}


def load_spec(
    reference: str | Path,
    *,
    zoo: Zoo | None = None,
    settings: Sequence[str] | Mapping[str, object] = (),
) -> Spec:
    """Read, merge and validate a spec.

    Args:
        reference: a YAML file, a run folder, or zoo:NAME.
        zoo: where parts are looked up; the spec's `plugins:` are loaded into it. Default: a new Zoo
            with the entry points of installed packages.
        settings: `path=value` settings over the spec, as after `--set`, or a mapping.

    Returns:
        The spec with defaults filled in and parts resolved; it builds nothing yet.

    Raises:
        SpecError: all problems, each at its place.
        PluginError: a plugin that the spec names cannot be loaded.
    """
    zoo = zoo or Zoo()
    tree = apply_settings(_read_extended(find_spec(reference), ()), settings)
    if not isinstance(tree.value, dict):
        raise SpecError([tree.place.problem("", "a spec is a mapping; see `genzoo new spec`")])
    _load_plugins(tree, zoo)
    resolver = Resolver(zoo)
    spec = resolver.group(Spec, tree, "")
    if not resolver.problems:
        resolver.problems += _whole(spec, resolver.places)
    if not resolver.problems:
        for plugin, problems in zoo.call("genzoo_check_spec", spec=spec):
            resolver.problems += [problem.said_by(plugin) for problem in problems or []]
    if resolver.problems:
        raise SpecError(in_order(resolver.problems))
    assert spec is not INVALID
    return spec  # type: ignore[no-any-return]


def _read_extended(path: Path, chain: tuple[Path, ...]) -> Located:
    path = path.resolve()
    tree = read_yaml(path)
    if not isinstance(tree.value, dict) or "extends" not in tree.value:
        return tree
    parent = tree.value.pop("extends")
    if not isinstance(parent.value, str):
        raise SpecError([parent.place.problem("extends", "wanted the path of one spec")])
    if path in chain or len(chain) > 10:
        raise SpecError(
            [parent.place.problem("extends", "the specs extend each other in a circle")]
        )
    reference = parent.value
    if not reference.startswith("zoo:"):
        if not inside(home(Path(reference)), path.parent):
            said = f"'{reference}' is outside the spec's folder; wanted a file in it or below"
            raise SpecError([parent.place.problem("extends", said, "copy it there")])
        reference = str(path.parent / home(Path(reference)))
    try:
        below = _read_extended(find_spec(reference), (*chain, path))
    except SpecError as error:
        if error.problems[0].file:
            raise
        raise SpecError([parent.place.problem("extends", error.problems[0].message)]) from error
    if not isinstance(below.value, dict):
        raise SpecError([parent.place.problem("extends", f"{reference} holds no mapping")])
    return merge(_with_plugins_of(below, tree), below)


def _with_plugins_of(below: Located, tree: Located) -> Located:
    """A spec needs its parent's plugins as well as its own: the lists are joined."""
    assert isinstance(tree.value, dict)
    assert isinstance(below.value, dict)
    mine, theirs = tree.value.get("plugins"), below.value.get("plugins")
    if not mine or not theirs or not isinstance(mine.value, list):
        return tree
    if not isinstance(theirs.value, list):
        return tree
    joined = replace(mine, value=[*theirs.value, *mine.value])
    return replace(tree, value={**tree.value, "plugins": joined})


def _load_plugins(tree: Located, zoo: Zoo) -> None:
    listed = (
        tree.value["plugins"] if isinstance(tree.value, dict) and "plugins" in tree.value else None
    )
    if listed is None or not isinstance(listed.value, list):
        return  # of a wrong type, it is reported with all other problems
    for item in listed.value:
        if isinstance(item.value, str):
            try:
                base = item.place.folder or Path.cwd()
                reference = item.value
                if item.place.line:  # a file says so; what a person typed goes where it says
                    reference = _found_again(reference, base, zoo)
                    _check_place(reference, base, tree, zoo)
                zoo.load(reference, base=base, origin="spec")
            except PluginError as error:
                raise PluginError(f"{item.place}: plugins: {error}") from error


def _found_again(reference: str, folder: Path, zoo: Zoo) -> str:
    """The file beside a run's spec, if that is gone which the spec names by its whole path."""
    if not Path(reference).is_absolute():
        return reference
    path = Path(reference)
    is_loaded = any(p.name == path.stem and p.is_told and not p.error for p in zoo.plugins())
    beside = folder / path.name
    is_lost = path.suffix == ".py" and not path.is_file() and not is_loaded
    return str(beside) if is_lost and beside.is_file() else reference


def _check_place(reference: str, folder: Path, tree: Located, zoo: Zoo) -> None:
    """A spec runs files of its own folder alone, and those that its run was built with.

    A resolved spec names plugin files wherever they lie, so that they are found again; with the
    digest that it has of each, no other file can be meant.
    """
    path = anchored(Path(reference), folder)
    if path.suffix != ".py" or inside(path, folder) or not path.is_file():
        return
    if any(plugin.location == str(path) and not plugin.error for plugin in zoo.plugins()):
        return
    said: Any = tree.plain
    for name in ("resolved", "plugins", path.stem, "sha256"):
        said = said.get(name) if isinstance(said, dict) else None
    if said != hashlib.sha256(path.read_bytes()).hexdigest():
        raise PluginError(
            f"{path} is outside the folder of the spec that names it"
            + (", and is not the file that the run was built with" if said else "")
            + f"; nothing of it was run. If you trust it, say -p {shlex.quote(str(path))} (in "
            f"Python: zoo=Zoo([{str(path)!r}]))" + ("" if said else ", or copy it beside the spec")
        )


def _whole(spec: Spec, places: dict[str, Located]) -> list[Problem]:
    """Rules that hold between values."""
    place_values(spec, places)
    problems = []
    names = [metric.name for metric in spec.evaluate]
    problems += [
        spec.problem(f"evaluate[{number}]", f"the metric '{name}' is asked for twice")
        for number, name in enumerate(names)
        if name in names[:number]
    ]
    problems += [
        spec.problem(f"resolved.{name}", "found something else than genzoo writes there")
        for name, kind in _RESOLVED.items()
        if name in (spec.resolved or {}) and not _is(kind, (spec.resolved or {})[name])
    ]
    train = spec.train
    if not (train.epochs or train.steps or train.minutes):
        problems.append(
            spec.problem("train", "no limit: say at least one of epochs, steps and minutes")
        )
    if train.epochs or train.steps:
        return problems
    if follows_progress(train.schedule):
        problems.append(
            spec.problem(
                "train.schedule",
                f"the schedule '{train.schedule.name}' follows the run's progress, which minutes "
                "do not tell repeatably; give epochs or steps as well",
            )
        )
    for path, slot in spec.objective.slots().items():
        changes = {"warm_up": bool(slot.warm_up), "schedule": follows_progress(slot.schedule)}
        problems += [
            spec.problem(
                f"{path}.{name}",
                f"a {name.replace('_', '-')} follows the run's progress, which "
                "minutes do not tell repeatably; give epochs or steps as well",
            )
            for name, does in changes.items()
            if does
        ]
    return problems


def _is(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
