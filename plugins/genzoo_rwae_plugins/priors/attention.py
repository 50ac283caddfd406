"""Causal self-attention with rotary positions.

Shapes: B batch, T time, N heads, E width of a head, H width of the net.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["CausalBlock", "rotated"]

_SLOWEST = 10_000.0  # of the rotations, in steps for a radian: that of the paper


def rotated(x_BNTE: Tensor) -> Tensor:
    """Pairs of entries turned by angles that grow with the step.

    (x_2i, x_2i+1) at step t is turned by t · 10000^(−2i/E), so that the product of a query and a
    key depends on how far apart their steps are, and on no step's number.

    Source: Su et al., RoFormer, arXiv 2104.09864, Sec. 3.2.
    """
    length, width = x_BNTE.shape[-2:]
    steps_T = torch.arange(length, device=x_BNTE.device, dtype=torch.float32)
    pairs_P = torch.arange(0, width, 2, device=x_BNTE.device, dtype=torch.float32)
    angle_TP = steps_T[:, None] * _SLOWEST ** (-pairs_P / width)
    even, odd = x_BNTE[..., 0::2], x_BNTE[..., 1::2]
    cos, sin = angle_TP.cos().to(x_BNTE.dtype), angle_TP.sin().to(x_BNTE.dtype)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2)


class CausalBlock(nn.Module):
    """A step sees itself and the steps before it; then two layers on every step by itself.

    Args:
        width: H.
        heads: number of heads.
        head_width: width of a head, an even number.

    Source: Vaswani et al., arXiv 1706.03762; normalised before, as in Xiong et al.,
    arXiv 2002.04745.
    """

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.layers_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)
        self.layers = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, h_BTH: Tensor) -> Tensor:
        """[B, T, H] to [B, T, H]."""
        split = "b t (three n e) -> three b n t e"
        q, k, v = rearrange(self.into(self.attention_norm(h_BTH)), split, three=3, n=self.heads)
        seen = scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)
        h_BTH = h_BTH + self.out(rearrange(seen, "b n t e -> b t (n e)"))
        changed: Tensor = h_BTH + self.layers(self.layers_norm(h_BTH))
        return changed
