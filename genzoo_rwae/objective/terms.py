"""The terms of the objective: what is compared with what.

Shapes: B batch, T time, D code width, S state width, N rows compared, P a whole path's values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from genzoo_rwae.codes import Codes, DiagonalGaussian, DynamicCode, draw_sample
from genzoo_rwae.objective.wiring import WiredPenalty

if TYPE_CHECKING:
    from genzoo_rwae.sequence_model import Pass, SequenceModel

__all__ = ["dynamic_term", "independence_term", "information_term", "masked_cost", "static_term"]


def masked_cost(cost: Callable[..., Tensor], passed: Pass) -> Tensor:
    """Summed over time; where only some steps were decoded, they stand for all."""
    steps_K = passed.steps_K.to(passed.x_BT.device)
    cost_BK = cost(passed.x_BT.index_select(1, steps_K), passed.x_hat_BK)
    masked: Tensor = (cost_BK * _mask(passed)[:, steps_K]).sum(1).mean()
    return masked * (passed.x_BT.shape[1] / len(steps_K))


def static_term(penalty: WiredPenalty, codes: Codes, generator: torch.Generator | None) -> Tensor:
    """D(Q(z^c), P(z^c))."""
    static = codes.static
    if penalty.wants_laws:
        return penalty(static.posterior, static.prior, paired=False)
    return penalty(static.sample, static.prior.sample(generator), paired=False)


def dynamic_term(
    penalty: WiredPenalty, passed: Pass, model: SequenceModel, generator: torch.Generator | None
) -> Tensor:
    """Σ_t D(Q(z^m_t | z^m_<t), P(z^m_t | z^m_<t)), or D of whole paths."""
    dynamic, lengths_B = passed.codes.dynamic, passed.lengths_B
    stop = penalty.slot.prior_gradient == "stop"
    if penalty.wants_laws:
        prior = _stopped(dynamic.prior) if stop else dynamic.prior
        return penalty.over_time(dynamic.posterior, prior, lengths_B, paired=True).sum()
    if penalty.slot.given == "path":
        return _path_term(penalty, passed, model, generator, stop)
    p_BTD = dynamic.prior.sample(generator)
    p_BTD = p_BTD.detach() if stop else p_BTD
    q_BTD = dynamic.sample
    if penalty.slot.given == "state":
        state_BTS = _scaled_state(dynamic, _mask(passed))
        q_BTD = torch.cat([q_BTD, state_BTS], dim=-1)
        p_BTD = torch.cat([p_BTD, state_BTS], dim=-1)
    return penalty.over_time(q_BTD, p_BTD, lengths_B, paired=True).sum()


def independence_term(penalty: WiredPenalty, passed: Pass) -> Tensor:
    """D(Q(z^c, z^m), Q(z^c) Q(z^m)): rows as they are against rows with another row's motion.

    Over steps it is the mean, so that a weight means the same at any length.
    """
    static_BD, dynamic = passed.codes.static.sample, passed.codes.dynamic
    if penalty.slot.motion == "path":
        path_BP = rearrange(dynamic.sample * _mask(passed)[..., None], "b t d -> b (t d)")
        joint_BD = torch.cat([static_BD, path_BP], dim=-1)
        return penalty(joint_BD, torch.cat([static_BD, path_BP.roll(1, 0)], dim=-1), paired=True)
    length = dynamic.sample.shape[1]
    static_BTD = static_BD[:, None].expand(-1, length, -1)
    joint_BTD = torch.cat([static_BTD, dynamic.sample], dim=-1)
    product_BTD = torch.cat([static_BTD, _of_another_row(dynamic.sample, passed.lengths_B)], dim=-1)
    return penalty.over_time(joint_BTD, product_BTD, passed.lengths_B, paired=True).mean()


def information_term(passed: Pass, code: str) -> Tensor:
    """E_x KL(q(z | x) ‖ P) in nats, of a dynamic code summed over the true steps.

    E KL = I(X; Z) + KL(Q_Z ‖ P): where the aggregated posterior matches the prior it is the
    information that the code has about the sequence; else an upper bound of it.
    """
    if code == "static":
        static = passed.codes.static
        return static.posterior.kl(static.prior).mean()
    dynamic = passed.codes.dynamic
    return (dynamic.posterior.kl(dynamic.prior) * _mask(passed)).sum(1).mean()


def _path_term(
    penalty: WiredPenalty,
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


def _of_another_row(z_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """At every step the code of the next row that is as long; rows that are not stay."""
    rows_BT = torch.arange(len(z_BTD)).repeat(z_BTD.shape[1], 1).T.contiguous()
    for t in range(z_BTD.shape[1]):
        reached = (lengths_B > t).nonzero().flatten().cpu()
        rows_BT[reached, t] = reached.roll(1)
    index_BTD = rows_BT[..., None].expand_as(z_BTD).to(z_BTD.device)
    return z_BTD.gather(0, index_BTD)


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


def _mask(passed: Pass) -> Tensor:
    """[B, T] 1 at true steps."""
    steps_T = torch.arange(passed.x_BT.shape[1], device=passed.x_BT.device)
    return (steps_T < passed.lengths_B.to(steps_T.device)[:, None]).float()
