"""MMD estimators over many draws: means, variances and rates against closed forms.

Seeds are fixed. A mean over R independent replicas is compared in units of its standard error:
|z| <= 4.5 happens by chance to a right estimator once in 150,000 tests.
Shapes: R replicas, N rows of x, M rows of y, D code width.
"""

import math

import pytest
import torch
from genzoo_rwae_kernels import (
    Rbf,
    mmd2_biased,
    mmd2_block,
    mmd2_block_variance,
    mmd2_linear,
    mmd2_linear_variance,
    mmd2_random_features,
    mmd2_unbiased,
    two_sample_test,
)
from torch import Tensor

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


@pytest.mark.parametrize("paired", [False, True])
def test_the_mean_of_weighted_u_is_mmd2_if_the_weights_know_nothing_of_the_rows(
    paired: bool,
) -> None:
    weights_N = torch.tensor([0.5, 0.0, 1.0, 3.0, 2.0])
    values_R = mmd2_unbiased(
        *independent_samples(5, 5),
        KERNEL,
        paired=paired,
        x_weights=weights_N,
        y_weights=weights_N.flip(0),
    )
    assert abs(z_of_mean(values_R, MMD2)) <= 4.5


def test_the_mean_of_weighted_v_exceeds_mmd2_by_the_bias_of_its_effective_sizes() -> None:
    weights_N = torch.tensor([0.5, 0.0, 1.0, 3.0, 2.0])
    values_R = mmd2_biased(*independent_samples(5, 4), KERNEL, x_weights=weights_N)
    one_over_n = float(weights_N.square().sum() / weights_N.sum() ** 2)
    bias = (1 - K_XX) * one_over_n + (1 - K_YY) / 4
    assert abs(z_of_mean(values_R, MMD2 + bias)) <= 4.5


@pytest.mark.parametrize("paired", [False, True])
def test_blocks_have_mean_mmd2_and_their_variance_is_the_one_that_is_estimated(
    paired: bool,
) -> None:
    x_RND, y_RND = independent_samples(12, 12)
    values_R = mmd2_block(x_RND, y_RND, KERNEL, block=3, paired=paired)
    assert abs(z_of_mean(values_R, MMD2)) <= 4.5
    variances_R = mmd2_block_variance(x_RND, y_RND, KERNEL, block=3, paired=paired)
    assert abs(z_of_mean((values_R - MMD2).square() - variances_R, 0.0)) <= 4.5


def test_linear_time_has_mean_mmd2_and_its_variance_is_the_one_that_is_estimated() -> None:
    x_RND, y_RND = independent_samples(9, 9)
    values_R = mmd2_linear(x_RND, y_RND, KERNEL)
    assert abs(z_of_mean(values_R, MMD2)) <= 4.5
    variances_R = mmd2_linear_variance(x_RND, y_RND, KERNEL)
    assert abs(z_of_mean((values_R - MMD2).square() - variances_R, 0.0)) <= 4.5


def exponent(small_R: Tensor, large_R: Tensor, ratio: float) -> float:
    return math.log(float(large_R.std() / small_R.std())) / math.log(ratio)


@pytest.mark.parametrize(("shift", "rate"), [(0.0, -1.0), (2.0, -0.5)], ids=["null", "other law"])
def test_u_falls_as_1_over_n_for_equal_laws_and_as_its_root_for_others(
    shift: float, rate: float
) -> None:
    # The exponent of 1,500 replicas has a standard error of 0.019: 0.085 is 4.5 of them.
    deviations = []
    for n in (32, 128):
        x_RND, y_RND = draw(n, 1500, n, D).float(), draw(n + 1, 1500, n, D).float() + shift
        deviations.append(mmd2_unbiased(x_RND, y_RND, KERNEL))
    assert exponent(*deviations, ratio=4) == pytest.approx(rate, abs=0.085)


def test_random_features_are_unbiased_and_their_error_falls_as_the_root_of_their_number() -> None:
    x_ND, y_MD = draw(0, 12, D), draw(1, 9, D) + SHIFT
    generator = torch.Generator().manual_seed(2)

    def draws(features: int, estimator: str) -> Tensor:
        values = [
            mmd2_random_features(
                x_ND, y_MD, KERNEL, features=features, estimator=estimator, generator=generator
            )
            for _ in range(500)
        ]
        return torch.stack(values)

    few, many, biased = draws(16, "unbiased"), draws(256, "unbiased"), draws(16, "biased")
    exact = float(mmd2_unbiased(x_ND, y_MD, KERNEL))
    assert abs(z_of_mean(few, exact)) <= 4.5
    assert abs(z_of_mean(many, exact)) <= 4.5
    assert abs(z_of_mean(biased, float(mmd2_biased(x_ND, y_MD, KERNEL)))) <= 4.5
    # The exponent of 500 draws has a standard error of 0.016: 0.072 is 4.5 of them.
    assert exponent(few, many, ratio=16) == pytest.approx(-0.5, abs=0.072)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (3, 8)])
def test_p_values_of_equal_laws_are_uniform_on_their_grid_and_never_0(n: int, m: int) -> None:
    # Draws of a continuous law: P(p <= k/20) is exactly k/20 but for ties, which only lower it.
    generator = torch.Generator().manual_seed(4)
    tests = 1000
    p_values = torch.tensor(
        [
            two_sample_test(x, y, KERNEL, permutations=19, generator=generator).p_value
            for x, y in zip(draw(5, tests, n, D), draw(6, tests, m, D), strict=True)
        ]
    )
    assert float(p_values.min()) == pytest.approx(1 / 20)
    for level in (0.05, 0.1, 0.25, 0.5):
        share = float((p_values <= level + 1e-6).double().mean())
        standard_error = math.sqrt(level * (1 - level) / tests)
        assert share <= level + 4.5 * standard_error
        assert share >= level - 4.5 * standard_error - 0.02


def test_p_values_of_other_laws_are_small() -> None:
    x_RND, y_RND = draw(7, 20, 30, D), draw(8, 20, 30, D) + 1.5
    for x_ND, y_ND in zip(x_RND, y_RND, strict=True):
        found = two_sample_test(x_ND, y_ND, KERNEL, permutations=99)
        assert found.p_value <= 0.05
