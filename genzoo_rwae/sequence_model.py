"""What every model of the zoo offers: encode, decode, reconstruct, sample, swap.

Shapes: B batch, T time, K decoded steps, D code width, A number of actions, ... the frame. Results
are frozen dataclasses; frames in them are float32, in [0, 1] for images.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from genzoo_rwae.codes import (
    Categorical,
    Codes,
    DiagonalGaussian,
    Draw,
    DrawnCodes,
    Latents,
    draw_mean,
    draw_sample,
)
from genzoo_rwae.left_alone import changes, check_left_alone
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequences import DataInfo

__all__ = [
    "Encoding",
    "Pass",
    "Reconstruction",
    "Samples",
    "SequenceModel",
    "Swap",
    "squared_error",
]

SLACK = 0.5  # that images may go beyond [0, 1], with noise on them


@dataclass(frozen=True)
class Pass:
    """One pass of a batch through a model, as the objective sees it.

    Attributes:
        x_BT: what the model saw, float [B, T, ...]; NaN where a value is missing.
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

    The dynamic posterior is that along its own means. Models with actions have q(a | z^m) [B, A] as
    well, of those means.
    """

    static: DiagonalGaussian
    dynamic: DiagonalGaussian
    action: Categorical | None = None


@dataclass(frozen=True)
class Reconstruction:
    """x̂ [B, T, ...] decoded from posterior means, and its mean squared error per value [B].

    Values that are missing in x have their reconstruction too, and no part in the error.
    """

    x_hat_BT: Tensor
    mse_B: Tensor


@dataclass(frozen=True)
class Samples:
    """Samples [B, T, ...] and the codes that they were decoded from."""

    x_BT: Tensor
    latents: Latents


@dataclass(frozen=True)
class Swap:
    """Row i: the static code of sequence i of one batch with the dynamic codes of another's i."""

    x_BT: Tensor


