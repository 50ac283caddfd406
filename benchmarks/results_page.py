"""Write a page under docs/results/ from a run folder: figures, pictures, command, seed, time.

    python benchmarks/results_page.py RUN docs/results/NAME.md --notes NOTES.md --also RUN2

Nothing on the page is typed by hand but the notes, which are copied below the figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import genzoo_rwae as gz
from genzoo_rwae.evaluation.measured_run import read_run
from genzoo_rwae.evaluation.tables import compare, markdown_table
from genzoo_rwae.spec import load_spec, render

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


def progress_table(rows: list[dict[str, Any]]) -> str:
    """Validation error over training time, as metrics.jsonl has it."""
    seconds = {row["step"]: row["seconds"] for row in rows if row["split"] == "train"}
    lines = ["| step | minutes | mean squared error, validation |", "|---|---|---|"]
    for row in rows:
        if row["split"] == "validation":
            at = max(step for step in seconds if step <= row["step"])
            lines.append(f"| {row['step']:,} | {seconds[at] / 60:.1f} | {row['mse']:.5f} |")
    return "\n".join(lines)


def terms_table(runs: list[Path]) -> str:
    """Cost and terms of the objective at the end, on validation sequences; a KL in nats."""
    last = {}
    for run in runs:
        rows = [row for row in history_of(run) if row["split"] == "validation"]
        if rows:
            last[run.name] = rows[-1]
    kept = ("step", "split", "loss")
    names = dict.fromkeys(n for row in last.values() for n in row if n not in kept)
    lines = [f"| term | {' | '.join(last)} |", f"|---|{'---|' * len(last)}"]
    for name in names:
        if not name.endswith(".weight"):
            cells = (f"{row[name]:.4g}" if name in row else "" for row in last.values())
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_page(run: Path, page: Path, notes: Path | None, also: list[Path]) -> None:
    spec = load_spec(run / "spec.yaml")
    resolved: dict[str, Any] = spec.resolved or {}
    model = gz.load(run)
    history = history_of(run)
    train = [row for row in history if row["split"] == "train"][-1]
    folder = page.parent / page.stem
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {n: said for n, said in PICTURES.items() if (run / "pictures" / n).is_file()}
    for name in pictures:
        shutil.copy(run / "pictures" / name, folder / name)
    (folder / "spec.yaml").write_text(render(spec, origins=False))
    versions = ", ".join(f"{name} {number}" for name, number in resolved["versions"].items())
    facts = {
        "command": f"`{resolved['command']}`",
        "seed": spec.train.seed,
        "price on information": ", ".join(
            f"{code} code {price}" for code, price in vars(spec.objective.information).items()
        ),
        "training": f"{train['step']:,} steps, {train['seconds'] / 60:.1f} minutes",
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "machine": resolved["machine"],
        "versions": versions,
        "data": model.info.licence,
    }
    parts = [
        f"# {spec.name}",
        spec.description,
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
        "## Figures",
        markdown_table(compare([read_run(place) for place in (run, *also)])),
    ]
    if notes:
        parts += ["## Reading them", notes.read_text().strip()]
    parts += ["## Terms at the end, on validation sequences", terms_table([run, *also])]
    parts += ["## Over training time", progress_table(history), "## Pictures"]
    parts += [f"![{said}]({page.stem}/{name})\n\n{said}" for name, said in pictures.items()]
    parts += [f"The spec with all defaults filled in: [spec.yaml]({page.stem}/spec.yaml)."]
    page.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--notes", type=Path, default=None)
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="other runs, beside it")
    arguments = parser.parse_args()
    write_page(arguments.run, arguments.page, arguments.notes, arguments.also)
