"""Write a page under docs/results/ from run folders: figures, pictures, command, seeds, time.

    python benchmarks/results_page.py RUN docs/results/NAME.md --notes NOTES.md --also RUN2 RUN3

Nothing on the page is typed by hand but the notes, which are copied below the figures. Runs of one
spec that differ in their seed alone are one column, in every table: mean ± standard deviation over
the seeds. Command, machine and pictures are those of RUN.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import genzoo_rwae as gz
from genzoo_rwae.evaluation.measured_run import read_run
from genzoo_rwae.evaluation.parts_of_run import with_parts
from genzoo_rwae.evaluation.tables import Column, cell_of, compare, markdown, markdown_table
from genzoo_rwae.spec import load_spec, render

COMMAND = re.compile(r"^(-c|__main__\.py) ")  # what python -c and python -m are called
PICTURES = {
    "swap.png": "Rows share a static code, columns a motion; the donors stand at the edges.",
    "reconstruction.png": "Test sequences above their reconstructions.",
    "actions.png": "A row for every action that the model tells apart: its index, how many test "
    "sequences have it, those that have it most surely, and samples with it.",
    "sample.png": "Unconditional samples.",
    "rollout.png": "Samples four times as long as the training sequences.",
}


def history_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def validated(run: Path) -> dict[int, dict[str, Any]]:
    """Step -> what was measured on validation sequences there, with the minutes until then."""
    seconds, found = 0.0, {}
    for row in history_of(run):
        seconds = row.get("seconds", seconds)
        if row["split"] == "validation":
            found[row["step"]] = {**row, "minutes": seconds / 60}
    return found


def progress_table(column: Column) -> str:
    """Validation error over training time, as metrics.jsonl has it; steps that all runs have."""
    runs = [validated(run.path) for run in column.runs]
    rows = []
    for step in runs[0]:
        if all(step in run for run in runs):
            minutes = fmean(run[step]["minutes"] for run in runs)
            error = cell_of([run[step]["mse"] for run in runs])
            rows.append([f"{step:,}", f"{minutes:.1f}", str(error)])
    return markdown(["step", "minutes", "mean squared error, validation"], rows)


def terms_table(columns: tuple[Column, ...]) -> str:
    """Cost and terms of the objective at the end, on validation sequences; a KL in nats."""
    last = {
        column.label: [rows[max(rows)] for run in column.runs if (rows := validated(run.path))]
        for column in columns
    }
    last = {label: rows for label, rows in last.items() if rows}
    kept = ("step", "split", "loss", "minutes")
    names = dict.fromkeys(name for rows in last.values() for row in rows for name in row)
    table = []
    for name in names:
        if name not in kept and not name.endswith(".weight"):
            cells = (cell_of([row[name] for row in rows if name in row]) for rows in last.values())
            table.append([name, *(str(cell or "") for cell in cells)])
    return markdown(["term", *last], table)


def trained(column: Column) -> str:
    """How long the runs of a column were trained."""
    steps = " or ".join(
        f"{run.steps:,}" for run in {run.steps: run for run in column.runs}.values()
    )
    minutes = cell_of([run.seconds / 60 for run in column.runs if run.seconds is not None])
    return f"{steps} steps, {minutes} minutes" + (" each" if len(column.runs) > 1 else "")


def write_page(
    run: Path, page: Path, notes: Path | None, also: list[Path], no_pictures: str = ""
) -> None:
    spec = load_spec(run / "spec.yaml")
    resolved: dict[str, Any] = spec.resolved or {}
    comparison = compare([with_parts(read_run(place)) for place in (run, *also)])
    column = comparison.columns[0]  # with RUN come those that differ in their seed alone
    folder = page.parent / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    there = {n: said for n, said in PICTURES.items() if (run / "pictures" / n).is_file()}
    pictures = {} if no_pictures else there
    for name in pictures:
        shutil.copy(run / "pictures" / name, folder / name)
    (folder / "spec.yaml").write_text(render(spec, origins=False))
    versions = ", ".join(f"{name} {number}" for name, number in resolved["versions"].items())
    seeds = [str(one.seed) for one in column.runs]
    facts = {
        "command": f"`{COMMAND.sub('genzoo ', resolved['command'])}`",
        "seeds" if seeds[1:] else "seed": ", ".join(seeds),
        "price on information": ", ".join(
            f"{code} code {price}" for code, price in vars(spec.objective.information).items()
        ),
        "training": trained(column),
        "parameters": f"{column.runs[0].parameters:,}",
        "machine": resolved["machine"],
        "versions": versions,
        "data": gz.load(run).info.licence,
    }
    parts = [
        f"# {spec.name}",
        spec.description,
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        "## Figures",
        markdown_table(comparison),
    ]
    if notes:
        parts += ["## Reading them", notes.read_text().strip()]
    parts += ["## Terms at the end, on validation sequences", terms_table(comparison.columns)]
    parts += ["## Over training time", progress_table(column), "## Pictures"]
    if no_pictures:
        parts += [no_pictures]
    elif seeds[1:]:
        parts += [f"Of seed {spec.train.seed}."]
    parts += [f"![{said}]({page.stem}/{name})\n\n{said}" for name, said in pictures.items()]
    parts += [f"The spec with all defaults filled in: [spec.yaml]({page.stem}/spec.yaml)."]
    page.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--notes", type=Path, default=None)
    parser.add_argument(
        "--also", type=Path, nargs="*", default=[], help="other runs, beside it; or of other seeds"
    )
    parser.add_argument("--no-pictures", default="", metavar="WHY", help="said in their place")
    asked = parser.parse_args()
    write_page(asked.run, asked.page, asked.notes, asked.also, asked.no_pictures)
