"""`genzoo plugins`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genzoo_rwae.cli.session import AsJson, Session, print_json

if TYPE_CHECKING:
    from genzoo_rwae.zoo import Zoo

__all__ = ["add_to"]

_ORDER = (
    "load order: blocks (-p no:NAME), built-ins by registry.yaml, entry points of the group "
    "genzoo_rwae (GENZOO_PLUGINS=none|a,b restricts them), -p FILE|MODULE, a spec's plugins:"
)
_REHEARSAL = ("train.epochs=null", "train.minutes=null", "train.steps=2", "evaluate=[]")


def add_to(app: typer.Typer) -> None:
    @app.command()
    def plugins(
        context: typer.Context,
        spec: Annotated[
            str | None, typer.Argument(metavar="SPEC", help="Load the plugins of a spec as well.")
        ] = None,
        hooks: Annotated[bool, typer.Option("--hooks", help="List what can be hooked.")] = False,
        trace: Annotated[
            bool,
            typer.Option(
                "--trace",
                help="Show every call of a plugin, in order, with times; with a SPEC those of a "
                "build of two steps, of which nothing is kept; its hooks are really called.",
            ),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show the load order, the plugins that were found, and what they bring."""
        session: Session = context.obj
        if hooks:
            _print_hooks(as_json)
            return
        if spec is not None:
            _load_those_of(spec, session, rehearse=trace)
        rows = [
            {
                "name": plugin.name,
                "origin": plugin.origin,
                "location": plugin.location,
                "sha256": plugin.sha256,
                "error": plugin.error,
                "components": [f"{c.kind} {c.name}" for c in session.zoo.offered_by(plugin.name)],
            }
            for plugin in session.zoo.plugins()
        ]
        calls = _calls(session.zoo) if trace else []
        if as_json:
            traced = {"trace": calls} if trace else {}
            print_json({"blocked": session.zoo.blocked, "plugins": rows, **traced})
        elif trace:
            _print_calls(calls)
        else:
            _print_plugins(session.zoo, rows)


def _load_those_of(spec: str, session: Session, *, rehearse: bool) -> None:
    from genzoo_rwae.spec import load_spec

    if not rehearse:
        load_spec(spec, zoo=session.zoo)
        return
    import tempfile
    from pathlib import Path

    from rich.console import Console

    from genzoo_rwae.run import build_spec

    # trackers would tell others of a run that is none
    loaded = load_spec(spec, zoo=session.zoo, settings=[*_REHEARSAL, "trackers=[]"])
    quiet = Console(quiet=True)  # which would say where what is not kept lies
    with tempfile.TemporaryDirectory() as folder:
        build_spec(loaded, Path(folder) / "run", session.zoo, quiet)


def _calls(zoo: Zoo) -> list[dict[str, Any]]:
    return [
        {
            "plugin": calls.plugin.name,
            "location": calls.plugin.location,
            "hook": calls.hook,
            "calls": calls.count,
            "seconds": round(calls.seconds, 6),
            "longest": round(calls.longest, 6),
        }
        for calls in zoo.calls.rows()
    ]


def _print_calls(calls: Sequence[dict[str, Any]]) -> None:
    if not calls:
        print("no plugin was called")
        return
    hook, plugin = (max(len(row[key]) for row in calls) for key in ("hook", "plugin"))
    print(f"{'':>3}  {'hook':{hook}}  {'plugin':{plugin}}  calls    seconds    longest")
    for place, row in enumerate(calls, start=1):
        print(
            f"{place:>3}  {row['hook']:{hook}}  {row['plugin']:{plugin}}  {row['calls']:>5}  "
            f"{row['seconds']:>9.4f}  {row['longest']:>9.4f}"
        )


def _print_plugins(zoo: Zoo, rows: Sequence[dict[str, Any]]) -> None:
    print(_ORDER)
    for name in zoo.blocked:
        print(f"  {name}: blocked")
    print("  genzoo: the built-ins (genzoo list)")
    for row in rows:
        print(f"  {row['name']}: {row['origin']}, {row['location']}")
        if row["error"]:
            print(f"      broken: {row['error']}")
        for component in row["components"]:
            print(f"      {component}")


def _print_hooks(as_json: bool) -> None:
    import inspect

    from genzoo_rwae import hookspecs

    about = {
        name: (inspect.getdoc(getattr(hookspecs, name)) or "").partition("\n")[0]
        for name in hookspecs.HOOKS
    }
    if as_json:
        print_json(about)
        return
    for name, text in about.items():
        print(f"{name}\n    {text}")
