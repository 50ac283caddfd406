"""Metrics of plugins, tried before the training that leads to them: a fault shows at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.evaluation.measure import Splits, measure, wants_judge
from genzoo_rwae.sequences import Batch, SequenceData, Sound

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.spec import Part
    from genzoo_rwae.zoo import Zoo

__all__ = ["rehearse"]

_FEW = 16  # sequences


class _Few(SequenceData):
    """A few sequences of others, spread evenly."""

    def __init__(self, data: SequenceData) -> None:
        self.data, self.info = data, data.info
        self.indices_N = spread_indices(len(data), _FEW)

    def __len__(self) -> int:
        return len(self.indices_N)

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        return self.data.take(self.indices_N[indices_B], draw=draw)

    def recombine(self, static_B: np.ndarray, dynamic_B: np.ndarray, /) -> Tensor | None:
        return self.data.recombine(self.indices_N[static_B], self.indices_N[dynamic_B])

    def following(self, indices_B: np.ndarray, steps: int, /) -> Tensor | None:
        return self.data.following(self.indices_N[indices_B], steps)

    def sound(self, x_T: Tensor, /, *, like: int | None = None) -> Sound | None:
        return self.data.sound(x_T, like=None if like is None else int(self.indices_N[like]))

    def groups(self, indices_B: np.ndarray, /) -> np.ndarray | None:
        return self.data.groups(self.indices_N[indices_B])


def rehearse(
    model: SequenceModel, splits: Callable[[], Splits], metrics: Sequence[Part], zoo: Zoo
) -> None:
    """Warn of every metric of a plugin that fails on a few sequences and a model as it is.

    It may be right all the same, where it wants more of either; so nothing ends here. Metrics that
    want a judge are not tried: there is none yet.

    Args:
        model: not yet trained.
        splits: opens the data; not called if there is nothing to try.
        metrics: those of a spec.
        zoo: knows whose code failed.
    """
    was_training = model.training
    own = [m for m in metrics if m.registered.plugin.origin != "built-in" and not wants_judge(m)]
    few = Splits(*map(_Few, vars(splits()).values())) if own else None
    for metric in own:
        assert few is not None
        try:
            with torch.random.fork_rng(devices=[]):
                measure(model, few, [metric], Console(file=StringIO()))
        except Exception as error:
            blame = zoo.blame(error)
            place = f" ({blame.place})" if blame else ""
            said = (
                f"the metric '{metric.name}' of {metric.registered.plugin} fails on {_FEW} "
                f"sequences and the model before training: {type(error).__name__}: {error}{place}; "
                "it is asked again when training is over"
            )
            warnings.warn(GenzooWarning(said), stacklevel=2)
    model.train(was_training)
