"""MMD by random Fourier features: limits, invariances, derivatives, refusals.

Shapes: T batch, N rows of x, M rows of y, D code width, F features.
"""

from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import (
    Energy,
    Imq,
    Laplacian,
    Matern,
    Rbf,
    mmd2_biased,
    mmd2_random_features,
    mmd2_unbiased,
)
from genzoo_rwae_kernels.random_features import _frequencies, _shares
from torch import Tensor

KERNELS = [
    pytest.param(Rbf(scales=[0.5, 2.0]), id="rbf"),
    pytest.param(Imq(scales=[0.5, 2.0]), id="imq"),
    pytest.param(Laplacian(scales=[0.5, 2.0]), id="laplacian"),
    pytest.param(Matern(scales=[0.5, 2.0], nu=1.5), id="matern 3/2"),
    pytest.param(Matern(scales=[0.5, 2.0], nu=2.5), id="matern 5/2"),
]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_mean_of_the_waves_is_the_kernel(kernel: Rbf | Imq | Laplacian | Matern) -> None:
    # |z| <= 4.5 happens by chance once in 150,000 comparisons; there are 30 here.
    features, d = 200_000, 3
    w_FD = _frequencies(kernel, features, d, seeded(1))
    share_F = _shares(2, features)
    delta_ND = torch.tensor([[0.2, 0.0, 0.1], [1.0, -1.0, 0.5], [3.0, 2.0, 0.0]]).double()
    waves_NF = (delta_ND @ w_FD.mT).cos() * share_F * features
    standard_error_N = waves_NF.std(-1) / features**0.5
    wanted_N = kernel(delta_ND, torch.zeros(1, d, dtype=torch.float64))[:, 0]
    assert bool(((waves_NF.mean(-1) - wanted_N) / standard_error_N).abs().max() <= 4.5)


@pytest.mark.parametrize("name", ["unbiased", "biased"])
def test_the_estimate_is_that_of_the_waves_as_a_kernel(name: Any) -> None:
    x_TND, y_TMD, kernel = draw(0, 2, 6, 3), draw(1, 2, 4, 3) + 1, Imq(scales=[0.5, 1.0, 2.0])
    found = mmd2_random_features(
        x_TND, y_TMD, kernel, features=700, estimator=name, generator=seeded()
    )
    w_FD, share_F = _frequencies(kernel, 700, 3, seeded()), _shares(3, 700)

    def waves(a_ND: Tensor, b_MD: Tensor) -> Tensor:
        apart_NMD = a_ND.unsqueeze(-2) - b_MD.unsqueeze(-3)
        return ((apart_NMD @ w_FD.mT).cos() * share_F).sum(-1)

    exact = mmd2_unbiased if name == "unbiased" else mmd2_biased
    torch.testing.assert_close(found, exact(x_TND, y_TMD, waves))


def test_scales_share_the_features_evenly() -> None:
    share_F = _shares(3, 8)
    assert share_F.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 2] * 2 + [1 / 3, 1 / 3])
    assert float(share_F.sum()) == pytest.approx(3.0)


def test_an_offset_costs_float32_nothing_and_v_is_not_negative() -> None:
    x_ND, y_MD = draw(0, 40, 3), draw(1, 30, 3) + 0.5
    near, far = (
        mmd2_random_features(
            (x_ND + offset).float(), (y_MD + offset).float(), Rbf(), generator=seeded()
        )
        for offset in (0.0, 1024.0)
    )
    assert near.dtype == torch.float32
    assert float(far) == pytest.approx(float(near), abs=2e-3)
    same = mmd2_random_features(x_ND, x_ND, Rbf(), estimator="biased", generator=seeded())
    assert 0 <= float(same) < 1e-12


def test_derivatives() -> None:
    x_ND, y_MD = draw(0, 4, 2).requires_grad_(), draw(1, 3, 2).requires_grad_()

    def value(x: Tensor, y: Tensor) -> Tensor:
        return mmd2_random_features(x, y, Rbf(), features=300, generator=seeded())

    assert torch.autograd.gradcheck(value, (x_ND, y_MD))
    assert torch.autograd.gradgradcheck(value, (x_ND, y_MD))


def test_the_generator_decides_and_a_median_is_taken_from_both_samples() -> None:
    x_ND, y_MD = draw(0, 20, 2), 3 * draw(1, 20, 2)
    median = Rbf(scales=[1.0], relative_to="median")
    first, again, other = (
        mmd2_random_features(x_ND, y_MD, median, generator=seeded(seed)) for seed in (0, 0, 1)
    )
    fixed = mmd2_random_features(x_ND, y_MD, median.fitted(x_ND, y_MD), generator=seeded())
    assert first == again == fixed != other


@pytest.mark.parametrize(
    ("kernel", "options", "n", "message"),
    [
        (Energy(), {}, 4, "the spectrum of Energy is not known; wanted Rbf, Imq, Laplacian or"),
        (Rbf(), {"features": 6}, 4, "6 features for 7 scales; wanted at least one for each"),
        (Rbf(), {"estimator": "v"}, 4, "estimator 'v'; wanted 'unbiased' or 'biased'"),
        (Rbf(), {}, 1, "x has 1 and y has 4 rows; wanted at least 2 of each"),
        (Rbf(sigma=torch.ones((), requires_grad=True)), {}, 4, "Rbf has a width that is learnt"),
    ],
)
def test_refuses(kernel: Any, options: dict[str, Any], n: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"mmd2_random_features: {message}"):
        mmd2_random_features(torch.zeros(n, 2), torch.zeros(4, 2), kernel, **options)
