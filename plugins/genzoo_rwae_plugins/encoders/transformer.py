"""A transformer encoder: over one token per frame, or over the patches of frames.

Shapes: B batch, T time, H width of a token, S patches of a frame, C channels, P Q sides in patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import gcd
from typing import Annotated, Any

import torch
from einops import rearrange
from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import Use, encoder, hookimpl
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.encoders.recurrent import per_frame
from genzoo_rwae_plugins.frames.convolution import ConvFrameEncoder
from genzoo_rwae_plugins.steps.transformer import (
    Attends,
    Backend,
    LearntPlaces,
    Positions,
    SelfAttention,
    StepAttention,
    Tokens,
    TransformerLayers,
    attended_steps,
    feed_forward,
)

__all__ = ["TransformerEncoder"]


@encoder("transformer")
class TransformerEncoder(nn.Module):
    """A transformer over the steps: one token per frame, or every patch of it (space-time).

    With `patch`, every layer has attention over the steps of each patch, then over the patches of
    each frame; a step's feature is the mean of its patches.

    Args:
        hidden: width of a token and of the feature; a multiple of `heads`, of 2 `heads` with
            rotary positions.
        layers: number of layers.
        heads: number of attention heads.
        attends: `causal` (a step sees the past) or `full` (it sees the whole sequence).
        positions: of steps: `rotary` (a step sees how far others are) or `learnt`. Those of patches
            are learnt.
        longest: most steps of a sequence, with learnt positions.
        frames: the net on single frames whose feature is the token; null is `conv`, or none where
            patches are tokens.
        patch: side of a square patch in pixels, which divides the frame's sides; null: one token
            per frame.
        backend: of attention: `auto` is `xformers` on CUDA in half precision if it works there,
            else torch's own (`sdpa`).

    Raises:
        OptionError: patches of vectors or that do not fill the frame, `frames` beside `patch`,
            heads that do not fit, or a backend that cannot work here.

    Source: Vaswani et al., arXiv 1706.03762; pre-norm: arXiv 2002.04745; patches: Bertasius et al.,
    arXiv 2102.05095, Sec. 3 (divided space-time attention), without a classification token.
    """

    def __init__(
        self,
        frame_shape: tuple[int, ...],
        /,
        *,
        hidden: PositiveInt = 128,
        layers: PositiveInt = 2,
        heads: PositiveInt = 4,
        attends: Attends = "causal",
        positions: Positions = "rotary",
        longest: PositiveInt = 512,
        frames: Annotated[Callable[..., Any] | None, Use("frame-encoder")] = None,
        patch: PositiveInt | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.width = hidden
        tokens = Tokens(
            hidden=hidden,
            layers=layers,
            heads=heads,
            attends=attends,
            positions=positions,
            longest=longest,
            backend=backend,
        )
        self.frames: Any = None
        self.into: nn.Module
        self.layers: nn.Module
        if patch is None:
            self.frames = (frames or ConvFrameEncoder)(frame_shape)
            self.into = nn.Linear(self.frames.width, hidden)
            self.layers = TransformerLayers(tokens)
        elif frames is None:
            self.into = PatchTokens(frame_shape, patch, hidden)
            self.layers = SpaceTimeLayers(tokens)
        else:
            raise OptionError(
                "tokens are patches, and a frame net is given as well; leave one of them out",
                option="patch",
            )

    def forward(self, x_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, ...] to [B, T, hidden]."""
        if self.frames is not None:
            x_BT = per_frame(self.frames, x_BT)
        out: Tensor = self.layers(self.into(x_BT), attended_steps(x_BT, lengths_B))
        return out


class PatchTokens(nn.Module):
    """A linear map of every patch of a frame, and a learnt vector for its place.

    Source: Dosovitskiy et al., arXiv 2010.11929, Eq. (1).
    """

    def __init__(self, frame_shape: tuple[int, ...], patch: int, width: int) -> None:
        super().__init__()
        if len(frame_shape) != 3:
            raise OptionError(
                f"frames are {list(frame_shape)}; patches are of images [C, H, W]: take a frame "
                "net in their place",
                option="patch",
            )
        channels, *sides = frame_shape
        most = gcd(*sides)
        if most % patch:
            fits = ", ".join(str(side) for side in range(1, most + 1) if most % side == 0)
            raise OptionError(
                f"patches of {patch}x{patch} do not fill frames of {sides[0]}x{sides[1]}; those "
                f"that do are of {fits} pixels",
                option="patch",
            )
        self.patch = patch
        count = (sides[0] // patch) * (sides[1] // patch)
        self.map = nn.Linear(channels * patch**2, width)
        self.places_SH = nn.Parameter(0.02 * torch.randn(count, width))

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] to [B, T, S, width]."""
        side = self.patch
        patches = rearrange(
            x_BTCHW, "b t c (p high) (q wide) -> b t (p q) (high wide c)", high=side, wide=side
        )
        out: Tensor = self.map(patches) + self.places_SH
        return out


class SpaceTimeLayers(nn.Module):
    """Layers of attention over time and over space, then the mean over space."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.places = LearntPlaces(tokens) if tokens.positions == "learnt" else None
        self.layers = nn.ModuleList(SpaceTimeLayer(tokens) for _ in range(tokens.layers))
        self.norm = nn.LayerNorm(tokens.hidden)

    def forward(self, x_BTSH: Tensor, there_BT: Tensor | None = None) -> Tensor:
        """[B, T, S, H] to [B, T, H]."""
        patches = x_BTSH.shape[2]
        x_BsTH = rearrange(x_BTSH, "b t s h -> (b s) t h")
        there_BsT = None if there_BT is None else there_BT.repeat_interleave(patches, dim=0)
        if self.places is not None:
            x_BsTH = self.places(x_BsTH)
        for layer in self.layers:
            x_BsTH = layer(x_BsTH, there_BsT, patches)
        out: Tensor = self.norm(rearrange(x_BsTH, "(b s) t h -> b t s h", s=patches)).mean(2)
        return out


class SpaceTimeLayer(nn.Module):
    """Attention over the steps of each patch, then over the patches of each step, then a net."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.time = StepAttention(tokens)
        self.norm = nn.LayerNorm(tokens.hidden)
        self.space = SelfAttention(
            tokens.hidden, tokens.heads, rotary=False, backend=tokens.backend
        )
        self.net = feed_forward(tokens.hidden)

    def forward(self, x_BsTH: Tensor, there_BsT: Tensor | None, patches: int) -> Tensor:
        """[B·S, T, H] to the same shape."""
        x_BsTH = x_BsTH + self.time(x_BsTH, there_BsT)
        frames = rearrange(self.norm(x_BsTH), "(b s) t h -> (b t) s h", s=patches)
        beside = self.space(frames)
        x_BsTH = x_BsTH + rearrange(beside, "(b t) s h -> (b s) t h", t=x_BsTH.shape[1])
        out: Tensor = x_BsTH + self.net(x_BsTH)
        return out


@hookimpl
def genzoo_encoders() -> Iterator[object]:
    yield TransformerEncoder
