"""What a model takes for possible: where its decodes of a sequence lie.

Shapes: B sequences, D draws, T time, ... the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange, repeat
from torch import Tensor

from genzoo_rwae.codes import draw_sample

if TYPE_CHECKING:
    from genzoo_rwae.sequence_model import SequenceModel

__all__ = ["posterior_band"]

_ENDS = (0.05, 0.95)


@torch.no_grad()
def posterior_band(
    model: SequenceModel,
    x_BT: Tensor,
    lengths_B: Tensor,
    generator: torch.Generator,
    *,
    draws: int = 32,
) -> Tensor:
    """Between what nine of ten decodes of posterior samples lie, value by value: [2, B, T, ...].

    It is the spread of the codes alone: the decoder of such a model has no noise of its own.

    Args:
        model: whose posteriors and decoder.
        x_BT: [B, T, ...] the data.
        lengths_B: true lengths.
        generator: of the draws.
        draws: D.
    """
    # draws of a sequence are rows of one batch
    x_BT = repeat(model.prepare(x_BT), "b ... -> (b d) ...", d=draws)
    codes = model.infer(x_BT, repeat(lengths_B, "b -> (b d)", d=draws), draw_sample(generator))
    decoded = model.decode(model.decoded_codes(codes, 1.0)).float()
    ends = torch.tensor(_ENDS, device=decoded.device)
    return rearrange(decoded, "(b d) ... -> b d ...", d=draws).quantile(ends, dim=1)
