"""Small grey pictures that move over a black canvas.

Shapes: B batch, K pictures on one canvas, T time, N pictures, P a picture's side, S the canvas'.
"""

from __future__ import annotations

import numpy as np

__all__ = ["bounce", "enlarge", "paste"]


def enlarge(pictures_NPP: np.ndarray, side: int) -> np.ndarray:
    """Pictures enlarged bilinearly.

    Sample centres are aligned at half pixels and the edges repeated, as Pillow and
    `align_corners=False` do.

    Args:
        pictures_NPP: [..., P, P] grey levels in 0..255, of any real type.
        side: the new side, at least P.

    Returns:
        [..., side, side] uint8, rounded to nearest.
    """
    old = pictures_NPP.shape[-1]
    place = np.clip((np.arange(side) + 0.5) * old / side - 0.5, 0, old - 1)
    low = np.minimum(place.astype(np.int64), max(old - 2, 0))
    weights = np.zeros((side, old), dtype=np.float32)
    weights[np.arange(side), low] = 1 - (place - low)
    if old > 1:
        weights[np.arange(side), low + 1] = place - low
    enlarged = weights @ pictures_NPP.astype(np.float32) @ weights.T
    result: np.ndarray = np.rint(enlarged).astype(np.uint8)
    return result


def bounce(start: np.ndarray, velocity: np.ndarray, *, steps: int, span: float) -> np.ndarray:
    """Places of points that move at constant speed between two walls, by reflection.

    p_t = |(s + v t + span) mod (2 span) - span|, the triangle wave through s with slope v.

    Args:
        start: [...] in [0, span].
        velocity: [...] pixels per step.
        steps: T.
        span: distance of the walls; 0 leaves no room to move.

    Returns:
        [..., T] float64 in [0, span].
    """
    place = start[..., None] + velocity[..., None] * np.arange(steps)
    if span == 0:
        return np.zeros_like(place)
    reflected: np.ndarray = np.abs((place + span) % (2 * span) - span)
    return reflected


def paste(
    pictures_BKPP: np.ndarray, rows_BKT: np.ndarray, columns_BKT: np.ndarray, *, side: int
) -> np.ndarray:
    """Clips of pictures on a black canvas; where they overlap, the clipped sum.

    Args:
        pictures_BKPP: [B, K, P, P] uint8.
        rows_BKT: [B, K, T] integers in [0, side - P], the upper edge.
        columns_BKT: [B, K, T] integers in [0, side - P], the left edge.
        side: of the canvas, at least P.

    Returns:
        [B, T, side, side] uint8.
    """
    batch, count, height, width = pictures_BKPP.shape
    steps = rows_BKT.shape[-1]
    canvas = np.zeros((batch, steps, side, side), dtype=np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(
        canvas, (height, width), axis=(2, 3), writeable=True
    )
    b_B1, t_T = np.arange(batch)[:, None], np.arange(steps)
    for k in range(count):
        where = (b_B1, t_T, rows_BKT[:, k], columns_BKT[:, k])
        below_BTPP = windows[where]
        above_BTPP = pictures_BKPP[:, k, None]
        windows[where] = below_BTPP + np.minimum(above_BTPP, 255 - below_BTPP)
    return canvas
