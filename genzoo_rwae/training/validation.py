"""Measuring the validation split while a run trains."""

from __future__ import annotations

import torch

from genzoo_rwae.sequences import SequenceData
from genzoo_rwae.training.batches import taken
from genzoo_rwae.training.randomness import epoch_order, step_generator
from genzoo_rwae.training.step import Step

__all__ = ["FEWEST_MEASURED", "Validation"]

_MOST = 512  # sequences of a measurement
FEWEST_MEASURED = 4
"""Sequences that every estimator of a divergence or a dependence can do with."""


class Validation:
    """The validation split; every measurement is of the same sequences, with the same draws.

    Args:
        module: model and objective.
        data: the split; may be empty.
        size: sequences of a batch.
        seed: of the draws.
    """

    def __init__(self, module: Step, data: SequenceData, size: int, seed: int) -> None:
        self.module, self.data, self.size, self.seed = module, data, size, seed

    @torch.no_grad()
    def figures(self, step: int) -> dict[str, float]:
        """Loss, terms and mse of the reconstruction, the mean over sequences; none of too few.

        Args:
            step: where the run is.

        Raises:
            NotFiniteError: a term of the objective is not.
            DataError: the data cannot be read any more.
        """
        if len(self.data) < FEWEST_MEASURED:
            return {}
        module, size = self.module.eval(), self.size
        generator = step_generator(self.seed, "measure", 0)
        # mixed: neighbours in a split are often of one kind, whose codes no prior can match
        indices_N = epoch_order(0, 0, len(self.data))[:_MOST]
        count = len(indices_N)
        # whole batches, since a divergence of samples depends on their number; one if there is less
        starts = range(0, max(count - size, 0) + 1, size)
        totals: dict[str, float] = {}
        for start in starts:
            batch = taken(self.data, indices_N[start : start + size], step=step)
            loss, figures = module(batch, 1.0, generator)
            with module.execution.autocast():
                mse = module.model.reconstruct(batch.x_BT, batch.lengths_B).mse_B.mean()
            for name, value in {"loss": loss, **figures, "mse": mse}.items():
                totals[name] = totals.get(name, 0.0) + value.item() * len(batch)
        seen = sum(min(size, count - start) for start in starts)
        return {name: value / seen for name, value in totals.items()}
