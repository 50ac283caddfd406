"""All pairs of rows under a radial kernel in one sweep over tiles, in plain torch.

Shapes: B batch, N rows of x, M rows of y, D width, E two more; T tiles of all batch elements, H
rows of a tile; P meetings of two tiles, I rows of the one on the left, J of the one on the right.

The squared distances of a meeting are one product of matrices,

    |z_i|^2 + |z_j|^2 - 2 z_i . z_j = [-2 z_i, |z_i|^2, 1] . [z_j, 1, |z_j|^2],

the kernel turns them into values and slopes G_ij = dk/d(d2), and the pull on a row is one more,

    sum_j G_ij w_j (z_i - z_j) = (G w)_i z_i - (G (w z))_i.

As many meetings as the cache holds go through these steps together.
"""

from functools import partial
from typing import NamedTuple, Self

import torch
from torch import Tensor

from genzoo_rwae_kernels.radial import Radial
from genzoo_rwae_kernels.sweeps import ALL, EVERYTHING, Kinds, Sums, Wanted
from genzoo_rwae_kernels.tiled.meetings import Meetings, all_meetings
from genzoo_rwae_kernels.tiled.mixtures import value_and_slope
from genzoo_rwae_kernels.tiled.stack import End, Stack

__all__ = ["sweep"]

# Rows of a tile, and numbers in a step of several meetings (measured, 1 MB of second-level cache).
_TILE = 256
_AT_ONCE = _TILE**2


