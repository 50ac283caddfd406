"""Spectra against scipy, and back: what is exact, and how near an estimated phase comes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import torch
from genzoo_rwae_kernels.spectra import (
    Stft,
    griffin_lim,
    magnitude_of_mel,
    mel_bank,
    spectral_convergence,
    with_phase,
)

RATE = 8_000
PROTOCOL = Stft(320, 165, 400)
DENSE = Stft(256, 64, 256)


def tone(hertz: float, samples: int = RATE, dtype=torch.float64) -> torch.Tensor:
    return (0.5 * torch.sin(2 * math.pi * hertz * torch.arange(samples) / RATE)).to(dtype)


def syllables(samples: int = RATE) -> torch.Tensor:
    """A gliding, pulsing sum of harmonics with some noise: as hard as a voice."""
    time = torch.arange(samples, dtype=torch.float64) / RATE
    pitch = 120 + 30 * torch.sin(2 * math.pi * 1.5 * time)
    phase = 2 * math.pi * pitch.cumsum(0) / RATE
    voice = sum(torch.sin(k * phase) / k for k in range(1, 20))
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 0.1 * (voice * (1 + torch.sin(2 * math.pi * 4 * time)) + 0.05 * noise)


def test_two_hundred_milliseconds_have_twenty_steps_of_201_frequencies() -> None:
    assert PROTOCOL(torch.zeros(2, 3, 3_200)).shape == (2, 3, 20, 201)
    assert PROTOCOL.steps(3_200) == 20


@pytest.mark.parametrize("stft", [PROTOCOL, DENSE])
def test_transform_is_scipys(stft: Stft) -> None:
    wave = syllables(3_000)
    theirs = scipy.signal.ShortTimeFFT(
        np.pad(scipy.signal.get_window("hann", stft.window), (stft.n_fft - stft.window) // 2),
        stft.hop, RATE, mfft=stft.n_fft,
    )  # fmt: skip
    # scipy counts phase from a window's first sample where ours has it in the middle: magnitudes
    first = -theirs.p_min
    wanted = np.abs(theirs.stft(wave.numpy())).T[first : first + stft.steps(3_000)]
    assert stft(wave).abs().numpy() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("stft", [PROTOCOL, DENSE, Stft(400, 160, 512), Stft(7, 3, 8)])
@pytest.mark.parametrize("samples", [3_200, 3_299, 1, 165])
def test_a_wave_comes_back_from_its_spectra(stft: Stft, samples: int) -> None:
    wave = torch.randn(2, samples, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spectra = stft(wave)
    assert spectra.shape[-2] == stft.steps(samples)
    back = stft.inverse(spectra, samples)
    assert back.shape == wave.shape
    reached = (stft.steps(samples) - 1) * stft.hop + int(0.4 * stft.window)  # beyond: no window
    assert (back - wave)[:, :reached].abs().max() < 1e-12
    assert (back - wave).abs().max() <= wave.abs().max()


def test_inverse_is_torchs_where_torch_has_one() -> None:
    spectra = torch.randn(
        50, DENSE.frequencies, dtype=torch.complex128, generator=torch.Generator().manual_seed(2)
    )  # of no wave
    samples = 49 * DENSE.hop
    window = torch.hann_window(DENSE.window, dtype=torch.float64)
    wanted = torch.istft(spectra.T, DENSE.n_fft, DENSE.hop, DENSE.window, window, length=samples)
    torch.testing.assert_close(DENSE.inverse(spectra, samples), wanted)


def test_inverse_is_the_nearest_wave() -> None:
    spectra = torch.randn(
        9, DENSE.frequencies, dtype=torch.complex128, generator=torch.Generator().manual_seed(3)
    )
    samples = 8 * DENSE.hop
    wave = DENSE.inverse(spectra, samples).requires_grad_()
    # Parseval: F one-sided frequencies, of which the inner ones count twice
    twice = torch.full((DENSE.frequencies,), 2.0, dtype=torch.float64)
    twice[[0, -1]] = 1.0
    start = spectra.clone()
    start[:, [0, -1]] = start[:, [0, -1]].real.to(spectra.dtype)  # no wave has another part there
    distance = ((DENSE(wave) - start).abs().square() * twice).sum()
    (gradient,) = torch.autograd.grad(distance, wave)
    assert gradient.abs().max() < 1e-9 * distance.item()


def test_kept_phase_gives_the_wave_back_from_its_magnitudes() -> None:
    wave = syllables()
    spectra = DENSE(wave)
    back = DENSE.inverse(with_phase(spectra.abs(), spectra), len(wave))
    assert (back - wave).abs().max() < 1e-9


def test_griffin_lim_converges_and_momentum_goes_further() -> None:
    magnitude = DENSE(syllables()).abs()
    ends = {}
    for momentum in (0.0, 0.99):
        errors = [
            float(spectral_convergence(magnitude, griffin_lim(
                magnitude, DENSE, RATE, iterations=n, momentum=momentum), DENSE))
            for n in (1, 5, 20, 60)
        ]  # fmt: skip
        assert errors == sorted(errors, reverse=True)
        ends[momentum] = errors[-1]
    assert ends[0.99] < 0.7 * ends[0.0]
    assert ends[0.99] < 0.1


def test_griffin_lim_of_a_sine_keeps_its_frequency_and_size() -> None:
    for hertz in (440.0, 1234.5):
        magnitude = DENSE(tone(hertz)).abs().float()
        wave = griffin_lim(magnitude, DENSE, RATE)
        assert wave.dtype == torch.float32
        spectrum = torch.fft.rfft(wave * torch.hann_window(RATE)).abs()
        assert int(spectrum.argmax()) == pytest.approx(hertz, abs=8)  # a quarter of a bin
        middle = wave[RATE // 4 : -RATE // 4]
        assert float(middle.square().mean().sqrt()) == pytest.approx(0.5 / math.sqrt(2), rel=0.05)


def test_griffin_lim_wants_as_many_samples_as_there_are_steps_for() -> None:
    with pytest.raises(ValueError, match="got 20 steps for 3500 samples, which have 22"):
        griffin_lim(torch.zeros(20, 201), PROTOCOL, 3_500)
    assert griffin_lim(torch.zeros(2, 20, 201), PROTOCOL, 3_200).abs().max() == 0


def test_no_wave_has_a_larger_magnitude_than_the_largest() -> None:
    assert PROTOCOL(torch.ones(3_200)).abs().max() == pytest.approx(PROTOCOL.largest, rel=1e-5)


@pytest.mark.parametrize(("window", "hop", "n_fft"), [(400, 100, 320), (320, 321, 400), (1, 1, 4)])
def test_windows_that_leave_gaps_are_refused(window: int, hop: int, n_fft: int) -> None:
    with pytest.raises(ValueError, match="wanted 2 <= window <= n_fft"):
        Stft(window, hop, n_fft)


def test_an_odd_transform_is_refused() -> None:
    with pytest.raises(ValueError, match="got n_fft 401; wanted an even number"):
        Stft(320, 165, 401)


def test_mel_bands_are_triangles_evenly_spaced_in_mel() -> None:
    bank = mel_bank(4_001, 20, RATE).double()  # 1 Hz a frequency
    peaks = bank.argmax(0).double()
    mel = 2595 * torch.log10(1 + peaks / 700)
    step = 2595 * math.log10(1 + 4_000 / 700) / 21
    torch.testing.assert_close(mel, step * torch.arange(1, 21, dtype=torch.float64), atol=2, rtol=0)
    assert bank.amax(0) == pytest.approx(np.ones(20), abs=0.02)
    inside = bank[int(peaks[0]) + 1 : int(peaks[-1])]  # between neighbours the shares sum to 1
    assert inside.sum(1) == pytest.approx(np.ones(len(inside)), abs=1e-5)


def test_more_bands_than_frequencies_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of 100 mel bands hold none of 129 frequencies"):
        mel_bank(129, 100, RATE)


def test_magnitudes_of_mel_bands_have_these_bands_and_none_is_negative() -> None:
    bank = mel_bank(129, 40, RATE)
    magnitude = DENSE(syllables()).abs().float()
    mel = magnitude @ bank
    found = magnitude_of_mel(mel, bank)
    assert found.min() >= 0
    assert (found @ bank - mel).norm() / mel.norm() < 0.05
    assert (found - magnitude).norm() / magnitude.norm() < 0.4
