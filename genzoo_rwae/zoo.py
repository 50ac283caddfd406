"""The Zoo: which plugins are loaded, from where, in which order, and what they offer.

Load order: (1) blocks, `-p no:NAME`; (2) the built-ins, by registry.yaml, each imported when it is
first used; (3) entry points of the group `genzoo_rwae`, by name; `GENZOO_PLUGINS=none` or `=a,b`
restricts them; (4) `-p FILE|MODULE`, which may bring commands and so come before any spec is read;
(5) the spec's `plugins:`. Two components of one kind and name are no error until a spec asks for
that name: then `use: plugin:name` chooses.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import traceback
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from genzoo_rwae import hookspecs
from genzoo_rwae.catalogue import Entry, catalogue
from genzoo_rwae.components import Component, summary_of
from genzoo_rwae.description import Description, describe, source_of
from genzoo_rwae.errors import GenzooError, PluginError, SpecError
from genzoo_rwae.paths import anchored
from genzoo_rwae.plugin_calls import IMPORT, CallLog
from genzoo_rwae.plugin_modules import (
    Origin,
    Plugin,
    check_hooks,
    files_of,
    import_file,
    import_module,
    offered,
    reason_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import ModuleType

__all__ = ["BUILT_IN", "Blame", "Plugin", "Registered", "Summary", "UnknownComponentError", "Zoo"]

BUILT_IN = "genzoo"
"""The name of the built-in plugin, as in `use: genzoo:mmd`."""


@dataclass(frozen=True)
class Blame:
    """Whose code an exception came through, and where last, as `mine.py:12, in forward`."""

    plugin: Plugin
    place: str


@dataclass(frozen=True)
class Registered:
    """A component and the plugin that brought it; `entry` is its catalogue entry if built in."""

    component: Component
    plugin: Plugin
    entry: Entry | None = None


@dataclass(frozen=True)
class Summary:
    """A component in one line, as `genzoo list` shows it."""

    kind: str
    name: str
    summary: str
    status: str
    plugin: str
    location: str


class UnknownComponentError(GenzooError):
    """No component of that name, or more than one; `hint` says how to mend it."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(f"{message}; {hint}" if hint else message)


