"""`genzoo show`."""

from __future__ import annotations

from typing import Annotated

import typer

from genzoo_rwae.cli.list_ import kind_named
from genzoo_rwae.cli.session import AsJson, Session, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def show(
        context: typer.Context,
        kind: Annotated[str, typer.Argument(help="As 'penalty'.")],
        name: Annotated[str, typer.Argument(help="As 'mmd'.")],
        as_json: AsJson = False,
    ) -> None:
        """Show one component: what it is, its options, its paper, and a spec with it."""
        session: Session = context.obj
        about = session.zoo.describe(kind_named(kind), name)
        if as_json:
            print_json(about.as_json())
            return
        print(f"{about.kind} {about.name}  [{about.status}]")
        print(f"  {about.text.strip()}".replace("\n", "\n  "))
        print("\noptions" if about.options else "\nno options")
        for option in about.options:
            default = "required" if option.default is None else f"= {option.default}"
            print(f"  {option.name}: {option.type} {default}")
            if option.help:
                print(f"      {option.help}")
        print(f"\nwired as {about.contract}")
        if about.paper:
            print(f"paper    {about.paper}")
        print(f"from     {about.location}")
        print("\na spec with it\n  " + about.example.replace("\n", "\n  "))
