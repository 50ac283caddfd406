"""Who else is told of a run: every row of metrics.jsonl, and at the end what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo_rwae.errors import GenzooError, OptionError
from genzoo_rwae.plugin_modules import reason_of

if TYPE_CHECKING:
    from genzoo_rwae.run_folder import RunFolder
    from genzoo_rwae.spec import Part

__all__ = ["Results", "Trackers", "results_of"]


@dataclass(frozen=True)
class Results:
    """What a build made, for trackers that have a method `show`.

    Attributes:
        step: how many steps the model was trained for.
        figures: those of evaluation.json that are numbers, as `probes/static code/action`.
        pictures: PNG and GIF files by their names, as `swap.png`.
        sounds: wav files by their names, without .wav.
    """

    step: int
    figures: Mapping[str, float]
    pictures: Mapping[str, Path]
    sounds: Mapping[str, Path]


class Trackers:
    """The trackers of a run. One that fails is dropped with a word: training goes on.

    Args:
        parts: of the spec.
        run: the run folder.
        say: tells the user.

    Raises:
        PlacedOptionError: a tracker cannot be had, as when its extra is not installed.
    """

    def __init__(self, parts: Sequence[Part], run: Path, say: Callable[[str], None]) -> None:
        self._named: list[tuple[Part, Any]] = []
        self._say = say
        try:
            for part in parts:
                self._open(part, run)
        except BaseException:
            self.close()
            raise

    def log(self, row: Mapping[str, Any]) -> None:
        """Tell all of a row of metrics.jsonl."""
        self._tell("log", row)

    def show(self, results: Results) -> None:
        """Tell those who want to know what came out."""
        self._tell("show", results)

    def close(self) -> None:
        """Tell all that nothing more comes; twice is once."""
        self._tell("close")
        self._named = []

    def _open(self, part: Part, run: Path) -> None:
        try:
            self._named.append((part, part(run)))
        except OptionError:
            raise
        except Exception as error:  # whatever a service raises that cannot be reached
            self._say_of(part, error)

    def _tell(self, method: str, *what: object) -> None:
        for part, tracker in tuple(self._named):
            tell = getattr(tracker, method, None)
            if tell is None and method == "show":
                continue
            try:
                (tell or getattr(tracker, method))(*what)
            except Exception as error:  # whatever a service or a full disk raises there
                self._say_of(part, error)
                self._named = [(p, t) for p, t in self._named if t is not tracker]

    def _say_of(self, part: Part, error: Exception) -> None:
        reason = str(error) if isinstance(error, GenzooError) else reason_of(error)
        self._say(
            f"the tracker '{part.name}' of {part.registered.plugin} failed and is told "
            f"nothing more: {reason}"
        )


def results_of(run: RunFolder, step: int) -> Results:
    """What a run folder has to show."""
    return Results(
        step,
        dict(_numbers(run.read_evaluation(), "")),
        {path.name: path for path in sorted(run.pictures.glob("*.[pg][ni][gf]"))},
        {path.stem: path for path in sorted(run.sounds.glob("*.wav"))},
    )


def _numbers(figures: Mapping[str, Any], prefix: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, figure in figures.items():
        value = figure.get("value", figure) if isinstance(figure, Mapping) else figure
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found.append((f"{prefix}{name}", float(value)))
    return found
