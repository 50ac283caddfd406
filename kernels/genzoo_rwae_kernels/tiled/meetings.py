"""Which tiles of two samples meet, for a sweep over all pairs of rows.

Shapes: B batch, N rows of x, M rows of y; K tiles of a batch element, those of x before those of y,
of one height; P meetings of two tiles, those of all batch elements in one list.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from genzoo_rwae_kernels.sweeps import Kinds

__all__ = ["Meetings", "all_meetings"]

# What a meeting costs beyond its pairs of rows, in pairs (measured on one core).
_OVERHEAD = 2**13


@dataclass(frozen=True)
class Meetings:
    """Every tile with itself, then those of rows with one number, then all others, each once.

    Attributes:
        height: rows of a tile; those missing at the end of a sample count as rows of weight 0.
        tiles: of x and of y in a batch element.
        missing: rows that fill up the last tile of x and of y.
        left_P, right_P: tiles that meet, among the B K of all batch elements.
        sum_P: to which of the B 3 sums (within x, within y, across) a meeting belongs.
        times_P: how often a meeting counts in its sum: 2 where it stands for its mirror image too.
        share_P: the coefficient of a pair of rows over that of its sum, half if that is one of
            pairs without order.
        itself: so many meetings at the beginning are of a tile and itself.
        paired: so many after them are of the same rows of x and of y.
    """

    height: int
    tiles: tuple[int, int]
    missing: tuple[int, int]
    left_P: Tensor
    right_P: Tensor
    sum_P: Tensor
    times_P: Tensor
    share_P: Tensor
    itself: int
    paired: int


@lru_cache(maxsize=8)
def all_meetings(
    batch: int, rows: tuple[int, int], kinds: Kinds, most: int, device: torch.device, /
) -> Meetings:
    """The meetings of `batch` elements with the same numbers of rows.

    Args:
        batch: B.
        rows: N and M; M may be 0.
        kinds: the sums that are asked for.
        most: rows of a tile at most.
        device: of the tensors.
    """
    height = _height(rows, most)
    tiles = (-(-rows[0] // height), -(-rows[1] // height))
    every = sum(tiles)
    # The first call may come from where there are no gradients; later ones need not.
    with torch.inference_mode(False), torch.no_grad(), torch.device(device):
        left_P, right_P = torch.triu_indices(every, every)
        of_left_P, of_right_P = (left_P >= tiles[0]).long(), (right_P >= tiles[0]).long()
        kind_P = torch.where(of_left_P == of_right_P, of_left_P, 2)
        asked = [bool(kinds & one) for one in (Kinds.WITHIN_X, Kinds.WITHIN_Y, Kinds.ACROSS)]
        asked_P = torch.tensor(asked)[kind_P]
        itself_P = left_P == right_P
        paired_P = (kind_P == 2) & (right_P == left_P + tiles[0])
        groups = (itself_P, paired_P, ~itself_P & ~paired_P)
        chosen = [(group_P & asked_P).nonzero().flatten() for group_P in groups]

        def of_batch(values_P: Tensor, step: int) -> Tensor:
            """Of all elements: all of the first group, then of the second, then of the third."""
            elements_B1 = torch.arange(batch).unsqueeze(-1) * step
            return torch.cat([(values_P[some_P] + elements_B1).flatten() for some_P in chosen])

        left_P, right_P, sum_P = (
            of_batch(values_P, step)
            for values_P, step in ((left_P, every), (right_P, every), (kind_P, 3))
        )
        across_P = sum_P % 3 == 2
        return Meetings(
            height=height,
            tiles=tiles,
            missing=(tiles[0] * height - rows[0], tiles[1] * height - rows[1]),
            left_P=left_P,
            right_P=right_P,
            sum_P=sum_P,
            times_P=2.0 - (across_P | (left_P == right_P)).double(),
            share_P=1.0 - 0.5 * across_P.double(),
            itself=batch * len(chosen[0]),
            paired=batch * len(chosen[1]),
        )


def _height(rows: tuple[int, int], most: int) -> int:
    """Rows of a tile, so that few are missing in the last tile of either sample."""
    candidates = {
        -(-n // tiles) for n in rows if n for tiles in range(-(-n // most), -(-n // most) + 8)
    }

    def cost(height: int) -> int:
        tiles = sum(-(-n // height) for n in rows)
        return tiles * (tiles + 1) // 2 * (height**2 + _OVERHEAD)

    return min(candidates, key=cost)
