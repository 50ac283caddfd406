"""`genzoo new`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import Session

__all__ = ["add_to"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = ("hookimpl", "penalty", "torch")  # the plugin's function would hide what its files import


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
        named = re.sub(r"(?m)^name: .*$", f"name: {_run_name(path.stem)}", text, count=1)
        _write_new({path: named})
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

        if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in _TAKEN:
            raise SpecError(f"'{name}' is no name for a plugin; wanted kebab-case, as 'my-penalty'")
        session: Session = context.obj
        if name in session.zoo.names("penalty"):
            raise SpecError(
                f"there is a penalty '{name}' already (genzoo show penalty {name}), and a spec "
                "that says the name would have to say whose; give another"
            )
        where = folder or Path(name)
        _write_new({where / inside: text for inside, text in plugin_files(name).items()})
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
    name = re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-")[:100] or "my-run"
    # YAML would read these as a number, a truth value or nothing
    is_no_text = name[0].isdigit() or name.lower() in ("true", "false", "null")
    return f'"{name}"' if is_no_text else name


def _write_new(files: Mapping[Path, str]) -> None:
    """Write files, or none of them if one is there already."""
    from genzoo_rwae.errors import SpecError
    from genzoo_rwae.files import write_atomic

    for path in files:
        if path.exists():
            raise SpecError(f"{path} is there already and is left as it is; give another name")
    for path, text in files.items():
        write_atomic(path, text)
