"""Plugins as modules: importing them, and finding what pluggy passes over in silence."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genzoo_rwae import hookspecs
from genzoo_rwae.components import Component, component_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.kinds import KINDS
from genzoo_rwae.plugin_calls import CallLog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = [
    "Origin",
    "Plugin",
    "check_hooks",
    "files_of",
    "import_file",
    "import_module",
    "offered",
    "reason_of",
]

Origin = Literal["built-in", "entry point", "spec", "command line", "python", "kit"]


@dataclass(frozen=True)
class Plugin:
    """A loaded (or failed) plugin.

    Attributes:
        name: what `-p no:NAME` and `use: NAME:component` call it.
        origin: who asked for it; `kit` is the property kit, which compares by itself.
        location: its file or module.
        sha256: digest of a plugin file; empty for modules.
        error: why it could not be loaded; empty if it was.
    """

    name: str
    origin: Origin
    location: str
    sha256: str = ""
    error: str = ""

    @property
    def is_told(self) -> bool:
        """Whether a person told it, in the command or in Python, and not a spec."""
        return self.origin in ("command line", "python")

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({self.location})"


def import_file(path: Path, origin: Origin) -> ModuleType:
    """Import a plugin file; raises PluginError with the place of what went wrong."""
    if not path.is_file():
        raise PluginError(
            f"plugin file {path} (wanted by the {origin}) is not there; paths in a spec are "
            "relative to the spec's folder, after -p to the current one"
            + "; one that was moved is told by -p, and that of a run is found beside its spec.yaml"
            * (origin == "spec")
        )
    if path.suffix != ".py":
        raise PluginError(
            f"plugin file {path} (wanted by the {origin}): wanted a file that ends in .py"
        )
    # a real, prefixed name: dataclasses, pickling and annotations look modules up in sys.modules
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"genzoo_plugin_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except PluginError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:  # a script that ends with sys.exit()
        del sys.modules[name]
        raise PluginError(f"plugin file {path} cannot be imported: {reason_of(error)}") from error
    return module


def import_module(name: str, origin: Origin) -> ModuleType:
    """Import a plugin module; raises PluginError with the place of what went wrong."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise PluginError(
            f"plugin module '{name}' (wanted by the {origin}) is of Python's own library and no "
            "plugin; it is not imported"
        )
    try:
        return importlib.import_module(name)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin module '{name}' (wanted by the {origin}) cannot be imported: "
            f"{reason_of(error)}"
        ) from error


def check_hooks(module: object, plugin: Plugin) -> None:
    """Find what pluggy passes over in silence: misspelt hooks and forgotten decorators."""
    implemented = 0
    # of a module its own names; an object's hooks are methods of its class
    names = vars(module) if inspect.ismodule(module) else dir(module)
    for name in list(names):
        thing = getattr(module, name, None)
        if not callable(thing):
            continue
        line = getattr(getattr(thing, "__code__", None), "co_firstlineno", 0)
        decorated = hasattr(thing, "genzoo_rwae_impl")
        if decorated and name not in hookspecs.HOOKS:
            close = difflib.get_close_matches(name, hookspecs.HOOKS, n=1)
            hint = f"did you mean {close[0]}?" if close else "see `genzoo plugins --hooks`"
            raise PluginError(f"{plugin}: line {line}: no hook is called {name}; {hint}")
        if not decorated and name in hookspecs.HOOKS:
            raise PluginError(
                f"{plugin}: line {line}: {name} is named like a hook but is not under @hookimpl, "
                "so it would never be called; add `@hookimpl` above it"
            )
        if decorated:
            implemented += 1
            spec = inspect.signature(getattr(hookspecs, name)).parameters
            for argument in inspect.signature(thing).parameters:
                if argument not in spec:
                    wanted = ", ".join(spec) or "none"
                    raise PluginError(
                        f"{plugin}: line {line}: {name} takes an argument '{argument}' that the "
                        f"hook does not have; it may take: {wanted}"
                    )
    if not implemented:
        raise PluginError(
            f"{plugin}: implements no hook; a plugin has functions such as genzoo_penalties under "
            "@hookimpl (from genzoo_rwae import hookimpl)"
        )


def reason_of(error: BaseException) -> str:
    """An exception in one line, with the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({error.filename}:{error.lineno})"
    return f"{type(error).__name__}: {error}{where}"


def files_of(module: object, components: Iterable[Component]) -> set[Path]:
    """Where a plugin's code is: its file, its package's folder, the files of what it brings."""
    places = set()
    if not inspect.ismodule(module):  # an object with hooks as methods
        module = sys.modules.get(type(module).__module__)
    for folder in getattr(module, "__path__", ()):
        places.add(Path(folder))
    if file := getattr(module, "__file__", None):
        places.add(Path(file))
    for component in components:
        code = inspect.unwrap(component.build)
        if home := getattr(sys.modules.get(code.__module__), "__file__", None):
            places.add(Path(home))
    return places


def offered(module: object, plugin: Plugin, calls: CallLog) -> tuple[Component, ...]:
    """What a plugin's hooks yield; raises PluginError for what is no component of the kind."""
    found: list[Component] = []
    for kind in KINDS.values():
        implementation = getattr(module, kind.hook, None)
        if implementation is None:
            continue
        try:
            with calls.timed(plugin, kind.hook):
                given = implementation()
                is_bare = given is None or component_of(given) is not None
                things = [] if is_bare else list(given)
        except Exception as error:
            raise PluginError(f"{plugin} failed in {kind.hook}: {reason_of(error)}") from error
        if is_bare:
            raise PluginError(
                f"{plugin}: {kind.hook} returns {getattr(given, '__name__', given)}; wanted "
                "functions or classes that it yields, as it may bring several: has it a yield?"
            )
        for thing in things:
            component = component_of(thing)
            if component is None or component.kind != kind.name:
                what = f"a {component.kind}" if component else repr(thing)
                decorator = kind.name.replace("-", "_")
                raise PluginError(
                    f"{plugin}: {kind.hook} yields {what}; "
                    f"wanted functions or classes under @{decorator}('name')"
                )
            if any((c.kind, c.name) == (component.kind, component.name) for c in found):
                raise PluginError(f"{plugin} offers two {kind.plural} called '{component.name}'")
            found.append(component)
    return tuple(found)
