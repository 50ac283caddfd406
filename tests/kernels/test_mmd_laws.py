"""MMD estimators over many draws: their means and variances against closed forms.

Seeds are fixed. A mean over R independent replicas is compared in units of its standard error:
|z| <= 4.5 happens by chance to a right estimator once in 150,000 tests.
Shapes: R replicas, N rows of x, M rows of y, D code width.
"""

import math

import pytest
import torch
from genzoo_rwae_kernels import Rbf, mmd2_biased, mmd2_unbiased
from torch import Tensor

rbf = Rbf()

D = 2
SIGMA = 0.8
S2 = D * SIGMA**2  # squared bandwidth of rbf(scales=[1]): k = exp(-d2 / (2 S2))
KERNEL = Rbf(scales=[1.0], sigma=SIGMA)
X_VARIANCE, Y_VARIANCE, SHIFT = 1.0, 0.49, 0.6  # x ~ N(0, I), y ~ N(SHIFT, 0.49 I)
REPLICAS = 20_000


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def expected_kernel(variance: float, shift: float = 0.0, s2: float = S2) -> float:
    """E k(a, b) where each of the D coordinates of a - b is N(shift, variance)."""
    scale = math.pow(1 + variance / s2, -D / 2)
    return scale * math.exp(-0.5 * D * shift**2 / (variance + s2))


K_XX = expected_kernel(2 * X_VARIANCE)
K_YY = expected_kernel(2 * Y_VARIANCE)
K_XY = expected_kernel(X_VARIANCE + Y_VARIANCE, SHIFT)
MMD2 = K_XX + K_YY - 2 * K_XY


def z_of_mean(values_R: Tensor, wanted: float) -> float:
    return float((values_R.mean() - wanted) / (values_R.std() / math.sqrt(len(values_R))))


def independent_samples(n: int, m: int) -> tuple[Tensor, Tensor]:
    x_RND = math.sqrt(X_VARIANCE) * draw(n, REPLICAS, n, D)
    y_RMD = math.sqrt(Y_VARIANCE) * draw(1000 + m, REPLICAS, m, D) + SHIFT
    return x_RND, y_RMD


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 7), (8, 8)])
def test_the_mean_of_u_is_mmd2_at_any_sample_size(n: int, m: int) -> None:
    values_R = mmd2_unbiased(*independent_samples(n, m), KERNEL)
    assert abs(z_of_mean(values_R, MMD2)) <= 4.5


@pytest.mark.parametrize("n", [2, 6])
def test_the_mean_of_paired_u_is_mmd2_for_independent_samples_too(n: int) -> None:
    values_R = mmd2_unbiased(*independent_samples(n, n), KERNEL, paired=True)
    assert abs(z_of_mean(values_R, MMD2)) <= 4.5


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 5), (8, 8)])
def test_the_mean_of_v_exceeds_mmd2_by_the_known_bias(n: int, m: int) -> None:
    values_R = mmd2_biased(*independent_samples(n, m), KERNEL)
    bias = (1 - K_XX) / n + (1 - K_YY) / m
    assert abs(z_of_mean(values_R, MMD2 + bias)) <= 4.5
    assert z_of_mean(values_R, MMD2) > 20  # the replicas are enough to see the bias


@pytest.mark.parametrize("n", [2, 4, 12])
def test_with_shared_histories_paired_u_is_unbiased_and_plain_u_is_low_by_the_known_bias(
    n: int,
) -> None:
    # x_i = h_i + noise, y_i = h_i + noise + SHIFT: most of the variance is the shared history's.
    x_noise, y_noise = 0.1, 0.05
    history_RND = draw(7, REPLICAS, n, D)
    x_RND = history_RND + math.sqrt(x_noise) * draw(8, REPLICAS, n, D)
    y_RND = history_RND + math.sqrt(y_noise) * draw(9, REPLICAS, n, D) + SHIFT
    k_xx = expected_kernel(2 * (1 + x_noise))
    k_yy = expected_kernel(2 * (1 + y_noise))
    k_xy = expected_kernel(2 + x_noise + y_noise, SHIFT)
    k_same_history = expected_kernel(x_noise + y_noise, SHIFT)
    mmd2 = k_xx + k_yy - 2 * k_xy

    paired_R = mmd2_unbiased(x_RND, y_RND, KERNEL, paired=True)
    assert abs(z_of_mean(paired_R, mmd2)) <= 4.5
    plain_R = mmd2_unbiased(x_RND, y_RND, KERNEL)
    assert abs(z_of_mean(plain_R, mmd2 - 2 * (k_same_history - k_xy) / n)) <= 4.5
    assert z_of_mean(plain_R, mmd2) < -20


@pytest.mark.parametrize("n", [2, 5, 16])
def test_u_of_equal_laws_has_mean_zero_and_the_exact_variance(n: int) -> None:
    values_R = mmd2_unbiased(draw(3, REPLICAS, n, D), draw(4, REPLICAS, n, D), KERNEL)
    assert abs(z_of_mean(values_R, 0.0)) <= 4.5

    # k_c = k - E k(x, .) - E k(., y) + E k, so E k_c^2 = E k^2 - 2 E[(E k(x, .))^2] + (E k)^2.
    squared = expected_kernel(2.0, s2=S2 / 2)
    # E k(x, .) = (S2 / w)^(D/2) exp(-|x|^2 / (2 w)) with w = 1 + S2; its square has the width w/2.
    w = 1 + S2
    squared_mean = (S2 / w) ** D * (1 + 2 / w) ** (-D / 2)
    centred = squared - 2 * squared_mean + K_XX**2
    variance = 4 * centred * (1 / (n * (n - 1)) + 1 / n**2)
    assert abs(z_of_mean(values_R.square(), variance)) <= 4.5
