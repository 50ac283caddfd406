"""A chosen component with its validated options: what a spec's `use:` becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genzoo_rwae.components import wired_of
from genzoo_rwae.errors import OptionError

if TYPE_CHECKING:
    from genzoo_rwae.zoo import Registered

__all__ = ["Part", "PlacedOptionError", "follows_progress", "qualified", "scheduled"]


class PlacedOptionError(OptionError):
    """An OptionError and the place in the spec that is to blame."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class Part:
    """A component with its options bound; calling it gives it what the host wires.

    Attributes:
        registered: the component and where it comes from.
        options: validated options; nested parts are Parts.
        path: where in the spec it was chosen, as `objective.static`.
        slot: the options of the place beside the component's own, or None.
    """

    registered: Registered
    options: Mapping[str, Any]
    path: str
    slot: Any = field(default=None)

    @property
    def name(self) -> str:
        return self.registered.component.name

    def __call__(self, *wired: Any) -> Any:
        """Call the component with its wired arguments.

        Raises:
            PlacedOptionError: its options do not fit what it was wired to.
            PluginError: a plugin's makes something else than its kind promises.
        """
        component, plugin = self.registered.component, self.registered.plugin
        try:
            made = component.build(*wired, **_made(self.options))
        except PlacedOptionError:
            raise
        except OptionError as error:
            path = f"{self.path}.{error.option}" if error.option else self.path
            raise PlacedOptionError(str(error), path) from error
        if plugin.origin not in ("built-in", "kit"):
            from genzoo_rwae.part_trial import try_part  # with torch

            who = f"the {component.kind} '{self.name}' of {plugin}"
            try_part(component.kind, who, made, wired)
        return made


def follows_progress(schedule: Part | None) -> bool:
    """Whether a schedule is a function of the run's progress."""
    return schedule is not None and bool(wired_of(schedule.registered.component.build))


def scheduled(schedule: Part | None, progress: float) -> float:
    """A schedule's factor where the share `progress` of the run is over; 1 without a schedule."""
    if schedule is None:
        return 1.0
    return float(schedule(progress) if follows_progress(schedule) else schedule())


def _made(value: Any) -> Any:
    """Options as a component gets them: what wants nothing wired (a kernel) is made already."""
    if isinstance(value, Mapping):
        return {name: _made(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_made(inner) for inner in value)
    if isinstance(value, Part):
        build = value.registered.component.build
        return value() if isinstance(build, type) and not wired_of(build) else value
    return value


def qualified(part: Part) -> str:
    """A part's name as a spec can say it without doubt, whatever is installed later."""
    return f"{part.registered.plugin.name}:{part.name}"
