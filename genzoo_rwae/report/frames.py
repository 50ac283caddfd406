"""Clips as pixels: how the frames of one picture are chosen, scaled and drawn alike.

Shapes: B clips, T time, C H W a frame of an image, F a frame that is a vector, J A one of joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from einops import rearrange, repeat
from matplotlib.figure import Figure
from PIL import Image as PillowImage
from PIL.Image import Image

from genzoo_rwae.report.paper import DOTS, PAPER, as_pixels, inks
from genzoo_rwae.report.stick_figures import Stage, stage_for

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from genzoo_rwae.sequences import Display

__all__ = ["PAPER", "Clips", "Film", "draws_lines", "film_for", "pixels", "to_array"]

Clips: TypeAlias = "NDArray[Any] | Tensor"

_NOT_FINITE = (255, 0, 255)  # a colour that no reader takes for a part of the picture
_SMALLEST, _LARGEST = 48, 128  # pixels: the sides of a frame that reads well in a grid
_MOST_LINES = 12  # more features than this are drawn as a heat map
_FIGURE = 88  # pixels: the sides of a frame with a stick figure, where there is room
_ROW_SIZE, _CELL_SIZE = (720, 84), (150, 66)  # a vector clip across a page, or in a grid's cell


def to_array(x: Clips) -> NDArray[Any]:
    """A numpy array of what may be a tensor on any device."""
    if isinstance(x, np.ndarray):
        return x
    x = x.detach().cpu()
    return np.asarray((x.float() if x.is_floating_point() else x).numpy())


def pixels(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Frames as RGB bytes; values that are not finite turn magenta.

    Args:
        frames: [..., C, H, W] with C 1 or 3, uint8, or float in [0, 1] (clipped).

    Returns:
        [..., H, W, 3].

    Raises:
        ValueError: another number of channels, or another dtype.
    """
    if frames.ndim < 3 or frames.shape[-3] not in (1, 3):
        raise ValueError(f"got frames of shape {frames.shape}, wanted [..., C, H, W], C 1 or 3")
    if frames.dtype == np.uint8:
        byte = frames
        lost = None
    elif np.issubdtype(frames.dtype, np.floating):
        finite = np.isfinite(frames)
        byte = (np.where(finite, frames, 0).clip(0, 1) * 255).round().astype(np.uint8)
        lost = ~finite.all(axis=-3)
    else:
        raise ValueError(f"got frames of {frames.dtype}, wanted uint8 or floats in [0, 1]")
    rgb = np.array(rearrange(np.broadcast_to(byte, _rgb_shape(byte)), "... c h w -> ... h w c"))
    if lost is not None:
        rgb[lost] = _NOT_FINITE
    return rgb


@dataclass(frozen=True)
class Film:
    """How all clips of one picture are drawn: the same steps, size and scale.

    Attributes:
        steps: the steps shown, counted from 0.
        image: True where every frame is a picture, of an image or a skeleton; False for vectors.
        zoom: integer factor that image frames are enlarged by.
        size: (width, height) of one image frame after the zoom, or of one vector clip.
        gap: pixels between the frames of a strip.
        limits: (lowest, highest) value of vectors; the axis of every clip, or its colours.
        display: how the data say that they are drawn.
        stage: where skeletons stand.
    """

    steps: tuple[int, ...]
    image: bool
    zoom: int
    size: tuple[int, int]
    gap: int
    limits: tuple[float, float]
    display: Display | None = None
    stage: Stage | None = None

    def frame(self, x_T: NDArray[Any], step: int, length: int | None = None) -> Image:
        """One frame of one clip; a vector clip is drawn whole whatever the step.

        Args:
            x_T: [T, C, H, W], [T, J, A] or [T, F].
            step: from 0.
            length: the true length; what lies beyond it is left blank.
        """
        if not self.image:
            return self.strip(x_T, length)
        if length is not None and step >= length:
            return PillowImage.new("RGB", self.size, PAPER)
        if self.stage:
            return self.stage.frame(x_T[step])
        rgb = pixels(x_T[step])
        large = repeat(rgb, "h w c -> (h i) (w j) c", i=self.zoom, j=self.zoom)
        return PillowImage.fromarray(large)

    def strip(self, x_T: NDArray[Any], length: int | None = None) -> Image:
        """The film's steps of one clip side by side, or a vector clip against time.

        Args:
            x_T: [T, C, H, W], [T, J, A] or [T, F].
            length: the true length; what lies beyond it is left blank.
        """
        if not self.image:
            heat = not draws_lines(x_T.shape[1:], self.display)
            return _vectors(x_T[:length], len(x_T), self.size, self.limits, heat=heat)
        width, height = self.size
        strip = PillowImage.new("RGB", (self.width, height), PAPER)
        for place, step in enumerate(self.steps):
            if length is None or step < length:
                strip.paste(self.frame(x_T, step), (place * (width + self.gap), 0))
        return strip

    @property
    def width(self) -> int:
        """Pixels across one strip."""
        if not self.image:
            return self.size[0]
        return len(self.steps) * (self.size[0] + self.gap) - self.gap