class SequenceModel(nn.Module, ABC):
    """Base of all models.

    A model of one's own implements `infer`, `decode` and `sample_prior`, and `fit_priors` if its
    priors are to be ones that are fitted when training is over.
    """

    info: DataInfo
    actions: int = 0
    """A, the number of actions that the model tells apart; 0: it has none."""

    follows_progress: tuple[str, ...] = ()
    """Options that change what `forward` does as a run goes on, as `static.opens`."""

    def __init__(self, info: DataInfo, /) -> None:
        super().__init__()
        self.info = info

    # -- what a model implements --------------------------------------------------------------

    @abstractmethod
    def infer(self, x_BT: Tensor, lengths_B: Tensor, draw: Draw) -> Codes:
        """Codes of a batch of floats [B, T, ...], NaN where a value is missing."""

    @abstractmethod
    def decode(self, latents: Latents) -> Tensor:
        """Frames [B, T, ...] from codes; in [0, 1] if the data are."""

    @abstractmethod
    def sample_prior(
        self, count: int, length: int, draw: Draw, action_BA: Tensor | None = None
    ) -> Latents:
        """Codes from the prior; T may exceed the data's.

        Args:
            count: B.
            length: T.
            draw: takes the priors to values.
            action_BA: one-hot actions that are given, of models that have some; else drawn.
        """

    # -- what a model may tell ----------------------------------------------------------------

    def prior_means(self, latents: Latents) -> Tensor | None:
        """Means [B, T, D] of the dynamic prior, P(z^m_t | z^m_<t), along the paths of `latents`.

        Those of mixtures may lie between the modes.

        Returns:
            None where the model cannot tell; what is measured on these means is then left out.
        """
        return None

    def fit_priors(self, draws: Callable[[int], DrawnCodes]) -> tuple[str, ...]:
        """Called when training is over: takes what is drawn to the `fit_to` of each prior.

        Args:
            draws: gives draws of the codes of at most so many training sequences, spread evenly.

        Returns:
            What was fitted, for the console.
        """
        return ()

    # -- what it gets for that ----------------------------------------------------------------

    def prepare(self, x_BT: Tensor) -> Tensor:
        """What a source gives, as floats on the model's device; uint8 becomes [0, 1].

        Raises:
            TypeError: they are no tensor.
            ValueError: frames of another shape than the model was built for, or NaN where it was
                not told that values may be missing.
        """
        if not isinstance(x_BT, Tensor):
            raise TypeError(
                f"frames are a {type(x_BT).__name__}; wanted a torch.Tensor: "
                "torch.from_numpy makes one of an array"
            )
        if tuple(x_BT.shape[2:]) != tuple(self.info.frame_shape):
            raise ValueError(
                f"frames are {tuple(x_BT.shape[2:])} in an array {tuple(x_BT.shape)}; this model "
                f"was built for [B, T, {', '.join(map(str, self.info.frame_shape))}]"
            )
        device = next(self.parameters()).device
        is_bytes = x_BT.dtype == torch.uint8
        x_BT = x_BT.to(device, torch.float32)
        if is_bytes:
            return x_BT.div_(255)  # in place: fresh memory costs more than the division
        # a sum is cheaper than to ask every value
        if not self.info.missing and bool(x_BT.sum().isnan()) and bool(x_BT.isnan().any()):
            raise ValueError(
                f"{int(x_BT.isnan().sum())} values are NaN, and this model was built for data "
                "without missing values; fill them in"
            )
        return x_BT

    def forward(
        self,
        x_BT: Tensor,
        lengths_B: Tensor,
        generator: torch.Generator | None,
        progress: float = 1.0,
    ) -> Pass:
        """Infer and decode, as training does.

        Args:
            x_BT: [B, T, ...] uint8 or float.
            lengths_B: true lengths.
            generator: of all draws.
            progress: share of the run that is over, in [0, 1].

        Raises:
            PluginError: the frames were changed in place.
        """
        x_BT, lengths_B = self.window_of(x_BT, lengths_B, generator)
        x_BT = self.prepare(x_BT)
        before = changes(x_BT)
        codes = self.infer(x_BT, lengths_B, draw_sample(generator, progress))
        check_left_alone("the encoder, or what else infers codes,", before, x_BT)
        steps_K = self.decoded_steps(x_BT.shape[1], generator)
        latents = self.decoded_codes(codes, progress)
        dynamic_BKD = latents.dynamic_BTD.index_select(1, steps_K.to(x_BT.device))
        x_hat_BK = self.decode(replace(latents, dynamic_BTD=dynamic_BKD)).float()
        return Pass(x_BT, x_hat_BK, steps_K, lengths_B, codes)

    def window_of(
        self, x_BT: Tensor, lengths_B: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """The part of a batch that `forward` sees; a model may do with a part in training."""
        return x_BT, lengths_B

    def decoded_steps(self, length: int, generator: torch.Generator | None) -> Tensor:
        """The steps of a batch that `forward` decodes; a model may do with some in training."""
        return torch.arange(length)

    def decoded_codes(self, codes: Codes, progress: float) -> Latents:
        """What `forward` decodes when a share of the run is over: the samples of all codes."""
        action_BA = codes.action.sample if codes.action else None
        return Latents(codes.static.sample, codes.dynamic.sample, action_BA)

    @torch.no_grad()
    def encode(self, x_BT: Tensor, lengths_B: Tensor | None = None) -> Encoding:
        """Posteriors of a batch [B, T, ...] (uint8 or float), along the means.

        Raises:
            ValueError: as `prepare`; values are infinite, or of images far from [0, 1].
        """
        lengths_B = _lengths(x_BT, lengths_B)
        codes = self.infer(self._checked(x_BT, lengths_B), lengths_B, draw_mean)
        action = codes.action.posterior if codes.action else None
        return Encoding(codes.static.posterior, codes.dynamic.posterior, action)

    @torch.no_grad()
    def reconstruct(self, x_BT: Tensor, lengths_B: Tensor | None = None) -> Reconstruction:
        """Decode posterior means; the error is over true steps and values that are there."""
        lengths_B = _lengths(x_BT, lengths_B)
        encoding = self.encode(x_BT, lengths_B)
        x_hat_BT = self.decode(_typical(encoding)).float()
        return Reconstruction(x_hat_BT, squared_error(self.prepare(x_BT), x_hat_BT, lengths_B))

    @torch.no_grad()
    def sample(
        self,
        count: int,
        length: int | None = None,
        generator: torch.Generator | None = None,
        *,
        action: int | None = None,
    ) -> Samples:
        """Samples from the priors, of any length (default: the data's).

        Args:
            count: B.
            length: T.
            generator: of the draws.
            action: the action of all of them, in [0, A), of models that have some; else drawn.

        Raises:
            ValueError: count or length is below 1; there is no such action.
        """
        length = self.info.length if length is None else length
        if count < 1 or length < 1:
            raise ValueError(f"{count} samples of length {length}; wanted at least 1 of length 1")
        given_BA = self._one_hot(action, count)
        given = () if given_BA is None else (given_BA,)
        latents = self.sample_prior(count, length, draw_sample(generator), *given)
        return Samples(self.decode(latents).float(), latents)

    @torch.no_grad()
    def swap(
        self,
        static_BT: Tensor,
        dynamic_BT: Tensor,
        static_lengths_B: Tensor | None = None,
        dynamic_lengths_B: Tensor | None = None,
        *,
        action: int | None = None,
    ) -> Swap:
        """The static codes of one batch [B, T, ...] with the dynamic codes of another [B, T', ...].

        Args:
            static_BT: sequences whose static codes are taken.
            dynamic_BT: sequences whose dynamic codes are taken, and whose action; the result is as
                long as these.
            static_lengths_B, dynamic_lengths_B: true lengths; without them all steps are true.
            action: an action for all in place of the sequences' own, of models that have some.

        Raises:
            ValueError: the batches differ in their number of sequences; there is no such action.
        """
        if len(static_BT) != len(dynamic_BT):
            raise ValueError(
                f"{len(static_BT)} sequences give static codes and {len(dynamic_BT)} give motion; "
                "a swap pairs them row by row, so it wants as many of each"
            )
        static = self.encode(static_BT, static_lengths_B).static.mean
        moved = _typical(self.encode(dynamic_BT, dynamic_lengths_B))
        given_BA = self._one_hot(action, len(static))
        action_BA = moved.action_BA if given_BA is None else given_BA
        return Swap(self.decode(Latents(static, moved.dynamic_BTD, action_BA)).float())

    def _checked(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """As `prepare`, of frames that no source has looked through."""
        x_BT = self.prepare(x_BT)
        seen = x_BT[true_steps(x_BT.shape[1], lengths_B, x_BT.device)]  # not what lies beyond
        if not seen.numel():
            return x_BT
        seen = seen.nan_to_num(0.5, math.inf, -math.inf) if self.info.missing else seen
        least, most = (float(end) for end in seen.aminmax())
        if math.inf in (-least, most):
            raise ValueError(
                "some values are infinite; wanted numbers: mend them, or leave them out"
            )
        if self.info.bounded and (least < -SLACK or most > 1 + SLACK):
            raise ValueError(
                f"values go from {least:.3g} to {most:.3g}; this model sees images: wanted bytes "
                "(uint8), or floats in [0, 1], which are bytes divided by 255"
            )
        return x_BT

    def _one_hot(self, action: int | None, count: int) -> Tensor | None:
        if action is None:
            return None
        if not 0 <= action < self.actions:
            known = f"those from 0 to {self.actions - 1}" if self.actions else "none"
            raise ValueError(f"action {action}; this model has {known}")
        device = next(self.parameters()).device
        return one_hot(torch.full((count,), action, device=device), self.actions).float()


def squared_error(x_BT: Tensor, x_hat_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Mean squared error per value [B], over true steps and values that are there (not NaN)."""
    there_BT = ~x_BT.isnan()
    error_BT = torch.where(there_BT, x_hat_BT - x_BT, 0.0).square().flatten(2).sum(-1)
    mask_BT = true_steps(x_BT.shape[1], lengths_B, error_BT.device)
    values_BT = there_BT.flatten(2).sum(-1)
    return (error_BT * mask_BT).sum(1) / (values_BT * mask_BT).sum(1).clamp_min(1)


def _typical(encoding: Encoding) -> Latents:
    action_BA = encoding.action.typical() if encoding.action else None
    return Latents(encoding.static.mean, encoding.dynamic.mean, action_BA)


def _lengths(x_BT: Tensor, lengths_B: Tensor | None) -> Tensor:
    if lengths_B is not None:
        return lengths_B
    return torch.full((x_BT.shape[0],), x_BT.shape[1], dtype=torch.long)
