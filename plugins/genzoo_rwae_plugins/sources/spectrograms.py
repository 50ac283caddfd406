"""Waves as what a model sees, and back.

Shapes: ... any leading dimensions, N samples, T steps, F frequencies, K values of a step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from genzoo_rwae_kernels.spectra import (
    Stft,
    griffin_lim,
    magnitude_of_mel,
    mel_bank,
    with_phase,
)
from torch import Tensor

from genzoo_rwae.errors import OptionError

__all__ = ["Representation", "Spectrogram", "spectrogram"]

Representation = Literal["magnitude", "log-magnitude", "log-mel"]
"""What of a spectrum S is seen: |S|, ln max(|S|, floor), or ln max(mel bands of |S|, floor)."""

_FLOOR = 1e-3  # below the noise of a quiet room; digital silence must not stand far off
_LEAST_SPREAD = 1e-4  # of a band that never changes, which is left at 0


@dataclass(frozen=True)
class Spectrogram:
    """Sound as steps of K values, each of mean 0 and sd 1 where the scale was fitted.

    Attributes:
        stft: the transform.
        rate: samples a second.
        representation: what of the spectra is shown.
        bank_FK: mel bands, of `log-mel`.
        mean_K, sd_K: what is taken off, and what it is divided by.
    """

    stft: Stft
    rate: int
    representation: Representation
    bank_FK: Tensor | None
    mean_K: Tensor
    sd_K: Tensor

    @property
    def width(self) -> int:
        """K."""
        return len(self.mean_K)

    def __call__(self, wave_N: Tensor, /) -> Tensor:
        """Waves [..., N] as [..., T, K]."""
        return (self._raw(wave_N) - self.mean_K) / self.sd_K

    def fitted(self, waves: Iterable[Tensor], /) -> Spectrogram:
        """The same, scaled so that these waves [N] have mean 0 and sd 1 in every value."""
        count = 0
        total_K = squares_K = torch.zeros(self.width, dtype=torch.float64)
        for wave_N in waves:
            raw_TK = self._raw(wave_N).double()
            count += len(raw_TK)
            total_K, squares_K = total_K + raw_TK.sum(0), squares_K + raw_TK.square().sum(0)
        if not count:
            return self
        mean_K = total_K / count
        sd_K = (squares_K / count - mean_K.square()).clamp_min(0).sqrt()
        still_K = sd_K < _LEAST_SPREAD
        return replace(self, mean_K=mean_K.float(), sd_K=torch.where(still_K, 1.0, sd_K).float())

    def magnitude(self, x_TK: Tensor, /) -> Tensor:
        """The inverse but for phase: [..., T, K] as magnitudes [..., T, F] that a wave can have."""
        raw_TK = x_TK * self.sd_K + self.mean_K
        if self.representation != "magnitude":
            raw_TK = raw_TK.clamp_max(40).exp()
            raw_TK = torch.where(raw_TK <= _FLOOR * 1.001, 0.0, raw_TK)
        found_TF = raw_TK if self.bank_FK is None else magnitude_of_mel(raw_TK, self.bank_FK)
        return found_TF.clamp(0, self.stft.largest)

    def wave(self, x_TK: Tensor, /, *, like_N: Tensor | None = None) -> Tensor:
        """Sound [N] in [-1, 1] of [T, K].

        Args:
            x_TK: real or made by a model.
            like_N: a wave of as many steps, whose phase is kept; else it is estimated, and N is
                T hop - 1, the most that have T steps.
        """
        magnitude_TF = self.magnitude(x_TK)
        if like_N is None:
            wave_N = griffin_lim(magnitude_TF, self.stft, len(x_TK) * self.stft.hop - 1)
        else:
            spectra_TF = with_phase(magnitude_TF, self.stft(like_N))
            wave_N = self.stft.inverse(spectra_TF, len(like_N))
        peak = float(wave_N.abs().amax()) if len(wave_N) else 0.0
        return wave_N / max(1.0, peak)  # not clipped: that would crackle

    def _raw(self, wave_N: Tensor) -> Tensor:
        shown_TK = self.stft(wave_N).abs()
        if self.bank_FK is not None:
            shown_TK = shown_TK @ self.bank_FK
        return shown_TK if self.representation == "magnitude" else shown_TK.clamp_min(_FLOOR).log()


def spectrogram(
    representation: Representation, rate: int, *, mels: int, window: int, hop: int, n_fft: int
) -> Spectrogram:
    """A representation that is not scaled yet.

    Raises:
        OptionError: a window beyond n_fft, a hop beyond the window, either below 2, an odd n_fft,
            or more mel bands than there are frequencies for.
    """
    for option, value, limit, most in (
        ("window", window, "n_fft", n_fft),
        ("hop", hop, "window", window),
    ):
        if not 2 <= value <= most:
            raise OptionError(
                f"found {value} samples, wanted 2 to {limit}, which is {most}", option=option
            )
    if n_fft % 2:
        raise OptionError(f"found {n_fft} samples, wanted an even number", option="n_fft")
    stft, bank_FK = Stft(window, hop, n_fft), None
    if representation == "log-mel":
        try:
            bank_FK = mel_bank(stft.frequencies, mels, rate)
        except ValueError as error:
            raise OptionError(f"{error}; wanted fewer, or a larger n_fft", option="mels") from error
    width = stft.frequencies if bank_FK is None else mels
    zero_K = torch.zeros(width)
    return Spectrogram(stft, rate, representation, bank_FK, zero_K, zero_K + 1)
