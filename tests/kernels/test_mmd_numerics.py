"""MMD estimators: derivatives and precision.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from genzoo_rwae_kernels import WAE_SCALES, Imq, Kernel, Rbf, mmd2_biased, mmd2_unbiased
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

imq, rbf = Imq(), Rbf()

FEW = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
K0 = 7.0  # imq and rbf of a row and itself: seven scales

Estimator = Callable[[Tensor, Tensor, Kernel], Tensor]
paired_unbiased = partial(mmd2_unbiased, paired=True)
all_estimators = pytest.mark.parametrize(
    "estimator", [mmd2_biased, mmd2_unbiased, paired_unbiased], ids=["V", "U", "paired U"]
)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def hessian(value: Tensor, at_D: Tensor) -> Tensor:
    (gradient_D,) = torch.autograd.grad(value, at_D, create_graph=True)
    rows = [torch.autograd.grad(entry, at_D, retain_graph=True)[0] for entry in gradient_D.unbind()]
    return torch.stack(rows)


def linear(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return x_ND @ y_MD.mT


@all_estimators
@pytest.mark.parametrize("kernel", [imq, rbf], ids=["imq", "rbf"])
def test_first_and_second_derivatives(estimator: Estimator, kernel: Kernel) -> None:
    x_TND = draw(0, 2, 3, 2).requires_grad_()
    y_TMD = (draw(1, 2, 3, 2) + 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: estimator(x, y, kernel), (x_TND, y_TMD))
    assert torch.autograd.gradgradcheck(lambda x, y: estimator(x, y, kernel), (x_TND, y_TMD))


@all_estimators
@pytest.mark.parametrize("kind", [Imq, Rbf])
def test_derivatives_in_the_bandwidth(estimator: Estimator, kind: type[Imq | Rbf]) -> None:
    x_TND, y_TND = draw(0, 2, 4, 2), draw(1, 2, 4, 2) + 0.5
    sigma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def value(sigma: Tensor) -> Tensor:
        return estimator(x_TND, y_TND, kind(scales=[0.5, 2.0], sigma=sigma))

    assert torch.autograd.gradcheck(value, (sigma,))
    assert torch.autograd.gradgradcheck(value, (sigma,))


@all_estimators
@given(seed=SEEDS, offset=st.floats(-1e4, 1e4))
@FEW
def test_gradients_of_the_two_samples_cancel(
    estimator: Estimator, seed: int, offset: float
) -> None:
    x_ND = (draw(seed, 6, 3) + offset).requires_grad_()
    y_MD = (draw(seed + 1, 6, 3) + offset + 1).requires_grad_()
    x_gradient, y_gradient = torch.autograd.grad(estimator(x_ND, y_MD, imq), (x_ND, y_MD))
    assert float(x_gradient.abs().max()) > 1e-3
    assert float((x_gradient.sum(0) + y_gradient.sum(0)).abs().max()) < 1e-12


def test_v_at_its_minimum_has_gradient_0_and_the_curvature_of_the_kernel() -> None:
    # One row each: V = 2 (k0 - k(x, y)), so the Hessian at x = y is 4/C; rounding is lifted to 0.
    kernel = Imq(scales=[1.0])
    for seed in range(20):
        y_1D = 10 * draw(seed, 1, 3)
        x_D = y_1D[0].clone().requires_grad_()
        value = mmd2_biased(x_D[None], y_1D, kernel)
        (gradient_D,) = torch.autograd.grad(value, x_D, retain_graph=True)
        assert float(value.detach()) >= 0
        assert float(gradient_D.abs().max()) < 1e-12
        wanted_DD = 4 / 6 * torch.eye(3, dtype=torch.float64)
        torch.testing.assert_close(hessian(value, x_D), wanted_DD)


@all_estimators
def test_coinciding_rows_have_finite_gradients(estimator: Estimator) -> None:
    x_ND = torch.ones(6, 3, requires_grad=True)
    y_MD = torch.ones(6, 3, requires_grad=True)
    for gradient in torch.autograd.grad(estimator(x_ND, y_MD, imq), (x_ND, y_MD)):
        torch.testing.assert_close(gradient, torch.zeros(6, 3))


def value_and_gradient(
    estimator: Estimator, x_ND: Tensor, y_MD: Tensor, kernel: Kernel
) -> tuple[Tensor, Tensor]:
    leaf_ND = x_ND.clone().requires_grad_()
    value = estimator(leaf_ND, y_MD, kernel)
    (gradient_ND,) = torch.autograd.grad(value, leaf_ND)
    return value.detach(), gradient_ND


@all_estimators
@pytest.mark.parametrize("kernel", [imq, rbf], ids=["imq", "rbf"])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e4])
@pytest.mark.parametrize("gap", [0.0, 1e2, 1e4])
def test_float32_equals_float64_at_offsets_and_between_far_clusters(
    estimator: Estimator, kernel: Kernel, offset: float, gap: float
) -> None:
    sides_N1 = torch.arange(48).remainder(2)[:, None] * gap + offset
    x_ND = draw(0, 48, 8, dtype=torch.float32) + sides_N1
    y_MD = draw(1, 48, 8, dtype=torch.float32) * 1.2 + sides_N1
    value, gradient_ND = value_and_gradient(estimator, x_ND, y_MD, kernel)
    a_ND, b_MD = x_ND.double(), y_MD.double()

    # A reference that takes plain differences, pair by pair.
    def reference(p_ND: Tensor, q_MD: Tensor) -> Tensor:
        d2_NM = (p_ND[:, None] - q_MD[None]).square().sum(-1)
        widths = [16 * scale for scale in WAE_SCALES]
        if kernel is imq:
            return torch.stack([width / (width + d2_NM) for width in widths]).sum(0)
        return torch.stack([(-d2_NM / width).exp() for width in widths]).sum(0)

    exact, exact_ND = value_and_gradient(estimator, a_ND, b_MD, reference)
    assert abs(float(value) - float(exact)) < 1e-7 * K0
    error = float((gradient_ND - exact_ND).norm() / exact_ND.norm())
    assert error < 1e-6


@all_estimators
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_dtype_in_is_dtype_out_and_half_precision_is_rounded_once(
    estimator: Estimator, dtype: torch.dtype
) -> None:
    x_ND = (draw(0, 300, 8) + 3).to(dtype)
    y_MD = (1.3 * draw(1, 300, 8) + 3).to(dtype)
    value, gradient_ND = value_and_gradient(estimator, x_ND, y_MD, imq)
    assert value.dtype == dtype
    assert gradient_ND.dtype == dtype
    wanted, wanted_ND = value_and_gradient(estimator, x_ND.float(), y_MD.float(), imq)
    if dtype != torch.float64:
        assert torch.equal(value, wanted.to(dtype))
        torch.testing.assert_close(gradient_ND, wanted_ND.to(dtype))


@all_estimators
@pytest.mark.parametrize(
    ("given_dtype", "seen_dtype"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
    ids=str,
)
def test_the_kernel_sees_float32_or_better_and_a_sample_beside_itself_as_one_tensor(
    estimator: Estimator, given_dtype: torch.dtype, seen_dtype: torch.dtype
) -> None:
    seen = []

    def watched(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        seen.append((x_ND.dtype, y_MD.dtype, x_ND is y_MD))
        return linear(x_ND, y_MD)

    x_ND, y_MD = draw(0, 3, 2).to(given_dtype), draw(1, 3, 2).to(given_dtype)
    estimator(x_ND, y_MD, watched)
    assert sorted(same for *_, same in seen) == [False, True, True]
    estimator(x_ND, x_ND, watched)
    assert [same for *_, same in seen[3:]] == [True, True, True]
    assert {dtype for *dtypes, _ in seen for dtype in dtypes} == {seen_dtype}


@all_estimators
@pytest.mark.parametrize("kernel", [imq, linear], ids=["imq", "linear"])
def test_autocast_changes_nothing(estimator: Estimator, kernel: Kernel) -> None:
    x_ND = draw(0, 32, 16, dtype=torch.float32) + 3
    y_MD = 1.3 * draw(1, 32, 16, dtype=torch.float32) + 3
    value, gradient_ND = value_and_gradient(estimator, x_ND, y_MD, kernel)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, inside_ND = value_and_gradient(estimator, x_ND, y_MD, kernel)
    assert torch.equal(inside, value)
    if kernel is imq:  # the backward of a kernel that multiplies in float32 is autocast's own
        assert torch.equal(inside_ND, gradient_ND)


@all_estimators
def test_samples_of_two_dtypes_meet_in_the_wider_one(estimator: Estimator) -> None:
    x_ND, y_ND = draw(0, 20, 4, dtype=torch.float32), draw(1, 20, 4)
    found = estimator(x_ND, y_ND, imq)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, estimator(x_ND.double(), y_ND, imq), rtol=1e-12, atol=1e-13)


def test_sums_are_in_float64() -> None:
    # 2^24 + 1 has no float32: a sum of ones and one large entry shows the accumulator.
    def spiked(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        k_NM = torch.ones(len(x_ND), len(y_MD))
        if x_ND is not y_MD:
            return k_NM * 0
        k_NM[0, 0] = 2.0**24
        return k_NM

    x_ND, y_MD = torch.zeros(2, 1), torch.ones(2, 1)
    assert float(mmd2_unbiased(x_ND, y_MD, spiked)) == 2.0


@all_estimators
def test_inputs_stay_as_they_are_and_need_not_be_contiguous(estimator: Estimator) -> None:
    x_DN, y_MD = draw(0, 3, 6), draw(1, 6, 3)
    x_kept, y_kept = x_DN.clone(), y_MD.clone()
    value = estimator(x_DN.mT, y_MD, imq)
    assert torch.equal(x_DN, x_kept)
    assert torch.equal(y_MD, y_kept)
    torch.testing.assert_close(value, estimator(x_DN.mT.contiguous(), y_MD, imq))
