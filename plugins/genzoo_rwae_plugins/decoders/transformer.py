"""A transformer decoder over the codes of all steps.

Shapes: B batch, T time, D width of all codes of a step, H width of a token, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import PositiveInt
from torch import Tensor, nn

from genzoo_rwae.components import Use, decoder, hookimpl
from genzoo_rwae_plugins.encoders.recurrent import per_frame
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder
from genzoo_rwae_plugins.steps.transformer import (
    Attends,
    Backend,
    Positions,
    Tokens,
    TransformerLayers,
)

__all__ = ["TransformerDecoder"]


@decoder("transformer")
class TransformerDecoder(nn.Module):
    """A transformer over the codes of all steps, its tokens to a frame net.

    Args:
        hidden: width of a token; a multiple of `heads`, of 2 `heads` with rotary positions.
        layers: number of layers.
        heads: number of attention heads.
        attends: `causal` (a step sees the past) or `full` (it sees the whole sequence, and the
            padding of shorter ones too: no decoder is told the true lengths).
        positions: `rotary` (a step sees how far others are) or `learnt`.
        longest: most steps of a sequence, also of a sample, with learnt positions.
        frames: the net that draws single frames.
        backend: of attention: `auto` is `xformers` on CUDA in half precision if it works there,
            else torch's own (`sdpa`).

    Raises:
        OptionError: heads that do not fit, or a backend that cannot work here.

    Source: Vaswani et al., arXiv 1706.03762; pre-norm: arXiv 2002.04745.
    """

    def __init__(
        self,
        codes: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        hidden: PositiveInt = 128,
        layers: PositiveInt = 2,
        heads: PositiveInt = 4,
        attends: Attends = "causal",
        positions: Positions = "rotary",
        longest: PositiveInt = 512,
        frames: Annotated[Callable[..., Any], Use("frame-decoder")] = ConvFrameDecoder,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.into = nn.Linear(codes, hidden)
        self.layers = TransformerLayers(
            Tokens(
                hidden=hidden,
                layers=layers,
                heads=heads,
                attends=attends,
                positions=positions,
                longest=longest,
                backend=backend,
            )
        )
        self.frames = frames(hidden, frame_shape)

    def forward(self, z_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, ...], before any squashing."""
        return per_frame(self.frames, self.layers(self.into(z_BTD)))


@hookimpl
def genzoo_decoders() -> Iterator[object]:
    yield TransformerDecoder
