"""`genzoo data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Session, Settings, SpecPath, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo_rwae.sequences import SequenceData, Split
    from genzoo_rwae.shards import ShardIndex
    from genzoo_rwae.spec import Spec

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Prepare data for training.", no_args_is_help=True)
    app.add_typer(group, name="data")

    @group.command()
    def shard(
        context: typer.Context,
        spec: SpecPath,
        output: Annotated[
            Path | None,
            typer.Option("-o", "--output", metavar="FOLDER", help="A folder [./NAME-shards]."),
        ] = None,
        size: Annotated[int, typer.Option(min=1, metavar="MB", help="Megabytes of a shard.")] = 32,
        settings: Settings = None,
        as_json: AsJson = False,
    ) -> None:
        """Write a spec's data, all splits, as shards that are read without fitting into memory."""
        from genzoo_rwae.spec import load_spec

        session: Session = context.obj
        loaded = load_spec(spec, zoo=session.zoo, settings=settings or ())
        folder = output or Path(f"{loaded.name}-shards")
        index = _written(loaded, folder, size, session.console)
        found = {
            name: {
                "sequences": sum(shard.sequences for shard in of.shards),
                "shards": len(of.shards),
                "bytes": sum(shard.size for shard in of.shards),
            }
            for name, of in index.splits.items()
        }
        if as_json:
            print_json({"folder": folder, **found})
            return
        for name, of in found.items():
            print(
                f"{name}: {of['sequences']:,} sequences in {of['shards']:,} shards, "
                f"{of['bytes'] / 10**6:,.1f} MB"
            )
        print(f"next: a spec with data: {{use: shards, path: {folder}}}")


def _written(spec: Spec, folder: Path, megabytes: int, console: Console) -> ShardIndex:
    from rich.progress import Progress

    from genzoo_rwae.assemble import located
    from genzoo_rwae.run import open_splits
    from genzoo_rwae.shards import write_shards

    of = open_splits(spec)
    splits: dict[Split, SequenceData] = {
        "train": of.train, "validation": of.validation, "test": of.test,
    }  # fmt: skip
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        tasks = {name: bars.add_task(name, total=len(data)) for name, data in splits.items()}
        with located(spec):
            return write_shards(
                splits,
                folder,
                source=spec.data.name,
                megabytes=megabytes,
                progress=lambda split, done: bars.update(tasks[split], completed=done),
            )
