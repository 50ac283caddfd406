"""Augmentations of spectrograms: another voice through another microphone.

Shapes: B batch, T time, F frequencies or mel bands, K waves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from genzoo_rwae.components import augmentation, hookimpl
from genzoo_rwae.errors import OptionError

__all__ = ["voice_jitter"]

_WAVES = 4  # level, tilt and two bends


@augmentation("voice-jitter")
def voice_jitter(
    x_BT: Tensor,
    generator: torch.Generator | None,
    /,
    *,
    warp: NonNegativeFloat = 0.15,
    colour: NonNegativeFloat = 0.5,
) -> Tensor:
    """Frequencies stretched and coloured anew, one draw for a sequence, so that no voice is told.

    x'(t, f) = x(t, e^w f) + Σ_k c_k cos(π k f / F), k = 0 to 3, on logarithmic spectrograms
    [B, T, F]. How long somebody's vocal tract is and what the microphone adds can then not be told
    from z^m, what is said can. Frames of nothing but zeros, which are padding, stay as they are.

    Args:
        warp: w is uniform in [-warp, warp]; voices differ by about .15. Beyond the highest
            frequency that one is repeated.
        colour: standard deviation of every c, in those of the data.

    Raises:
        OptionError: frames are no vectors.

    Source: Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition",
        ICML 2013 workshop: there piecewise linear in Hz, here linear on whatever axis there is.
    """
    if x_BT.dim() != 3:
        raise OptionError(f"frames are {list(x_BT.shape[2:])}; voice-jitter wants vectors [F]")
    rows, _, bands = x_BT.shape
    device = "cpu" if generator is None else generator.device
    stretch_B = torch.exp(warp * (2 * torch.rand(rows, generator=generator, device=device) - 1))
    weight_BK = colour * torch.randn(rows, _WAVES, generator=generator, device=device)
    f_F = torch.arange(bands, device=device)
    place_BF = (stretch_B[:, None] * f_F).clamp_max(bands - 1)
    waves_KF = torch.cos(math.pi * torch.arange(_WAVES, device=device)[:, None] * f_F / bands)
    colour_BF = (weight_BK @ waves_KF).to(x_BT.device, x_BT.dtype)
    below_BF = place_BF.floor().clamp_max(bands - 1)
    share_B1F = (place_BF - below_BF).to(x_BT.device, x_BT.dtype)[:, None]
    low_B1F = below_BF.long().to(x_BT.device)[:, None]
    high_B1F = (low_B1F + 1).clamp_max(bands - 1)
    warped_BT = torch.lerp(
        x_BT.gather(2, low_B1F.expand_as(x_BT)),
        x_BT.gather(2, high_B1F.expand_as(x_BT)),
        share_B1F.expand_as(x_BT),
    )
    return torch.where((x_BT == 0).all(-1, keepdim=True), x_BT, warped_BT + colour_BF[:, None])


@hookimpl
def genzoo_augmentations() -> Iterator[object]:
    yield voice_jitter
