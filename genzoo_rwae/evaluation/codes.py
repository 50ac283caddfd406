"""The codes of a split, for probes and pictures.

Shapes: N sequences, T time, D code width, F features, A number of actions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from genzoo_rwae.codes import Categorical, DrawnCodes, draw_sample
from genzoo_rwae.padding import true_steps
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch, SequenceData, check_labels

__all__ = ["EncodedSplit", "drawn_codes", "encode_split", "spread_indices", "taken"]


@dataclass(frozen=True)
class EncodedSplit:
    """Codes of some sequences, and their labels.

    Attributes:
        static_ND: means of q(z^c | x), or draws.
        dynamic_NTD: means of q(z^m_t | z^m_<t, x_t), or draws; 0 beyond the true lengths.
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

    def features(self) -> dict[str, np.ndarray]:
        """Code -> [N, F]: the static code, and the whole path of the dynamic ones."""
        path_NF = rearrange(self.dynamic_NTD, "n t d -> n (t d)")
        return {
            "static code": self.static_ND.cpu().numpy(),
            "dynamic codes": path_NF.cpu().numpy(),
        }

    def dynamic_mean(self) -> Tensor:
        """Means of the dynamic codes over the true steps [N, D]."""
        steps_N1 = self.lengths_N[:, None].to(self.dynamic_NTD)
        return self.dynamic_NTD.sum(1) / steps_N1


def spread_indices(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` indices, spread evenly and always the same."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))


def taken(data: SequenceData, indices_N: np.ndarray, size: int = 64) -> Iterator[Batch]:
    """Sequences in batches.

    Raises:
        DataError: a label is no class of its factor.
    """
    for start in range(0, len(indices_N), size):
        batch = data.take(indices_N[start : start + size])
        check_labels(batch, data.info, needed=False)
        yield batch


def encode_split(
    model: SequenceModel,
    data: SequenceData,
    which: int | np.ndarray,
    generator: torch.Generator | None = None,
    *,
    labelled: bool = True,
) -> EncodedSplit:
    """Encode sequences of a split.

    Args:
        model: what encodes.
        data: whose sequences.
        which: how many of them at most, spread evenly; or their places in the split.
        generator: codes are draws of the posteriors from it; without one they are their means.
        labelled: with the labels of all factors that there are; else with none.

    Raises:
        DataError: labels are wanted and not there, or a label is no class of its factor.
    """
    static, dynamic, action = [], [], []
    told: list[tuple[Tensor, Tensor, Mapping[str, Tensor]]] = []  # of a batch but its frames
    indices_N = spread_indices(len(data), which) if isinstance(which, int) else which
    for batch in taken(data, indices_N):
        static_BD, dynamic_BTD, action_BA = _codes_of(model, batch, generator)
        true_BT = true_steps(batch.x_BT.shape[1], batch.lengths_B, dynamic_BTD.device)
        static.append(static_BD)
        dynamic.append(dynamic_BTD * true_BT[..., None])
        if action_BA is not None:
            action.append(action_BA)
        if labelled:
            check_labels(batch, data.info)
        told.append((batch.lengths_B, batch.indices_B, batch.factors if labelled else {}))
    lengths, indices, factors = zip(*told, strict=True)
    return EncodedSplit(
        torch.cat(static),
        torch.cat(dynamic),
        torch.cat(lengths),
        torch.cat(indices),
        {name: torch.cat([of_batch[name] for of_batch in factors]) for name in factors[0]},
        torch.cat(action) if action else None,
    )


def drawn_codes(
    model: SequenceModel, data: SequenceData, most: int, generator: torch.Generator
) -> DrawnCodes:
    """Draws of the codes of at most so many sequences, for priors that are fitted to them."""
    drawn = encode_split(model, data, most, generator, labelled=False)
    action_NA = drawn.action_NA
    if action_NA is not None:
        action_NA = Categorical(action_NA.log(), hard=True).sample(generator)
    return DrawnCodes(drawn.static_ND, drawn.dynamic_NTD, drawn.lengths_N, action_NA)


@torch.no_grad()
def _codes_of(
    model: SequenceModel, batch: Batch, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Static and dynamic codes, and the probabilities of the actions of models that have some."""
    if generator is None:
        encoding = model.encode(batch.x_BT, batch.lengths_B)
        action_BA = encoding.action.log_p.exp() if encoding.action else None
        return encoding.static.mean, encoding.dynamic.mean, action_BA
    codes = model.infer(model.prepare(batch.x_BT), batch.lengths_B, draw_sample(generator))
    action_BA = codes.action.posterior.log_p.exp() if codes.action else None
    return codes.static.sample, codes.dynamic.sample, action_BA
