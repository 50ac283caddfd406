"""The recurrent Wasserstein autoencoder.

Shapes: B batch, T time, H features, D code width, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from genzoo_rwae.codes import Codes, Draw, DynamicCode, DynamicPrior, StaticCode, StaticPrior
from genzoo_rwae.components import Use, hookimpl, model
from genzoo_rwae.errors import OptionError
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae_plugins.decoders.recurrent import LstmDecoder
from genzoo_rwae_plugins.encoders.recurrent import LstmEncoder
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.heads.static import PooledHead
from genzoo_rwae_plugins.priors.gaussian import GaussianPrior
from genzoo_rwae_plugins.priors.lstm import LstmPrior

__all__ = ["DynamicPart", "Rwae", "StaticPart"]


@dataclass(frozen=True, kw_only=True)
class StaticPart:
    """The static code: what does not change along a sequence.

    Attributes:
        size: width of z^c.
        head: from features to q(z^c | x_1:T).
        prior: P(z^c).
    """

    size: PositiveInt = 64
    head: Annotated[Callable[..., Any], Use("static-head")] = PooledHead
    prior: Annotated[Callable[..., Any], Use("prior", of=StaticPrior)] = GaussianPrior


@dataclass(frozen=True, kw_only=True)
class DynamicPart:
    """The dynamic codes: how it moves.

    Attributes:
        size: width of z^m_t.
        head: from features to q(z^m_t | z^m_<t, x_t).
        prior: P(z^m_t | z^m_<t).
    """

    size: PositiveInt = 16
    head: Annotated[Callable[..., Any], Use("dynamic-head")] = LstmHead
    prior: Annotated[Callable[..., Any], Use("prior", of=DynamicPrior)] = LstmPrior


@model("rwae")
class Rwae(SequenceModel):
    """Recurrent Wasserstein autoencoder: a static code and dynamic codes of a sequence.

    Generation: P(z^c) Π_t P(z^m_t | z^m_<t) with a deterministic decoder; inference:
    Q(z^c | x_1:T) Π_t Q(z^m_t | z^m_<t, x_t).

    Args:
        encoder: frames to features, shared by both heads.
        static: the static code.
        dynamic: the dynamic codes.
        decoder: codes to frames.
        decoded: steps of a sequence that are decoded in a training step, drawn anew each time; they
            stand for all. Null decodes all. Needs a decoder that draws every frame by itself.

    Raises:
        OptionError: `decoded` with a decoder that carries a state from frame to frame.

    Source: Han et al., ICLR 2021, arXiv 2101.07496, Sec. 3.
    """

    def __init__(
        self,
        info: DataInfo,
        /,
        *,
        encoder: Annotated[Callable[..., Any], Use("encoder")] = LstmEncoder,
        static: StaticPart = StaticPart(),
        dynamic: DynamicPart = DynamicPart(),
        decoder: Annotated[Callable[..., Any], Use("decoder")] = LstmDecoder,
        decoded: PositiveInt | None = None,
    ) -> None:
        super().__init__(info)
        self.encoder = encoder(info.frame_shape)
        self.static_head = static.head(self.encoder.width, static.size)
        self.dynamic_head = dynamic.head(self.encoder.width, dynamic.size)
        self.static_prior: StaticPrior = static.prior(static.size)
        self.dynamic_prior: DynamicPrior = dynamic.prior(dynamic.size)
        self.decoder = decoder(static.size + dynamic.size, info.frame_shape)
        self.decoded = decoded
        if decoded and not getattr(self.decoder, "frame_by_frame", False):
            raise OptionError(
                f"the decoder {type(self.decoder).__name__} carries a state from frame to frame "
                "and cannot leave steps out; take decoder: frame, or decoded: null",
                option="decoded",
            )

    def decoded_steps(self, length: int, generator: torch.Generator | None) -> Tensor:
        """All steps, or `decoded` of them in training."""
        if not self.training or not self.decoded or self.decoded >= length:
            return super().decoded_steps(length, generator)
        return torch.randperm(length, generator=generator)[: self.decoded].sort().values

    def infer(self, x_BT: Tensor, lengths_B: Tensor, draw: Draw) -> Codes:
        """Codes of a batch of floats [B, T, ...] beside their priors."""
        features_BTH = self.encoder(x_BT, lengths_B)
        posterior = self.static_head(features_BTH, lengths_B)
        static = StaticCode(draw(posterior), posterior, self.static_prior.law(len(x_BT)))
        z_BTD, path = self.dynamic_head(features_BTH, lengths_B, draw)
        prior, state_BTS = self.dynamic_prior.along(z_BTD)
        return Codes(static, DynamicCode(z_BTD, path, prior, state_BTS))

    def decode(self, static_BD: Tensor, dynamic_BTD: Tensor) -> Tensor:
        """Frames [B, T, ...] from codes; images in [0, 1]."""
        static_BTD = static_BD[:, None].expand(-1, dynamic_BTD.shape[1], -1)
        x_BT: Tensor = self.decoder(torch.cat([static_BTD, dynamic_BTD], dim=-1)).float()
        return x_BT.sigmoid() if self.info.bounded else x_BT

    def sample_prior(self, count: int, length: int, draw: Draw) -> tuple[Tensor, Tensor]:
        """z^c [B, D] and z^m [B, T, D] from the priors."""
        static_BD = draw(self.static_prior.law(count))
        return static_BD, self.dynamic_prior.roll_out(count, length, draw)


@hookimpl
def genzoo_models() -> Iterator[object]:
    yield Rwae
