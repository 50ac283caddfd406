"""`genzoo encode`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genzoo_rwae.cli.session import AsJson, Force, OtherData, Run, Session, SplitName, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    @app.command()
    def encode(
        context: typer.Context,
        run: Run,
        split: SplitName = "test",
        other: OtherData = None,
        most: Annotated[
            int | None, typer.Option("-n", min=1, help="Sequences, spread evenly [all].")
        ] = None,
        output: Annotated[
            Path | None, typer.Option("-o", "--output", help="A file [RUN/codes-SPLIT.npz].")
        ] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """Write the codes of a split: posterior means, lengths, places in the split and labels.

        Of models with actions, the probabilities of each as well.
        """
        from genzoo_rwae.cli.arrays import open_run, place_of, save_arrays
        from genzoo_rwae.errors import SpecError
        from genzoo_rwae.evaluation import encode_split

        session: Session = context.obj
        path = place_of(run, f"codes-{split}.npz", output, other)
        if path.exists() and not force:
            raise SpecError(f"{path} is there already; give another file with -o, or say --force")
        model, data = open_run(run, split, session.zoo, other)
        codes = encode_split(model, data, most or len(data))
        more = {f"factor_{name}": values for name, values in codes.factors.items()}
        if codes.action_NA is not None:
            more["action"] = codes.action_NA
        save_arrays(
            path,
            static=codes.static_ND,
            dynamic=codes.dynamic_NTD,
            lengths=codes.lengths_N,
            indices=codes.indices_N,
            **more,
        )
        if as_json:
            shapes = {"static": list(codes.static_ND.shape),
                      "dynamic": list(codes.dynamic_NTD.shape)}  # fmt: skip
            if codes.action_NA is not None:
                shapes["action"] = list(codes.action_NA.shape)
            print_json({"files": [path], **shapes})
        else:
            print(path)
