"""A step of a convolutional LSTM, whose states are maps.

Shapes: B batch, C channels of the input, S channels of the state, H W a map.
"""

import torch
from torch import Tensor, nn

__all__ = ["ConvLstmCell"]


class ConvLstmCell(nn.Module):
    """One step of an LSTM over maps, all its gates in one convolution.

    With [i f g o] = W * [x, h] + b, * a convolution and ∘ a product entry by entry,

        c' = σ(f + w_f ∘ c) ∘ c + σ(i + w_i ∘ c) ∘ tanh(g),   h' = σ(o + w_o ∘ c') ∘ tanh(c'),

    where the weights w of the peephole are maps, and there are none by default.

    Args:
        inputs: C.
        state: S.
        kernel: side of the convolution, odd.
        peephole: (H, W) of the maps, of gates that see the cell; None: they do not.

    Raises:
        ValueError: an even kernel, under which maps would shrink.

    Source: Shi et al., Convolutional LSTM Network, arXiv 1506.04214, Eq. (3).

    Example:
        >>> cell = ConvLstmCell(3, 8)
        >>> h, c = cell(torch.rand(2, 3, 4, 5))
        >>> h, c = cell(torch.rand(2, 3, 4, 5), (h, c))
        >>> h.shape
        torch.Size([2, 8, 4, 5])
    """

    peephole: nn.Parameter | None

    def __init__(
        self,
        inputs: int,
        state: int,
        /,
        *,
        kernel: int = 3,
        peephole: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(
                f"kernel is {kernel}; wanted an odd side, so that maps keep their size"
            )
        self.state = state
        self.gates = nn.Conv2d(inputs + state, 4 * state, kernel, padding=kernel // 2)
        # begins as a cell without one
        maps = None if peephole is None else nn.Parameter(torch.zeros(3, state, *peephole))
        self.register_parameter("peephole", maps)

    def forward(
        self, x_BCHW: Tensor, before: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] and (h, c) of the step before to (h, c), both [B, S, H, W].

        Without a step before, both are zero. The cell c is kept in float32 or better.
        """
        if before is None:
            zero = x_BCHW.new_zeros(len(x_BCHW), self.state, *x_BCHW.shape[2:])
            before = zero, zero.to(torch.promote_types(zero.dtype, torch.float32))
        h_BSHW, c_BSHW = before
        i, f, g, o = self.gates(torch.cat([x_BCHW, h_BSHW], 1)).chunk(4, 1)
        if self.peephole is not None:
            i, f = i + self.peephole[0] * c_BSHW, f + self.peephole[1] * c_BSHW
        c_BSHW = f.sigmoid() * c_BSHW + i.sigmoid() * g.tanh()
        if self.peephole is not None:
            o = o + self.peephole[2] * c_BSHW
        return (o.sigmoid() * c_BSHW.tanh()).to(x_BCHW.dtype), c_BSHW
