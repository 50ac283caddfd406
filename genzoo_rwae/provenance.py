"""What a run was built with: versions, plugins, command, machine and the shape of the data."""

from __future__ import annotations

import dataclasses
import os
import platform
import shlex
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.spec.sections import place_values

if TYPE_CHECKING:
    from genzoo_rwae.sequences import DataInfo
    from genzoo_rwae.spec import Spec
    from genzoo_rwae.zoo import Zoo

__all__ = ["compare_plugins", "versions", "with_provenance"]


def _command() -> str:
    """What was called, as one would call it again."""
    name = Path(sys.argv[0]).name
    own = name == "__main__.py" and Path(sys.argv[0]).parent == Path(__file__).parent
    return shlex.join([*(("python", "-m", __package__) if own else (name,)), *sys.argv[1:]])


def with_provenance(spec: Spec, info: DataInfo, zoo: Zoo) -> Spec:
    """The spec with what is needed to build it again: versions, plugin hashes, the data's shape."""
    plugins = {
        plugin.name: {"location": plugin.location, "sha256": plugin.sha256}
        for plugin in zoo.plugins()
        if not plugin.error
    }
    resolved: dict[str, Any] = {
        "versions": versions(),
        "command": _command(),
        "machine": f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "plugins": plugins,
        "data": info.as_json(),
    }
    # a plugin file is found again from anywhere
    places = spec.places
    listed = [
        zoo_plugin.location
        for zoo_plugin in zoo.plugins()
        if zoo_plugin.origin != "entry point" and not zoo_plugin.error
    ]
    spec = dataclasses.replace(spec, resolved=resolved, plugins=listed)
    place_values(spec, places)
    return spec


def _processor() -> str:
    """The processor's name where the system tells it, or else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    found = {"python": platform.python_version()}
    for name in ("genzoo-rwae", "torch", "numpy", "lightning-fabric"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed (a bare checkout)"
    return found


def compare_plugins(spec: Spec, zoo: Zoo) -> None:
    """Warn of plugin files that are not what the run was built with."""
    recorded = (spec.resolved or {}).get("plugins", {})
    for plugin in zoo.plugins():
        before = recorded.get(plugin.name, {}).get("sha256")
        if before and plugin.sha256 and before != plugin.sha256:
            said = (
                f"plugin file {plugin.location} has changed since the run was built; the model may "
                "not be what was trained"
            )
            warnings.warn(GenzooWarning(said), stacklevel=3)
