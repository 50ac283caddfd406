"""Settings of TIMIT compared on voices that are not for testing, each held out once.

    python benchmarks/timit_folds.py RUNS docs/results/timit-folds.md

Of the sample's 16 voices four are for testing and are not touched. Of the other twelve, four are
held out at a time (`data.fold`), two women and two men, and the models are trained on eight, so
that every voice is verified once by a model that has not heard it. A figure is the mean over the
three folds of the equal error rate (EER) of `speaker-verification`, and of the accuracy of the
probe of phones; `folds` are the static EERs one by one. Runs that are there are not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from measuring import page_of_a_table, versions

import genzoo_rwae as gz

RWAE, DSVAE = "zoo:timit-priced-mmd", "zoo:timit-dsvae"
MIXTURE = "model.static.prior={use: mixture, components: 16}"
GAUSSIAN = "model.static.prior=gaussian"
VARIANTS: dict[str, tuple[str, list[str]]] = {
    "DSVAE": (DSVAE, []),
    "DSVAE as published": ("zoo:timit-dsvae-plain", []),
    "R-WAE(MMD), prior N(0, I)": (RWAE, [GAUSSIAN]),
    "R-WAE(MMD), prior of 16 Gaussians": (RWAE, [MIXTURE]),
}
FOLDS = range(3)


def figures(run: Path, spec: str, settings: Sequence[str]) -> dict[str, float]:
    """Of the validation split of a run, which is made, or found to be of this very spec."""
    gz.build(spec, run=run, settings=[*settings, "evaluate=[]", "train.threads=1"])
    found: Any = gz.evaluate(run, ["speaker-verification"], on="validation")["speaker-verification"]
    return {
        "static EER": found["static code"]["value"],
        "dynamic EER": found["dynamic codes"]["value"],
        "phone, dynamic codes": found["content in the dynamic codes"]["phone"]["value"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    rows = []
    for number, (name, (spec, settings)) in enumerate(VARIANTS.items()):
        folds = [
            figures(arguments.runs / f"{number}-{fold}", spec, [*settings, f"data.fold={fold}"])
            for fold in FOLDS
        ]
        means = [f"{fmean(fold[figure] for fold in folds):.3f}" for figure in folds[0]]
        static = ", ".join(f"{fold['static EER']:.3f}" for fold in folds)
        rows.append(f"| {name} | {' | '.join(means)} | {static} |")
        print(rows[-1], flush=True)
    page = page_of_a_table(
        "Settings of TIMIT on voices that are not for testing",
        __doc__,
        ("setting", "static EER", "dynamic EER", "phone, dynamic codes", "folds"),
        rows,
        (
            f"versions: {versions('torch')}, genzoo-rwae {gz.__version__}",
            "data: TIMIT sample, © 1993 Linguistic Data Consortium, CC BY-NC-SA: "
            "not for commercial use",
        ),
    )
    arguments.page.write_text(page)


if __name__ == "__main__":
    main()
