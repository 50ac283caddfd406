"""Batch normalisation by the statistics of the whole batch, where every rank has a part of it.

torch's own SyncBatchNorm needs CUDA.

Shapes: N rows of this rank, C channels, ... places.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from genzoo_rwae.ranks import Ranks

__all__ = ["normalised_over_ranks"]

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


@contextmanager
def normalised_over_ranks(model: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Inside, a model's BatchNorm layers in training see the rows of all ranks."""
    layers = [layer for layer in model.modules() if isinstance(layer, BatchNorm)]
    layers = layers if ranks.count > 1 else []
    for layer in layers:
        layer.forward = partial(_forward, layer, ranks)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: BatchNorm, ranks: Ranks, x_NC: Tensor, slope: float = 1.0) -> Tensor:
    """As the layer's own, of which some make a leaky ReLU as well: `slope` below 0, 1: none."""
    own = type(layer).forward
    normed_NC = _normed(layer, ranks, x_NC) if layer.training else own(layer, x_NC)
    return normed_NC if slope == 1.0 else leaky_relu(normed_NC, slope, inplace=slope >= 0.0)


def _normed(layer: BatchNorm, ranks: Ranks, x_NC: Tensor) -> Tensor:
    """[N, C, ...]: (x − mean) / sd · weight + bias; gradients pass through mean and sd."""
    wide_NC = x_NC.float()
    axes = [axis for axis in range(x_NC.dim()) if axis != 1]
    column = [1, -1, *[1] * (x_NC.dim() - 2)]
    own = torch.tensor(x_NC.numel() / x_NC.shape[1], dtype=torch.float64, device=x_NC.device)
    count = ranks.sum(own)
    mean_C = (ranks.sum(wide_NC.sum(axes, dtype=torch.float64)) / count).float()
    centred_NC = wide_NC - mean_C.view(column)
    squares_C = ranks.sum(centred_NC.square().sum(axes, dtype=torch.float64))
    variance_C = (squares_C / count).float()
    _note(layer, mean_C.detach(), (squares_C.detach() / (count - 1)).float())
    scale_C = (variance_C + layer.eps).rsqrt()
    scale_C = scale_C if layer.weight is None else scale_C * layer.weight
    normed_NC = centred_NC * scale_C.view(column)
    if layer.bias is not None:
        normed_NC = normed_NC + layer.bias.view(column)
    return normed_NC.to(x_NC.dtype)


@torch.no_grad()
def _note(layer: BatchNorm, mean_C: Tensor, variance_C: Tensor) -> None:
    """Running statistics, as torch keeps them."""
    if layer.running_mean is None or layer.running_var is None:
        return
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked.add_(1)
    momentum = layer.momentum
    share = 1.0 / float(layer.num_batches_tracked) if momentum is None else momentum
    layer.running_mean.lerp_(mean_C, share)
    layer.running_var.lerp_(variance_C, share)
