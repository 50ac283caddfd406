"""One step of training as one module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from genzoo_rwae.draws import RowDraws
from genzoo_rwae.errors import PluginError
from genzoo_rwae.objective import Objective
from genzoo_rwae.ranks import RowShares
from genzoo_rwae.sequence_model import SequenceModel
from genzoo_rwae.sequences import Batch
from genzoo_rwae.training.compilation import CompiledPass
from genzoo_rwae.training.precision import Execution
from genzoo_rwae.training.randomness import shown_labels

__all__ = ["Step"]


class Step(nn.Module):
    """Forward pass and objective as one module, which is what an engine has to wrap.

    The nets run in the chosen precision; the objective never does. On several ranks each passes its
    own rows of a training batch through the nets, and draws for them what one rank would.

    Attributes:
        compiled: what passes a training batch in place of the model, if somebody has set it.
    """

    def __init__(
        self,
        model: SequenceModel,
        objective: Objective,
        execution: Execution,
        seed: int,
        shares: RowShares | None = None,
    ) -> None:
        super().__init__()
        self.model, self.objective, self.execution, self.seed = model, objective, execution, seed
        self.shares = shares if shares and shares.ranks.count > 1 else None
        self.compiled: CompiledPass | None = None
        if self.shares:
            # launch.py has DDP look for parameters without a gradient; where it finds none it warns
            # [1]: what has no axis cannot be cut into shards
            self.unused = nn.Parameter(torch.zeros(1, device=execution.device))

    def learnt_parameters(self) -> list[nn.Parameter]:
        """What the run's optimiser trains: all but the critics, which have their own."""
        learnt = [*self.model.parameters(), *self.objective.parameters_of_the_model()]
        return [parameter for parameter in learnt if parameter.requires_grad]

    def forward(
        self, batch: Batch, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        shares = self.shares if self.training else None  # every rank measures the whole validation
        forward = self.compiled if self.compiled and self.training else self.model
        with _draws_of_one_rank(generator, shares) as draws, self.execution.autocast():
            passed = forward(batch.x_BT, batch.lengths_B, draws, progress)
        terms = self.objective(
            passed,
            self.model,
            progress=progress,
            generator=generator,
            labels_B=self._labels(batch),
            shares=shares,
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


@contextmanager
def _draws_of_one_rank(
    generator: torch.Generator, shares: RowShares | None
) -> Iterator[torch.Generator]:
    """What a model draws from: on several ranks, the whole batch's numbers of the own rows.

    Raises:
        PluginError: a part of the model drew in a way that gives other numbers than on one rank.
    """
    if shares is None:
        yield generator
        return
    rows, before = RowDraws(generator, shares.rows, shares.total), _global_state()
    yield rows
    if not rows.is_untouched:
        raise PluginError(
            "a part of the model gives its generator to torch's own functions, whose numbers on "
            "several ranks are not those of one; draw with genzoo_rwae.uniform_draws or "
            "normal_draws a row for each sequence, and what all share from shared_draws(generator)"
        )
    if not torch.equal(before, _global_state()):
        raise PluginError(
            "a part of the model draws from torch's global generator, as dropout does, and its "
            "numbers on several ranks are not those of one; train it on one rank, or draw from "
            "the generator that the model is given"
        )


def _global_state() -> torch.Tensor:
    """The state of torch's own generators."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state())
    return torch.cat(states)
