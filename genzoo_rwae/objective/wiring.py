"""A penalty as the objective calls it, whatever its author's signature asks for.

Shapes: B batch, T time, N rows compared, D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from genzoo_rwae.adversarial import AdversarialPenalty
from genzoo_rwae.codes import Categorical, DiagonalGaussian
from genzoo_rwae.components import annotation_of
from genzoo_rwae.errors import OptionError, PluginError
from genzoo_rwae.left_alone import left_alone
from genzoo_rwae.padding import true_steps
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.spec.part import Part, PlacedOptionError

__all__ = ["Compared", "WiredPenalty", "frozen", "law_of", "takes_laws"]

_WIRED = ("paired", "weights_N", "split", "ranks", "progress")


@dataclass(frozen=True)
class Compared:
    """What a penalty was called with, without a graph: its critic learns from it."""

    arguments: tuple[Any, ...]


class WiredPenalty:
    """Calls a penalty on samples or laws, over rows or over time.

    The first two positional parameters get the samples of the posterior and of the prior, or their
    laws if they are annotated as DiagonalGaussian or Categorical. Further ones are wired by name:
    `paired` tells whether row i of both samples shares a history (or, of ragged paths, a length);
    `weights_N` is 0 for rows that are not there, or None; `split` is the width of the first of two
    codes that lie side by side in a row; `ranks` are those that compare the same rows, or None, for
    a penalty that shares its work among them; `progress` is the share of the run that is over.

    Args:
        part: the chosen penalty.
        width: of the rows that it will compare, for penalties with parameters.
        split: see above; None where rows hold one code.

    Raises:
        PluginError: it has further parameters of other names.
        PlacedOptionError: it wants a `split` where there is none.
    """

    def __init__(self, part: Part, width: int, split: int | None = None) -> None:
        component = part.registered.component
        self.name, self.slot, self.split = part.name, part.slot, split
        self.batched = component.batched
        is_class = isinstance(component.build, type)
        self.call: Callable[..., Tensor] = part(width) if is_class else part
        self.law = law_of(component.build)
        self.wants_laws = self.law is not None
        self.extras = tuple(parameter.name for parameter in _compared(component.build)[2:])
        if unknown := set(self.extras) - set(_WIRED):
            raise PluginError(
                f"the penalty '{self.name}' has wired parameters {sorted(unknown)} after its two "
                f"samples; wanted some of {', '.join(_WIRED)}; options are keyword-only"
            )
        if "split" in self.extras and split is None:
            raise PlacedOptionError(
                f"the penalty '{self.name}' measures how two parts of a row depend on each other, "
                "and rows hold one code here; use it in objective.independence",
                part.path,
            )
        self.split_wired = "split" in self.extras
        self.fewest = 1 if self.wants_laws else component.fewest
        self.path = part.path
        self.remembers = False
        self.ranks: Ranks | None = None
        self.progress = 1.0
        self.compared: list[Compared] = []

    @property
    def critic(self) -> AdversarialPenalty | None:
        """The penalty itself, if it has a critic to be trained."""
        return self.call if isinstance(self.call, AdversarialPenalty) else None

    @property
    def module(self) -> nn.Module | None:
        """The penalty itself, if it has parameters or state."""
        return self.call if isinstance(self.call, nn.Module) else None

    def __call__(self, q: Any, p: Any, *, paired: bool, weights_N: Tensor | None = None) -> Tensor:
        """On rows [N, D] a scalar, on [T, N, D] one value per step; mean of rows if it gives rows.

        Raises:
            PluginError: the penalty returned another shape, or changed what it compares.
        """
        arguments = (q, p, *self.further(paired=paired, weights_N=weights_N))
        try:
            with left_alone(f"the penalty '{self.name}'", q, p):
                value = self._value(arguments)
        except PlacedOptionError:
            raise
        except ValueError as error:
            option = f".{error.option}" if isinstance(error, OptionError) and error.option else ""
            raise PlacedOptionError(
                f"the penalty '{self.name}' refuses what it is given: {error}", self.path + option
            ) from error
        rows = list(_values(q).shape[:-1])
        if not isinstance(value, Tensor):
            raise PluginError(
                f"the penalty '{self.name}' returned {value!r:.80} for rows {rows}; wanted a "
                f"tensor of shape {rows[:-1]} that gradients go through"
                + (": has it a return?" if value is None else "")
            )
        if self.wants_laws and list(value.shape) == rows:
            return value.mean(-1)
        if list(value.shape) != rows[:-1]:
            raise PluginError(
                f"the penalty '{self.name}' returned {list(value.shape)} for rows {rows}; wanted "
                f"{rows[:-1]}" + (f", or {rows}, a value per row" if self.wants_laws else "")
            )
        return value

    def further(self, *, paired: bool, weights_N: Tensor | None = None) -> tuple[Any, ...]:
        """What is wired after the two samples, in the penalty's own order."""
        known = {
            "paired": paired,
            "weights_N": weights_N,
            "split": self.split,
            "ranks": self.ranks,
            "progress": self.progress,
        }
        return tuple(known[name] for name in self.extras)

    def _value(self, arguments: tuple[Any, ...]) -> Tensor:
        if self.critic is None:
            return self.call(*arguments)
        with frozen(self.critic):  # the model's side of the game
            value: Tensor = self.critic(*arguments)
        if self.remembers:
            self.compared.append(Compared(tuple(_detached(a) for a in arguments)))
        return value

    def over_time(self, q: Any, p: Any, lengths_B: Tensor, *, paired: bool) -> Tensor:
        """The penalty at every step on the rows that are that long: [T]; q, p are [B, T, ...].

        Steps that too few rows reach are left out.
        """
        mean = _values(q)
        length = mean.shape[1]
        lengths_B = lengths_B.to(mean.device)
        if self.batched and bool((lengths_B >= length).all()):
            return self(_time_first(q), _time_first(p), paired=paired)
        # an estimator needs some rows, unless the whole batch has fewer, which it may refuse
        fewest = min(self.fewest, len(lengths_B))
        mask_TB = true_steps(length, lengths_B).T
        reached_K = (mask_TB.sum(1) >= fewest).nonzero().flatten()
        if self.batched and "weights_N" in self.extras:
            q_K, p_K = _steps(_time_first(q), reached_K), _steps(_time_first(p), reached_K)
            return self(q_K, p_K, paired=paired, weights_N=mask_TB[reached_K].to(mean.dtype))
        steps = [
            self(_at(q, t, rows), _at(p, t, rows), paired=paired)
            for t in reached_K.tolist()
            if (rows := mask_TB[t].nonzero().flatten()).numel()
        ]
        return torch.stack(steps)


