"""The terms of the objective: what is compared with what.

Shapes: B batch, T time, D code width, S state width, N rows compared, P a whole path's values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from genzoo_rwae.codes import (
    ActionCode,
    Categorical,
    Codes,
    DiagonalGaussian,
    DynamicCode,
    Law,
    StaticCode,
    draw_sample,
)
from genzoo_rwae.errors import PluginError
from genzoo_rwae.left_alone import left_alone
from genzoo_rwae.objective.wiring import WiredPenalty
from genzoo_rwae.padding import true_steps
from genzoo_rwae.spec.part import PlacedOptionError

if TYPE_CHECKING:
    from genzoo_rwae.ranks import RowShares
    from genzoo_rwae.sequence_model import Pass, SequenceModel

__all__ = [
    "action_term",
    "dynamic_term",
    "independence_term",
    "information_term",
    "labels_term",
    "masked_cost",
    "static_term",
]


def masked_cost(
    cost: Callable[..., Tensor], passed: Pass, shares: RowShares | None = None
) -> Tensor:
    """Summed over time, mean over the batch; decoded steps stand for all where they are only some.

    Where a value is missing, both sides are 0.

    Raises:
        PluginError: the cost gives no tensor [B, K], or changes the frames.
    """
    steps_K = passed.steps_K.to(passed.x_BT.device)
    x_BK, x_hat_BK = passed.x_BT, passed.x_hat_BK
    if passed.steps_K.tolist() != list(range(x_BK.shape[1])):  # else they would be copied
        x_BK = _steps_of(x_BK, steps_K)
    # a sum is cheaper than to ask every value
    if bool(x_BK.sum().isnan()) and bool((missing_BK := x_BK.isnan()).any()):
        # equal values cost nothing and pull at nothing, whatever the cost
        x_BK, x_hat_BK = x_BK.nan_to_num(0.0), x_hat_BK.masked_fill(missing_BK, 0.0)
    cost_BK = _values_of(cost, x_BK, x_hat_BK)
    length = passed.x_BT.shape[1]
    mask_BT = true_steps(length, passed.lengths_B, passed.x_BT.device).float()
    masked_B: Tensor = (cost_BK * mask_BT[:, steps_K]).sum(1)
    masked_B = shares.gather(masked_B) if shares else masked_B
    return masked_B.mean() * (length / len(steps_K))


def _steps_of(x_BT: Tensor, steps_K: Tensor) -> Tensor:
    """x[:, steps], in its layout; where frames lie one after the other, each is copied at once."""
    axes = sorted(range(x_BT.dim()), key=x_BT.stride, reverse=True)
    if axes[:2] != [0, 1]:
        return x_BT[:, steps_K]
    back = sorted(range(x_BT.dim()), key=axes.__getitem__)
    return x_BT.permute(axes).index_select(1, steps_K).permute(back)


def _values_of(cost: Callable[..., Tensor], x_BK: Tensor, x_hat_BK: Tensor) -> Tensor:
    who = f"the cost '{getattr(cost, 'name', getattr(cost, '__name__', cost))}'"
    with left_alone(who, x_BK, x_hat_BK):
        cost_BK = cost(x_BK, x_hat_BK)
    steps = list(x_BK.shape[:2])
    is_tensor = isinstance(cost_BK, Tensor)
    if not is_tensor or list(cost_BK.shape) != steps:
        found = list(cost_BK.shape) if is_tensor else f"{cost_BK!r:.80}"
        raise PluginError(
            f"{who} returned {found} for frames {list(x_BK.shape)}; wanted a tensor {steps}, a sum "
            "over every frame, that gradients go through"
            + (": has it a return?" if cost_BK is None else "")
        )
    return cost_BK


def static_term(penalty: WiredPenalty, codes: Codes, generator: torch.Generator | None) -> Tensor:
    """D(Q(z^c), P(z^c))."""
    static = codes.static
    if penalty.wants_laws:
        prior = _gaussian(static.prior, "static", penalty)
        return penalty(static.posterior, prior, paired=False)
    return penalty(static.sample, static.prior.sample(generator), paired=False)


def action_term(
    penalty: WiredPenalty, action: ActionCode, generator: torch.Generator | None
) -> Tensor:
    """D(Q(a), P(a)): the aggregated action against the uniform one."""
    if penalty.wants_laws:
        return penalty(action.posterior, action.prior, paired=False)
    drawn_BA = Categorical(action.prior.logits, hard=True).sample(generator)
    return penalty(action.sample, drawn_BA, paired=False)


def labels_term(action: ActionCode, labels_B: Tensor) -> Tensor:
    """−mean ln q(a = label) in nats, over rows with a label; 0 where none has one (label −1)."""
    labels_B = labels_B.to(action.posterior.logits.device)
    known_B = labels_B >= 0
    wrong_B = -action.posterior.log_p.gather(1, labels_B.clamp_min(0)[:, None])[:, 0]
    return (wrong_B * known_B).sum() / known_B.sum().clamp_min(1)


def dynamic_term(
    penalty: WiredPenalty,
    codes: Codes,
    lengths_B: Tensor,
    model: SequenceModel,
    generator: torch.Generator | None,
) -> Tensor:
    """Σ_t D(Q(z^m_t | z^m_<t), P(z^m_t | z^m_<t)), or D of whole paths."""
    dynamic = codes.dynamic
    stop = penalty.slot.prior_gradient == "stop"
    if penalty.wants_laws:
        prior = _gaussian(dynamic.prior, "dynamic", penalty)
        prior = _stopped(prior) if stop else prior
        return penalty.over_time(dynamic.posterior, prior, lengths_B, paired=True).sum()
    if penalty.slot.given == "path":
        return _path_term(penalty, codes, lengths_B, model, generator, stop)
    p_BTD = dynamic.prior.sample(generator)
    p_BTD = p_BTD.detach() if stop else p_BTD
    q_BTD = dynamic.sample
    if penalty.slot.given == "state":
        state_BTS = _scaled_state(dynamic, _mask(codes, lengths_B))
        q_BTD = torch.cat([q_BTD, state_BTS], dim=-1)
        p_BTD = torch.cat([p_BTD, state_BTS], dim=-1)
    return penalty.over_time(q_BTD, p_BTD, lengths_B, paired=True).sum()


def independence_term(penalty: WiredPenalty, codes: Codes, lengths_B: Tensor) -> Tensor:
    """D(Q(z^c, z^m), Q(z^c) Q(z^m)): rows as they are against rows with another row's motion.

    The rows as they are come from one half of the batch and the recombined ones from the other,
    and then the other way round, so that no row of one sample shares a code with one of the other:
    shared codes would pull an unbiased estimate below 0. A measure of dependence, which looks at
    one sample alone, sees the whole batch. Over steps it is the mean, so that a weight means the
    same at any length.
    """
    whole = _Recombined(codes.static.sample, codes.dynamic.sample, lengths_B)
    if penalty.split_wired:
        return _dependence(penalty, whole, whole)
    # longest first, so that the rows of a pair are as long as each other, or nearly
    order_B = lengths_B.argsort(descending=True, stable=True).to(whole.static_BD.device)
    pairs = len(order_B) // 2
    first, second = order_B[: 2 * pairs : 2], order_B[1 : 2 * pairs : 2]
    lengths_P = lengths_B[second.cpu()]
    halves = [
        _Recombined(whole.static_BD[rows], whole.dynamic_BTD[rows], lengths_P)
        for rows in (first, second)
    ]
    there = _dependence(penalty, halves[0], halves[1])
    return 0.5 * (there + _dependence(penalty, halves[1], halves[0]))


@dataclass(frozen=True)
class _Recombined:
    """Codes of some rows, as they are and with another row's motion."""

    static_BD: Tensor
    dynamic_BTD: Tensor
    lengths_B: Tensor

    def rows(self, motion: str, *, another: bool) -> Tensor:
        """[z^c, z^m_t] at every step [B, T, ...], or [z^c, z^m_1..T] as one step."""
        z_BTD = self.dynamic_BTD
        if motion == "path":
            mask_BT = true_steps(z_BTD.shape[1], self.lengths_B, z_BTD.device)
            z_BTD = rearrange(z_BTD * mask_BT[..., None], "b t d -> b 1 (t d)")
            z_BTD = z_BTD.roll(1, 0) if another else z_BTD
        elif another:
            z_BTD = _of_another_row(z_BTD, self.lengths_B)
        static_BTD = self.static_BD[:, None].expand(-1, z_BTD.shape[1], -1)
        return torch.cat([static_BTD, z_BTD], dim=-1)


