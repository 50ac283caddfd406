"""Two samples as one stack of centred tiles, x above y, and what a sweep adds up for its rows.

Shapes: B batch, N rows of x, M rows of y, R both with the rows that fill up tiles; D width, E two
more; T tiles of all batch elements, H rows of a tile, P some tiles.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from genzoo_rwae_kernels.radial import Radial
from genzoo_rwae_kernels.tiled.meetings import Meetings
from genzoo_rwae_kernels.tiled.mixtures import float32_reach

__all__ = ["End", "Stack"]

# Below this part of the largest |z|^2 a kernel with a kink gets sums of squared differences.
_NEAR = 1e-8


class End(NamedTuple):
    """Tiles at one end of some meetings.

    Attributes:
        at_P: which tiles of the stack.
        rows_PHE: those of `left_THE` or `right_THE`.
        z_PHD: their rows.
        weights_PH1: of their rows; None: all 1.
    """

    at_P: Tensor
    rows_PHE: Tensor
    z_PHD: Tensor
    weights_PH1: Tensor | None

    def part(self, some: slice) -> "End":
        """The tiles of some of the meetings."""
        weights_PH1 = None if self.weights_PH1 is None else self.weights_PH1[some]
        return End(self.at_P[some], self.rows_PHE[some], self.z_PHD[some], weights_PH1)


class Stack(NamedTuple):
    """Rows z = x - centre, in float32 where that is exact enough for the kernel, and their weights.

    Attributes:
        left_THE: [-2 z, |z|^2, 1]; times a transposed `right_THE` these are squared distances.
        right_THE: [z, 1, |z|^2].
        weights_TH1: in the dtype of the samples, 0 for rows that fill up; None: all 1.
        near: squared distances below this are to be summed from differences.
    """

    left_THE: Tensor
    right_THE: Tensor
    weights_TH1: Tensor | None
    near: float

    @classmethod
    def of(
        cls,
        x_BND: Tensor,
        y_BMD: Tensor,
        a_BN: Tensor | None,
        b_BM: Tensor | None,
        kernel: Radial,
        meetings: Meetings,
    ) -> Self:
        """The stack of two samples with weights; None: all 1."""
        missing = meetings.missing
        rows_BRD = _end_to_end(x_BND, y_BMD, missing)
        total_B1D = rows_BRD.sum(dim=1, keepdim=True, dtype=torch.float64)
        centre_B1D = total_B1D.div_(x_BND.shape[1] + y_BMD.shape[1])
        z_BRD, square_BR1 = _centred(rows_BRD, centre_B1D.to(x_BND.dtype), meetings)
        largest = float(square_BR1.amax())
        exact = x_BND.dtype != torch.float32 or largest <= float32_reach(kernel, x_BND.shape[-1])
        if not exact:
            z_BRD, square_BR1 = _centred(rows_BRD.double(), centre_B1D, meetings)
        weights_TH1 = None
        if a_BN is not None or b_BM is not None or any(missing):
            a_BN1, b_BM1 = (
                rows.new_ones(*rows.shape[:2], 1) if w is None else w.to(rows.dtype).unsqueeze(-1)
                for rows, w in ((x_BND, a_BN), (y_BMD, b_BM))
            )
            weights_TH1 = _end_to_end(a_BN1, b_BM1, missing).view(-1, meetings.height, 1)
        one_BR1 = torch.ones_like(square_BR1)
        left_BRE = torch.cat([-2.0 * z_BRD, square_BR1, one_BR1], dim=-1)
        right_BRE = torch.cat([z_BRD, one_BR1, square_BR1], dim=-1)
        return cls(
            left_THE=left_BRE.view(-1, meetings.height, left_BRE.shape[-1]),
            right_THE=right_BRE.view(-1, meetings.height, right_BRE.shape[-1]),
            weights_TH1=weights_TH1,
            near=_NEAR * largest if kernel.has_kink else 0.0,
        )

    def ends(self, left_P: Tensor, right_P: Tensor) -> tuple[End, End]:
        """Both ends of meetings of the tiles `left_P` with the tiles `right_P`."""
        left_PHE, right_PHE = self.left_THE[left_P], self.right_THE[right_P]
        a_PH1, b_PH1 = (
            None if self.weights_TH1 is None else self.weights_TH1[at_P]
            for at_P in (left_P, right_P)
        )
        return (
            End(left_P, left_PHE, -0.5 * left_PHE[..., :-2], a_PH1),
            End(right_P, right_PHE, right_PHE[..., :-2], b_PH1),
        )


def _end_to_end(x_BND: Tensor, y_BMD: Tensor, missing: tuple[int, int]) -> Tensor:
    """[B, R, D]; rows that fill up are 0."""
    if not any(missing):
        return torch.cat([x_BND, y_BMD], dim=1)
    samples = zip((x_BND, y_BMD), missing, strict=True)
    return torch.cat([pad(rows, (0, 0, 0, more)) for rows, more in samples], dim=1)


def _centred(rows_BRD: Tensor, centre_B1D: Tensor, meetings: Meetings) -> tuple[Tensor, Tensor]:
    """Rows less the centre, and their squared lengths; rows that fill up lie at the centre."""
    z_BRD = rows_BRD - centre_B1D
    end = 0
    for tiles, more in zip(meetings.tiles, meetings.missing, strict=True):
        end += tiles * meetings.height
        if more:
            z_BRD[:, end - more : end] = 0.0
    return z_BRD, z_BRD.square().sum(dim=-1, keepdim=True)
