"""The objective: reconstruction cost plus weighted divergences of aggregated codes from priors.

    Σ_t E c(x_t, G(z_t)) + β1 D(Q_{z^c}, P_{z^c}) + β2 Σ_t D(Q_{z^m_t | z^m_<t}, P_{z^m_t | z^m_<t})

Source: Han et al., Disentangled Recurrent Wasserstein Autoencoder, arXiv 2101.07496. What is
compared in the dynamic term is a choice (`given`), since the paper leaves it open.

Shapes: B batch, T time, D code width, S state width, N rows compared.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor, nn

from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, draw_sample
from genzoo_rwae.components import annotation_of
from genzoo_rwae.errors import PluginError
from genzoo_rwae.spec.part import Part

if TYPE_CHECKING:
    from genzoo_rwae.sequence_model import Pass, SequenceModel
    from genzoo_rwae.spec.sections import Objective as ObjectiveSection

__all__ = ["NotFiniteError", "Objective", "Terms", "takes_laws"]


@dataclass(frozen=True)
class Terms:
    """The loss and what it is made of.

    Attributes:
        loss: the scalar that is minimised.
        figures: `cost` and each penalty by its slot's name, unweighted scalars, detached.
    """

    loss: Tensor
    figures: Mapping[str, Tensor]


class NotFiniteError(ArithmeticError):
    """A term of the objective got or gave values that are not finite; `term` is its slot."""

    def __init__(self, term: str) -> None:
        super().__init__(f"'{term}' is not finite")
        self.term = term


class Objective(nn.Module):
    """Cost and penalties of a spec's `objective:`, on what a model infers.

    Args:
        section: the validated section.
        widths: width of the codes that each slot compares, for penalties with parameters.
    """

    def __init__(self, section: ObjectiveSection, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.section = section
        self.penalties: dict[str, _Penalty] = {}
        for name in ("static", "dynamic"):
            part = getattr(section, name)
            if part is not None:
                penalty = _Penalty(part, widths[name])
                self.penalties[name] = penalty
                if isinstance(penalty.call, nn.Module):
                    self.add_module(name, penalty.call)

    def forward(
        self,
        passed: Pass,
        model: SequenceModel,
        *,
        progress: float,
        generator: torch.Generator | None,
    ) -> Terms:
        """The objective on one pass.

        Args:
            passed: codes and reconstruction of a batch.
            model: gives paths from the prior where a term wants them.
            progress: share of the run that is over, in [0, 1]; warm-ups follow it.
            generator: of the prior's draws.

        Raises:
            NotFiniteError: the cost, the codes of a slot, or a penalty's value are not finite.
        """
        cost = _masked_cost(self.section.cost, passed)
        _check_finite("cost", cost)
        loss, figures = cost, {"cost": cost.detach()}
        for name, penalty in self.penalties.items():
            # penalties may refuse such codes in words of their own; the slot is what is wanted
            code = getattr(passed.codes, name)
            _check_finite(name, code.sample, code.prior.mean, code.prior.sd)
            if name == "static":
                value = _static_term(penalty, passed.codes, generator)
            else:
                value = _dynamic_term(penalty, passed, model, generator)
            _check_finite(name, value)
            slot = penalty.slot
            factor = min(1.0, progress / slot.warm_up) if slot.warm_up else 1.0
            loss = loss + slot.weight * factor * value
            figures[name] = value.detach()
        return Terms(loss, figures)


class _Penalty:
    """A penalty as the objective calls it, whatever its author's signature asks for.

    The first two positional parameters get the samples of the posterior and of the prior, or their
    laws if they are annotated as DiagonalGaussian; further ones are wired by name: `paired` tells
    whether row i of both samples shares a history (or, of ragged paths, a length).

    Raises:
        PluginError: it has further parameters of other names.
    """

    def __init__(self, part: Part, width: int) -> None:
        component = part.registered.component
        self.name, self.slot = part.name, part.slot
        self.batched = component.batched
        is_class = isinstance(component.build, type)
        self.call: Callable[..., Tensor] = part(width) if is_class else part
        self.wants_laws = takes_laws(component.build)
        self.extras = tuple(parameter.name for parameter in _compared(component.build)[2:])
        if unknown := set(self.extras) - {"paired"}:
            raise PluginError(
                f"the penalty '{self.name}' has wired parameters {sorted(unknown)} after its two "
                "samples; wanted none, or 'paired'; options are keyword-only"
            )

    def __call__(self, q: Any, p: Any, *, paired: bool) -> Tensor:
        """On rows [N, D] a scalar, on [T, N, D] one value per step; mean of rows if it gives rows.

        Raises:
            PluginError: the penalty returned another shape.
        """
        known = {"paired": paired}
        value = self.call(q, p, *(known[name] for name in self.extras))
        rows = list((q.mean if self.wants_laws else q).shape[:-1])
        if self.wants_laws and list(value.shape) == rows:
            return value.mean(-1)
        if list(value.shape) != rows[:-1]:
            raise PluginError(
                f"the penalty '{self.name}' returned {list(value.shape)} for rows {rows}; wanted "
                f"{rows[:-1]}" + (f", or {rows}, a value per row" if self.wants_laws else "")
            )
        return value

    def over_time(self, q: Any, p: Any, lengths_B: Tensor, *, paired: bool) -> Tensor:
        """Sum over t of the penalty on the rows that are that long; q, p are [B, T, ...]."""
        length = q.mean.shape[1] if self.wants_laws else q.shape[1]
        if self.batched and bool((lengths_B >= length).all()):
            return self(_time_first(q), _time_first(p), paired=paired).sum()
        # a divergence of samples needs two rows, unless the whole batch has but one
        fewest = 1 if self.wants_laws else min(2, len(lengths_B))
        steps = [
            self(_at(q, t, rows), _at(p, t, rows), paired=paired)
            for t in range(length)
            if (rows := (lengths_B > t).nonzero().flatten()).numel() >= fewest
        ]
        return torch.stack(steps).sum()


def _check_finite(term: str, *tensors: Tensor) -> None:
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise NotFiniteError(term)


def takes_laws(build: Callable[..., Any]) -> bool:
    """Whether a penalty (a function, or a class by its `forward`) compares laws, not samples."""
    return annotation_of(_called(build), _compared(build)[0]) is DiagonalGaussian


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


def _static_term(penalty: _Penalty, codes: Codes, generator: torch.Generator | None) -> Tensor:
    static = codes.static
    if penalty.wants_laws:
        return penalty(static.posterior, static.prior, paired=False)
    return penalty(static.sample, static.prior.sample(generator), paired=False)


def _dynamic_term(
    penalty: _Penalty, passed: Pass, model: SequenceModel, generator: torch.Generator | None
) -> Tensor:
    dynamic, lengths_B = passed.codes.dynamic, passed.lengths_B
    stop = penalty.slot.prior_gradient == "stop"
    if penalty.wants_laws:
        prior = _stopped(dynamic.prior) if stop else dynamic.prior
        return penalty.over_time(dynamic.posterior, prior, lengths_B, paired=True)
    if penalty.slot.given == "path":
        return _path_term(penalty, passed, model, generator, stop)
    p_BTD = dynamic.prior.sample(generator)
    p_BTD = p_BTD.detach() if stop else p_BTD
    q_BTD = dynamic.sample
    if penalty.slot.given == "state":
        state_BTS = _scaled_state(dynamic, _mask(passed))
        q_BTD = torch.cat([q_BTD, state_BTS], dim=-1)
        p_BTD = torch.cat([p_BTD, state_BTS], dim=-1)
    return penalty.over_time(q_BTD, p_BTD, lengths_B, paired=True)


def _path_term(
    penalty: _Penalty,
    passed: Pass,
    model: SequenceModel,
    generator: torch.Generator | None,
    stop: bool,
) -> Tensor:
    """Whole paths against paths from scratch, both cut to the rows' true lengths."""
    z_BTD = passed.codes.dynamic.sample
    _, p_BTD = model.sample_prior(z_BTD.shape[0], z_BTD.shape[1], draw_sample(generator))
    p_BTD = p_BTD.detach() if stop else p_BTD
    mask_BT1 = _mask(passed)[..., None]
    q_NP = rearrange(z_BTD * mask_BT1, "b t d -> b (t d)")
    p_NP = rearrange(p_BTD * mask_BT1, "b t d -> b (t d)")
    return penalty(q_NP, p_NP, paired=bool((mask_BT1 == 0).any()))


