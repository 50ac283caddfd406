"""A decoder that draws things and says where they are.

Shapes: B batch, T time, N frames, D width of all codes of a step, K things, C channels, P a patch's
side, H W a frame's, S = H − P + 1 places along an axis.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import einsum, rearrange
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from genzoo_rwae.components import decoder, hookimpl
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.decoders.recurrent import FrameNet
from genzoo_rwae_plugins.frames.convolution import ConvFrameDecoder

__all__ = ["PatchesDecoder", "placed"]

_SMALLEST = 8  # side of a patch that all nets draw
_DARK = -4.0  # of the ground at the start, before squashing: 0.02


@decoder("patches")
class PatchesDecoder(nn.Module):
    """A few patches on an even ground, each put where the codes say: for things that move about.

    frame = ground + Σ_k R_k patch_k C_kᵀ, where R_k and C_k spread the patch over the rows and
    columns of the frame as independent distributions over its place say. These have gradients from
    all over the frame, so that places are found from anywhere. Patches brighten and never darken;
    where they overlap they add up.

    Args:
        objects: K, patches in a frame.
        side: P, of a square patch in pixels; all places are whole patches within the frame. Null
            takes half the frame's shorter side, and 8 where that is more.
        hidden: width of the two hidden layers on a step's codes.
        frames: the net that draws all patches of a frame, as one of [K C, P, P].

    Raises:
        OptionError: frames are no images, or smaller than a patch.

    Source: in the manner of the write attention of Gregor et al., "DRAW", ICML 2015,
        arXiv 1502.04623 (two banks of filters put a patch onto a canvas), with free distributions
        in place of Gaussians; things with places: Hsieh et al., DDPAE, arXiv 1806.04166.
    """

    frame_by_frame = True

    def __init__(
        self,
        codes: int,
        frame_shape: tuple[int, ...],
        /,
        *,
        objects: PositiveInt = 2,
        side: PositiveInt | None = None,
        hidden: PositiveInt = 256,
        frames: FrameNet = ConvFrameDecoder,
    ) -> None:
        super().__init__()
        if len(frame_shape) != 3:
            raise OptionError(
                f"frames are {list(frame_shape)}; 'patches' wants images [C, H, W]: take the "
                "decoder 'frame' with the frame net 'mlp' for vectors"
            )
        depth, height, width = frame_shape
        most = min(height, width)
        side = side or min(max(most // 2, _SMALLEST), most)
        if side > most:
            raise OptionError(
                f"patches of {side} pixels in frames of {height} x {width}; wanted {most} at most",
                option="side",
            )
        self.objects, self.depth = objects, depth
        self.into = nn.Sequential(
            nn.Linear(codes, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
        )
        self.rows = nn.Linear(hidden, objects * (height - side + 1))
        self.columns = nn.Linear(hidden, objects * (width - side + 1))
        self.frames = frames(hidden, (objects * depth, side, side))
        self.ground = nn.Parameter(torch.full((depth, 1, 1), _DARK))
        self.side = side

    def forward(self, z_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, C, H, W], before any squashing."""
        h_NH = rearrange(self.into(z_BTD), "b t h -> (b t) h")
        drawn = self.frames(h_NH).float()
        patches_NKCPP = softplus(rearrange(drawn, "n (k c) p q -> n k c p q", k=self.objects))
        rows_NKPH, columns_NKPW = (
            placed(self._places(places(h_NH)), self.side) for places in (self.rows, self.columns)
        )
        shown_NCHW = einsum(
            rows_NKPH, patches_NKCPP, columns_NKPW, "n k p h, n k c p q, n k q w -> n c h w"
        )
        return rearrange(shown_NCHW + self.ground, "(b t) c h w -> b t c h w", b=len(z_BTD))

    def _places(self, logits_NF: Tensor) -> Tensor:
        logits_NKS = rearrange(logits_NF.float(), "n (k s) -> n k s", k=self.objects)
        return logits_NKS.softmax(-1)


def placed(places_NKS: Tensor, side: int) -> Tensor:
    """Where each row of a patch lands, from where the patch's first row does.

    Args:
        places_NKS: [..., S], the probability that the patch begins at place s.
        side: P.

    Returns:
        [..., P, S + P - 1]: at [p, h] the probability that the patch begins at h − p.

    >>> placed(torch.tensor([0.25, 0.75]), 2)
    tensor([[0.2500, 0.7500, 0.0000],
            [0.0000, 0.2500, 0.7500]])
    """
    around = pad(places_NKS, (side - 1, side - 1))
    return around.unfold(-1, places_NKS.shape[-1] + side - 1, 1).flip(-2)


@hookimpl
def genzoo_decoders() -> Iterator[object]:
    yield PatchesDecoder
