"""`genzoo list`."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Session, print_json
from genzoo_rwae.errors import SpecError

__all__ = ["add_to", "kind_named"]


def kind_named(word: str) -> str:
    """A kind by its singular or plural name.

    Raises:
        SpecError: there is no such kind.
    """
    from genzoo_rwae.kinds import KINDS

    for kind in KINDS.values():
        if word in (kind.name, kind.plural):
            return kind.name
    known = [kind.plural for kind in KINDS.values()]
    close = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise SpecError(f"no kind is called '{word}'; {hint}known: {', '.join(known)}")


def add_to(app: typer.Typer) -> None:
    @app.command("list")
    def list_components(
        context: typer.Context,
        kind: Annotated[str | None, typer.Argument(help="One kind, as 'penalties'.")] = None,
        markdown: Annotated[
            bool, typer.Option("--markdown", help="Print the built-ins as a Markdown table.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """List components, built in and of plugins; specs and released runs at the end."""
        if markdown:
            from genzoo_rwae.catalogue import markdown_table

            print(markdown_table())
            return
        from genzoo_rwae.catalogue import zoo_specs
        from genzoo_rwae.kinds import KINDS
        from genzoo_rwae.releases import releases

        session: Session = context.obj
        wanted = [kind_named(kind)] if kind else list(KINDS)
        rows = [row for name in wanted for row in session.zoo.summaries(name)]
        if as_json:
            print_json([vars(row) for row in rows])
            return
        width = max((len(row.name) for row in rows), default=0)
        for name in wanted:
            mine = [row for row in rows if row.kind == name]
            if mine:
                print(KINDS[name].plural)
            for row in mine:
                mark = "" if row.status == "stable" else f" [{row.status}]"
                owner = "" if row.plugin == "genzoo" else f" ({row.plugin})"
                print(f"  {row.name:{width}}  {row.summary}{mark}{owner}")
        if not kind:
            print("specs (genzoo build zoo:NAME)")
            print("  " + ", ".join(zoo_specs()))
            if known := releases():
                print("released runs, trained already (genzoo swap zoo:NAME)")
                print("  " + ", ".join(known))
