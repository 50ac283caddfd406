"""Release the weights of a run: what `zoo:NAME` needs of a run folder, in releases/NAME.

    python benchmarks/release.py RUN --license cc-by-4.0

Kept are the spec, the weights of the end, the figures and the curves, with a card that says where
the data are from. Checkpoints, pictures and the report stay behind, and so does every path of this
machine: places that a spec gives its data and need not, folders in the command. Data that are to be
had under a licence of their own want the weights under the same (`--license`), and are named on the
card.
"""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import replace
from pathlib import Path

import genzoo_rwae as gz
from genzoo_rwae.components import options_of
from genzoo_rwae.digests import Digest
from genzoo_rwae.files import write_atomic
from genzoo_rwae.report.card import model_card
from genzoo_rwae.report.compose import card_of
from genzoo_rwae.run import open_splits
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.run_identity import identity_digest
from genzoo_rwae.spec import Spec, load_spec, render
from genzoo_rwae.zoo import BUILT_IN

RELEASES = Path(__file__).parents[1] / "releases"
MOST_BYTES = 10_000_000  # of all files: every checkout gets them
# a path from the root down; not the end of an address, a fraction or a word with a slash
MACHINE = re.compile(r"(?<![\w:/.~-])(?:~|/[\w.-]+)/[\w.-]+")


def release(source: Path, licence: str, releases: Path = RELEASES) -> Path:
    """Write the release of a run; the folder that it is in."""
    run = RunFolder.open(source)
    run.check(run.model, run.evaluation, run.metrics)
    spec = load_spec(run.spec)
    if foreign := {part.registered.plugin.name for part in spec.parts()} - {BUILT_IN}:
        raise SystemExit(f"{source} needs the plugins {', '.join(foreign)}, which a checkout lacks")
    released = without_places(spec)
    card = card_of(run, released, gz.load(source), open_splits(spec))
    card = replace(card, license=licence, place=f"zoo:{spec.name}")
    texts = {
        "spec.yaml": render(released, origins=False),
        "README.md": model_card(card),
        "evaluation.json": run.evaluation.read_text(encoding="utf-8"),
        "metrics.jsonl": run.metrics.read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        if found := MACHINE.search(text):
            raise SystemExit(f"{name} would tell of a path of this machine, {found[0]}")
    files = {name: text.encode() for name, text in texts.items()}
    files["model.safetensors"] = run.model.read_bytes()
    if (size := sum(map(len, files.values()))) > MOST_BYTES:
        raise SystemExit(f"{size:,} bytes; wanted {MOST_BYTES:,} or less: choose smaller nets")
    folder = releases / spec.name
    if folder.exists():
        raise SystemExit(f"{folder} is there already; take it away to release another run")
    noted = {folder / name: Digest.of(data) for name, data in files.items()}
    RunFolder(folder).digests.expect(noted, spec=identity_digest(released))
    for name, data in files.items():
        write_atomic(folder / name, data)
    RunFolder.open(folder).check_all()
    gz.load(folder)
    return folder


def without_places(spec: Spec) -> Spec:
    """A spec whose data are looked for where they are by default, and whose command has no path."""
    build = spec.data.registered.component.build
    defaults = {option.name: option.default for option in options_of(build)}
    options = {
        name: None if isinstance(value, Path) and defaults[name] is None else value
        for name, value in spec.data.options.items()
    }
    resolved = spec.resolved or {}
    command = shlex.join(map(without_folders, shlex.split(resolved.get("command", ""))))
    return replace(
        spec,
        data=replace(spec.data, options=options),
        resolved={**resolved, "command": command, "plugins": {}},
    )


def without_folders(word: str) -> str:
    """A word of a command line with the last part of each path alone, if it begins at the root.

    >>> without_folders("--output=/home/me/runs/a"), without_folders("runs/a")
    ('--output=a', 'runs/a')
    """
    option, equals, value = word.rpartition("=")
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--license", required=True, help="of the weights, as `apache-2.0`")
    arguments = parser.parse_args()
    print(release(arguments.run, arguments.license))
