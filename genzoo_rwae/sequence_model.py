"""What every model of the zoo offers: encode, decode, reconstruct, sample, swap.

Shapes: B batch, T time, K decoded steps, D code width, ... the frame. Results are frozen
dataclasses; frames in them are float32, in [0, 1] for images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genzoo_rwae.codes import Codes, DiagonalGaussian, Draw, draw_mean, draw_sample
from genzoo_rwae.sequences import DataInfo

__all__ = ["Encoding", "Pass", "Reconstruction", "Samples", "SequenceModel", "Swap"]


@dataclass(frozen=True)
class Pass:
    """One pass of a batch through a model, as the objective sees it.

    Attributes:
        x_BT: what the model saw, float [B, T, ...].
        x_hat_BK: its reconstruction, of the steps that were decoded.
        steps_K: which steps these are: all of them, but where a model decodes some in training.
        lengths_B: true lengths.
        codes: static and dynamic codes with their priors.
    """

    x_BT: Tensor
    x_hat_BK: Tensor
    steps_K: Tensor
    lengths_B: Tensor
    codes: Codes


@dataclass(frozen=True)
class Encoding:
    """Posteriors of a batch: q(z^c | x) [B, D] and q(z^m_t | z^m_<t, x_t) [B, T, D].

    The dynamic posterior is that along its own means.
    """

    static: DiagonalGaussian
    dynamic: DiagonalGaussian


@dataclass(frozen=True)
class Reconstruction:
    """x̂ [B, T, ...] decoded from posterior means, and its mean squared error per value [B]."""

    x_hat_BT: Tensor
    mse_B: Tensor


@dataclass(frozen=True)
class Samples:
    """Unconditional samples [B, T, ...] and the codes that they were decoded from."""

    x_BT: Tensor
    static_BD: Tensor
    dynamic_BTD: Tensor


@dataclass(frozen=True)
class Swap:
    """Row i: the static code of sequence i of one batch with the dynamic codes of another's i."""

    x_BT: Tensor


class SequenceModel(nn.Module, ABC):
    """Base of all models.

    A model of one's own implements `infer`, `decode` and `sample_prior`.
    """

    info: DataInfo

    def __init__(self, info: DataInfo, /) -> None:
        super().__init__()
        self.info = info

    # -- what a model implements --------------------------------------------------------------

    @abstractmethod
    def infer(self, x_BT: Tensor, lengths_B: Tensor, draw: Draw) -> Codes:
        """Codes of a batch of floats [B, T, ...]."""

    @abstractmethod
    def decode(self, static_BD: Tensor, dynamic_BTD: Tensor) -> Tensor:
        """Frames [B, T, ...] from codes; in [0, 1] if the data are."""

    @abstractmethod
    def sample_prior(self, count: int, length: int, draw: Draw) -> tuple[Tensor, Tensor]:
        """Codes from the prior: static [B, D] and dynamic [B, T, D]; T may exceed the data's."""

    # -- what it gets for that ----------------------------------------------------------------

    def prepare(self, x_BT: Tensor) -> Tensor:
        """What a source gives, as floats on the model's device; uint8 becomes [0, 1].

        Raises:
            ValueError: frames of another shape than the model was built for.
        """
        if tuple(x_BT.shape[2:]) != tuple(self.info.frame_shape):
            raise ValueError(
                f"frames are {tuple(x_BT.shape[2:])} in an array {tuple(x_BT.shape)}; this model "
                f"was built for [B, T, {', '.join(map(str, self.info.frame_shape))}]"
            )
        device = next(self.parameters()).device
        is_bytes = x_BT.dtype == torch.uint8
        x_BT = x_BT.to(device, torch.float32)
        return x_BT / 255 if is_bytes else x_BT

    def forward(self, x_BT: Tensor, lengths_B: Tensor, generator: torch.Generator | None) -> Pass:
        """Infer and decode, as training does; draws come from `generator`."""
        x_BT = self.prepare(x_BT)
        codes = self.infer(x_BT, lengths_B, draw_sample(generator))
        steps_K = self.decoded_steps(x_BT.shape[1], generator)
        dynamic_BKD = codes.dynamic.sample.index_select(1, steps_K.to(x_BT.device))
        x_hat_BK = self.decode(codes.static.sample, dynamic_BKD).float()
        return Pass(x_BT, x_hat_BK, steps_K, lengths_B, codes)

    def decoded_steps(self, length: int, generator: torch.Generator | None) -> Tensor:
        """The steps of a batch that `forward` decodes; a model may do with some in training."""
        return torch.arange(length)

    @torch.no_grad()
    def encode(self, x_BT: Tensor, lengths_B: Tensor | None = None) -> Encoding:
        """Posteriors of a batch [B, T, ...] (uint8 or float), along the means."""
        codes = self.infer(self.prepare(x_BT), _lengths(x_BT, lengths_B), draw_mean)
        return Encoding(codes.static.posterior, codes.dynamic.posterior)

    @torch.no_grad()
    def reconstruct(self, x_BT: Tensor, lengths_B: Tensor | None = None) -> Reconstruction:
        """Decode posterior means; the error is over true steps only."""
        lengths_B = _lengths(x_BT, lengths_B)
        codes = self.encode(x_BT, lengths_B)
        x_hat_BT = self.decode(codes.static.mean, codes.dynamic.mean).float()
        error_BT = (x_hat_BT - self.prepare(x_BT)).square().flatten(2).mean(-1)
        steps_T = torch.arange(x_BT.shape[1], device=error_BT.device)
        mask_BT = steps_T < lengths_B.to(steps_T.device)[:, None]
        return Reconstruction(x_hat_BT, (error_BT * mask_BT).sum(1) / mask_BT.sum(1))

    @torch.no_grad()
    def sample(
        self, count: int, length: int | None = None, generator: torch.Generator | None = None
    ) -> Samples:
        """Unconditional samples, of any length (default: the data's).

        Raises:
            ValueError: count or length is below 1.
        """
        length = self.info.length if length is None else length
        if count < 1 or length < 1:
            raise ValueError(f"{count} samples of length {length}; wanted at least 1 of length 1")
        static_BD, dynamic_BTD = self.sample_prior(count, length, draw_sample(generator))
        return Samples(self.decode(static_BD, dynamic_BTD).float(), static_BD, dynamic_BTD)

    @torch.no_grad()
    def swap(
        self,
        static_BT: Tensor,
        dynamic_BT: Tensor,
        static_lengths_B: Tensor | None = None,
        dynamic_lengths_B: Tensor | None = None,
    ) -> Swap:
        """The static codes of one batch [B, T, ...] with the dynamic codes of another [B, T', ...].

        Args:
            static_BT: sequences whose static codes are taken.
            dynamic_BT: sequences whose dynamic codes are taken; the result is as long as these.
            static_lengths_B, dynamic_lengths_B: true lengths; without them all steps are true.

        Raises:
            ValueError: the batches differ in their number of sequences.
        """
        if len(static_BT) != len(dynamic_BT):
            raise ValueError(
                f"{len(static_BT)} sequences give static codes and {len(dynamic_BT)} give motion; "
                "a swap pairs them row by row, so it wants as many of each"
            )
        static = self.encode(static_BT, static_lengths_B).static.mean
        dynamic = self.encode(dynamic_BT, dynamic_lengths_B).dynamic.mean
        return Swap(self.decode(static, dynamic).float())


def _lengths(x_BT: Tensor, lengths_B: Tensor | None) -> Tensor:
    if lengths_B is not None:
        return lengths_B
    return torch.full((x_BT.shape[0],), x_BT.shape[1], dtype=torch.long)
