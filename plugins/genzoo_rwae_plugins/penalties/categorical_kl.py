"""Kullback-Leibler divergence of aggregated categorical laws, for actions.

Shapes: T time, N rows, A classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, NonNegativeFloat
from torch import Tensor

from genzoo_rwae.codes import Categorical
from genzoo_rwae.components import hookimpl, penalty
from genzoo_rwae_plugins.penalties.rows import Rows, rows_that_count

__all__ = ["categorical_kl"]

Share = Annotated[float, Field(ge=0, lt=1)]


@penalty("categorical-kl", batched=True)
def categorical_kl(
    q_TNA: Categorical,
    p_TNA: Categorical,
    weights_N: Tensor | None = None,
    progress: float = 1.0,
    /,
    *,
    confidence: NonNegativeFloat = 0.0,
    annealed_from: Share | None = None,
) -> Tensor:
    """KL of the aggregated action from its prior, and a price on undecided rows.

    KL(q̄ ‖ p̄) + confidence · mean_n H(q_n),  q̄ = mean_n q_n,  p̄ = mean_n p_n

    Laws [N, A] to a scalar, [T, N, A] to [T], in nats, exact. The first term is 0 where all classes
    are used as often as the prior says, whatever the rows are; nothing in it asks a row to choose.
    With a confidence of 1 and a uniform prior the sum is ln A − I(n; a), from 0 (every row is sure,
    and all classes are used alike) to ln A: maximal information in a about the row.

    A full confidence from the first step on settles for the first classes that it finds: two of
    them stay one, and another one is split. Annealed, classes part one by one as it grows.

    Args:
        confidence: weight of the mean entropy of a row's own law.
        annealed_from: share of the run until which the confidence is 0; from there it grows in a
            straight line, to its full value at the end. None: it is full throughout, as it is in a
            run that is limited by minutes alone.

    Source: Krause et al., Discriminative Clustering by Regularized Information Maximization,
        NeurIPS 2010; Hu et al., IMSAT, arXiv 1702.08720. Both maximise I(n; a). Annealing: Rose,
        Deterministic Annealing for Clustering, Proceedings of the IEEE 86(11), 1998.
    """
    rows = rows_that_count(q_TNA.logits, weights_N)
    log_q_TNA, log_p_TNA = q_TNA.log_p, p_TNA.log_p
    mixed_q_TA, mixed_p_TA = _log_mixture(log_q_TNA, rows), _log_mixture(log_p_TNA, rows)
    divergence_T = (mixed_q_TA.exp() * (mixed_q_TA - mixed_p_TA)).sum(-1) * rows.enough_T
    entropy_TN = -(log_q_TNA.exp() * log_q_TNA).sum(-1)
    if annealed_from is not None:
        confidence *= max(0.0, progress - annealed_from) / (1.0 - annealed_from)
    return divergence_T.to(log_q_TNA.dtype) + confidence * rows.mean(entropy_TN)


def _log_mixture(log_p_TNA: Tensor, rows: Rows) -> Tensor:
    """ln of the mean law of the rows that count [T, A]."""
    return (log_p_TNA + rows.share_TN.log()[..., None]).logsumexp(-2)


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield categorical_kl
