"""The cost `squared-error`, the penalty `mmd` and the kernels that a spec can name.

Shapes: N M samples, D code width, T time.
"""

import genzoo_rwae_kernels as kernels
import pytest
import torch
from genzoo_rwae_plugins.costs.squared_error import squared_error
from genzoo_rwae_plugins.kernels.radial import Imq, Rbf
from genzoo_rwae_plugins.penalties.mmd import mmd

from genzoo_rwae.errors import OptionError
from genzoo_rwae.spec import Part, PlacedOptionError
from genzoo_rwae.zoo import Zoo


def part_of(kind, name, path="objective.static", **options):
    return Part(Zoo(use_entry_points=False).find(kind, name), options, path)


@pytest.mark.parametrize("shape", [(6,), (3, 4, 5)])
def test_squared_error_is_summed_over_a_frame_alone(shape):
    x, x_hat = torch.rand(2, 3, *shape), torch.rand(2, 3, *shape)
    cost = squared_error(x, x_hat)
    assert cost.shape == (2, 3)
    for b in range(2):
        for t in range(3):
            wanted = sum((float(i) - float(j)) ** 2 for i, j in
                         zip(x[b, t].flatten(), x_hat[b, t].flatten(), strict=True))  # fmt: skip
            assert cost[b, t].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("shape", [(7, 3), (4, 7, 3)])
@pytest.mark.parametrize("paired", [False, True])
def test_unbiased_mmd_is_the_kernels_own(shape, paired):
    q, p = torch.randn(shape), torch.randn(shape) + 1
    wanted = kernels.mmd2_unbiased(q, p, kernels.Imq(), paired=paired)
    got = mmd(q, p, paired)
    assert got.shape == shape[:-2]
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("shape", [(7, 3), (4, 7, 3)])
@pytest.mark.parametrize("paired", [False, True])
def test_biased_mmd_is_the_kernels_own(shape, paired):
    q, p = torch.randn(shape), torch.randn(shape) + 1
    got = mmd(q, p, paired, estimator="biased")
    torch.testing.assert_close(got, kernels.mmd2_biased(q, p, kernels.Imq()))


def test_steps_are_compared_each_by_itself():
    q, p = torch.randn(4, 7, 3), torch.randn(4, 7, 3)
    torch.testing.assert_close(mmd(q, p), torch.stack([mmd(q[t], p[t]) for t in range(4)]))


def test_kernel_may_be_a_bound_part_or_a_plain_function():
    q, p = torch.randn(7, 3), torch.randn(7, 3) + 1
    options = {"scales": (0.5, 2.0), "sigma": 1.5}
    wanted = kernels.mmd2_unbiased(q, p, kernels.Rbf(**options))
    bound = part_of("kernel", "rbf", "objective.static.kernel", **options)
    torch.testing.assert_close(mmd(q, p, kernel=bound()), wanted)
    torch.testing.assert_close(mmd(q, p, kernel=lambda x, y: kernels.Rbf(**options)(x, y)), wanted)
    torch.testing.assert_close(part_of("penalty", "mmd", kernel=bound)(q, p), wanted)


@pytest.mark.parametrize("own", [Imq, Rbf])
def test_kernels_of_a_spec_are_those_of_the_kernel_package(own):
    x, y = torch.randn(4, 3), torch.randn(5, 3)
    theirs = getattr(kernels, own.__name__)
    torch.testing.assert_close(own()(x, y), theirs()(x, y))
    torch.testing.assert_close(
        own(scales=(1.0,), sigma=2.0)(x, y), theirs(scales=(1.0,), sigma=2.0)(x, y)
    )


def test_kernel_is_at_its_named_height_at_the_typical_distance():
    x = torch.zeros(1, 8)
    y = torch.full((1, 8), 2.0**0.5 * 1.5)  # |x - y|² = 2 D σ²
    assert Imq(scales=(1.0,), sigma=1.5)(x, y).item() == pytest.approx(1 / 2)
    assert Rbf(scales=(1.0,), sigma=1.5)(x, y).item() == pytest.approx(1 / torch.e)


@pytest.mark.parametrize("shape", [(1, 3), (4, 1, 3)])
def test_one_row_is_refused_at_the_option_to_blame(shape):
    with pytest.raises(OptionError, match="the batch has 1; wanted 2 or more") as caught:
        mmd(torch.randn(shape), torch.randn(shape))
    assert caught.value.option == "estimator"
    with pytest.raises(PlacedOptionError) as placed:
        part_of("penalty", "mmd")(torch.randn(shape), torch.randn(shape))
    assert placed.value.path == "objective.static.estimator"


def test_biased_mmd_takes_one_row():
    assert mmd(torch.zeros(1, 3), torch.ones(1, 3), estimator="biased") > 0


def test_mmd_pulls_codes_towards_the_prior():
    q = (torch.randn(64, 3) + 3).requires_grad_()
    mmd(q, torch.randn(64, 3)).backward()
    assert (q.grad.mean(0) > 0).all()
