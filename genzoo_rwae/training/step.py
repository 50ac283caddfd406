"""One step of training as one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genzoo_rwae.objective import Objective
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch
from genzoo_rwae.training.precision import Execution
from genzoo_rwae.training.randomness import shown_labels

__all__ = ["Step"]


class Step(nn.Module):
    """Forward pass and objective as one module, which is what an engine has to wrap.

    The nets run in the chosen precision; the objective never does.
    """

    def __init__(
        self, model: SequenceModel, objective: Objective, execution: Execution, seed: int
    ) -> None:
        super().__init__()
        self.model, self.objective, self.execution, self.seed = model, objective, execution, seed

    def learnt_parameters(self) -> list[nn.Parameter]:
        """What the run's optimiser trains: all but the critics, which have their own."""
        return [*self.model.parameters(), *self.objective.parameters_of_the_model()]

    def forward(
        self, batch: Batch, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with self.execution.autocast():
            passed = self.model(batch.x_BT, batch.lengths_B, generator, progress)
        terms = self.objective(
            passed,
            self.model,
            progress=progress,
            generator=generator,
            labels_B=self._labels(batch),
        )
        return terms.loss, dict(terms.figures)

    def _labels(self, batch: Batch) -> Tensor | None:
        """The labels that the spec asks for; nothing else of the batch's factors leaves it.

        None where the validation split is measured, which chooses the best weights.
        """
        labels = self.objective.section.labels
        if labels is None or not self.training:
            return None
        return shown_labels(batch.factors[labels.factor], batch.indices_B, self.seed, labels.share)
