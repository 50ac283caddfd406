"""Augmentations of spectra and other vectors: bands in time and in frequency that are not shown.

Shapes: B batch, T time, F the frame, M masks, S places along the masked axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from genzoo_rwae.components import augmentation, hookimpl
from genzoo_rwae_plugins.augmentations.draws import check_vectors, uniform

__all__ = ["frequency_mask", "time_mask"]

Share = Annotated[float, Field(gt=0, le=1)]


@augmentation("time-mask")
def time_mask(
    x_BT: Tensor,
    generator: torch.Generator | None,
    /,
    *,
    masks: PositiveInt = 1,
    share: Share = 0.25,
) -> Tensor:
    """Some steps in a row of every sequence hidden: SpecAugment's time masks.

    Vectors [B, T, F] to others. Widths are uniform from 0 to `share` of the steps, rounded up, and
    so are places. What is hidden becomes the mean of the sequence's values. Missing values stay
    missing, and frames of nothing but zeros, which are padding, stay as they are.

    Args:
        masks: number of masks; they may overlap.
        share: widest mask, as a share of the steps.

    Raises:
        OptionError: frames are no vectors.

    Source: Park et al., SpecAugment, arXiv 1904.08779, Sec. 2: there 0 takes the place, of spectra
        whose mean is 0; widths are a number of steps there, with a bound p on their share.
    """
    check_vectors("time-mask", x_BT)
    hidden_BT = _hidden(x_BT, generator, x_BT.shape[1], masks, share)
    return _with_mean(x_BT, hidden_BT[:, :, None])


@augmentation("frequency-mask")
def frequency_mask(
    x_BT: Tensor,
    generator: torch.Generator | None,
    /,
    *,
    masks: PositiveInt = 1,
    share: Share = 0.25,
) -> Tensor:
    """Some entries in a row of every frame hidden, the same of all steps: SpecAugment's masks.

    Vectors [B, T, F] to others; as `time-mask`, along the other axis.

    Args:
        masks: number of masks; they may overlap.
        share: widest mask, as a share of the entries.

    Raises:
        OptionError: frames are no vectors.

    Source: Park et al., SpecAugment, arXiv 1904.08779, Sec. 2.
    """
    check_vectors("frequency-mask", x_BT)
    hidden_BF = _hidden(x_BT, generator, x_BT.shape[2], masks, share)
    return _with_mean(x_BT, hidden_BF[:, None, :])


def _hidden(
    x_BT: Tensor, generator: torch.Generator | None, size: int, masks: int, share: float
) -> Tensor:
    """Which places along an axis are hidden: [B, S]."""
    widest = math.ceil(share * size)
    width_BM = (uniform(x_BT, generator, len(x_BT), masks) * (widest + 1)).floor()
    start_BM = (uniform(x_BT, generator, len(x_BT), masks) * (size - width_BM + 1)).floor()
    places_S = torch.arange(size, device=x_BT.device)
    after_BMS = places_S >= start_BM[..., None]
    return (after_BMS & (places_S < (start_BM + width_BM)[..., None])).any(1)


def _with_mean(x_BTF: Tensor, hidden: Tensor) -> Tensor:
    there_BTF = ~x_BTF.isnan()
    shown_BT1 = (x_BTF.nan_to_num(0.0) != 0).any(-1, keepdim=True)
    counted_BTF = there_BTF & shown_BT1
    total_B = torch.where(counted_BTF, x_BTF, 0.0).sum((1, 2))
    mean_B = total_B / counted_BTF.sum((1, 2)).clamp_min(1)
    return torch.where(hidden & counted_BTF, mean_B[:, None, None], x_BTF)


@hookimpl
def genzoo_augmentations() -> Iterator[object]:
    yield time_mask
    yield frequency_mask