def sweep(
    x_BND: Tensor,
    y_BMD: Tensor,
    a_BN: Tensor | None,
    b_BM: Tensor | None,
    coefficients_B3: Tensor,
    kernel: Radial,
    /,
    *,
    kinds: Kinds = ALL,
    skip_diagonal: bool = False,
    wanted: Wanted = EVERYTHING,
) -> Sums:
    """The sums, the value that they make with the coefficients, and its gradients.

    Args:
        x_BND: float32 or float64, at least one row.
        y_BMD: the dtype of x, any number of rows.
        a_BN: weights of x; None: all 1.
        b_BM: weights of y; None: all 1.
        coefficients_B3: of the sums within x, within y and across, float64.
        kernel: of a constant width.
        kinds: which of the sums.
        skip_diagonal: leave the pairs (x_i, y_i) out of the sum across.
        wanted: which of the gradients; None stands for the others.
    """
    (B, n, D), m = x_BND.shape, y_BMD.shape[1]
    meetings = all_meetings(B, (n, m), kinds, _TILE, x_BND.device)
    stack = Stack.of(x_BND, y_BMD, a_BN, b_BM, kernel, meetings)
    height, count = meetings.height, len(meetings.left_P)
    c_P11 = (coefficients_B3.flatten()[meetings.sum_P] * meetings.share_P)[:, None, None]
    totals_P = c_P11.new_empty(count)
    tally = _Tally.of(stack, wanted)
    bare = meetings.itself + (meetings.paired if skip_diagonal else 0)
    at_once = min(count, max(1, _AT_ONCE // (height * max(height, D))))
    d2 = stack.left_THE.new_empty(at_once * height**2)
    buffers = d2.new_empty(3, len(d2), dtype=x_BND.dtype)
    for first in range(0, count, at_once):
        some = slice(first, first + at_once)
        left, right = stack.ends(meetings.left_P[some], meetings.right_P[some])
        d2_PIJ = _squared_distances(left, right, stack.near, d2)
        k_PIJ, slope_PIJ = value_and_slope(kernel, d2_PIJ.to(x_BND.dtype), D, buffers)
        slope_PIJ = slope_PIJ.to(d2.dtype)
        if bare > first:
            for table_PIJ in (k_PIJ, slope_PIJ):
                table_PIJ[: bare - first].diagonal(dim1=-2, dim2=-1).zero_()
        k_PI1 = _times(k_PIJ, right.weights_PH1)
        k_PI1 = k_PI1 if left.weights_PH1 is None else left.weights_PH1 * k_PI1
        torch.sum(k_PI1, dim=(-2, -1), dtype=torch.float64, out=totals_P[some])
        tally.add(left, right, c_P11[some], k_PIJ, slope_PIJ)
        # A tile that meets itself has had all of its pairs.
        if first + at_once > meetings.itself:
            two = slice(max(0, meetings.itself - first), None)
            tally.add(
                right.part(two), left.part(two), c_P11[some][two], k_PIJ[two].mT, slope_PIJ[two].mT
            )
    sums_B3 = c_P11.new_zeros(B * 3)
    sums_B3 = sums_B3.index_add_(0, meetings.sum_P, totals_P * meetings.times_P).view(B, 3)
    gradients = tally.gradients(x_BND, y_BMD, a_BN, b_BM, meetings, wanted)
    return Sums((sums_B3 * coefficients_B3).sum(dim=-1), sums_B3, *gradients)


class _Tally(NamedTuple):
    """What is added up for every row, in float64; None: not asked for.

    Attributes:
        pulls_THD: sum_j c_ij G_ij w_j (z_i - z_j), a quarter of the gradient over the row's weight.
        potentials_TH1: sum_j c_ij w_j k_ij, half of the gradient of the row's weight.
    """

    pulls_THD: Tensor | None
    potentials_TH1: Tensor | None

    @classmethod
    def of(cls, stack: Stack, wanted: Wanted) -> Self:
        T, H, E = stack.left_THE.shape
        new = partial(stack.left_THE.new_zeros, dtype=torch.float64)
        return cls(
            new(T, H, E - 2) if wanted.x or wanted.y else None,
            new(T, H, 1) if wanted.a or wanted.b else None,
        )

    def add(self, end: End, other: End, c_P11: Tensor, k_PIJ: Tensor, slope_PIJ: Tensor) -> None:
        """What the rows at one end have of their meetings with those at the other."""
        if self.potentials_TH1 is not None:
            potential_PI1 = _times(k_PIJ, other.weights_PH1)
            self.potentials_TH1.index_add_(0, end.at_P, potential_PI1 * c_P11)
        if self.pulls_THD is not None:
            z_PJD = other.z_PHD
            if other.weights_PH1 is not None:
                z_PJD = z_PJD * other.weights_PH1
            slope_PI1 = _times(slope_PIJ, other.weights_PH1)
            pull_PID = torch.baddbmm(slope_PI1 * end.z_PHD, slope_PIJ, z_PJD, alpha=-1.0)
            self.pulls_THD.index_add_(0, end.at_P, pull_PID * c_P11)

    def gradients(
        self,
        x_BND: Tensor,
        y_BMD: Tensor,
        a_BN: Tensor | None,
        b_BM: Tensor | None,
        meetings: Meetings,
        wanted: Wanted,
    ) -> list[Tensor | None]:
        """Of x, y, a and b."""
        begin = meetings.tiles[0] * meetings.height
        samples = ((x_BND, a_BN, 0), (y_BMD, b_BM, begin))
        found: list[Tensor | None] = []
        for wants, (rows_BND, w_BN, first) in zip(wanted[:2], samples, strict=True):
            if not wants or self.pulls_THD is None:
                found.append(None)
                continue
            pulls_BRD = self.pulls_THD.view(len(rows_BND), -1, rows_BND.shape[-1])
            pulls_BND = pulls_BRD[:, first : first + rows_BND.shape[1]].mul_(4.0)
            if w_BN is not None:
                pulls_BND.mul_(w_BN.unsqueeze(-1))
            found.append(pulls_BND.to(rows_BND.dtype))
        for wants, (rows_BND, _, first) in zip(wanted[2:], samples, strict=True):
            if not wants or self.potentials_TH1 is None:
                found.append(None)
                continue
            potentials_BR = self.potentials_TH1.view(len(rows_BND), -1)
            found.append(2.0 * potentials_BR[:, first : first + rows_BND.shape[1]])
        return found


def _squared_distances(left: End, right: End, near: float, out: Tensor) -> Tensor:
    P, H, _ = left.rows_PHE.shape
    d2_PIJ = out[: P * H * H].view(P, H, H)
    torch.bmm(left.rows_PHE, right.rows_PHE.mT, out=d2_PIJ).clamp_(min=0.0)
    if near:
        p, i, j = (d2_PIJ < near).nonzero(as_tuple=True)
        d2_PIJ[p, i, j] = (left.z_PHD[p, i] - right.z_PHD[p, j]).square_().sum(dim=-1)
    return d2_PIJ


def _times(table_PIJ: Tensor, weights_PJ1: Tensor | None) -> Tensor:
    """Weighted sums of rows, [P, I, 1]."""
    if weights_PJ1 is None:
        return table_PIJ.sum(dim=-1, keepdim=True)
    return torch.bmm(table_PIJ, weights_PJ1.to(table_PIJ.dtype))
