"""Random numbers as functions of (seed, purpose, step).

Nothing random is carried along from step to step, so there is no generator's state that a
checkpoint could miss: a run that was interrupted draws what it would have drawn.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

__all__ = ["epoch_order", "order_generator", "shown_labels", "step_generator"]

Purpose = Literal["order", "draws", "global", "measure", "labels", "codes"]
_NUMBER = {"order": 0, "draws": 1, "global": 2, "measure": 3, "labels": 4, "codes": 5}


def _sequence(seed: int, purpose: Purpose, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, _NUMBER[purpose], number])


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of `count` sequences in one epoch: a permutation [count]."""
    return order_generator(seed, epoch).permutation(count)


def order_generator(seed: int, epoch: int) -> np.random.Generator:
    """The generator that one epoch's order is drawn from."""
    return np.random.default_rng(_sequence(seed, "order", epoch))


def step_generator(seed: int, purpose: Purpose, number: int) -> torch.Generator:
    """A generator for one step (or one measurement); `global` also seeds torch's own."""
    state = int(_sequence(seed, purpose, number).generate_state(1, np.uint64)[0] >> np.uint64(1))
    if purpose == "global":
        _seed_torch(state)
    return torch.Generator().manual_seed(state)


def _seed_torch(state: int) -> None:
    """torch.manual_seed, which notes where it was called for each kind of device that is not there.

    That takes longer than many an operation of a step.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(state)
    else:
        torch.default_generator.manual_seed(state)


def shown_labels(
    labels_B: torch.Tensor, indices_B: torch.Tensor, seed: int, share: float
) -> torch.Tensor:
    """Labels [B] of the sequences whose label is shown, −1 for all others.

    Whether a label is shown depends on the seed and the sequence's place in its split alone.
    """
    drawn = [
        np.random.default_rng(_sequence(seed, "labels", index)).random()
        for index in indices_B.tolist()
    ]
    return torch.where(torch.tensor(drawn) < share, labels_B, -1)
