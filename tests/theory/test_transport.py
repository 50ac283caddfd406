"""Any encoder whose codes have the prior's law bounds the optimal transport cost from above.

W_c(P_D, P_G) = inf over Q with Q_Z = P_Z of E c(x, G(z)), for a deterministic decoder G: Theorem 1
of Han et al., arXiv 2101.07496 (of sequences, c = Σ_t c_t), after Tolstikhin et al., arXiv
1711.01558, Theorem 1. Finite data and as many codes, each used once: Q_Z = P_Z exactly, encoders
are permutations, and exact transport is a linear assignment.

Shapes: N sequences and codes, T time, X width of a frame, D width of a code.
"""

import itertools

import numpy as np
import pytest
import torch
from genzoo_rwae_plugins.costs.squared_error import squared_error
from genzoo_rwae_plugins.penalties.energy import energy
from genzoo_rwae_plugins.penalties.mmd import mmd
from genzoo_rwae_plugins.penalties.sinkhorn import sinkhorn
from genzoo_rwae_plugins.penalties.sliced_wasserstein import sliced_wasserstein
from scipy.optimize import linear_sum_assignment

N, T, X = 7, 3, 4


def data_and_codes(seed=0):
    """Sequences x [N, T, X], and what a decoder makes of static and dynamic codes [N, T, X]."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    static_ND, dynamic_NTD = draw(N, 2), draw(N, T, 1)
    weight = draw(3, X)
    z_NTD = torch.cat([static_ND[:, None].expand(N, T, 2), dynamic_NTD], -1)
    return draw(N, T, X), torch.tanh(z_NTD @ weight), z_NTD


def mean_cost(x, decoded):
    return squared_error(x, decoded).sum(1).mean().item()


def exact_transport(x, decoded):
    costs = squared_error(x[:, None].expand(N, N, T, X).flatten(0, 1),
                          decoded[None].expand(N, N, T, X).flatten(0, 1))  # fmt: skip
    costs = costs.sum(1).view(N, N).numpy()
    row, column = linear_sum_assignment(costs)
    return costs[row, column].mean(), column


@pytest.mark.parametrize("seed", range(3))
def test_every_encoder_that_meets_the_prior_costs_at_least_the_transport(seed):
    x, decoded, _ = data_and_codes(seed)
    transport, _ = exact_transport(x, decoded)
    found = [mean_cost(x, decoded[list(code)]) for code in itertools.permutations(range(N))]
    assert min(found) == pytest.approx(transport, rel=1e-12)  # the bound is attained
    assert sorted(found)[1] > transport
    assert np.mean(found) > 1.2 * transport


def test_the_optimal_code_attains_the_bound():
    x, decoded, _ = data_and_codes()
    transport, code = exact_transport(x, decoded)
    assert mean_cost(x, decoded[code]) == pytest.approx(transport, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_random_encoders_that_meet_the_prior_are_bounded_as_well(seed):
    """Doubly stochastic Q(z | x): mixtures of bijective codes."""
    x, decoded, _ = data_and_codes()
    transport, _ = exact_transport(x, decoded)
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(5))
    costs = [mean_cost(x, decoded[rng.permutation(N)]) for _ in range(5)]
    assert shares @ costs >= transport


def test_an_encoder_that_misses_the_prior_can_undercut_the_bound():
    """Every sequence to its nearest decoded one: cheaper, and no bound at all."""
    x, decoded, z = data_and_codes()
    transport, _ = exact_transport(x, decoded)
    costs = torch.stack([squared_error(x, d.expand(N, T, X)).sum(1) for d in decoded], 1)
    nearest = costs.argmin(1)
    assert len(set(nearest.tolist())) < N
    assert mean_cost(x, decoded[nearest]) < transport
    # and the constraint sees it: the codes' law is not the prior's
    paths = z.flatten(1)
    for divergence in (mmd, energy):
        met = divergence(paths.flip(0), paths, estimator="biased")
        missed = divergence(paths[nearest], paths, estimator="biased")
        assert met.item() == pytest.approx(0, abs=1e-9)
        assert missed > 1e-3
    assert sinkhorn(paths[nearest], paths) > 0.1
    assert sliced_wasserstein(paths[nearest], paths) > 1e-2
    assert sliced_wasserstein(paths.flip(0), paths) < 1e-12