def _dependence(penalty: WiredPenalty, joint: _Recombined, product: _Recombined) -> Tensor:
    motion = penalty.slot.motion
    q_BTD, p_BTD = joint.rows(motion, another=False), product.rows(motion, another=True)
    lengths_B = joint.lengths_B if motion == "step" else torch.ones_like(joint.lengths_B)
    return penalty.over_time(q_BTD, p_BTD, lengths_B, paired=False).mean()


def information_term(codes: Codes, lengths_B: Tensor, code: str) -> Tensor:
    """E_x KL(q(z | x) ‖ P) in nats, of a dynamic code summed over the true steps.

    E KL = I(X; Z) + KL(Q_Z ‖ P): where the aggregated posterior matches the prior it is the
    information that the code has about the sequence; else an upper bound of it. In closed form
    between Gaussians; of another prior at one sample of each row.
    """
    if code == "static":
        return _nats(codes.static).mean()
    return (_nats(codes.dynamic) * _mask(codes, lengths_B)).sum(1).mean()


def _nats(code: StaticCode | DynamicCode) -> Tensor:
    """KL(q ‖ P) of every row [B], or of every step of it [B, T]."""
    if isinstance(code.prior, DiagonalGaussian):
        return code.posterior.kl(code.prior)
    return code.posterior.log_density(code.sample) - code.prior.log_density(code.sample)


