"""What all verbs share: plugins asked for on the command line, where to write, how to fail."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from genzoo_rwae.errors import GenzooError, PluginError, SpecError, shown

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo_rwae.zoo import Blame, Zoo

__all__ = [
    "Action",
    "AsJson",
    "Force",
    "Indices",
    "OtherData",
    "Phase",
    "Run",
    "Session",
    "Settings",
    "SpecPath",
    "SplitName",
    "new_folder",
    "print_json",
    "take_global_options",
]

_LONGEST = 100_000  # characters of an error: a hundred problems

SpecPath = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or zoo:NAME.")]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="A folder that `genzoo build` made, or zoo:NAME.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="A value over the spec's; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Indices = Annotated[
    str | None, typer.Option(metavar="I,J,...", help="Places in the split [spread evenly].")
]
Phase = Annotated[
    Literal["keep", "estimate"],
    typer.Option(help="Of sound: that of the recording (of the motion), or Griffin-Lim's."),
]
SplitName = Annotated[Literal["train", "validation", "test"], typer.Option(help="Whose sequences.")]
OtherData = Annotated[
    list[str] | None,
    typer.Option(
        "--data", metavar="OPTION=VALUE",
        help="Other data, by an option of the run's source, as path=CLIPS; may be repeated.",
    ),
]  # fmt: skip
Action = Annotated[
    int | None, typer.Option(metavar="K", help="One action for all, of models that have some.")
]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]


@dataclass
class Session:
    """One call of the command.

    Attributes:
        plugins: what stood after `-p`.
        debug: show tracebacks.
    """

    plugins: list[str] = field(default_factory=list)
    debug: bool = False

    @cached_property
    def zoo(self) -> Zoo:
        """All plugins of this call; broken ones that nobody asked for are said on stderr."""
        from genzoo_rwae.zoo import Zoo

        zoo = Zoo(self.plugins)
        for warning in zoo.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        return zoo

    @cached_property
    def console(self) -> Console:
        """Where progress goes; results for programs go to stdout by themselves."""
        from rich.console import Console

        return Console(stderr=True)

    def add_commands(self, app: typer.Typer) -> None:
        """Let plugins add verbs, if there are any plugins."""
        from importlib.metadata import entry_points

        if not self.plugins and not entry_points(group="genzoo_rwae"):
            return
        for plugin, _ in self.zoo.call("genzoo_commands", app=app):
            del plugin

    def fail(self, error: GenzooError) -> NoReturn:
        """Print an error without a traceback and leave with its code."""
        placed = isinstance(error, SpecError) and error.problems[0].file
        # a hook's error says whose it is already
        blame = None if placed or isinstance(error, PluginError) else self._blamed(error)
        whose = f" (raised by {blame.plugin})" if blame else ""
        text = str(error) if placed else f"genzoo: {error}{whose}"
        print(shown(text, _LONGEST), file=sys.stderr)
        sys.exit(error.exit_code)

    def fail_unexpectedly(self, error: Exception) -> NoReturn:
        """An exception that is no GenzooError: a plugin's, or a fault of ours."""
        blame = self._blamed(error)
        reason = shown(f"{type(error).__name__}: {error}")
        if blame:
            print(
                f"genzoo: {blame.plugin} failed: {reason} ({shown(blame.place)})\n"
                "--debug shows how it came there",
                file=sys.stderr,
            )
            sys.exit(3)
        loaded = self.zoo.plugins() if "zoo" in self.__dict__ else ()
        names = ", ".join(str(plugin) for plugin in loaded if not plugin.error)
        # what a component gave back may break the host later, where no frame is the plugin's
        whose = (
            f"of genzoo-rwae, or of what a plugin gave it: {names}"
            if names
            else "of genzoo-rwae, not yours"
        )
        how = "`genzoo check --plugin FILE` tries a plugin piece by piece; " if names else ""
        print(
            f"genzoo: {reason}\nThis is a fault {whose}; {how}--debug shows the traceback that a "
            "report of it needs.",
            file=sys.stderr,
        )
        sys.exit(1)

    def _blamed(self, error: BaseException) -> Blame | None:
        # asking for the zoo here could fail again
        return self.zoo.blame(error) if "zoo" in self.__dict__ else None


def take_global_options(arguments: list[str]) -> tuple[Session, list[str]]:
    """Take `-p X`, `--plugin X` and `--debug` out of a command line, wherever they stand.

    >>> take_global_options(["build", "a.yaml", "-p", "mine.py"])
    (Session(plugins=['mine.py'], debug=False), ['build', 'a.yaml'])
    """
    session, rest = Session(), []
    words = iter(arguments)
    for word in words:
        if word == "--debug":
            session.debug = True
        elif word in ("-p", "--plugin"):
            reference = next(words, None)
            if reference is None:
                session.fail(SpecError(f"{word} wants a plugin: a file, a module, or no:NAME"))
            session.plugins.append(reference)
        elif word.startswith("--plugin="):
            session.plugins.append(word.removeprefix("--plugin="))
        else:
            rest.append(word)
    return session, rest


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def new_folder(path: Path, *, force: bool) -> Path:
    """A folder to write into.

    Raises:
        SpecError: it holds something, and nobody said --force; or it is a link in a run folder, of
            whoever made that.
    """
    if path.is_symlink() and (path.parent / "spec.yaml").is_file():
        raise SpecError(
            f"{path} is a link, to {path.readlink()}; what is written into a run folder stays in "
            "it: take the link away, or give another place with -o"
        )
    if path.exists() and not force and (not path.is_dir() or any(path.iterdir())):
        raise SpecError(f"{path} is there already; give another place with -o, or say --force")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"{path} cannot be made: {error.strerror}; give another -o") from error
    return path
