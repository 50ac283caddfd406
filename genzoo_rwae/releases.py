"""Runs whose weights come with a checkout: `zoo:NAME` wherever a run is taken.

They are run folders without checkpoints and pictures, read where they lie and never written to:
what is made of one goes to runs/zoo-NAME.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from genzoo_rwae.catalogue import zoo_specs
from genzoo_rwae.digests import Digest
from genzoo_rwae.errors import CheckpointError
from genzoo_rwae.files import write_atomic
from genzoo_rwae.paths import anchored
from genzoo_rwae.run_lock import locked

__all__ = ["find_run", "outputs_of", "own_copy", "release_name", "releases"]

_NAME = "releases"
_FOLDER = Path(__file__).parents[1] / _NAME  # of a checkout
_SPEC = "spec.yaml"  # what makes a folder a run's


def releases() -> dict[str, Path]:
    """The released runs, by name: those of the checkout that the package is in, or that one is in.

    There are none where the package was installed from a wheel and is used elsewhere.
    """
    folder = _FOLDER if _FOLDER.is_dir() else Path.cwd() / _NAME
    return {spec.parent.name: spec.parent for spec in sorted(folder.glob(f"*/{_SPEC}"))}


def release_name(run: Path) -> str:
    """The name of a released run, given as `zoo:NAME` or as its folder; empty of any other."""
    folder = anchored(find_run(run), Path.cwd())
    known = releases().items()
    return next((name for name, path in known if anchored(path, Path.cwd()) == folder), "")


def find_run(reference: str | Path) -> Path:
    """The folder of a run: a path as it is, or `zoo:NAME` for a released run.

    Raises:
        CheckpointError: no run of that name is released, or none is here.

    >>> find_run("runs/mine").as_posix()
    'runs/mine'
    """
    text = str(reference)
    if not text.startswith("zoo:"):
        return Path(reference)
    name, known = text.removeprefix("zoo:"), releases()
    if name in known:
        return known[name]
    trained = f"; `genzoo build zoo:{name}` trains it" if name in zoo_specs() else ""
    if not known:
        raise CheckpointError(
            f"{text}: released weights come with a checkout of the repository, and not with the "
            "installed package; go into a clone of it, or give the folder, as "
            f"genzoo-rwae/releases/NAME{trained}"
        )
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean 'zoo:{close[0]}'? " if close else ""
    raise CheckpointError(
        f"no released run is called '{name}'; {hint}known: {', '.join(known)}{trained}"
    )


def outputs_of(run: Path) -> Path:
    """Where what is made of a run goes: its folder; of a released run, runs/zoo-NAME."""
    name = release_name(run)
    return Path("runs") / f"zoo-{name}" if name else run


def own_copy(run: Path) -> Path:
    """A run that may be written to: its folder; of a released run, a copy in runs/zoo-NAME.

    Raises:
        CheckpointError: no such run is released, something else is in that place, or another
            process is writing there.
        RunError: it cannot be written.
    """
    copy = outputs_of(run)
    if not release_name(run):
        return copy
    folder = find_run(run)
    with locked(copy):
        if not (copy / _SPEC).is_file():
            # the spec last: a copy that was broken off is no run folder, and is made anew
            files = [path for path in folder.iterdir() if path.is_file()]
            for path in sorted(files, key=lambda path: path.name == _SPEC):
                write_atomic(copy / path.name, path.read_bytes())
    weights = "model.safetensors"
    is_there = (copy / weights).is_file()
    if not (is_there and Digest.of_file(folder / weights).fits(copy / weights)):
        raise CheckpointError(
            f"{copy} is no copy of {run}: its {weights} is {'another' if is_there else 'not there'}"
            "; move it away, and the same command makes a copy"
        )
    return copy
