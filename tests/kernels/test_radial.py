"""Radial kernels: values, convention of the width, invariances, derivatives, refusals.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import math
from collections.abc import Callable

import pytest
import torch
from genzoo_rwae_kernels import WAE_SCALES, imq, rbf
from genzoo_rwae_kernels.oracle import imq_pair, rbf_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

FEW = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
ROWS = st.integers(1, 7)
WIDTHS = st.integers(1, 9)
SCALES = st.lists(st.floats(0.05, 20.0), min_size=1, max_size=5)
SIGMAS = st.floats(0.2, 5.0)

PAIRS = {imq: imq_pair, rbf: rbf_pair}
both_kernels = pytest.mark.parametrize("kernel", [imq, rbf], ids=["imq", "rbf"])


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def hessian(value: Tensor, at_D: Tensor) -> Tensor:
    (gradient_D,) = torch.autograd.grad(value, at_D, create_graph=True)
    rows = [torch.autograd.grad(entry, at_D, retain_graph=True)[0] for entry in gradient_D.unbind()]
    return torch.stack(rows)


@both_kernels
@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS, scales=SCALES, sigma=SIGMAS, single=st.booleans())
@FEW
def test_equals_the_pair_by_pair_oracle(
    kernel: Callable[..., Tensor],
    seed: int,
    n: int,
    m: int,
    d: int,
    scales: list[float],
    sigma: float,
    single: bool,
) -> None:
    dtype = torch.float32 if single else torch.float64
    x_ND, y_MD = draw(seed, n, d, dtype=dtype), draw(seed + 1, m, d, dtype=dtype)
    pair = PAIRS[kernel]
    wanted_NM = torch.tensor(
        [[pair(a, b, scales=scales, sigma=sigma) for b in y_MD.tolist()] for a in x_ND.tolist()],
        dtype=torch.float64,
    )
    k_NM = kernel(x_ND, y_MD, scales=scales, sigma=sigma)
    assert k_NM.dtype == dtype
    tolerance = (1e-6 if single else 1e-13) * len(scales)
    torch.testing.assert_close(k_NM.double(), wanted_NM, rtol=0, atol=tolerance)


@pytest.mark.parametrize("d", [1, 16, 256])
@pytest.mark.parametrize("sigma", [0.5, 2.0])
@pytest.mark.parametrize(
    ("kernel", "height"), [(imq, 0.5), (rbf, math.exp(-1))], ids=["imq 1/2", "rbf 1/e"]
)
def test_scale_1_has_its_height_at_the_mean_squared_distance_of_two_prior_draws(
    kernel: Callable[..., Tensor], height: float, sigma: float, d: int
) -> None:
    draws_ND = sigma * draw(0, 40_000 // d, d)
    others_ND = sigma * draw(1, 40_000 // d, d)
    typical = 2 * d * sigma**2
    mean = float((draws_ND - others_ND).square().sum(-1).mean())
    assert mean == pytest.approx(typical, rel=0.05)
    y_1D = torch.full((1, d), math.sqrt(typical / d), dtype=torch.float64)
    k_11 = kernel(torch.zeros_like(y_1D), y_1D, scales=[1.0], sigma=sigma)
    assert float(k_11) == pytest.approx(height, rel=1e-12)


def test_default_scales_are_those_of_wae() -> None:
    assert WAE_SCALES == (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    x_ND, y_MD = draw(0, 4, 3), draw(1, 5, 3)
    for kernel in (imq, rbf):
        assert torch.equal(kernel(x_ND, y_MD), kernel(x_ND, y_MD, scales=WAE_SCALES, sigma=1.0))


@both_kernels
@given(seed=SEEDS, scales=SCALES)
@FEW
def test_a_mixture_is_the_sum_of_its_scales(
    kernel: Callable[..., Tensor], seed: int, scales: list[float]
) -> None:
    x_ND, y_MD = draw(seed, 4, 3), draw(seed + 1, 5, 3)
    summed_NM = torch.stack([kernel(x_ND, y_MD, scales=[scale]) for scale in scales]).sum(0)
    torch.testing.assert_close(kernel(x_ND, y_MD, scales=scales), summed_NM)


@both_kernels
@given(seed=SEEDS, n=ROWS, offset=st.floats(-1e4, 1e4), scales=SCALES, sigma=SIGMAS)
@FEW
def test_a_row_and_itself_have_exactly_the_number_of_scales(
    kernel: Callable[..., Tensor],
    seed: int,
    n: int,
    offset: float,
    scales: list[float],
    sigma: float,
) -> None:
    x_ND = draw(seed, n, 5, dtype=torch.float32) + offset
    k_NN = kernel(x_ND, x_ND, scales=scales, sigma=sigma)
    assert torch.equal(k_NN.diagonal(), torch.full((n,), float(len(scales))))


@both_kernels
def test_every_single_scale_gives_a_row_and_itself_exactly_1(kernel: Callable[..., Tensor]) -> None:
    # C * (1 / C) is not 1 for one width in seven.
    x_ND = draw(0, 2, 5, dtype=torch.float32)
    for hundredths in range(1, 200):
        k_NN = kernel(x_ND, x_ND, scales=[hundredths / 100], sigma=0.7)
        assert torch.equal(k_NN.diagonal(), torch.ones(2))


@both_kernels
def test_the_diagonal_stays_exact_in_half_precision(kernel: Callable[..., Tensor]) -> None:
    x_ND = (draw(0, 6, 5) + 100).bfloat16()
    assert torch.equal(kernel(x_ND, x_ND).diagonal(), torch.full((6,), 7.0, dtype=torch.bfloat16))


@both_kernels
@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS)
@FEW
def test_symmetric_and_positive_definite(
    kernel: Callable[..., Tensor], seed: int, n: int, m: int, d: int
) -> None:
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d)
    torch.testing.assert_close(kernel(x_ND, y_MD), kernel(y_MD, x_ND).mT)
    z_ND = torch.cat([x_ND, y_MD, x_ND])
    assert float(torch.linalg.eigvalsh(kernel(z_ND, z_ND)).min()) > -1e-12 * len(z_ND) * 7


@both_kernels
@given(seed=SEEDS, d=WIDTHS, factor=st.floats(0.01, 100.0))
@FEW
def test_translation_rotation_and_scale(
    kernel: Callable[..., Tensor], seed: int, d: int, factor: float
) -> None:
    x_ND, y_MD, shift_1D = draw(seed, 4, d), draw(seed + 1, 5, d), 100 * draw(seed + 2, 1, d)
    rotation_DD, _ = torch.linalg.qr(draw(seed + 3, d, d))
    k_NM = kernel(x_ND, y_MD)
    torch.testing.assert_close(kernel(x_ND + shift_1D, y_MD + shift_1D), k_NM)
    torch.testing.assert_close(kernel(x_ND @ rotation_DD, y_MD @ rotation_DD), k_NM)
    torch.testing.assert_close(kernel(factor * x_ND, factor * y_MD, sigma=factor), k_NM)


@both_kernels
def test_a_batch_equals_the_loop(kernel: Callable[..., Tensor]) -> None:
    x_TND, y_TMD = draw(0, 3, 4, 2), draw(1, 3, 5, 2)
    looped = [kernel(x, y) for x, y in zip(x_TND, y_TMD, strict=True)]
    torch.testing.assert_close(kernel(x_TND, y_TMD), torch.stack(looped))


@both_kernels
@pytest.mark.parametrize("same", [False, True], ids=["two tensors", "one tensor"])
def test_first_and_second_derivatives(kernel: Callable[..., Tensor], same: bool) -> None:
    x_ND = draw(0, 4, 3).requires_grad_()
    y_MD = draw(1, 3, 3).requires_grad_()
    inputs = (x_ND,) if same else (x_ND, y_MD)

    def values(*samples: Tensor) -> Tensor:
        return kernel(samples[0], samples[-1], scales=[0.2, 1.0, 3.0], sigma=0.7)

    assert torch.autograd.gradcheck(values, inputs)
    assert torch.autograd.gradgradcheck(values, inputs)


@both_kernels
def test_coinciding_rows_have_the_curvature_of_the_profile(kernel: Callable[..., Tensor]) -> None:
    # imq and rbf are both 1 - d2/C to first order, so the Hessian at 0 is -2/C = -1/(D sigma^2 s).
    y_1D = 30 * draw(0, 1, 3)
    x_D = y_1D[0].clone().requires_grad_()
    k_N1 = kernel(torch.stack([x_D, x_D * 0.5]), y_1D, scales=[2.0], sigma=0.5)
    wanted_DD = -torch.eye(3, dtype=torch.float64) / (3 * 0.5**2 * 2.0)
    torch.testing.assert_close(hessian(k_N1[0, 0], x_D), wanted_DD)


@both_kernels
@pytest.mark.parametrize("distance", [0.0, 1e-20, 1e4, 1e15, 1e30])
def test_values_and_gradients_in_float32_are_finite_at_any_distance(
    kernel: Callable[..., Tensor], distance: float
) -> None:
    x_ND = torch.zeros(2, 3, requires_grad=True)
    k_NM = kernel(x_ND, torch.full((2, 3), distance))
    (gradient_ND,) = torch.autograd.grad(k_NM.sum(), x_ND)
    assert bool(k_NM.isfinite().all())
    assert bool(gradient_ND.isfinite().all())


@both_kernels
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(kernel: Callable[..., Tensor], dtype: torch.dtype) -> None:
    x_ND, y_MD = (draw(0, 20, 16) + 10).to(dtype), (draw(1, 20, 16) + 10).to(dtype)
    k_NM = kernel(x_ND, y_MD)
    assert k_NM.dtype == dtype
    wanted_NM = kernel(x_ND.float(), y_MD.float()).to(dtype)
    assert torch.equal(k_NM, wanted_NM)


@both_kernels
@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"scales": []}, "no scales given", id="no scales"),
        pytest.param({"scales": [1.0, 0.0]}, "scale 0.0 in scales", id="a scale of 0"),
        pytest.param({"scales": [-1.0]}, "scale -1.0 in scales", id="a negative scale"),
        pytest.param({"scales": [math.nan]}, "scale nan in scales", id="a scale of NaN"),
        pytest.param({"scales": [math.inf]}, "scale inf in scales", id="an infinite scale"),
        pytest.param({"sigma": 0.0}, "sigma is 0.0", id="a sigma of 0"),
        pytest.param({"sigma": math.nan}, "sigma is nan", id="a sigma of NaN"),
    ],
)
def test_refuses_options(
    kernel: Callable[..., Tensor], options: dict[str, object], message: str
) -> None:
    x_ND = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=f"{kernel.__name__}: {message}"):
        kernel(x_ND, x_ND, **options)


@both_kernels
def test_refuses_samples_under_its_own_name(kernel: Callable[..., Tensor]) -> None:
    integers = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(TypeError, match=f"{kernel.__name__}: x has dtype torch.int64"):
        kernel(integers, integers)
    with pytest.raises(ValueError, match=f"{kernel.__name__}: x has width 3 and y has width 2"):
        kernel(torch.zeros(2, 3), torch.zeros(2, 2))
