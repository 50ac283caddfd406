"""What can go wrong, by whose doing.

Every error that a user can cause is a `GenzooError`: the command prints its message and no
traceback, and leaves with `exit_code`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "DataError",
    "DivergedError",
    "GenzooError",
    "GenzooWarning",
    "OptionError",
    "PluginError",
    "Problem",
    "RunError",
    "SpecError",
    "shown",
]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 2_000  # characters of a path or a message: a stranger's file may name things at length


class GenzooError(Exception):
    """An error with a message for the user; base of all others.

    `exit_code` is what the `genzoo` command leaves with: 1 the run failed, 2 the spec or the call
    is wrong, 3 a plugin is broken.
    """

    exit_code = 1


class GenzooWarning(UserWarning):
    """What a user has to know and nothing stops for; the command prints its message alone."""


class DataError(GenzooError):
    """The data are missing, empty, or not of the shape or type that a source can read."""

    exit_code = 2


class CheckpointError(GenzooError):
    """A run folder or a checkpoint cannot be used: truncated, foreign, or of another spec."""

    exit_code = 2


class RunError(GenzooError):
    """Training could not go on: a value that is not finite, or a device that is full."""


class DivergedError(RunError):
    """A value of the training is not finite: what a spec's settings lead to, and no machine."""


class PluginError(GenzooError):
    """A plugin is missing, cannot be imported, breaks a rule of the host, or raises."""

    exit_code = 3

    def __init__(self, message: str, *, exit_code: int = 3) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class OptionError(ValueError):
    """Raised by a component whose options do not fit what it was wired to.

    The host adds the place in the spec. `option` names the keyword-only parameter that is to blame
    (None: the component as a whole).

    >>> raise OptionError("frames are vectors; 'conv' needs [C, H, W]", option="frames")
    Traceback (most recent call last):
    ...
    genzoo_rwae.errors.OptionError: frames are vectors; 'conv' needs [C, H, W]
    """

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


def shown(text: str, most: int = _LONGEST) -> str:
    """A stranger's text as a terminal may see it: cut, and without what would steer the terminal.

    >>> shown("red \\x1b[31m")
    'red \\\\x1b[31m'
    """
    cut = text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], cut)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a spec, at its place.

    Attributes:
        path: where in the spec, as `objective.static.use`; empty for the file as a whole.
        message: what was found and what was wanted.
        file: the file, or the command-line option, that the value came from.
        line, column: counted from 1; 0 where there is no such place.
        source: the line of the file, to be shown with a caret.
        hint: how to mend it, shown beside the caret.
    """

    path: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    source: str = ""
    hint: str = ""

    def said_by(self, plugin: object) -> Problem:
        """The same, and who found it."""
        return replace(self, message=f"{self.message} (says {plugin})")

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        parts = (place, self.path, self.message)
        head, hint = ": ".join(shown(part) for part in parts if part), shown(self.hint)
        if not self.source:
            return f"{head}\n    {hint}" if hint else head
        number = f"{self.line:>5}"
        if self.column > len(self.source) + 1:  # of a line that was cut
            return f"{head}\n{number} | {shown(self.source)}" + (f"\n    {hint}" if hint else "")
        # one character for one, so that the caret stands where it should
        source = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", self.source)
        caret = " " * (self.column - 1) + "^" + (f" {hint}" if hint else "")
        return f"{head}\n{number} | {source}\n{' ' * len(number)} | {caret}"


class SpecError(GenzooError):
    """A spec, or a call, is wrong; holds every problem that was found, in the file's order."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = (
            (Problem(path="", message=problems),) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))