class Zoo:
    """Owns a pluggy.PluginManager and answers which components there are.

    Args:
        plugins: references as after `-p`: a file, a module, or `no:NAME` to block a plugin.
        use_entry_points: load the plugins of installed packages.
        environ: environment variables, of which GENZOO_PLUGINS is read; default os.environ.

    Raises:
        PluginError: a plugin in `plugins` cannot be loaded. Broken entry points are kept in
            `warnings` instead: nobody asked for them.

    >>> zoo = Zoo(use_entry_points=False)
    >>> zoo.find("penalty", "mmd").component.name
    'mmd'
    """

    def __init__(
        self,
        plugins: Sequence[str] = (),
        *,
        use_entry_points: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._manager = pluggy.PluginManager("genzoo_rwae")
        self._manager.add_hookspecs(hookspecs)
        self._plugins: dict[str, Plugin] = {}
        self._components: dict[str, tuple[Component, ...]] = {}
        self._built_in: dict[str, tuple[Component, ...]] = {}
        self.warnings: list[str] = []
        self.calls = CallLog()
        self.blocked = tuple(ref.removeprefix("no:") for ref in plugins if ref.startswith("no:"))
        if use_entry_points:
            self._load_entry_points(os.environ if environ is None else environ)
        for reference in plugins:
            if not reference.startswith("no:"):
                self.load(reference, base=Path.cwd(), origin="command line")

    # -- loading ----------------------------------------------------------------------------

    def load(self, reference: str, *, base: Path, origin: Origin = "python") -> Plugin:
        """Load a plugin file (relative to `base`) or module; twice is once.

        A file that a spec names and that has been moved is the one of its name that was told.

        Raises:
            PluginError: it is missing, raises when imported, implements no hook, misspells one,
                forgets `@hookimpl`, takes an argument that the hook lacks, or is blocked.
        """
        is_file = reference.endswith(".py") or os.sep in reference
        path = anchored(Path(reference), base) if is_file else None
        name = path.stem if path else reference
        location = str(path) if path else reference
        known = self._plugins.get(name)
        if known and known.location == location and not known.error:
            return known
        if known and not known.error and origin == "spec" and path and _is_moved(path, known):
            return known
        if known and not known.error:
            raise PluginError(
                f"two plugins are called '{name}': {known.location} ({known.origin}) and "
                f"{location} ({origin}); rename one of the files"
            )
        if name in self.blocked:
            raise PluginError(
                f"plugin '{name}' ({location}) is wanted by the {origin} and blocked "
                f"by -p no:{name}; drop one of the two"
            )
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else ""
        plugin = Plugin(name, origin, location, sha256)
        with self.calls.timed(plugin, IMPORT):
            module = import_file(path, origin) if path else import_module(reference, origin)
        return self.register(module, plugin)

    def register(self, module: ModuleType | object, plugin: Plugin) -> Plugin:
        """Register an imported module (or any object with hook implementations).

        Raises:
            PluginError: as `load`.
        """
        if plugin.name == BUILT_IN:
            raise PluginError(
                f"{plugin}: that is the name of the built-in "
                "components, as in `use: genzoo:mmd`; rename it"
            )
        known = self._plugins.get(self._manager.get_name(module) or "")
        if known:  # an installed plugin that a spec names by its module
            return known
        check_hooks(module, plugin)
        try:
            self._manager.register(module, name=plugin.name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"{plugin}: {error}") from error
        self._plugins[plugin.name] = plugin
        try:
            self._components[plugin.name] = offered(module, plugin, self.calls)
        except PluginError:
            self._manager.unregister(name=plugin.name)
            del self._plugins[plugin.name]
            raise
        return plugin

    def _load_entry_points(self, environ: Mapping[str, str]) -> None:
        wanted = environ.get("GENZOO_PLUGINS")
        names = None if wanted is None else {name.strip() for name in wanted.split(",")}
        for point in sorted(entry_points(group="genzoo_rwae"), key=lambda point: point.name):
            if names is not None and point.name not in names:
                continue
            if point.name in self.blocked:
                continue
            self._load_entry_point(point)

    def _load_entry_point(self, point: EntryPoint) -> None:
        plugin = Plugin(point.name, "entry point", point.value)
        if point.name in self._plugins:
            other = self._plugins[point.name].location
            self.warnings.append(
                f"plugin '{point.name}' ({point.value}) is not loaded: {other} has that name"
            )
            return
        try:
            with self.calls.timed(plugin, IMPORT):
                module = point.load()
            self.register(module, plugin)
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything
            reason = str(error) if isinstance(error, PluginError) else reason_of(error)
            self._plugins[point.name] = Plugin(point.name, "entry point", point.value, error=reason)
            self.warnings.append(f"plugin '{point.name}' ({point.value}) is broken: {reason}")

    # -- asking -----------------------------------------------------------------------------

    def plugins(self) -> tuple[Plugin, ...]:
        """All foreign plugins, in the order in which they were loaded."""
        return tuple(p for p in self._plugins.values() if p.origin != "built-in")

    def offered_by(self, plugin: str) -> tuple[Component, ...]:
        """The components of one foreign plugin."""
        return self._components.get(plugin, ())

    def names(self, kind: str) -> list[str]:
        """Names of all components of a kind, qualified where two plugins share one."""
        pairs = [(BUILT_IN, entry.name) for entry in self._catalogue(kind)]
        pairs += [(reg.plugin.name, reg.component.name) for reg in self._foreign(kind)]
        short = [name for _, name in pairs]
        return [name if short.count(name) == 1 else f"{owner}:{name}" for owner, name in pairs]

    def find(self, kind: str, name: str) -> Registered:
        """The component of a kind by its name, or by `plugin:name`.

        Raises:
            UnknownComponentError: there is none, or more than one.
            PluginError: a built-in's extra is not installed, or the built-in is broken.
        """
        owner, _, short = name.rpartition(":")
        found = [
            registered
            for registered in self._foreign(kind)
            if registered.component.name == short and owner in ("", registered.plugin.name)
        ]
        entry = next((e for e in self._catalogue(kind) if e.name == short), None)
        if entry and owner in ("", BUILT_IN):
            found.insert(0, self._import_built_in(entry))
        if len(found) == 1:
            return found[0]
        if found:
            owners = [f"'{r.plugin.name}' ({r.plugin.location})" for r in found]
            choices = " or ".join(f"'{r.plugin.name}:{short}'" for r in found)
            raise UnknownComponentError(
                f"the {kind} '{short}' is offered by {' and '.join(owners)}", f"say {choices}"
            )
        known = self.names(kind)
        close = difflib.get_close_matches(name, known, n=1)
        listing = f"known: {', '.join(sorted(known))}" if known else "none is registered"
        hint = f"did you mean '{close[0]}'? {listing}" if close else listing
        raise UnknownComponentError(f"no {kind} is called '{name}'", hint)

    def default(self, kind: str) -> Registered:
        """The built-in that registry.yaml marks as a kind's default.

        Raises:
            UnknownComponentError: there is none, or the built-ins are blocked.
        """
        for entry in self._catalogue(kind):
            if entry.default:
                return self._import_built_in(entry)
        raise UnknownComponentError(f"there is no default {kind}", "choose one in the spec")

    def all(self, kind: str) -> Iterator[Registered]:
        """Every component of a kind, the built-ins (imported for that) first."""
        for entry in self._catalogue(kind):
            yield self._import_built_in(entry)
        yield from self._foreign(kind)

    def registered(self, component: Component) -> Registered | None:
        """Where a component that stands as a default in a signature comes from, if from a hook."""
        for registered in self._foreign(component.kind):
            if registered.component == component:
                return registered
        entry = catalogue().find(component.kind, component.name)
        location = getattr(component.build, "__module__", "?")
        if entry and entry.module == location:
            return Registered(component, Plugin(BUILT_IN, "built-in", location), entry)
        return None

    def summaries(self, kind: str) -> list[Summary]:
        """One line for each component of a kind; imports no built-in."""
        rows = [
            Summary(kind, entry.name, entry.summary, entry.status, BUILT_IN, entry.module)
            for entry in self._catalogue(kind)
        ]
        rows += [
            Summary(
                kind, reg.component.name, summary_of(reg.component.build), "stable",
                reg.plugin.name, reg.plugin.location,
            )
            for reg in self._foreign(kind)
        ]  # fmt: skip
        return rows

    def describe(self, kind: str, name: str) -> Description:
        """All that `genzoo show` says of a component; imports no built-in.

        Raises:
            UnknownComponentError: as `find`.
        """
        owner, _, short = name.rpartition(":")
        foreign = any(reg.component.name == short for reg in self._foreign(kind))
        entry = next((e for e in self._catalogue(kind) if e.name == short), None)
        if entry and not foreign and owner in ("", BUILT_IN):
            return describe(kind, short, source_of(entry.module), entry)
        registered = self.find(kind, name)
        file = inspect.getsourcefile(inspect.unwrap(registered.component.build))
        if owner == BUILT_IN:
            return describe(kind, short, Path(file or "?"), entry)
        plugin = registered.plugin
        wanted = "" if plugin.origin == "entry point" else plugin.location
        return describe(kind, short, Path(file or "?"), None, plugin=wanted)

    def call(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Call a hook plugin by plugin, so that a failure has an owner.

        Returns:
            (plugin, result) of every implementation; generators are exhausted into lists.

        Raises:
            PluginError: an implementation raised; says whose, and where. Its exit code is that of
                a GenzooError that was raised.
            SpecError: an implementation raised one with places in the spec; says whose.
        """
        results = []
        for plugin in self._plugins.values():
            if plugin.error or not self._manager.has_plugin(plugin.name):
                continue
            others = [m for n, m in self._manager.list_name_plugin() if n != plugin.name]
            caller = self._manager.subset_hook_caller(hook, remove_plugins=others)
            if not caller.get_hookimpls():
                continue
            try:
                with self.calls.timed(plugin, hook):
                    for value in caller(**arguments):
                        found = list(value) if inspect.isgenerator(value) else value
                        results.append((plugin, found))
            except SpecError as error:
                if not any(problem.path for problem in error.problems):
                    raise _of_plugin(plugin, hook, error) from error
                raise SpecError([p.said_by(plugin) for p in error.problems]) from error
            except GenzooError as error:  # raised with a message for the user, so without its place
                raise _of_plugin(plugin, hook, error) from error
            except Exception as error:
                raise PluginError(f"{plugin} failed in {hook}: {reason_of(error)}") from error
        return results

    def implements(self, hook: str) -> bool:
        """Whether any plugin implements a hook (so that a loop need not call it in vain)."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def blame(self, error: BaseException) -> Blame | None:
        """The foreign plugin in whose code an exception was raised, if it was in one's."""
        frames = traceback.extract_tb(error.__traceback__)[::-1]
        for plugin in self.plugins():
            module = self._manager.get_plugin(plugin.name)
            places = files_of(module, self.offered_by(plugin.name))
            for frame in frames:
                file = Path(frame.filename)
                if any(file.is_relative_to(place) for place in places):
                    return Blame(plugin, f"{file.name}:{frame.lineno}, in {frame.name}")
        return None

    # -- inside -----------------------------------------------------------------------------

    def _catalogue(self, kind: str) -> tuple[Entry, ...]:
        return () if BUILT_IN in self.blocked else catalogue().of(kind)

    def _foreign(self, kind: str) -> Iterator[Registered]:
        for name, components in self._components.items():
            if self._plugins[name].origin != "built-in":
                for component in components:
                    if component.kind == kind:
                        yield Registered(component, self._plugins[name])

    def _import_built_in(self, entry: Entry) -> Registered:
        plugin = Plugin(entry.module, "built-in", entry.module)
        if entry.module not in self._built_in:
            try:
                with self.calls.timed(plugin, IMPORT):
                    module = importlib.import_module(entry.module)
            except ImportError as error:
                wanted = ", ".join(f"pip install 'genzoo-rwae[{extra}]'" for extra in entry.needs)
                raise PluginError(
                    f"the {entry.kind} '{entry.name}' cannot be imported: {error}"
                    + (f"; it needs {wanted}" if wanted else "")
                ) from error
            self.register(module, plugin)
            self._built_in[entry.module] = self._components[entry.module]
        for component in self._built_in[entry.module]:
            if (component.kind, component.name) == (entry.kind, entry.name):
                return Registered(component, Plugin(BUILT_IN, "built-in", entry.module), entry)
        raise PluginError(
            f"registry.yaml says that {entry.module} offers the {entry.kind} '{entry.name}', "
            "but its hooks do not yield it"
        )


def _of_plugin(plugin: Plugin, hook: str, error: GenzooError) -> PluginError:
    return PluginError(f"{plugin}, in {hook}: {error}", exit_code=error.exit_code)


def _is_moved(path: Path, known: Plugin) -> bool:
    """Whether a plugin that was loaded stands for a file: the same, or told where that is gone."""
    if not path.is_file():
        return known.is_told and bool(known.sha256)
    return hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256
