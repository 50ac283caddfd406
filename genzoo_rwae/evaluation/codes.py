"""The codes of a split, for probes and pictures.

Shapes: N sequences, T time, D code width, A number of actions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, SequenceData

__all__ = ["EncodedSplit", "encode_split", "spread_indices", "taken"]


@dataclass(frozen=True)
class EncodedSplit:
    """Posterior means of some sequences, and their labels.

    Attributes:
        static_ND: means of q(z^c | x).
        dynamic_NTD: means of q(z^m_t | z^m_<t, x_t); 0 beyond the true lengths.
        lengths_N: true lengths.
        indices_N: the sequences' places in the split.
        factors: name -> [N] labels.
        action_NA: probabilities q(a | z^m), of models with actions.
    """

    static_ND: Tensor
    dynamic_NTD: Tensor
    lengths_N: Tensor
    indices_N: Tensor
    factors: Mapping[str, Tensor]
    action_NA: Tensor | None = None


def spread_indices(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` indices, spread evenly and always the same."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))


def taken(data: SequenceData, indices_N: np.ndarray, size: int = 64) -> Iterator[Batch]:
    """Sequences in batches."""
    for start in range(0, len(indices_N), size):
        yield data.take(indices_N[start : start + size])


def encode_split(model: SequenceModel, data: SequenceData, most: int) -> EncodedSplit:
    """Encode at most `most` sequences, spread evenly over a split."""
    static, dynamic, action, batches = [], [], [], []
    for batch in taken(data, spread_indices(len(data), most)):
        encoding = model.encode(batch.x_BT, batch.lengths_B)
        static.append(encoding.static.mean)
        true_BT = torch.arange(batch.x_BT.shape[1]) < batch.lengths_B[:, None]
        dynamic.append(encoding.dynamic.mean * true_BT[..., None].to(encoding.dynamic.mean.device))
        if encoding.action:
            action.append(encoding.action.log_p.exp())
        batches.append(batch)
    names = batches[0].factors if batches else {}
    return EncodedSplit(
        torch.cat(static),
        torch.cat(dynamic),
        torch.cat([batch.lengths_B for batch in batches]),
        torch.cat([batch.indices_B for batch in batches]),
        {name: torch.cat([batch.factors[name] for batch in batches]) for name in names},
        torch.cat(action) if action else None,
    )
