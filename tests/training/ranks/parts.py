"""Single parts on several ranks, beside the same on one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from genzoo_rwae_plugins.frames.halving import BatchNorm2d
from genzoo_rwae_plugins.penalties.mmd import mmd
from torch import Tensor, nn

from genzoo_rwae.ranks import Ranks, RowShares
from genzoo_rwae.training.batch_norm import normalised_over_ranks


def distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Largest difference, relative to the largest entry of the same tensor."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    pairs = [
        (torch.as_tensor(v).double(), torch.as_tensor(other[n]).double()) for n, v in one.items()
    ]
    return max(float((a - b).abs().max() / (1e-3 + a.abs().max())) for a, b in pairs)


def all_of(ranks: Ranks, value: Tensor) -> list[Tensor]:
    """A tensor of every rank."""
    if ranks.count == 1:
        return [value]
    found = [torch.empty_like(value) for _ in range(ranks.count)]
    dist.all_gather(found, value)
    return found


@dataclass(frozen=True)
class Both:
    """Two samples."""

    q: Tensor
    p: Tensor

    @property
    def both(self) -> tuple[Tensor, Tensor]:
        """Them."""
        return self.q, self.p


def batch_norm_apart(ranks: Ranks) -> float:
    """How far BatchNorm over ranks is from that of the whole batch, in all that it gives.

    Torch's, and that which makes a leaky ReLU as well.
    """
    plain = _batch_norm_apart(ranks, nn.BatchNorm1d, (10, 2, 5))
    return max(plain, _batch_norm_apart(ranks, BatchNorm2d, (10, 2, 5, 1), 0.2))


def _batch_norm_apart(
    ranks: Ranks, made: Callable[[int], nn.Module], shape: tuple[int, ...], *given: float
) -> float:
    generator = torch.Generator().manual_seed(0)
    x_BCN = 3.0 + torch.randn(shape, generator=generator)
    slope_BCN = torch.randn(shape, generator=generator)
    rows = RowShares(ranks, 10).rows
    found = []
    for x, slope, alone in ((x_BCN, slope_BCN, True), (x_BCN[rows], slope_BCN[rows], False)):
        layer, x = made(2), x.clone().requires_grad_()
        with contextlib.nullcontext() if alone else normalised_over_ranks(layer, ranks):
            out = layer(x, *given)
        (out.square() * slope).sum().backward()
        cut = rows if alone else slice(None)
        of_weights = [p.grad if alone else ranks.sum(p.grad) for p in layer.parameters()]
        found.append([out[cut], x.grad[cut], *of_weights, layer.running_mean, layer.running_var])
    return distance(*({str(i): v.detach() for i, v in enumerate(one)} for one in found))


def mmd_apart(ranks: Ranks) -> float:
    """How far the shared MMD of gathered rows is from that of one process, gradients as well."""
    generator = torch.Generator().manual_seed(0)
    q_BD, p_BD = torch.randn(2, 30, 3, generator=generator)
    shares, found = RowShares(ranks, 30), []
    for rows, alone in ((slice(None), True), (shares.rows, False)):
        q, p = (x[rows].clone().requires_grad_() for x in (q_BD, p_BD))
        given = (
            (q, p, True, None) if alone else (*shares.gather(Both(q, p)).both, True, None, ranks)
        )
        mmd(*given).square().backward()
        cut, average = (shares.rows, 1) if alone else (slice(None), ranks.count)
        found.append([mmd(*given), *(x.grad[cut] / average for x in (q, p))])
    return distance(*({str(i): v.detach() for i, v in enumerate(one)} for one in found))


def largest(ranks: Ranks, measure: Callable[[Ranks], float]) -> float:
    """Over all ranks."""
    return max(float(value) for value in all_of(ranks, torch.tensor(measure(ranks))))
