"""Cost and penalties put together.

Shapes: B batch, T time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genzoo_rwae.errors import GenzooWarning
from genzoo_rwae.objective.critics import Critic
from genzoo_rwae.objective.terms import (
    action_term,
    dynamic_term,
    independence_term,
    information_term,
    labels_term,
    masked_cost,
    static_term,
)
from genzoo_rwae.objective.weight import TermWeight
from genzoo_rwae.objective.wiring import WiredPenalty, frozen

if TYPE_CHECKING:
    from genzoo_rwae.codes import Codes
    from genzoo_rwae.ranks import RowShares
    from genzoo_rwae.sequence_model import Pass, SequenceModel
    from genzoo_rwae.spec.sections import Objective as ObjectiveSection
    from genzoo_rwae.spec.sections import TermSlot

__all__ = ["NotFiniteError", "Objective", "Terms"]


@dataclass(frozen=True)
class Terms:
    """The loss and what it is made of.

    Attributes:
        loss: the scalar that is minimised.
        figures: `cost` and each term by its slot's name, unweighted scalars, detached;
            `NAME.weight` of terms whose weight is not the same all the time.
    """

    loss: Tensor
    figures: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Compared:
    """What terms compare, of the whole batch."""

    codes: Codes
    lengths_B: Tensor
    labels_B: Tensor | None


class NotFiniteError(ArithmeticError):
    """A term of the objective got or gave values that are not finite; `term` is its slot."""

    def __init__(self, term: str) -> None:
        super().__init__(f"'{term}' is not finite")
        self.term = term


class Objective(nn.Module):
    """Cost, penalties and prices of a spec's `objective:`, on what a model infers.

    Args:
        section: the validated section.
        widths: width of the rows that each slot compares, for penalties with parameters; and
            `code`, that of z^c, where two codes lie side by side.
    """

    def __init__(self, section: ObjectiveSection, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.section = section
        self.penalties: dict[str, WiredPenalty] = {}
        self.critics: dict[str, Critic] = {}
        self.weights = nn.ModuleDict()
        self.without_gradient: set[str] = set()  # terms of which it was said
        for name in ("static", "dynamic", "independence", "action"):
            part = getattr(section, name)
            if part is None:
                continue
            split = widths["code"] if name == "independence" else None
            penalty = WiredPenalty(part, widths[name], split)
            self.penalties[name] = penalty
            if penalty.module is not None:
                self.add_module(name, penalty.module)
            if penalty.critic is not None:
                self.critics[name] = Critic(penalty)
            self.weights[name] = TermWeight(part.slot)
        for code in ("static", "dynamic"):
            price: TermSlot = getattr(section.information, code)
            if price.weight:
                self.weights[f"information-{code}"] = TermWeight(price)

    def forward(
        self,
        passed: Pass,
        model: SequenceModel,
        *,
        progress: float,
        generator: torch.Generator | None,
        labels_B: Tensor | None = None,
        shares: RowShares | None = None,
    ) -> Terms:
        """The objective on one pass, or on the passes of all ranks that share a batch.

        Codes are gathered before they are compared: no penalty ever sees a part of a batch.

        Args:
            passed: codes and reconstruction of a batch.
            model: gives paths from the prior where a term wants them.
            progress: share of the run that is over, in [0, 1]; warm-ups and schedules follow it.
            generator: of the prior's draws.
            labels_B: actions of the sequences that are labelled, −1 for others; None: no labels.
            shares: how the batch, of which `passed` and `labels_B` are this rank's rows, is spread
                over ranks; every rank then gets the value of the whole. None: they are the whole.

        Raises:
            NotFiniteError: the cost, the codes of a slot, or a penalty's value are not finite.
        """
        cost = masked_cost(self.section.cost, passed, shares)
        _check_finite("cost", cost)
        self._tell_without_gradient("cost", cost, shares)
        for penalty in self.penalties.values():
            penalty.compared = []
            penalty.remembers = self.training and torch.is_grad_enabled()
            penalty.ranks = shares.ranks if shares else None
            penalty.progress = progress
        whole = _Compared(passed.codes, passed.lengths_B, labels_B)
        whole = shares.gather(whole) if shares else whole
        loss, figures = cost, {"cost": cost.detach()}
        for name, value in self._values(whole, model, generator):
            _check_finite(name, value)
            weight = self.weights[name]
            assert isinstance(weight, TermWeight)
            factor = weight.at(progress)
            loss = loss + factor * value
            figures[name] = value.detach()
            if weight.changes:
                figures[f"{name}.weight"] = torch.tensor(factor)
            if self.training and torch.is_grad_enabled():
                weight.learn(value, progress)
            self._tell_without_gradient(name, value, shares)
        action, labels_B = whole.codes.action, whole.labels_B
        if labels_B is not None and action and self.section.labels:
            wrong = labels_term(action, labels_B)
            _check_finite("labels", wrong)
            loss, figures["labels"] = loss + self.section.labels.weight * wrong, wrong.detach()
        return Terms(loss, figures)

    def _tell_without_gradient(self, name: str, value: Tensor, shares: RowShares | None) -> None:
        if not (self.training and torch.is_grad_enabled()) or value.requires_grad:
            return
        if name not in self.without_gradient and (shares is None or shares.ranks.is_first):
            self.without_gradient.add(name)
            of = "it" if name == "cost" else "its penalty"
            said = (
                f"'{name}' has no gradient, so it changes nothing in training: is something "
                f"detached in {of}, or is all frozen that it compares?"
            )
            warnings.warn(GenzooWarning(said), stacklevel=3)

    def _values(
        self, whole: _Compared, model: SequenceModel, generator: torch.Generator | None
    ) -> Iterator[tuple[str, Tensor]]:
        codes, lengths_B = whole.codes, whole.lengths_B
        for name, penalty in self.penalties.items():
            # penalties may refuse such codes in words of their own; the slot is what is wanted
            _check_codes(name, codes)
            if name == "static":
                yield name, static_term(penalty, codes, generator)
            elif name == "dynamic":
                yield name, dynamic_term(penalty, codes, lengths_B, model, generator)
            elif name == "action":
                assert codes.action is not None  # assembly has checked it
                yield name, action_term(penalty, codes.action, generator)
            else:
                yield name, independence_term(penalty, codes, lengths_B)
        for code in ("static", "dynamic"):
            if f"information-{code}" in self.weights:
                _check_codes(code, codes)
                yield f"information-{code}", information_term(codes, lengths_B, code)

    def parameters_of_the_model(self) -> Iterator[nn.Parameter]:
        """Parameters of penalties that are trained with the model, not against it."""
        critics = {id(p) for critic in self.critics.values() for p in critic.module.parameters()}
        return (p for p in self.parameters() if id(p) not in critics)

    @contextmanager
    def frozen_critics(self) -> Iterator[None]:
        """Inside, critics' parameters want no gradients: an engine is not to average them."""
        with ExitStack() as stack:
            for critic in self.critics.values():
                stack.enter_context(frozen(critic.module))
            yield

    def train_critics(self) -> dict[str, Tensor]:
        """Train every critic on the codes of the last pass in training; their losses by name.

        Raises:
            NotFiniteError: a critic's loss is not finite.
        """
        figures = {}
        for name, critic in self.critics.items():
            loss = critic.step()
            if loss is not None:
                _check_finite(f"{name}.critic", loss)
                figures[f"{name}.critic"] = loss
        return figures

    def get_extra_state(self) -> dict[str, Any]:
        """The critics' optimisers, for the checkpoint."""
        return {name: critic.state() for name, critic in self.critics.items()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, critic in self.critics.items():
            critic.restore(state[name])


@torch.no_grad()
def _check_codes(slot: str, codes: Codes) -> None:
    static, dynamic, action = codes.static, codes.dynamic, codes.action
    if slot == "action" and action is not None:
        _check_finite(slot, action.posterior.logits)
        return
    if slot != "dynamic":
        _check_finite(slot, static.sample, static.prior.log_density(static.sample))
    if slot != "static":
        _check_finite(slot, dynamic.sample, dynamic.prior.log_density(dynamic.sample))


def _check_finite(term: str, *tensors: Tensor) -> None:
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise NotFiniteError(term)
