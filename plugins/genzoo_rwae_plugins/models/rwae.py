"""The recurrent Wasserstein autoencoder.

Shapes: B batch, N sequences, T time, H features, D code width, A number of actions, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from genzoo_rwae.codes import (
    ActionCode,
    Categorical,
    Codes,
    Draw,
    DrawnCodes,
    DynamicCode,
    DynamicPrior,
    Latents,
    Paths,
    StaticCode,
    StaticPrior,
)
from genzoo_rwae.components import Use, hookimpl, model
from genzoo_rwae.draws import shared_draws
from genzoo_rwae.errors import OptionError
from genzoo_rwae.padding import random_windows
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import DataInfo
from genzoo_rwae_plugins.decoders.recurrent import LstmDecoder
from genzoo_rwae_plugins.encoders.recurrent import LstmEncoder
from genzoo_rwae_plugins.models.parts import ActionPart, DynamicPart, StaticPart
from genzoo_rwae_plugins.models.views import frames_seen, movement, with_presence
from genzoo_rwae_plugins.priors.told import told_prior

__all__ = ["Rwae"]


@model("rwae")
class Rwae(SequenceModel):
    """Recurrent Wasserstein autoencoder: a static code and dynamic codes of a sequence.

    Generation: P(z^c) P(a) Π_t P(z^m_t | z^m_<t, a) with a deterministic decoder; inference:
    Q(z^c | x_1:T) Π_t Q(z^m_t | z^m_<t, x_t) Q(a | z^m_1:T). The action a is an option.

    Args:
        encoder: frames to features, shared by both heads where they have none of their own.
        static: the static code.
        dynamic: the dynamic codes.
        action: a categorical action, of which only the number of classes is known.
        decoder: codes to frames.
        window: steps in a row that training sees of a sequence, from a place drawn anew each time;
            null: all of them. Everything else sees whole sequences.
        decoded: steps of a sequence that are decoded in a training step, drawn anew each time; they
            stand for all. Null decodes all. Needs a decoder that draws every frame by itself.

    Raises:
        OptionError: `decoded` with a decoder that carries a state from frame to frame, or an action
            for a prior that takes none.

    Source: Han et al., ICLR 2021, arXiv 2101.07496, Sec. 3; weak supervision: Sec. 3.3.
    """

    def __init__(
        self,
        info: DataInfo,
        /,
        *,
        encoder: Annotated[Callable[..., Any], Use("encoder")] = LstmEncoder,
        static: StaticPart = StaticPart(),
        dynamic: DynamicPart = DynamicPart(),
        action: ActionPart | None = None,
        decoder: Annotated[Callable[..., Any], Use("decoder")] = LstmDecoder,
        window: PositiveInt | None = None,
        decoded: PositiveInt | None = None,
    ) -> None:
        super().__init__(info)
        self.window = window
        self.static, self.dynamic, self.action = static, dynamic, action
        self.actions = action.count if action else 0
        changes = {
            "static.opens": static.opens > 0,
            "action.temperature": action is not None and action.temperature != action.coldest,
        }
        self.follows_progress = tuple(option for option, does in changes.items() if does)
        seen = (info.frame_shape[0] * (2 if info.missing else 1), *info.frame_shape[1:])
        # the shared one is not built where nobody would train it
        shared = static.encoder is None or dynamic.encoder is None
        self.encoder = encoder(seen) if shared else None
        self.static_encoder = static.encoder(seen) if static.encoder else None
        self.dynamic_encoder = dynamic.encoder(seen) if dynamic.encoder else None
        self.static_head = static.head(self._encoder_of("static").width, static.size)
        self.dynamic_head = dynamic.head(self._encoder_of("dynamic").width, dynamic.size)
        self.static_prior: StaticPrior = static.prior(static.size)
        self.dynamic_prior: DynamicPrior = self._made_dynamic_prior()
        self.action_head = action.head(dynamic.size, action.count) if action else None
        self.decoder = decoder(static.size + dynamic.size + self.actions, info.frame_shape)
        self.decoded = decoded
        if decoded and not getattr(self.decoder, "frame_by_frame", False):
            raise OptionError(
                f"the decoder {type(self.decoder).__name__} carries a state from frame to frame "
                "and cannot leave steps out; take decoder: frame, or decoded: null",
                option="decoded",
            )
        for augment in dynamic.augment:  # that refuse such frames do so now, not in training
            augment(torch.zeros(1, 2, *info.frame_shape), torch.Generator().manual_seed(0))

    def _encoder_of(self, code: str) -> Any:
        own = self.static_encoder if code == "static" else self.dynamic_encoder
        return self.encoder if own is None else own

    def _made_dynamic_prior(self) -> DynamicPrior:
        context = self.actions if self._tells_prior else 0
        return told_prior(self.dynamic.prior, self.dynamic.size, context, "action.prior")

    def window_of(
        self, x_BT: Tensor, lengths_B: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """All steps, or `window` of them in training."""
        if not self.training or not self.window or self.window >= x_BT.shape[1]:
            return super().window_of(x_BT, lengths_B, generator)
        return random_windows(x_BT, lengths_B, self.window, generator)

    def decoded_steps(self, length: int, generator: torch.Generator | None) -> Tensor:
        """All steps, or `decoded` of them in training."""
        if not self.training or not self.decoded or self.decoded >= length:
            return super().decoded_steps(length, generator)
        return (
            torch.randperm(length, generator=shared_draws(generator))[: self.decoded].sort().values
        )

    def infer(self, x_BT: Tensor, lengths_B: Tensor, draw: Draw) -> Codes:
        """Codes of a batch of floats [B, T, ...] beside their priors."""
        features_BTH, moving_BTH, static_lengths_B = self._features(x_BT, lengths_B, draw)
        posterior = self.static_head(features_BTH, static_lengths_B)
        static = StaticCode(draw(posterior), posterior, self.static_prior.law(len(x_BT)))
        moving_BTH = movement(self.dynamic.features, moving_BTH, lengths_B)
        z_BTD, path = self.dynamic_head(moving_BTH, lengths_B, draw)
        action = self._action(z_BTD, lengths_B, draw)
        context = (self._shown(action.sample),) if action and self._tells_prior else ()
        prior, state_BTS = self.dynamic_prior.along(z_BTD, *context)
        return Codes(static, DynamicCode(z_BTD, path, prior, state_BTS), action)

    def _features(
        self, x_BT: Tensor, lengths_B: Tensor, draw: Draw
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the static head sees, what the dynamic head sees, and the first one's lengths."""
        static_BT, static_lengths_B = self._static_view(x_BT, lengths_B, draw)
        dynamic_BT = self._dynamic_view(x_BT, draw)
        same = static_BT is dynamic_BT
        static_BT = self._shown_to_nets(static_BT)
        dynamic_BT = static_BT if same else self._shown_to_nets(dynamic_BT)
        encoders = self._encoder_of("static"), self._encoder_of("dynamic")
        features_BTH: Tensor = encoders[0](static_BT, static_lengths_B)
        if same and encoders[0] is encoders[1]:
            return features_BTH, features_BTH, static_lengths_B
        return features_BTH, encoders[1](dynamic_BT, lengths_B), static_lengths_B

    def _static_view(self, x_BT: Tensor, lengths_B: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """The frames that the static head may see, and how many they are."""
        if self.training:
            static = self.static
            return frames_seen(static.frames, static.keep, x_BT, lengths_B, draw.generator)
        if self.static.frames == "one":
            return x_BT[:, :1], torch.ones_like(lengths_B)
        return x_BT, lengths_B

    def _dynamic_view(self, x_BT: Tensor, draw: Draw) -> Tensor:
        """The frames as the dynamic head may see them."""
        if self.training:
            for augment in self.dynamic.augment:
                x_BT = augment(x_BT, draw.generator)
        return x_BT

    def _shown_to_nets(self, x_BT: Tensor) -> Tensor:
        return with_presence(x_BT) if self.info.missing else x_BT

    @property
    def _tells_prior(self) -> bool:
        return self.action is not None and self.action.prior == "given-action"

    def _shown(self, action_BA: Tensor) -> Tensor:
        """The action as decoder and prior see it."""
        own = self.action is not None and self.action.gradient == "own"
        return action_BA.detach() if own else action_BA

    def _action(self, z_BTD: Tensor, lengths_B: Tensor, draw: Draw) -> ActionCode | None:
        if self.action is None or self.action_head is None:
            return None
        logits_BA = self.action_head(z_BTD, lengths_B).float()
        temperature = self.action.temperature_at(draw.progress)
        law = Categorical(logits_BA, temperature, self.action.relaxation == "straight-through")
        return ActionCode(draw(law), law, Categorical(torch.zeros_like(logits_BA), temperature))

    def decoded_codes(self, codes: Codes, progress: float) -> Latents:
        """The samples of all codes; 0 for z^c while the decoder does not see it yet."""
        latents = super().decoded_codes(codes, progress)
        if latents.action_BA is not None:
            latents = replace(latents, action_BA=self._shown(latents.action_BA))
        if not self.training or progress >= self.static.opens:
            return latents
        return replace(latents, static_BD=torch.zeros_like(latents.static_BD))

    def decode(self, latents: Latents) -> Tensor:
        """Frames [B, T, ...] from codes; images in [0, 1]."""
        length = latents.dynamic_BTD.shape[1]
        codes = [latents.static_BD[:, None].expand(-1, length, -1), latents.dynamic_BTD]
        if self.actions:
            assert latents.action_BA is not None
            codes.append(latents.action_BA[:, None].expand(-1, length, -1))
        x_BT: Tensor = self.decoder(torch.cat(codes, dim=-1)).float()
        return x_BT.sigmoid() if self.info.bounded else x_BT

    def sample_prior(
        self, count: int, length: int, draw: Draw, action_BA: Tensor | None = None
    ) -> Latents:
        """z^c [B, D], z^m [B, T, D] and, if there is one, a [B, A] from the priors."""
        static_BD = draw(self.static_prior.law(count))
        if self.actions and action_BA is None:
            uniform_BA = static_BD.new_zeros(count, self.actions)
            action_BA = Categorical(uniform_BA, hard=True).sample(draw.generator)
        context = {"context_BC": action_BA} if self._tells_prior else {}
        dynamic_BTD = self.dynamic_prior.roll_out(count, length, draw, **context)
        return Latents(static_BD, dynamic_BTD, action_BA)

    def prior_means(self, latents: Latents) -> Tensor:
        """Means [B, T, D] of the dynamic prior along given paths."""
        context = {"context_BC": latents.action_BA} if self._tells_prior else {}
        law, _ = self.dynamic_prior.along(latents.dynamic_BTD, **context)
        return law.typical()

    def fit_priors(self, draws: Callable[[int], DrawnCodes]) -> tuple[str, ...]:
        """Those priors that are fitted to draws of codes when training is over."""

        def paths(most: int) -> Paths:
            drawn = draws(most)
            told_NA = drawn.action_NA if self._tells_prior else None
            return Paths(drawn.dynamic_NTD, drawn.lengths_N, told_NA)

        fitted = {
            "static": self.static_prior.fit_to(lambda most: draws(most).static_ND),
            "dynamic": self.dynamic_prior.fit_to(paths),
        }
        return tuple(f"{code} prior: {said}" for code, said in fitted.items() if said)


@hookimpl
def genzoo_models() -> Iterator[object]:
    yield Rwae
