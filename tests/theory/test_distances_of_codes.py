"""Two draws of N(0, σ² I_d) are √(2 d) σ apart: why kernels have the widths 2 d σ² s.

Shapes: N rows, D code width.
"""

import pytest
import torch
from genzoo_rwae_kernels import Energy, Imq, Laplacian, Rbf, squared_distances
from genzoo_rwae_plugins.penalties.sinkhorn import sinkhorn


def pairs(d, sigma, count=4000):
    generator = torch.Generator().manual_seed(d)
    z = sigma * torch.randn(2, count, 1, d, generator=generator, dtype=torch.float64)
    return z[0], z[1]


@pytest.mark.parametrize("d", [1, 8, 64])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_mean_squared_distance_is_two_d_sigma_squared(d, sigma):
    """|z − z'|² = 2σ² χ²_d: mean 2dσ², variance 8dσ⁴."""
    x, y = pairs(d, sigma)
    squared = squared_distances(x, y).flatten()
    error = (8 * d) ** 0.5 * sigma**2 / len(squared) ** 0.5
    assert squared.mean().item() == pytest.approx(2 * d * sigma**2, abs=4 * error)
    assert squared.var().item() == pytest.approx(8 * d * sigma**4, rel=0.25)


@pytest.mark.parametrize(("kernel", "height"), [(Imq, 1 / 2), (Rbf, 1 / torch.e)])
@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_scale_one_is_at_its_height_where_two_codes_typically_are(kernel, height, sigma):
    one = kernel(scales=(1.0,), sigma=sigma)
    for d in (2, 64):
        x, y = torch.zeros(1, d), torch.full((1, d), 2**0.5 * sigma)
        assert one(x, y).item() == pytest.approx(height, rel=1e-6)
    # in wide codes distances hardly vary: the kernel of two draws is at that height itself
    x, y = pairs(256, sigma)
    k = one(x, y).flatten()
    assert k.mean().item() == pytest.approx(height, abs=0.02)
    assert k.std() < 0.06


def test_a_scale_fixed_for_one_width_is_blind_at_another():
    """The trap of absolute bandwidths: with C = 2 for any d, no two codes of width 256 are near."""
    x, y = pairs(256, 1.0, 200)
    assert Rbf(scales=(1 / 256,))(x, y).max() < 1e-60
    assert Imq(scales=(1 / 256,))(x, y).max() < 0.01


def test_kernels_of_the_distance_follow_the_same_width():
    x, y = pairs(256, 2.0)
    laplacian = Laplacian(scales=(1.0,), sigma=2.0)(x, y)
    assert laplacian.mean().item() == pytest.approx(1 / torch.e, abs=0.01)
    distance = -2 * Energy()(x, y).mean().item()
    assert distance == pytest.approx((2 * 256) ** 0.5 * 2.0, rel=0.01)


def test_regularisation_of_sinkhorn_is_in_units_of_the_typical_distance():
    """Copies of the same columns: all squared distances, ε and so the divergence double."""
    generator = torch.Generator().manual_seed(0)
    q, p = torch.randn(2, 20, 3, generator=generator, dtype=torch.float64)
    q = 0.5 * q + 1
    once = sinkhorn(q, p)
    twice = sinkhorn(torch.cat([q, q], -1), torch.cat([p, p], -1))
    assert twice.item() == pytest.approx(2 * once.item(), rel=1e-9)
