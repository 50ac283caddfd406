"""Spectra of sound and back: short-time Fourier transform, mel bands, Griffin-Lim.

Shapes: ... any leading dimensions, N samples, T steps, F frequencies (n_fft // 2 + 1), K mel bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import fold, pad

__all__ = [
    "Stft",
    "griffin_lim",
    "magnitude_of_mel",
    "mel_bank",
    "spectral_convergence",
    "with_phase",
]

# share of the windows' overlap at its largest, below which dividing by it would blow up noise
_LEAST_OVERLAP = 1e-3


@dataclass(frozen=True)
class Stft:
    """Short-time Fourier transform with a Hann window, its steps centred on every `hop`-th sample.

    Silence is taken to surround the wave, so that N samples have 1 + N // hop steps.

    Attributes:
        window: samples of the (periodic) Hann window, at least 2.
        hop: samples from one step to the next, at most `window`.
        n_fft: samples of a transform, at least `window`, which stands in their middle; even, or
            there would be a step less.

    >>> Stft(320, 165, 400)(torch.zeros(3200)).shape
    torch.Size([20, 201])
    """

    window: int
    hop: int
    n_fft: int

    def __post_init__(self) -> None:
        if not 2 <= self.window <= self.n_fft or not 1 <= self.hop <= self.window:
            raise ValueError(
                f"got window {self.window}, hop {self.hop}, n_fft {self.n_fft}; wanted "
                "2 <= window <= n_fft and 1 <= hop <= window"
            )
        if self.n_fft % 2:
            raise ValueError(f"got n_fft {self.n_fft}; wanted an even number")

    def steps(self, samples: int) -> int:
        """T of N samples."""
        return 1 + samples // self.hop

    @property
    def frequencies(self) -> int:
        """F, from 0 to half the rate."""
        return self.n_fft // 2 + 1

    @property
    def largest(self) -> float:
        """The largest magnitude that a wave in [-1, 1] can have."""
        return self.window / 2  # the sum of the window

    def __call__(self, wave_N: Tensor, /) -> Tensor:
        """Complex spectra [..., T, F] of waves [..., N]."""
        flat = wave_N.reshape(-1, wave_N.shape[-1])
        window = torch.hann_window(self.window, dtype=wave_N.dtype, device=wave_N.device)
        spectrum = torch.stft(
            flat, self.n_fft, self.hop, self.window, window,
            center=True, pad_mode="constant", return_complex=True,
        )  # fmt: skip
        return spectrum.transpose(-1, -2).reshape(*wave_N.shape[:-1], -1, self.frequencies)

    def inverse(self, spectrum_TF: Tensor, /, samples: int) -> Tensor:
        """The wave whose transform is nearest to spectra [..., T, F]: [..., N].

        The windowed inverse transforms, overlapped and divided by the overlap of squared windows.
        Samples that (nearly) no window covers fade to 0.

        Args:
            spectrum_TF: complex; of any wave or of none.
            samples: N.

        Source: Griffin and Lim 1984, Eq. (6).
        """
        lead, (steps, _) = spectrum_TF.shape[:-2], spectrum_TF.shape[-2:]
        frames = torch.fft.irfft(spectrum_TF.reshape(-1, *spectrum_TF.shape[-2:]), self.n_fft)
        window = torch.hann_window(self.window, dtype=frames.dtype, device=frames.device)
        left = (self.n_fft - self.window) // 2
        window = pad(window, (left, self.n_fft - self.window - left))
        overlap = self._overlapped(window.square().expand(1, steps, -1))
        wave = self._overlapped(frames * window) / overlap.clamp_min(
            _LEAST_OVERLAP * float(overlap.max())
        )
        middle = self.n_fft // 2
        wave = pad(wave[:, middle : middle + samples], (0, samples))[:, :samples]
        return wave.reshape(*lead, samples)

    def _overlapped(self, frames_BTN: Tensor) -> Tensor:
        length = self.n_fft + (frames_BTN.shape[1] - 1) * self.hop
        summed = fold(
            frames_BTN.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop)
        )
        return summed.reshape(len(frames_BTN), length)


def with_phase(magnitude_TF: Tensor, like_TF: Tensor, /) -> Tensor:
    """Complex spectra of the given magnitudes and the phase of other spectra (0 where these are 0).

    Args:
        magnitude_TF: [..., T, F], at least 0.
        like_TF: [..., T, F], complex.

    Example:
        >>> with_phase(torch.tensor([[2.0, 3.0]]), torch.tensor([[5.0 + 0j, 0.0]]))
        tensor([[2.+0.j, 3.+0.j]])
    """
    return torch.polar(magnitude_TF, like_TF.angle())


def spectral_convergence(magnitude_TF: Tensor, wave_N: Tensor, stft: Stft, /) -> Tensor:
    """How far the magnitudes of a wave are from those wanted, as a share: 0 is a perfect wave.

    ‖|STFT(wave)| − magnitude‖ / ‖magnitude‖

    Args:
        magnitude_TF: [..., T, F], not all 0.
        wave_N: [..., N].
        stft: the transform.

    Returns:
        [...].

    Example:
        >>> stft, wave = Stft(8, 4, 8), torch.linspace(-1, 1, 32).sin()
        >>> magnitude = stft(wave).abs()
        >>> [float(spectral_convergence(magnitude, k * wave, stft)) for k in (1, 2)]
        [0.0, 1.0]
    """
    norm = torch.linalg.matrix_norm
    share: Tensor = norm(stft(wave_N).abs() - magnitude_TF) / norm(magnitude_TF)
    return share


def griffin_lim(
    magnitude_TF: Tensor,
    stft: Stft,
    /,
    samples: int,
    *,
    iterations: int = 60,
    momentum: float = 0.99,
) -> Tensor:
    """A wave [..., N] whose spectra have about the given magnitudes: their phase is estimated.

    From phase 0, in turn the nearest spectra of a wave and the nearest with these magnitudes.

    Args:
        magnitude_TF: [..., T, F], at least 0.
        stft: the transform that they are of.
        samples: N; `stft.steps(N)` has to be T.
        iterations: how many rounds.
        momentum: how far each round goes on in the last one's direction, in [0, 1]; 0 is the
            algorithm of 1984, which is slower and ends further off.

    Raises:
        ValueError: the number of steps is not that of so many samples.

    Source: Griffin and Lim, "Signal estimation from modified short-time Fourier transform", IEEE
        TASSP 1984; momentum: Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm",
        WASPAA 2013.

    Example:
        >>> stft, wave = Stft(64, 16, 64), torch.linspace(0, 60, 512).sin()
        >>> magnitude = stft(wave).abs()
        >>> guess, first = (griffin_lim(magnitude, stft, 512, iterations=n) for n in (60, 0))
        >>> far = spectral_convergence(magnitude, first, stft)
        >>> bool(spectral_convergence(magnitude, guess, stft) < far / 2)
        True
    """
    if magnitude_TF.shape[-2] != stft.steps(samples):
        raise ValueError(
            f"got {magnitude_TF.shape[-2]} steps for {samples} samples, which have "
            f"{stft.steps(samples)}"
        )
    guess_TF = torch.complex(magnitude_TF, torch.zeros_like(magnitude_TF))
    last_TF = torch.zeros_like(guess_TF)
    for _ in range(iterations):
        found_TF = stft(stft.inverse(guess_TF, samples))
        guess_TF = with_phase(magnitude_TF, found_TF + momentum * (found_TF - last_TF))
        last_TF = found_TF
    return stft.inverse(guess_TF, samples)


def mel_bank(frequencies: int, bands: int, rate: int, /) -> Tensor:
    """Triangles of height 1, evenly spaced in mel from 0 to half the rate: [F, K] float32.

    mel(f) = 2595 log10(1 + f / 700), HTK's scale; a triangle rises from the middle of the band
    below it to its own, and falls to that of the band above.

    Args:
        frequencies: F, evenly spaced from 0 to half the rate.
        bands: K.
        rate: samples a second.

    Raises:
        ValueError: a band lies between two frequencies and would always be 0.

    Example:
        >>> mel_bank(201, 40, 16_000).shape
        torch.Size([201, 40])
    """
    top = _mel(torch.tensor(rate / 2, dtype=torch.float64))
    corners = 700 * (10 ** (torch.linspace(0, float(top), bands + 2).double() / 2595) - 1)
    f_F1 = torch.linspace(0, rate / 2, frequencies, dtype=torch.float64)[:, None]
    low_K, middle_K, high_K = corners[:-2], corners[1:-1], corners[2:]
    rise = (f_F1 - low_K) / (middle_K - low_K)
    fall = (high_K - f_F1) / (high_K - middle_K)
    bank_FK = torch.minimum(rise, fall).clamp_min(0).float()
    if bool((bank_FK.amax(0) == 0).any()):
        empty = int((bank_FK.amax(0) == 0).sum())
        raise ValueError(f"{empty} of {bands} mel bands hold none of {frequencies} frequencies")
    return bank_FK


def magnitude_of_mel(mel_TK: Tensor, bank_FK: Tensor, /) -> Tensor:
    """Magnitudes [..., T, F], none below 0, whose mel bands are about the given ones.

    max(0, mel B⁺), the pseudo-inverse without its negative values. What the bands do not tell,
    they do not tell: on speech it is as far from the true magnitudes as the best m ≥ 0 is.

    Args:
        mel_TK: [..., T, K], at least 0.
        bank_FK: B, [F, K].

    Example:
        >>> bank = mel_bank(65, 20, 8_000)
        >>> mel = torch.ones(3, 65) @ bank
        >>> torch.testing.assert_close(magnitude_of_mel(mel, bank) @ bank, mel, rtol=0.05, atol=0)
    """
    found_TF: Tensor = mel_TK @ torch.linalg.pinv(bank_FK)
    return found_TF.clamp_min(0)


def _mel(hertz: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + hertz / 700)
