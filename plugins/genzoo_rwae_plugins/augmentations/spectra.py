"""Augmentations of spectra: another voice, or another room, saying the same.

Shapes: B batch, T time, F bands from low to high, K knots along the bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from genzoo_rwae.components import augmentation, hookimpl
from genzoo_rwae_plugins.augmentations.draws import check_vectors, uniform

__all__ = ["filter_augment", "vtlp"]


@augmentation("vtlp")
def vtlp(
    x_BT: Tensor,
    generator: torch.Generator | None,
    /,
    *,
    most: Annotated[float, Field(gt=0, lt=1)] = 0.2,
) -> Tensor:
    """Frequencies stretched by a random factor, the same of all steps: another length of throat.

    Vectors [B, T, F] to others. Band f becomes what was at α f, between bands in straight lines
    and beyond the last one as that is, with α uniform in [1 - most, 1 + most] for every sequence.
    A missing value takes along those that it has part in; padding stays zero.

    Args:
        most: how far α is from 1 at most.

    Raises:
        OptionError: frames are no vectors.

    Source: Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition",
        ICML workshop on deep learning for audio, speech and language, 2013: there filter banks are
        warped, in two straight pieces, with α in [0.9, 1.1].
    """
    check_vectors("vtlp", x_BT)
    B, _, F = x_BT.shape
    alpha_B1 = 1 + most * (2 * uniform(x_BT, generator, B, 1) - 1)
    place_BF = (alpha_B1 * torch.arange(F, device=x_BT.device)).clamp_max(F - 1)
    below_BF = place_BF.long()
    above_BF = (below_BF + 1).clamp_max(F - 1)
    at_below_BT, at_above_BT = (
        x_BT.gather(2, f_BF[:, None].expand_as(x_BT)) for f_BF in (below_BF, above_BF)
    )
    return torch.lerp(at_below_BT, at_above_BT, (place_BF - below_BF)[:, None].to(x_BT.dtype))


@augmentation("filter-augment")
def filter_augment(
    x_BT: Tensor,
    generator: torch.Generator | None,
    /,
    *,
    knots: Annotated[int, Field(ge=2)] = 6,
    most: Annotated[float, Field(gt=0)] = 1.5,
) -> Tensor:
    """A random line over frequency added to every step: another room or microphone, of log spectra.

    Vectors [B, T, F] to others. The line has knots at equal distances, the first and the last band
    among them, each uniform in [-most, most]. Missing values stay missing, and frames of nothing
    but zeros, which are padding, stay as they are.

    Args:
        knots: number of knots, at least the two ends.
        most: largest gain, in the unit of the values; of bands scaled to sd 1, in sd.

    Raises:
        OptionError: frames are no vectors.

    Source: Nam et al., FilterAugment, arXiv 2110.03282, the linear type: there the knots are drawn
        as well.
    """
    check_vectors("filter-augment", x_BT)
    B, _, F = x_BT.shape
    gains_B1K = most * (2 * uniform(x_BT, generator, B, 1, knots) - 1)
    line_B1F = interpolate(gains_B1K, size=F, mode="linear", align_corners=True)
    shown_BT1 = (x_BT.nan_to_num(0.0) != 0).any(-1, keepdim=True)
    return torch.where(shown_BT1, x_BT + line_B1F, x_BT)


@hookimpl
def genzoo_augmentations() -> Iterator[object]:
    yield vtlp
    yield filter_augment