def _path_term(
    penalty: WiredPenalty,
    codes: Codes,
    lengths_B: Tensor,
    model: SequenceModel,
    generator: torch.Generator | None,
    stop: bool,
) -> Tensor:
    """Whole paths against paths from scratch, both cut to the rows' true lengths."""
    z_BTD, action = codes.dynamic.sample, codes.action
    # the action of each row, so that paths of one action meet paths of the same
    given = (action.sample.detach(),) if action else ()
    rows, steps = z_BTD.shape[:2]
    drawn = model.sample_prior(rows, steps, draw_sample(generator), *given)
    p_BTD = drawn.dynamic_BTD.detach() if stop else drawn.dynamic_BTD
    mask_BT1 = _mask(codes, lengths_B)[..., None]
    q_NP = rearrange(z_BTD * mask_BT1, "b t d -> b (t d)")
    p_NP = rearrange(p_BTD * mask_BT1, "b t d -> b (t d)")
    return penalty(q_NP, p_NP, paired=bool((mask_BT1 == 0).any()))


def _of_another_row(z_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """At every step the code of the next row that is as long; rows that are not stay."""
    rows_BT = torch.arange(len(z_BTD)).repeat(z_BTD.shape[1], 1).T.contiguous()
    for t in range(z_BTD.shape[1]):
        reached = (lengths_B > t).nonzero().flatten().cpu()
        rows_BT[reached, t] = reached.roll(1)
    index_BTD = rows_BT[..., None].expand_as(z_BTD).to(z_BTD.device)
    return z_BTD.gather(0, index_BTD)


def _gaussian(prior: Law, of: str, penalty: WiredPenalty) -> DiagonalGaussian:
    """A prior for a penalty of Gaussian laws."""
    if isinstance(prior, DiagonalGaussian):
        return prior
    raise PlacedOptionError(
        f"the penalty '{penalty.name}' compares Gaussian laws, and the {of} prior is a "
        f"{type(prior).__name__}; take one that compares samples, as mmd",
        penalty.path,
    )


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


def _mask(codes: Codes, lengths_B: Tensor) -> Tensor:
    """[B, T] 1 at true steps."""
    z_BTD = codes.dynamic.sample
    return true_steps(z_BTD.shape[1], lengths_B, z_BTD.device).float()
