"""The augmentation `voice-jitter`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.augmentations.voices import voice_jitter

from genzoo_rwae.errors import OptionError

B, T, F = 64, 5, 40


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectra(dtype=torch.float32) -> torch.Tensor:
    return torch.randn(B, T, F, generator=drawn(9)).to(dtype)


def test_without_warp_and_colour_nothing_changes():
    x = spectra()
    torch.testing.assert_close(voice_jitter(x, drawn(), warp=0, colour=0), x)


def test_a_peak_moves_by_one_factor_in_all_steps():
    f = torch.arange(F, dtype=torch.float32)
    x = torch.exp(-((f - 16) ** 2) / 8).expand(B, T, F)
    moved = voice_jitter(x, drawn(), warp=0.2, colour=0)
    peaks = moved.argmax(-1)
    assert (peaks == peaks[:, :1]).all()
    factor = 16 / peaks[:, 0]
    assert factor.min() > np.exp(-0.2) - 0.06
    assert factor.max() < np.exp(0.2) + 0.06
    assert len(set(peaks[:, 0].tolist())) >= 5
    assert moved.amax(-1) == pytest.approx(np.ones((B, T)), abs=0.1)


def test_a_colour_is_the_same_in_all_steps_smooth_and_of_its_size():
    x = spectra()
    added = voice_jitter(x, drawn(), warp=0, colour=0.5) - x
    torch.testing.assert_close(added, added[:, :1].expand_as(added), atol=1e-5, rtol=0)
    size = added[:, 0].square().mean().sqrt()
    assert size == pytest.approx(0.5 * np.sqrt(1 + 3 / 2), rel=0.15)  # a level and three cosines
    bends = torch.fft.rfft(torch.cat([added[:, 0], added[:, 0].flip(1)], 1)).abs().mean(0)
    assert bends[:4].min() > 10 * bends[5:].max()


def test_padding_stays_zero_and_every_sequence_has_its_own_draw():
    x = spectra()
    x[0] = x[1]
    x[:, 3:] = 0
    changed = voice_jitter(x, drawn())
    assert (changed[:, 3:] == 0).all()
    assert not torch.allclose(changed[0], changed[1])
    assert torch.equal(changed, voice_jitter(x, drawn()))
    assert not torch.equal(changed, voice_jitter(x, drawn(1)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_stays(dtype):
    assert voice_jitter(spectra(dtype), drawn()).dtype == dtype


def test_pictures_are_refused():
    with pytest.raises(OptionError, match="voice-jitter wants vectors"):
        voice_jitter(torch.zeros(1, 2, 3, 8, 8), None)
