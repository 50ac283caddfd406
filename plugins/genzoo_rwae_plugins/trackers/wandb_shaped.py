"""Weights & Biases, and trackio, which has its shape: init, log, finish, Image, Video, Audio."""

from __future__ import annotations

import contextlib
import importlib
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from genzoo_rwae.components import hookimpl, tracker
from genzoo_rwae.errors import OptionError
from genzoo_rwae.files import write_atomic
from genzoo_rwae_plugins.trackers.rows import numbers_of

if TYPE_CHECKING:
    from types import ModuleType

    from genzoo_rwae.training.trackers import Results

__all__ = ["Trackio", "Wandb"]


class WandbShaped:
    """What both packages are told.

    Args:
        run: the run folder; its spec becomes the run's config.
        package: what is imported, and the extra that brings it.
        project: that the run belongs to.
        options: further arguments of the package's `init`.
    """

    def __init__(self, run: Path, package: str, project: str, **options: object) -> None:
        self._package = _imported(package)
        config = YAML(typ="safe", pure=True).load((run / "spec.yaml").read_text(encoding="utf-8"))
        with _off_stdout():
            self._run = self._package.init(
                project=project, config=config, resume="allow", **options
            )

    def log(self, row: Mapping[str, Any]) -> None:
        """Tell a row's numbers."""
        self._run.log(numbers_of(row), step=row["step"])

    def show(self, results: Results) -> None:
        """Tell what came out: figures, pictures, moving pictures, sounds."""
        shown: dict[str, object] = {
            f"evaluation/{name}": value for name, value in results.figures.items()
        }
        for path in results.pictures.values():
            # a still and a moving picture may share a stem
            if path.suffix == ".gif":
                shown[f"films/{path.stem}"] = self._package.Video(str(path), format="gif")
            else:
                shown[f"pictures/{path.stem}"] = self._package.Image(str(path))
        for name, path in results.sounds.items():
            shown[f"sounds/{name}"] = self._package.Audio(str(path))
        self._run.log(shown, step=results.step)

    def close(self) -> None:
        """Tell that the run has ended."""
        with _off_stdout():
            self._package.finish()  # a run's own leaves trackio to end it again, when Python ends


@tracker("wandb")
class Wandb(WandbShaped):
    """Weights & Biases: losses, figures, pictures and sounds of a run.

    The package's own environment variables say where they go and who is asked: WANDB_MODE=offline
    keeps all on this machine. A run that goes on goes on there too.

    Args:
        project: that the run belongs to.

    Raises:
        OptionError: wandb is not installed.
    """

    def __init__(self, run: Path, /, *, project: str = "genzoo-rwae") -> None:
        super().__init__(
            run, "wandb", project, name=run.resolve().name, id=_identity(run), dir=str(run),
            settings={"console": "off"},  # what a progress bar draws is nothing to keep
        )  # fmt: skip


@tracker("trackio")
class Trackio(WandbShaped):
    """trackio: losses, figures, pictures and sounds of a run, in a local database.

    TRACKIO_DIR says where it is, `trackio show` opens it. A run that goes on goes on there too.

    Args:
        project: that the run belongs to.

    Raises:
        OptionError: trackio is not installed.
    """

    def __init__(self, run: Path, /, *, project: str = "genzoo-rwae") -> None:
        # runs are told apart by their names alone
        super().__init__(run, "trackio", project, name=f"{run.resolve().name}-{_identity(run)}")


def _imported(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise OptionError(
            f"the tracker '{package}' needs pip install 'genzoo-rwae[{package}]'"
        ) from error


def _identity(run: Path) -> str:
    """What tells this run from others of its name: drawn once, kept in the run folder."""
    path = run / "tracked-as.txt"
    if not path.is_file():
        write_atomic(path, secrets.token_hex(4))
    return path.read_text(encoding="utf-8").strip()


def _off_stdout() -> contextlib.redirect_stdout[Any]:
    """Standard output is for results that programs read."""
    return contextlib.redirect_stdout(sys.stderr)


@hookimpl
def genzoo_trackers() -> Iterator[object]:
    yield Wandb
    yield Trackio
