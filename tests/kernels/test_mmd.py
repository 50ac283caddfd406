"""MMD estimators: deterministic properties, each of which holds for every sample.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from genzoo_rwae_kernels import Energy, Imq, Kernel, Rbf, mmd2_biased, mmd2_unbiased
from genzoo_rwae_kernels.oracle import imq_pair, mmd2_by_loops, rbf_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import energy_distance
from torch import Tensor

imq, rbf = Imq(), Rbf()

FEW = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
ROWS = st.integers(2, 8)
WIDTHS = st.integers(1, 6)
K0 = 7.0  # imq and rbf of a row and itself: seven scales

Estimator = Callable[..., Tensor]
paired_unbiased = partial(mmd2_unbiased, paired=True)
all_estimators = pytest.mark.parametrize(
    "estimator", [mmd2_biased, mmd2_unbiased, paired_unbiased], ids=["V", "U", "paired U"]
)

each_backend = pytest.mark.parametrize("backend", ["eager", "tiled"])


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return x_ND @ y_MD.mT


def linear_pair(a: object, b: object) -> float:
    assert isinstance(a, list)
    assert isinstance(b, list)
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


def from_distance(x_ND: Tensor, y_MD: Tensor, base: float = 0.3) -> Tensor:
    """Kernel induced by |x - y|: half of |x - z| + |y - z| - |x - y|, for a base point z."""
    to_base_N1 = (x_ND - base).square().sum(-1, keepdim=True).sqrt()
    to_base_1M = (y_MD - base).square().sum(-1, keepdim=True).sqrt().mT
    apart_NM = (x_ND.unsqueeze(-2) - y_MD.unsqueeze(-3)).square().sum(-1).sqrt()
    return (to_base_N1 + to_base_1M - apart_NM) / 2


WAE = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
KERNELS = [
    pytest.param(imq, partial(imq_pair, scales=WAE), id="imq"),
    pytest.param(rbf, partial(rbf_pair, scales=WAE), id="rbf"),
    pytest.param(linear, linear_pair, id="linear"),
]


@pytest.mark.parametrize(("kernel", "pair"), KERNELS)
@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS, apart=st.floats(0.0, 3.0), single=st.booleans())
@FEW
def test_equals_the_double_loop(
    kernel: Kernel,
    pair: Callable[..., float],
    seed: int,
    n: int,
    m: int,
    d: int,
    apart: float,
    single: bool,
) -> None:
    dtype = torch.float32 if single else torch.float64
    x_ND, y_MD = draw(seed, n, d, dtype=dtype), draw(seed + 1, m, d, dtype=dtype) + apart
    atol = 7e-6 if single else 1e-12
    x, y = x_ND.tolist(), y_MD.tolist()
    biased = float(mmd2_biased(x_ND, y_MD, kernel))
    assert biased == pytest.approx(mmd2_by_loops(x, y, pair, "biased"), abs=atol, rel=1e-6)
    unbiased = float(mmd2_unbiased(x_ND, y_MD, kernel))
    assert unbiased == pytest.approx(mmd2_by_loops(x, y, pair, "unbiased"), abs=atol, rel=1e-6)
    rows = min(n, m)
    paired = float(mmd2_unbiased(x_ND[:rows], y_MD[:rows], kernel, paired=True))
    wanted = mmd2_by_loops(x[:rows], y[:rows], pair, "unbiased", paired=True)
    assert paired == pytest.approx(wanted, abs=atol, rel=1e-6)


@given(seed=SEEDS, n=ROWS, d=WIDTHS)
@FEW
def test_paired_u_is_the_one_sample_statistic_of_gretton_eq_4(seed: int, n: int, d: int) -> None:
    x_ND, y_ND = draw(seed, n, d), draw(seed + 1, n, d) + 1
    h_NN = imq(x_ND, x_ND) + imq(y_ND, y_ND) - imq(x_ND, y_ND) - imq(y_ND, x_ND)
    off_diagonal = ~torch.eye(n, dtype=torch.bool)
    torch.testing.assert_close(
        mmd2_unbiased(x_ND, y_ND, imq, paired=True), h_NN[off_diagonal].mean()
    )


@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS)
@FEW
def test_u_follows_from_the_means_of_the_kernel(seed: int, n: int, m: int, d: int) -> None:
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d)
    wanted = (
        (n * imq(x_ND, x_ND).mean() - K0) / (n - 1)
        + (m * imq(y_MD, y_MD).mean() - K0) / (m - 1)
        - 2 * imq(x_ND, y_MD).mean()
    )
    torch.testing.assert_close(mmd2_unbiased(x_ND, y_MD, imq), wanted)


def test_one_row_each_by_hand() -> None:
    x, y = torch.tensor([[0.0]]), torch.tensor([[2.0]])
    two_scales = Imq(scales=[2.0, 6.0])  # 4/(4 + 4) + 12/(12 + 4) = 5/4
    assert float(mmd2_biased(x, y, two_scales)) == pytest.approx(2 * 2 - 2 * 5 / 4)


@all_estimators
@given(seed=SEEDS, n=ROWS, d=WIDTHS)
@FEW
def test_symmetric_in_its_samples(estimator: Estimator, seed: int, n: int, d: int) -> None:
    m = n if estimator is paired_unbiased else n + 3
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d) + 0.5
    torch.testing.assert_close(estimator(x_ND, y_MD, imq), estimator(y_MD, x_ND, imq))


@given(seed=SEEDS, n=st.integers(1, 40), d=WIDTHS, offset=st.floats(-1e4, 1e4))
@FEW
def test_v_of_a_sample_and_itself_is_zero_and_never_below(
    seed: int, n: int, d: int, offset: float
) -> None:
    x_ND = draw(seed, n, d, dtype=torch.float32) + offset
    shuffled_ND = x_ND[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]
    for other_ND in (x_ND, x_ND.clone(), shuffled_ND):
        assert 0 <= float(mmd2_biased(x_ND, other_ND, imq)) <= 1e-6


@given(seed=SEEDS, n=st.integers(1, 8), m=st.integers(1, 8), apart=st.floats(0.0, 5.0))
@FEW
def test_v_is_at_least_0_and_at_least_u(seed: int, n: int, m: int, apart: float) -> None:
    x_ND, y_MD = draw(seed, n, 3), draw(seed + 1, m, 3) + apart
    biased = float(mmd2_biased(x_ND, y_MD, imq))
    assert biased >= 0
    if n > 1 and m > 1:
        assert float(mmd2_unbiased(x_ND, y_MD, imq)) <= biased


def test_u_is_not_clamped() -> None:
    x_ND = torch.tensor([[0.0], [4.0]])
    assert float(mmd2_unbiased(x_ND, x_ND, imq)) < -0.5


def test_v_is_not_negative_where_float32_rounding_is() -> None:
    below = 0
    for seed in range(40):
        x_ND = draw(seed, 8, 3, dtype=torch.float32)
        y_ND = x_ND + 1e-6 * draw(seed + 100, 8, 3, dtype=torch.float32)
        pairs = ((x_ND, x_ND), (y_ND, y_ND), (x_ND, y_ND))
        means = [imq(a_ND, b_ND).double().mean() for a_ND, b_ND in pairs]
        below += float(means[0] + means[1] - 2 * means[2]) < 0
        assert 0 <= float(mmd2_biased(x_ND, y_ND, imq)) < 1e-6
    assert below > 5  # the same sum without care does fall below 0


def test_v_of_an_indefinite_kernel_shows_its_negative_value() -> None:
    def negated(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        return -imq(x_ND, y_MD)

    x_ND, y_MD = draw(0, 5, 2), draw(1, 5, 2) + 3
    torch.testing.assert_close(mmd2_biased(x_ND, y_MD, negated), -mmd2_biased(x_ND, y_MD, imq))


@all_estimators
@given(seed=SEEDS, shift=st.floats(-1e3, 1e3))
@FEW
def test_translation_rotation_and_scale(estimator: Estimator, seed: int, shift: float) -> None:
    x_ND, y_MD = draw(seed, 5, 4), draw(seed + 1, 5, 4) + 1
    rotation_DD, _ = torch.linalg.qr(draw(seed + 2, 4, 4))
    value = estimator(x_ND, y_MD, imq)
    torch.testing.assert_close(estimator(x_ND + shift, y_MD + shift, imq), value)
    torch.testing.assert_close(estimator(x_ND @ rotation_DD, y_MD @ rotation_DD, imq), value)
    torch.testing.assert_close(estimator(3 * x_ND, 3 * y_MD, Imq(sigma=3.0)), value)


@given(seed=SEEDS, n=ROWS, m=ROWS, copies=st.integers(2, 3))
@FEW
def test_row_order_and_replication_leave_v_as_it_is(seed: int, n: int, m: int, copies: int) -> None:
    x_ND, y_MD = draw(seed, n, 3), draw(seed + 1, m, 3)
    value = mmd2_biased(x_ND, y_MD, imq)
    torch.testing.assert_close(mmd2_biased(x_ND.flip(0), y_MD, imq), value)
    torch.testing.assert_close(mmd2_biased(x_ND, y_MD.repeat(copies, 1), imq), value)


@given(seed=SEEDS, n=ROWS, m=ROWS)
@FEW
def test_row_order_leaves_u_as_it_is_but_moves_paired_u(seed: int, n: int, m: int) -> None:
    x_ND, y_MD = draw(seed, n, 3), draw(seed + 1, m, 3)
    value = mmd2_unbiased(x_ND, y_MD, imq)
    torch.testing.assert_close(mmd2_unbiased(x_ND.flip(0), y_MD.roll(1, 0), imq), value)
    y_ND = draw(seed + 1, n, 3)
    paired = mmd2_unbiased(x_ND, y_ND, imq, paired=True)
    together = mmd2_unbiased(x_ND.roll(1, 0), y_ND.roll(1, 0), imq, paired=True)
    torch.testing.assert_close(together, paired)
    assert float(mmd2_unbiased(x_ND.roll(1, 0), y_ND, imq, paired=True)) != float(paired)


@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS)
@FEW
def test_v_of_the_linear_kernel_is_the_squared_difference_of_the_means(
    seed: int, n: int, m: int, d: int
) -> None:
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d) + 2
    wanted = (x_ND.mean(0) - y_MD.mean(0)).square().sum()
    torch.testing.assert_close(mmd2_biased(x_ND, y_MD, linear), wanted)


@given(seed=SEEDS, n=ROWS, m=ROWS, base=st.floats(-5.0, 5.0))
@FEW
def test_twice_v_of_the_distance_kernel_is_scipys_energy_distance_for_any_base_point(
    seed: int, n: int, m: int, base: float
) -> None:
    x_N1, y_M1 = draw(seed, n, 1), draw(seed + 1, m, 1) + 1
    value = 2 * float(mmd2_biased(x_N1, y_M1, partial(from_distance, base=base)))
    wanted = energy_distance(x_N1.flatten().numpy(), y_M1.flatten().numpy()) ** 2
    assert value == pytest.approx(float(wanted), rel=1e-9, abs=1e-12)


@each_backend
@given(seed=SEEDS, n=ROWS, m=ROWS)
@FEW
def test_twice_v_of_the_energy_kernel_is_scipys_energy_distance(
    backend: str, seed: int, n: int, m: int
) -> None:
    x_N1, y_M1 = draw(seed, n, 1), draw(seed + 1, m, 1) + 1
    value = 2 * float(mmd2_biased(x_N1, y_M1, Energy(), backend=backend))
    wanted = energy_distance(x_N1.flatten().numpy(), y_M1.flatten().numpy()) ** 2
    assert value == pytest.approx(float(wanted), rel=1e-9, abs=1e-12)


@each_backend
@all_estimators
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
@FEW
def test_the_energy_kernel_is_homogeneous_of_degree_1(
    estimator: Estimator, backend: str, seed: int, factor: float
) -> None:
    x_ND, y_ND = draw(seed, 5, 3), draw(seed + 1, 5, 3) + 1
    scaled = estimator(factor * x_ND, factor * y_ND, Energy(), backend=backend)
    value = factor * estimator(x_ND, y_ND, Energy(), backend=backend)
    torch.testing.assert_close(scaled, value, rtol=1e-9, atol=1e-12 * factor)


@all_estimators
@given(seed=SEEDS, t=st.integers(1, 4), n=ROWS)
@FEW
def test_a_batch_equals_the_loop(estimator: Estimator, seed: int, t: int, n: int) -> None:
    m = n if estimator is paired_unbiased else n + 2
    x_TND, y_TMD = draw(seed, t, n, 3), draw(seed + 1, t, m, 3)
    values_T = estimator(x_TND, y_TMD, imq)
    assert values_T.shape == (t,)
    looped = [estimator(x, y, imq) for x, y in zip(x_TND, y_TMD, strict=True)]
    torch.testing.assert_close(values_T, torch.stack(looped))


@all_estimators
def test_a_mixture_is_the_sum_of_its_scales(estimator: Estimator) -> None:
    x_ND, y_MD = draw(0, 5, 3), draw(1, 5, 3) + 1
    parts = [estimator(x_ND, y_MD, Rbf(scales=[scale])) for scale in WAE]
    torch.testing.assert_close(estimator(x_ND, y_MD, rbf), torch.stack(parts).sum())