def _stopped(law: DiagonalGaussian) -> DiagonalGaussian:
    return DiagonalGaussian(law.mean.detach(), law.log_variance.detach())


def _scaled_state(dynamic: DynamicCode, mask_BT: Tensor) -> Tensor:
    """The prior's state, standardised per true step and as heavy in a distance as the code itself.

    Its width S is often many times that of the code; unscaled it would drown it in |.|². It is a
    constant for this term: moving the state would change the question, not the answer.
    """
    state_BTS = dynamic.state.detach()
    mask_BT1 = mask_BT[..., None]
    count_1T1 = mask_BT1.sum(0, keepdim=True).clamp_min(1)
    mean_1TS = (state_BTS * mask_BT1).sum(0, keepdim=True) / count_1T1
    centred_BTS = (state_BTS - mean_1TS) * mask_BT1
    sd_1TS = (centred_BTS.square().sum(0, keepdim=True) / count_1T1).sqrt()
    standard_BTS = centred_BTS / sd_1TS.clamp_min(1e-4)
    share: float = (dynamic.sample.shape[-1] / state_BTS.shape[-1]) ** 0.5
    return standard_BTS * share


def _time_first(thing: Any) -> Any:
    if isinstance(thing, DiagonalGaussian):
        return DiagonalGaussian(_time_first(thing.mean), _time_first(thing.log_variance))
    return rearrange(thing, "b t d -> t b d")


def _at(thing: Any, t: int, rows: Tensor) -> Any:
    if isinstance(thing, DiagonalGaussian):
        return DiagonalGaussian(_at(thing.mean, t, rows), _at(thing.log_variance, t, rows))
    return thing[rows, t]


def _masked_cost(cost: Callable[..., Tensor], passed: Pass) -> Tensor:
    """Summed over time; where only some steps were decoded, they stand for all."""
    steps_K = passed.steps_K.to(passed.x_BT.device)
    cost_BK = cost(passed.x_BT.index_select(1, steps_K), passed.x_hat_BK)
    masked: Tensor = (cost_BK * _mask(passed)[:, steps_K]).sum(1).mean()
    return masked * (passed.x_BT.shape[1] / len(steps_K))


def _mask(passed: Pass) -> Tensor:
    """[B, T] 1 at true steps."""
    steps_T = torch.arange(passed.x_BT.shape[1], device=passed.x_BT.device)
    return (steps_T < passed.lengths_B.to(steps_T.device)[:, None]).float()
