"""`genzoo schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import Force, Session

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def schema(
        context: typer.Context,
        output: Annotated[
            Path | None, typer.Option("-o", "--output", help="A file [stdout].")
        ] = None,
        force: Force = False,
    ) -> None:
        """Write the JSON schema of specs, with which editors complete and check them.

        Name it in a spec's first line: # yaml-language-server: $schema=genzoo.schema.json
        """
        from genzoo_rwae.errors import SpecError
        from genzoo_rwae.files import write_atomic
        from genzoo_rwae.spec import json_schema

        session: Session = context.obj
        text = json.dumps(json_schema(session.zoo), indent=2, ensure_ascii=False) + "\n"
        if output is None:
            print(text, end="")
            return
        if output.exists() and not force:
            raise SpecError(f"{output} is there already; say --force to write over it")
        write_atomic(output, text)
