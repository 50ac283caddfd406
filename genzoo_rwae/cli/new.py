"""`genzoo new`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_to"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Start a spec or a plugin of your own; never writes over what is there.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="new")

    @group.command()
    def spec(
        context: typer.Context,
        path: Annotated[Path, typer.Argument(metavar="FILE", help="As my-model.yaml.")],
        origin: Annotated[
            str, typer.Option("--from", help="The spec to start from.")
        ] = "zoo:quickstart",
    ) -> None:
        """Write a spec to start from: a copy of one of the zoo's, under your name."""
        from genzoo_rwae.spec import find_spec

        text = find_spec(origin).read_text(encoding="utf-8")
        _write_new(path, re.sub(r"(?m)^name: .*$", f"name: {_run_name(path.stem)}", text, count=1))
        print(f"{path}\nnext: genzoo check {path}, then genzoo build {path}")

    @group.command()
    def plugin(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="Kebab-case, as 'my-penalty'.")],
        folder: Annotated[
            Path | None, typer.Option("-o", "--output", help="A folder [./NAME].")
        ] = None,
    ) -> None:
        """Write an installable plugin with a penalty of its own, and its tests."""
        from genzoo_rwae.errors import SpecError

        if not _NAME.fullmatch(name):
            raise SpecError(f"'{name}' is no name for a plugin; wanted kebab-case, as 'my-penalty'")
        where = folder or Path(name)
        for inside, text in plugin_files(name).items():
            _write_new(where / inside, text)
        print(f"{where}\nnext: pip install -e {where}, then genzoo show penalty {name}")


def plugin_files(name: str) -> dict[str, str]:
    """The files of a new plugin, by their places in its folder."""
    from importlib.resources import files

    module = name.replace("-", "_")
    templates = files("genzoo_rwae.cli") / "templates"
    places = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        f"genzoo_{module}.py": "plugin.py.txt",
        f"tests/test_{module}.py": "test_plugin.py.txt",
    }
    return {
        place: (templates / template)
        .read_text(encoding="utf-8")
        .replace("NAME", name)
        .replace("MODULE", module)
        for place, template in places.items()
    }


def _run_name(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-") or "my-run"


def _write_new(path: Path, text: str) -> None:
    from genzoo_rwae.errors import SpecError
    from genzoo_rwae.files import write_atomic

    if path.exists():
        raise SpecError(f"{path} is there already and is left as it is; give another name")
    write_atomic(path, text)
