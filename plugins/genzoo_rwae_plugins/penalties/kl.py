"""Kullback-Leibler divergences of Gaussian laws: per row, and of the aggregated posterior.

Shapes: T time, N rows, D code width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from genzoo_rwae_kernels.precision import wide_dtype
from pydantic import PositiveInt
from torch import Tensor

from genzoo_rwae.codes import DiagonalGaussian
from genzoo_rwae.components import hookimpl, penalty
from genzoo_rwae.errors import OptionError
from genzoo_rwae_plugins.penalties.rows import Rows, rows_that_count

__all__ = ["aggregate_kl", "kl"]


@penalty("kl", batched=True, batch_coupled=False)
def kl(
    q_TND: DiagonalGaussian, p_TND: DiagonalGaussian, weights_N: Tensor | None = None, /
) -> Tensor:
    """KL of every row's posterior from its prior, mean over rows: the penalty of a VAE.

    mean_i KL(q_i ‖ p_i) = mean_i ½ Σ_d [ln v'_d − ln v_d + (v_d + (μ_d − μ'_d)²)/v'_d − 1]

    Laws [N, D] to a scalar, [T, N, D] to [T], in nats. In both slots it makes the model a DSVAE.
    It is KL of the aggregated posterior plus the information I(X; Z), which it so suppresses.

    Source: Kingma & Welling, arXiv 1312.6114, Appendix B; Li & Mandt, Disentangled Sequential
        Autoencoder, arXiv 1803.02991, Sec. 3.
    """
    return rows_that_count(q_TND.mean, weights_N).mean(q_TND.kl(p_TND))


@penalty("aggregate-kl", batched=True)
def aggregate_kl(
    q_TND: DiagonalGaussian,
    p_TND: DiagonalGaussian,
    weights_N: Tensor | None = None,
    /,
    *,
    estimator: Literal["stratified", "weighted"] = "stratified",
    data_size: PositiveInt | None = None,
) -> Tensor:
    """KL of the aggregated posterior from the prior, with the mixture's density from the batch.

    E_{z ~ q̄} [ln q̄(z) − ln p̄(z)],  q̄ = mean_n q_n,  p̄ = mean_n p_n over the data n

    z_i is drawn from q_i (reparametrised; the global generator), and ln q̄(z_i) is
    ln Σ_j w_ij q_j(z_i) over the batch. Laws [N, D] to a scalar, [T, N, D] to [T], in nats.

    Where every row has a prior of its own (the dynamic slot: p_i given that row's history), p̄ is
    their mixture by the same weights: histories are marginalised on both sides.

    Args:
        estimator: `stratified`: w_ii = 1/data_size and the other rows share the rest, which makes
            the density unbiased, and the KL too low by Jensen's gap; `weighted`: every w_ij is
            1/batch, and with a data_size the constant ln data_size is taken off, as printed: a
            lower bound of E ln q̄ with the gradients of the batch's own mixture.
        data_size: sequences in the data; none: the batch stands for the data, and both
            estimators are the KL of the batch's own mixture.

    Raises:
        OptionError: the batch has more rows than data_size, or a single one beside a data_size.

    Source: Chen et al., Isolating Sources of Disentanglement in VAEs, arXiv 1802.04942, Appendix
        C.1 (weighted) and C.2 (stratified). There one row of the batch, picked by its place, has a
        weight of its own; here the average over which row that is: the same expectation, less
        variance, and no order of rows.
    """
    fewest = 1 if data_size is None or estimator == "weighted" else 2
    rows = rows_that_count(
        q_TND.mean,
        weights_N,
        fewest=fewest,
        statistic="the stratified estimator, with a data_size,",
        option="estimator",
    )
    present_T = (rows.share_TN > 0).sum(-1) * rows.enough_T
    if data_size is not None and bool((present_T > data_size).any()):
        raise OptionError(
            f"data_size is {data_size} and the batch has {int(present_T.max())} rows; wanted the "
            "number of sequences in the data, or leave it out",
            option="data_size",
        )
    z_TND = q_TND.sample()
    if estimator == "weighted" or data_size is None:
        log_w_TNN = rows.share_TN.log()[..., None, :]
        offset = 0.0 if data_size is None else math.log(data_size)
    else:
        log_w_TNN, offset = _stratified(rows, data_size), 0.0
    log_q_TN = (_log_density(z_TND, q_TND) + log_w_TNN).logsumexp(-1) - offset
    log_p_TN = (_log_density(z_TND, p_TND) + log_w_TNN).logsumexp(-1)
    return rows.mean((log_q_TN - log_p_TN).to(q_TND.mean.dtype))


def _stratified(rows: Rows, data_size: int) -> Tensor:
    """ln w_ij [T, N, N]: 1/data_size for i = j, the rest by share among the others."""
    share_TN = rows.share_TN
    others_TN = 1.0 - share_TN
    w_TNN = (1.0 - 1.0 / data_size) * share_TN[..., None, :] / others_TN[..., :, None]
    own_NN = torch.eye(w_TNN.shape[-1], dtype=torch.bool, device=w_TNN.device)
    return w_TNN.masked_fill(own_NN, 1.0 / data_size).log()


def _log_density(z_TND: Tensor, law_TND: DiagonalGaussian) -> Tensor:
    """ln of every row's density at every z: [T, N of z, N of laws], in the widest dtype."""
    dtype = wide_dtype(z_TND.device)
    z, mean, log_v = (x.to(dtype) for x in (z_TND, law_TND.mean, law_TND.log_variance))
    precision = (-log_v).exp()
    squares = z.square() @ precision.mT - 2.0 * z @ (mean * precision).mT
    squares = squares + (mean.square() * precision).sum(-1)[..., None, :]
    log_volume = (log_v + math.log(2.0 * math.pi)).sum(-1)[..., None, :]
    return -0.5 * (squares + log_volume)


@hookimpl
def genzoo_penalties() -> Iterator[object]:
    yield kl
    yield aggregate_kl
