"""The nets as compiled code: tried on a batch, timed against the nets as they are, or left.

Shapes: B batch, T time, K decoded steps, ... the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genzoo_rwae.errors import shown
from genzoo_rwae.sequence_model import Pass, SequenceModel
from genzoo_rwae.sequences import Batch
from genzoo_rwae.training.precision import Execution
from genzoo_rwae.training.trial import Forward, left_as_it_was, pass_seconds

__all__ = ["CompiledPass", "faster_pass"]

Say = Callable[[str], None]

_BACKEND = "inductor"
_WARM_UP = 3  # passes; the second is compiled anew, for a progress that is not always the same
_ROUNDS = 4  # in which both have their turn
_LONGEST = 300  # characters of a compiler's reason


class CompiledPass:
    """A model's forward pass as torch.compile makes it; the model itself stays as it is.

    Its weights keep their names, and whoever calls the model gets the one that is not compiled.

    Args:
        model: what is compiled at the first call, and again where what it does depends on something
            that has changed.
        say: told once if that fails in mid-run; from then on the model is called.
    """

    def __init__(self, model: SequenceModel, say: Say) -> None:
        self._model, self._say = model, say
        self._compiled: Any = torch.compile(model, backend=_BACKEND)

    def __call__(
        self, x_BT: Tensor, lengths_B: Tensor, generator: torch.Generator, progress: float
    ) -> Pass:
        if self._compiled is None:
            passed: Pass = self._model(x_BT, lengths_B, generator, progress)
            return passed
        before = generator.get_state()
        try:
            passed = self._compiled(x_BT, lengths_B, generator, progress)
        except Exception as error:  # a compiler is a program that goes wrong in any way
            # some of it may have been drawn; and what is wrong with the batch the model says itself
            generator.set_state(before)
            passed = self._model(x_BT, lengths_B, generator, progress)
            self._compiled = None
            self._say(f"the nets are not compiled any more: {_reason(error)}; going on eagerly")
        return passed

    def in_trial(
        self, x_BT: Tensor, lengths_B: Tensor, generator: torch.Generator, progress: float
    ) -> Pass:
        """The same; whatever goes wrong is raised."""
        passed: Pass = self._compiled(x_BT, lengths_B, generator, progress)
        return passed


def faster_pass(
    model: SequenceModel, batch: Batch, execution: Execution, seed: int, say: Say
) -> CompiledPass | None:
    """The compiled forward pass, if it can be had and trains faster than the model as it is.

    Both take the same batch forwards and backwards, in turns; the shortest times are compared.
    Weights, gradients, statistics and generators are afterwards what they were.

    Args:
        model: in the mode and on the device in which it is trained.
        batch: one of those that it is trained on.
        execution: how the nets run.
        seed: of the draws.
        say: told what was found, in one line.
    """
    with left_as_it_was(model):
        try:
            compiled = CompiledPass(model, say)
            for number in range(_WARM_UP):
                pass_seconds(compiled.in_trial, model, batch, execution, seed, number)
            eager, faster = _best_times(model, compiled.in_trial, batch, execution, seed)
        except Exception as error:  # likewise
            # what is wrong with the batch or the model, and not with the compiler, is raised here
            pass_seconds(model, model, batch, execution, seed, 0)
            say(f"the nets are not compiled: {_reason(error)}; going on eagerly")
            return None
    taken = faster < eager
    say(
        f"a batch forwards and backwards takes {1e3 * faster:,.1f} ms compiled, "
        f"{1e3 * eager:,.1f} ms eagerly; going on {'compiled' if taken else 'eagerly'}"
    )
    return compiled if taken else None


def _best_times(
    model: SequenceModel, compiled: Forward, batch: Batch, execution: Execution, seed: int
) -> tuple[float, float]:
    """Seconds of the model as it is, and of the compiled one: the shortest of turns."""
    best = [float("inf"), float("inf")]
    forwards: tuple[Forward, Forward] = (model, compiled)
    for number in range(_WARM_UP, _WARM_UP + _ROUNDS):
        for which, forward in enumerate(forwards):
            seconds = pass_seconds(forward, model, batch, execution, seed, number)
            best[which] = min(best[which], seconds)
    return best[0], best[1]


def _reason(error: Exception) -> str:
    """What a compiler said, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown(f"{type(error).__name__}: {' '.join(lines)}", _LONGEST)
