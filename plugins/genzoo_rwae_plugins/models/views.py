"""What the heads get to see: frames in another order, movement alone, and what is missing.

Shapes: B batch, T time, K kept steps, H features, ... the frame, whose first axis is C.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genzoo_rwae.draws import uniform_draws
from genzoo_rwae.padding import mean_of_steps, true_steps

__all__ = ["frames_seen", "movement", "with_presence"]


def with_presence(x_BT: Tensor) -> Tensor:
    """Values, 0 where they are missing, and beside them (on axis C) 1 where they are there."""
    there_BT = (~x_BT.isnan()).to(x_BT.dtype)
    return torch.cat([x_BT.nan_to_num(0.0), there_BT], dim=2)


def frames_seen(
    frames: str, keep: int, x_BT: Tensor, lengths_B: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """True frames in another order, or fewer of them, and how many they are.

    Args:
        frames: `all`, `shuffled`, `subset` or `one`.
        keep: most frames of a subset.
        x_BT: [B, T, ...].
        lengths_B: true lengths; padding stays behind.
        generator: of the order.

    Raises:
        ValueError: another word.
    """
    if frames == "all":
        return x_BT, lengths_B
    length = x_BT.shape[1]
    most = {"shuffled": length, "subset": min(keep, length), "one": 1}.get(frames)
    if most is None:
        raise ValueError(f"frames = {frames!r}; wanted all, shuffled, subset or one")
    drawn_BT = uniform_draws(x_BT.shape[:2], generator)
    drawn_BT[~true_steps(length, lengths_B, drawn_BT.device)] = 2.0  # padding last
    order_BK = drawn_BT.argsort(dim=1)[:, :most].to(x_BT.device)
    rows_B1 = torch.arange(len(x_BT), device=x_BT.device)[:, None]
    return x_BT[rows_B1, order_BK], lengths_B.clamp_max(most)


def movement(features: str, h_BTH: Tensor, lengths_B: Tensor) -> Tensor:
    """Features as they are, their differences in time, or without their mean over true steps.

    Args:
        features: `all`, `differences` (0 at the first step) or `mean-free`.
        h_BTH: [B, T, H].
        lengths_B: true lengths.

    Raises:
        ValueError: another word.
    """
    if features == "all":
        return h_BTH
    if features == "differences":
        return torch.cat([torch.zeros_like(h_BTH[:, :1]), h_BTH.diff(dim=1)], dim=1)
    if features != "mean-free":
        raise ValueError(f"features = {features!r}; wanted all, differences or mean-free")
    return h_BTH - mean_of_steps(h_BTH, lengths_B)[:, None]
