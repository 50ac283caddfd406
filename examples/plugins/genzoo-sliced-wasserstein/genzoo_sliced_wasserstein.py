"""A penalty of one's own in one file: the sliced Wasserstein distance."""

import torch
from torch import Tensor

from genzoo_rwae import hookimpl, penalty


@penalty("sliced-w2")
def sliced_w2(q_ND: Tensor, p_ND: Tensor, /, *, projections: int = 64) -> Tensor:
    """Sliced squared 2-Wasserstein distance between two equal-sized samples.

    Args:
        projections: random directions that the samples are seen along.

    Source: Bonneel et al., JMIV 51 (2015); as a penalty of autoencoders: arXiv 1804.01947.
    """
    directions_DP = torch.randn(q_ND.shape[1], projections, device=q_ND.device)
    directions_DP = directions_DP / directions_DP.norm(dim=0)
    q_NP = (q_ND @ directions_DP).sort(dim=0).values
    p_NP = (p_ND @ directions_DP).sort(dim=0).values
    return (q_NP - p_NP).square().mean()


@hookimpl
def genzoo_penalties():
    yield sliced_w2
