"""Video files as frames: GIF through Pillow, everything else through PyAV.

Shapes: H W frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageSequence

from genzoo_rwae.errors import DataError
from genzoo_rwae_plugins.sources.clip_stores import natural_order
from genzoo_rwae_plugins.sources.kept_clips import Recording
from genzoo_rwae_plugins.sources.picture_files import MOST_PIXELS, fitted, opened_picture

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

__all__ = ["VIDEO_SUFFIXES", "video_frames", "video_recordings"]

VIDEO_SUFFIXES = (".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".webm")

_MOST_FRAMES = 100_000  # an hour at 25 a second has 90,000
# of all frames of a GIF, which draws a whole canvas for a frame of a few bytes: some minutes of VGA
_MOST_DRAWN = 4 * 10**9
# FFmpeg goes by a file's content, whatever its name: a play list would open further files
_SAFE = {"format_whitelist": "avi,matroska,mov", "protocol_whitelist": "file"}


def video_recordings(
    paths: list[Path], *, every: int, size: tuple[int, int] | None
) -> list[Recording]:
    """Video files in natural order, named by their stems.

    Args:
        paths: the files.
        every: keep every so many-th frame.
        size: (H, W) that frames are fitted to; None leaves them as they are.

    Raises:
        DataError: two files have one stem.
    """
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: natural_order(path.name)):
        if path.stem in found:
            raise DataError(
                f"{path}: found a clip '{path.stem}' again, wanted one file for each (the other "
                f"is {found[path.stem].name}); rename one"
            )
        found[path.stem] = path
    return [
        Recording(
            name,
            (path,),
            f"video, every {every}, size {size}",
            partial(video_frames, path, every=every, size=size),
        )
        for name, path in found.items()
    ]


def video_frames(
    path: Path, *, every: int = 1, size: tuple[int, int] | None = None
) -> Iterator[np.ndarray]:
    """The frames of a video, turned as its recorder says: [H, W, 3] uint8, one after the other.

    Args:
        path: the file.
        every: keep every so many-th frame.
        size: (H, W) that frames are fitted to; None leaves them as they are.

    Raises:
        DataError: no video, a damaged one, too many frames, or frames of too many pixels; or PyAV
            is not installed, which all but GIF need.
    """
    pictures = _of_gif if path.suffix.lower() == ".gif" else _of_video
    for picture in pictures(path, every):
        yield np.asarray(fitted(picture, size) if size else picture)


def _of_gif(path: Path, every: int) -> Iterator[Image.Image]:
    with opened_picture(path) as picture:
        frames = getattr(picture, "n_frames", 1)  # counted without being drawn
        pixels = frames * picture.width * picture.height
        if pixels > _MOST_DRAWN:
            raise DataError(
                f"{path}: found {frames:,} frames of {picture.width} x {picture.height} pixels, "
                f"wanted at most {_MOST_DRAWN:,} pixels in a GIF; cut it into pieces, or save it "
                "as a video"
            )
        for number, frame in enumerate(ImageSequence.Iterator(picture)):
            _check(path, number, frame.width, frame.height)
            if number % every == 0:
                yield frame.convert("RGB")


def _of_video(path: Path, every: int) -> Iterator[Image.Image]:
    try:
        import av
    except ImportError as error:
        raise DataError(
            f"{path}: videos other than GIF need PyAV, which is not installed; "
            "pip install 'genzoo-rwae[video]'"
        ) from error
    try:
        with av.open(str(path), options=_SAFE, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise DataError(f"{path}: found no moving picture in it; take the file away")
            codec = container.streams.video[0].codec_context
            if codec is None:
                raise DataError(
                    f"{path}: the video cannot be read: found a codec that FFmpeg does not know, "
                    "wanted another; save it again or take it away"
                )
            _check(path, 0, codec.width, codec.height)
            # nor is memory set aside for larger ones, wherever in the file they begin
            codec.options = {"max_pixels": str(MOST_PIXELS)}
            for number, frame in enumerate(container.decode(video=0)):
                _check(path, number, frame.width, frame.height)
                if frame.is_corrupt:
                    raise DataError(
                        f"{path}: frame {number} is damaged; save the video again or take it away"
                    )
                if number % every == 0:
                    # anticlockwise in degrees, as Pillow turns; how a phone was held
                    yield frame.to_image().rotate(frame.rotation, expand=True)
    except (av.FFmpegError, OSError) as error:
        raise DataError(
            f"{path}: the video cannot be read ({error}); wanted one of "
            f"{', '.join(VIDEO_SUFFIXES)}; save it again or take it away"
        ) from error


def _check(path: Path, number: int, width: int, height: int) -> None:
    if number >= _MOST_FRAMES:
        raise DataError(
            f"{path}: found more than {_MOST_FRAMES:,} frames, wanted a clip; cut it into pieces"
        )
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{path}: found frames of {width} x {height} pixels, wanted at most {MOST_PIXELS:,} "
            "pixels; scale the video down first"
        )
