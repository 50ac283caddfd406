"""Pre-norm transformer layers over the steps of a sequence.

Shapes: B batch, T steps, M queries, N keys, H width of a token, K width of an attention head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from genzoo_rwae_kernels.attention import attention, refuses, rotary
from torch import Tensor, nn

from genzoo_rwae.errors import OptionError
from genzoo_rwae.padding import true_steps

__all__ = [
    "Attends",
    "Backend",
    "LearntPlaces",
    "Positions",
    "SelfAttention",
    "StepAttention",
    "Tokens",
    "TransformerLayers",
    "attended_steps",
    "check_backend",
    "check_heads",
    "feed_forward",
]

Attends = Literal["causal", "full"]
Positions = Literal["rotary", "learnt"]
Backend = Literal["auto", "sdpa", "xformers"]

_START = 0.02  # standard deviation of learnt positions at the start, that of BERT and ViT


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The options of a transformer over steps, as its components have them.

    Attributes:
        hidden: H, a multiple of `heads`.
        layers: number of layers.
        heads: number of attention heads.
        attends: `causal` (a step sees the past) or `full` (it sees the whole sequence).
        positions: `rotary` or `learnt`.
        longest: steps that have a learnt position.
        backend: of attention.
    """

    hidden: int
    layers: int
    heads: int
    attends: Attends
    positions: Positions
    longest: int
    backend: Backend

    def __post_init__(self) -> None:
        check_heads(self.hidden, self.heads, even=self.positions == "rotary")
        check_backend(self.backend)


class SelfAttention(nn.Module):
    """Tokens attend to each other, in several heads; by rotary positions if they are said to."""

    def __init__(self, width: int, heads: int, *, rotary: bool, backend: Backend) -> None:
        super().__init__()
        self.heads, self.rotary, self.backend = heads, rotary, backend
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BTH: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """[B, T, H] to the same shape; `mask` and `causal` are those of `attention`."""
        three = rearrange(
            self.qkv(x_BTH), "b t (three h k) -> three b h t k", three=3, h=self.heads
        )
        q, k, v = three.unbind(0)
        if self.rotary:
            q, k = rotary(q), rotary(k)
        # the trial of a spec runs on the CPU, also where training will not
        backend = self.backend if x_BTH.is_cuda else "auto"
        seen = attention(q, k, v, mask=mask, causal=causal, backend=backend)
        out: Tensor = self.out(rearrange(seen, "b h t k -> b t (h k)"))
        return out


class StepAttention(nn.Module):
    """Self-attention over the steps of sequences, behind a normalisation."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.causal = tokens.attends == "causal"
        self.norm = nn.LayerNorm(tokens.hidden)
        self.attention = SelfAttention(
            tokens.hidden,
            tokens.heads,
            rotary=tokens.positions == "rotary",
            backend=tokens.backend,
        )

    def forward(self, x_BTH: Tensor, there_BT: Tensor | None) -> Tensor:
        """[B, T, H] and which steps are true (None: all) to what is added to the tokens."""
        # padding comes last: where a step sees the past alone, it is not seen by any true one
        mask = None if there_BT is None or self.causal else there_BT[:, None, None]
        out: Tensor = self.attention(self.norm(x_BTH), mask=mask, causal=self.causal)
        return out


class TransformerLayers(nn.Module):
    """Layers of attention over steps and of a feed-forward net, the norm before each (pre-norm).

    Source: Vaswani et al., arXiv 1706.03762; pre-norm: Xiong et al., arXiv 2002.04745.
    """

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.places = LearntPlaces(tokens) if tokens.positions == "learnt" else None
        self.attentions = nn.ModuleList(StepAttention(tokens) for _ in range(tokens.layers))
        self.nets = nn.ModuleList(feed_forward(tokens.hidden) for _ in range(tokens.layers))
        self.norm = nn.LayerNorm(tokens.hidden)

    def forward(self, x_BTH: Tensor, there_BT: Tensor | None = None) -> Tensor:
        """[B, T, H] to the same shape; steps that are not `there` change no true step."""
        if self.places is not None:
            x_BTH = self.places(x_BTH)
        for attend, net in zip(self.attentions, self.nets, strict=True):
            x_BTH = x_BTH + attend(x_BTH, there_BT)
            x_BTH = x_BTH + net(x_BTH)
        out: Tensor = self.norm(x_BTH)
        return out


class LearntPlaces(nn.Module):
    """A learnt vector for every step, added to its token."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.places_TH = nn.Parameter(_START * torch.randn(tokens.longest, tokens.hidden))

    def forward(self, x_BTH: Tensor) -> Tensor:
        """[B, T, H] to the same shape.

        Raises:
            OptionError: there are more steps than places.
        """
        steps, longest = x_BTH.shape[1], len(self.places_TH)
        if steps > longest:
            raise OptionError(
                f"sequences of {steps} steps, and learnt positions for {longest}; take "
                f"longest: {steps}, or positions: rotary, which have no end",
                option="longest",
            )
        return x_BTH + self.places_TH[:steps]


def feed_forward(width: int) -> nn.Sequential:
    """The net on single tokens that follows attention: four times as wide inside."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
    )


def attended_steps(x_BT: Tensor, lengths_B: Tensor) -> Tensor | None:
    """The true steps of [B, T, ...], as attention wants its mask [B, T]: None if all are."""
    length = x_BT.shape[1]
    if bool((lengths_B >= length).all()):
        return None
    return true_steps(length, lengths_B, x_BT.device)


def check_heads(hidden: int, heads: int, *, even: bool = False) -> None:
    """Raise OptionError unless a width can be shared out among heads (of even width)."""
    fits = hidden % (2 * heads if even else heads) == 0
    if not fits:
        wanted = f"a multiple of {2 * heads if even else heads}"
        why = ", for rotary positions turn pairs" if even else ""
        raise OptionError(
            f"hidden is {hidden}, shared out among {heads} heads; wanted {wanted}{why}",
            option="hidden",
        )


def check_backend(backend: Backend) -> None:
    """Raise OptionError if a backend is asked for that cannot work on this machine."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if backend == "xformers" and (reason := refuses(torch.bfloat16, device)):
        raise OptionError(
            f"attention by xformers is asked for, and {reason}; 'auto' takes it where it works",
            option="backend",
        )