def draws_lines(frame_shape: Sequence[int], display: Display | None) -> bool:
    """Whether clips of such frames are lines against time: few values, and no spectrum."""
    form = display.form if display else "lines"
    return len(frame_shape) == 1 and form == "lines" and frame_shape[0] <= _MOST_LINES


def film_for(
    clips: Sequence[NDArray[Any]],
    *,
    most: int,
    across: int = 1,
    room: int = 1100,
    display: Display | None = None,
) -> Film:
    """Choose steps, zoom and scale so that a picture reads well.

    Args:
        clips: [B, T, C, H, W], [B, T, J, A] or [B, T, F] arrays that share one picture, with equal
            frames (the first tells their shape), and whatever else is to share their scale.
        most: how many steps a strip may show; a longer clip is thinned evenly, ends kept.
        across: strips beside each other.
        room: pixels that the picture should fit in.
        display: how the data say that they are drawn; None goes by their shape.

    Raises:
        ValueError: nothing to draw, or frames that are neither images, skeletons nor vectors.
    """
    first = clips[0]
    skeleton = first.ndim == 4 and first.shape[-1] in (2, 3)
    if not (skeleton or first.ndim in (3, 5)) or first.size == 0:
        raise ValueError(
            f"got clips of shape {first.shape}, wanted [B, T, C, H, W], [B, T, J, 2 or 3] or "
            "[B, T, F]"
        )
    image, time = first.ndim == 5, first.shape[1]
    count = min(time, most)
    steps = tuple(int(step) for step in np.linspace(0, time - 1, count).round())
    if skeleton:
        side = min(_FIGURE, max(_SMALLEST, room // (count * across) - 2))
        stage = stage_for(clips, display.bones if display else (), side)
        return Film(steps, True, 1, stage.size, 2, (0.0, 1.0), display, stage)
    if image:
        height, width = first.shape[-2:]
        side = max(height, width)
        fits = min(_LARGEST // side, room // (width * count * across))
        zoom = max(1, -(-_SMALLEST // side), fits)
        return Film(steps, True, zoom, (width * zoom, height * zoom), 2, (0.0, 1.0), display)
    values = np.concatenate([clip.ravel() for clip in clips]).astype(np.float64)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 1.0
    size = _ROW_SIZE if across == 1 else _CELL_SIZE
    return Film(steps, False, 1, size, 0, (low - margin, high + margin), display)


def _rgb_shape(byte: NDArray[np.uint8]) -> tuple[int, ...]:
    return (*byte.shape[:-3], 3, *byte.shape[-2:])


def _vectors(
    x_TF: NDArray[Any],
    time: int,
    size: tuple[int, int],
    limits: tuple[float, float],
    *,
    heat: bool,
) -> Image:
    """[T, F] against time: a line for each feature, or a heat map with the last feature on top."""
    figure = Figure(figsize=(size[0] / DOTS, size[1] / DOTS), dpi=DOTS)
    dot = 1 / size[0], 1 / size[1]  # room for the frame's line
    axes = figure.add_axes((dot[0], dot[1], 1 - 2 * dot[0], 1 - 2 * dot[1]))
    features = x_TF.shape[1]
    if heat:
        extent = (-0.5, len(x_TF) - 0.5, -0.5, features - 0.5)
        low, high = limits
        axes.imshow(x_TF.T, "magma", aspect="auto", origin="lower", vmin=low, vmax=high,
                    extent=extent)  # fmt: skip
        axes.set_ylim(-0.5, features - 0.5)
    else:
        # one step makes no line, nor does one between gaps
        mark = "." if len(x_TF) == 1 or np.isnan(x_TF).any() else None
        for x_T, ink in zip(x_TF.T, inks(features), strict=True):
            colour = tuple(part / 255 for part in ink)
            axes.plot(x_T, color=colour, linewidth=1.1, marker=mark, markersize=3)
        axes.set_ylim(*limits)
    axes.set_xlim(-0.5, time - 0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#c8c8c8")
    return as_pixels(figure)