def law_of(build: Callable[..., Any]) -> type | None:
    """The laws that a penalty (a function, or a class by its `forward`) compares; None: samples."""
    annotation = annotation_of(_called(build), _compared(build)[0])
    return annotation if annotation in (DiagonalGaussian, Categorical) else None


def takes_laws(build: Callable[..., Any]) -> bool:
    """Whether a penalty compares Gaussian laws of codes, not samples."""
    return law_of(build) is DiagonalGaussian


def _values(thing: Any) -> Tensor:
    """What tells the shape of a sample or of a law."""
    if isinstance(thing, Categorical):
        return thing.logits
    values: Tensor = thing.mean if isinstance(thing, DiagonalGaussian) else thing
    return values


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, no gradient reaches a module's parameters."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _detached(thing: Any) -> Any:
    if isinstance(thing, DiagonalGaussian):
        return DiagonalGaussian(thing.mean.detach(), thing.log_variance.detach())
    if isinstance(thing, Categorical):
        return Categorical(thing.logits.detach(), thing.temperature, thing.hard)
    return thing.detach() if isinstance(thing, Tensor) else thing


def _called(build: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when the penalty is called: the function, or the class's method."""
    if not isinstance(build, type):
        return build
    method: Callable[..., Any] = getattr(build, "forward", build.__call__)
    return method


def _compared(build: Callable[..., Any]) -> list[inspect.Parameter]:
    """What a penalty is called with, but for its options."""
    target = _called(build)
    wired = [
        parameter
        for parameter in inspect.signature(target).parameters.values()
        if parameter.kind is not parameter.KEYWORD_ONLY
    ]
    return wired[1:] if isinstance(build, type) else wired  # without self


def _time_first(thing: Any) -> Any:
    if isinstance(thing, DiagonalGaussian):
        return DiagonalGaussian(_time_first(thing.mean), _time_first(thing.log_variance))
    return rearrange(thing, "b t d -> t b d")


def _steps(thing: Any, steps_K: Tensor) -> Any:
    if isinstance(thing, DiagonalGaussian):
        return DiagonalGaussian(thing.mean[steps_K], thing.log_variance[steps_K])
    return thing[steps_K]


def _at(thing: Any, t: int, rows: Tensor) -> Any:
    if isinstance(thing, DiagonalGaussian):
        return DiagonalGaussian(_at(thing.mean, t, rows), _at(thing.log_variance, t, rows))
    return thing[rows, t]
