"""`genzoo plugins`."""

from __future__ import annotations

from typing import Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Session, print_json

__all__ = ["add_to"]

_ORDER = (
    "load order: blocks (-p no:NAME), built-ins by registry.yaml, entry points of the group "
    "genzoo_rwae (GENZOO_PLUGINS=none|a,b restricts them), -p FILE|MODULE, a spec's plugins:"
)


def add_to(app: typer.Typer) -> None:
    @app.command()
    def plugins(
        context: typer.Context,
        hooks: Annotated[bool, typer.Option("--hooks", help="List what can be hooked.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show the load order, the plugins that were found, and what they bring."""
        session: Session = context.obj
        if hooks:
            _print_hooks(as_json)
            return
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
        if as_json:
            print_json({"blocked": session.zoo.blocked, "plugins": rows})
            return
        print(_ORDER)
        for name in session.zoo.blocked:
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
