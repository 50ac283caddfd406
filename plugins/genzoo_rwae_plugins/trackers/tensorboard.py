"""TensorBoard: event files in the run folder."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from genzoo_rwae.components import hookimpl, tracker
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.trackers.rows import numbers_of

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from genzoo_rwae.training.trackers import Results

__all__ = ["TensorBoard"]


@tracker("tensorboard")
class TensorBoard:
    """Event files for TensorBoard, in the run folder's subfolder `tensorboard`.

    Losses and figures are scalars, PNGs images, wavs audio; GIFs are not told, which TensorBoard
    shows as videos and only with a package more. A run that goes on hides what an earlier session
    wrote of steps that are taken again.

    Args:
        flush: seconds after which events are on disk at the latest.

    Raises:
        OptionError: tensorboard is not installed.
    """

    def __init__(self, run: Path, /, *, flush: int = 30) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise OptionError(
                "the tracker 'tensorboard' needs pip install 'genzoo-rwae[tensorboard]'"
            ) from error
        self._make = SummaryWriter
        self._folder, self._flush = run / "tensorboard", flush
        self._writer: SummaryWriter | None = None

    def log(self, row: Mapping[str, Any]) -> None:
        """Write a row's numbers."""
        writer = self._opened(row["step"])
        for name, value in numbers_of(row).items():
            writer.add_scalar(name, value, row["step"])

    def show(self, results: Results) -> None:
        """Write what came out."""
        writer, step = self._opened(None), results.step
        for name, value in results.figures.items():
            writer.add_scalar(f"evaluation/{name}", value, step)
        for path in results.pictures.values():
            if path.suffix == ".png":
                pixels_HWC = np.asarray(Image.open(path).convert("RGB"))
                writer.add_image(f"pictures/{path.stem}", pixels_HWC, step, dataformats="HWC")
        for name, path in results.sounds.items():
            wave_N, rate = _read(path)
            writer.add_audio(f"sounds/{name}", torch.from_numpy(wave_N)[None], step, rate)

    def close(self) -> None:
        """Write what is left."""
        if self._writer:
            self._writer.close()

    def _opened(self, step: int | None) -> SummaryWriter:
        """The writer; made when there is a first step, so that later ones of before are hidden.

        None, of a run that took no step, hides nothing.
        """
        if self._writer is None:
            self._writer = self._make(str(self._folder), purge_step=step, flush_secs=self._flush)
        return self._writer


def _read(path: Path) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int]:
    """A wav file of 16 bits as floats in [-1, 1], and its rate."""
    with wave.open(str(path), "rb") as file:
        samples_N = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples_N.astype(np.float32) / np.float32(2**15), file.getframerate()


@hookimpl
def genzoo_trackers() -> Iterator[object]:
    yield TensorBoard
