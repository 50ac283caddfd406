"""The Hilbert-Schmidt independence criterion.

Shapes: N rows, D width of both codes together.
"""

import itertools

import numpy as np
import pytest
import torch
from genzoo_rwae_kernels import mmd2_biased
from genzoo_rwae_plugins.kernels.radial import Imq, Rbf
from genzoo_rwae_plugins.penalties.hsic import hsic

from genzoo_rwae.errors import OptionError


def rows(n, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def grams(z, split, kernel):
    u, v = z[:, :split], z[:, split:]
    return kernel(u, u).numpy(), kernel(v, v).numpy()


@pytest.mark.parametrize("kernel", [Imq(), Rbf(scales=(0.5,))])
@pytest.mark.parametrize("split", [1, 2, 4])
def test_biased_hsic_is_the_trace_of_centred_grams(kernel, split):
    z = rows(8)
    k, l = grams(z, split, kernel)
    centring = np.eye(8) - 1 / 8
    wanted = np.trace(k @ centring @ l @ centring) / 64
    found = hsic(z, z, split, kernel=kernel, estimator="biased")
    assert found.item() == pytest.approx(wanted, rel=1e-9)


def mean_over_distinct_rows(term, n, count):
    return np.mean([term(*rows) for rows in itertools.permutations(range(n), count)])


def test_unbiased_hsic_is_the_mean_over_distinct_rows():
    z = rows(6)
    k, l = grams(z, 2, Imq())
    two = mean_over_distinct_rows(lambda i, j: k[i, j] * l[i, j], 6, 2)
    three = mean_over_distinct_rows(lambda i, j, m: k[i, j] * l[i, m], 6, 3)
    four = mean_over_distinct_rows(lambda i, j, m, r: k[i, j] * l[m, r], 6, 4)
    assert hsic(z, z, 2).item() == pytest.approx(two + four - 2 * three, rel=1e-9)


def test_unbiased_hsic_is_song_et_al_eq_4():
    n, z = 9, rows(9)
    k, l = grams(z, 2, Imq())
    np.fill_diagonal(k, 0), np.fill_diagonal(l, 0)
    one = np.ones(n)
    wanted = np.trace(k @ l) + one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2))
    wanted = (wanted - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))
    assert hsic(z, z, 2).item() == pytest.approx(wanted, rel=1e-9)


def test_weights_of_unbiased_hsic_are_factors_of_distinct_rows():
    z, w = rows(6), np.array([1.0, 0.5, 2.0, 3.0, 0.0, 1.5])
    k, l = grams(z, 3, Imq())

    def mean(term, count):
        tuples = list(itertools.permutations(range(6), count))
        factors = [np.prod(w[list(t)]) for t in tuples]
        return np.average([term(*t) for t in tuples], weights=factors)

    wanted = mean(lambda i, j: k[i, j] * l[i, j], 2)
    wanted += mean(lambda i, j, m, r: k[i, j] * l[m, r], 4)
    wanted -= 2 * mean(lambda i, j, m: k[i, j] * l[i, m], 3)
    assert hsic(z, z, 3, torch.tensor(w)).item() == pytest.approx(wanted, rel=1e-9)


def test_weights_of_biased_hsic_are_replication():
    z, counts = rows(5), torch.tensor([2, 0, 1, 3, 1])
    found = hsic(z, z, 2, counts.double(), estimator="biased")
    again = z.repeat_interleave(counts, 0)
    wanted = hsic(again, again, 2, estimator="biased")
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9)


def test_biased_hsic_is_the_mmd_of_the_rows_from_their_recombinations():
    z = rows(6)
    kernel = Imq()

    def product(x, y):
        return kernel(x[:, :2].contiguous(), y[:, :2].contiguous()) * kernel(
            x[:, 2:].contiguous(), y[:, 2:].contiguous()
        )

    recombined = torch.stack([torch.cat([a[:2], b[2:]]) for a in z for b in z])
    wanted = mmd2_biased(z, recombined, product)
    found = hsic(z, z, 2, estimator="biased")
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_unbiased_hsic_of_independent_codes_has_zero_mean_and_the_biased_one_has_not():
    torch.manual_seed(0)
    z = torch.randn(3000, 8, 3)
    unbiased, biased = hsic(z, z, 1), hsic(z, z, 1, estimator="biased")
    error = unbiased.std().item() / 3000**0.5
    assert unbiased.mean().item() == pytest.approx(0, abs=4 * error)
    assert biased.mean() > 10 * error
    assert (biased >= 0).all()


def test_dependence_without_correlation_is_seen():
    torch.manual_seed(0)
    angle = 2 * torch.pi * torch.rand(400, 1)
    circle = torch.cat([angle.cos(), angle.sin()], 1)
    apart = torch.cat([circle[:, :1], circle[torch.randperm(400), 1:]], 1)
    assert hsic(circle, circle, 1) > 20 * abs(hsic(apart, apart, 1))


def test_hsic_drives_codes_apart():
    torch.manual_seed(0)
    u = torch.randn(96, 1)
    v = (u + 0.2 * torch.randn(96, 1)).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=0.05)

    def correlation():
        return abs(torch.corrcoef(torch.cat([u, v.detach()], 1).T)[0, 1])

    assert correlation() > 0.9
    for _ in range(150):
        optimizer.zero_grad()
        z = torch.cat([u, v], 1)
        hsic(z, z, 1, estimator="biased").backward()
        optimizer.step()
    assert correlation() < 0.3
    assert v.std() > 0.3  # apart, not shrunk to a point


def test_only_the_first_sample_is_looked_at():
    z = rows(6)
    assert hsic(z, z, 2) == hsic(z, rows(6, seed=1), 2)


@pytest.mark.parametrize("split", [0, 5, 7, -1])
def test_rows_that_are_not_split_are_refused(split):
    with pytest.raises(OptionError, match=f"rows of 5 columns split at {split}; wanted two codes"):
        hsic(rows(6), rows(6), split)


def test_without_a_split_it_says_where_it_belongs():
    with pytest.raises(OptionError, match=r"use it in objective\.independence"):
        hsic(rows(6), rows(6))


def test_steps_that_three_rows_reach_count_nothing():
    z = torch.stack([rows(6), rows(6, seed=1)])
    mask = torch.tensor([[1.0] * 6, [1, 1, 1, 0, 0, 0]])
    found = hsic(z, z, 2, mask)
    assert found[1] == 0
    torch.testing.assert_close(found[0], hsic(z[0], z[0], 2))
