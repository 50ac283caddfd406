"""Mixtures over scales: values, convention of the width, invariances, derivatives, refusals.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pytest
import scipy.special
import torch
from genzoo_rwae_kernels import (
    WAE_SCALES,
    Imq,
    Laplacian,
    Matern,
    RationalQuadratic,
    Rbf,
    ScaleMixture,
)
from genzoo_rwae_kernels.oracle import (
    imq_pair,
    laplacian_pair,
    matern_pair,
    rational_quadratic_pair,
    rbf_pair,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

FEW = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
ROWS = st.integers(1, 7)
WIDTHS = st.integers(1, 9)
SCALES = st.lists(st.floats(0.05, 20.0), min_size=1, max_size=5)
SIGMAS = st.floats(0.2, 5.0)

# kernel, its oracle, its height at the typical distance, -dh/dz at 0 (None where it is infinite)
MIXTURES = {
    "imq": (Imq, imq_pair, 1 / 2, 1.0),
    "rbf": (Rbf, rbf_pair, math.exp(-1), 1.0),
    "rational quadratic": (
        partial(RationalQuadratic, alpha=0.3),
        partial(rational_quadratic_pair, alpha=0.3),
        (1 + 1 / 0.3) ** -0.3,
        1.0,
    ),
    "laplacian": (Laplacian, laplacian_pair, math.exp(-1), None),
    "matern 1/2": (partial(Matern, nu=0.5), partial(matern_pair, nu=0.5), math.exp(-1), None),
    "matern 3/2": (
        partial(Matern, nu=1.5),
        partial(matern_pair, nu=1.5),
        (1 + math.sqrt(3)) * math.exp(-math.sqrt(3)),
        3 / 2,
    ),
    "matern 5/2": (
        partial(Matern, nu=2.5),
        partial(matern_pair, nu=2.5),
        (1 + math.sqrt(5) + 5 / 3) * math.exp(-math.sqrt(5)),
        5 / 6,
    ),
}
Mixture = Callable[..., ScaleMixture]
each_mixture = pytest.mark.parametrize(
    "kernel", [row[0] for row in MIXTURES.values()], ids=list(MIXTURES)
)


def with_(*columns: int) -> list[tuple[object, ...]]:
    """Kernels beside further columns of the table, without those that have none."""
    rows = [(row[0], *(row[column] for column in columns)) for row in MIXTURES.values()]
    names = list(MIXTURES)
    return [
        pytest.param(*row, id=name)
        for name, row in zip(names, rows, strict=True)
        if None not in row
    ]


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def hessian(value: Tensor, at_D: Tensor) -> Tensor:
    (gradient_D,) = torch.autograd.grad(value, at_D, create_graph=True)
    rows = [torch.autograd.grad(entry, at_D, retain_graph=True)[0] for entry in gradient_D.unbind()]
    return torch.stack(rows)


@pytest.mark.parametrize(("kernel", "pair"), with_(1))
@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS, scales=SCALES, sigma=SIGMAS, single=st.booleans())
@FEW
def test_equals_the_pair_by_pair_oracle(
    kernel: Mixture,
    pair: Callable[..., float],
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
    wanted_NM = torch.tensor(
        [[pair(a, b, scales=scales, sigma=sigma) for b in y_MD.tolist()] for a in x_ND.tolist()],
        dtype=torch.float64,
    )
    k_NM = kernel(scales=scales, sigma=sigma)(x_ND, y_MD)
    assert k_NM.dtype == dtype
    tolerance = (1e-6 if single else 1e-13) * len(scales)
    torch.testing.assert_close(k_NM.double(), wanted_NM, rtol=0, atol=tolerance)


@pytest.mark.parametrize("d", [1, 16, 256])
@pytest.mark.parametrize("sigma", [0.5, 2.0])
@pytest.mark.parametrize(("kernel", "height"), with_(2))
def test_scale_1_has_its_height_at_the_mean_squared_distance_of_two_prior_draws(
    kernel: Mixture, height: float, sigma: float, d: int
) -> None:
    draws_ND = sigma * draw(0, 40_000 // d, d)
    others_ND = sigma * draw(1, 40_000 // d, d)
    typical = 2 * d * sigma**2
    mean = float((draws_ND - others_ND).square().sum(-1).mean())
    assert mean == pytest.approx(typical, rel=0.05)
    y_1D = torch.full((1, d), math.sqrt(typical / d), dtype=torch.float64)
    k_11 = kernel(scales=[1.0], sigma=sigma)(torch.zeros_like(y_1D), y_1D)
    assert float(k_11) == pytest.approx(height, rel=1e-12)


@each_mixture
def test_default_scales_are_those_of_wae(kernel: Mixture) -> None:
    assert WAE_SCALES == (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    assert kernel() == kernel(scales=WAE_SCALES, sigma=1.0, relative_to="prior")


@each_mixture
@given(seed=SEEDS, scales=SCALES)
@FEW
def test_a_mixture_is_the_sum_of_its_scales(
    kernel: Mixture, seed: int, scales: list[float]
) -> None:
    x_ND, y_MD = draw(seed, 4, 3), draw(seed + 1, 5, 3)
    summed_NM = torch.stack([kernel(scales=[scale])(x_ND, y_MD) for scale in scales]).sum(0)
    torch.testing.assert_close(kernel(scales=scales)(x_ND, y_MD), summed_NM)


@each_mixture
@given(seed=SEEDS, n=ROWS, offset=st.floats(-1e4, 1e4), scales=SCALES, sigma=SIGMAS)
@FEW
def test_a_row_and_itself_have_exactly_the_number_of_scales(
    kernel: Mixture,
    seed: int,
    n: int,
    offset: float,
    scales: list[float],
    sigma: float,
) -> None:
    x_ND = draw(seed, n, 5, dtype=torch.float32) + offset
    k_NN = kernel(scales=scales, sigma=sigma)(x_ND, x_ND)
    assert torch.equal(k_NN.diagonal(), torch.full((n,), float(len(scales))))


@each_mixture
def test_every_single_scale_gives_a_row_and_itself_exactly_1(kernel: Mixture) -> None:
    # C * (1 / C) is not 1 for one width in seven.
    x_ND = draw(0, 2, 5, dtype=torch.float32)
    for hundredths in range(1, 200):
        k_NN = kernel(scales=[hundredths / 100], sigma=0.7)(x_ND, x_ND)
        assert torch.equal(k_NN.diagonal(), torch.ones(2))


@each_mixture
def test_the_diagonal_stays_exact_in_half_precision(kernel: Mixture) -> None:
    x_ND = (draw(0, 6, 5) + 100).bfloat16()
    assert torch.equal(kernel()(x_ND, x_ND).diagonal(), torch.full((6,), 7.0, dtype=torch.bfloat16))


@each_mixture
@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS)
@FEW
def test_symmetric_and_positive_definite(
    kernel: Mixture, seed: int, n: int, m: int, d: int
) -> None:
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d)
    torch.testing.assert_close(kernel()(x_ND, y_MD), kernel()(y_MD, x_ND).mT)
    z_ND = torch.cat([x_ND, y_MD, x_ND])
    assert kernel().is_positive_definite
    assert float(torch.linalg.eigvalsh(kernel()(z_ND, z_ND)).min()) > -1e-12 * len(z_ND) * 7


@each_mixture
@given(seed=SEEDS, d=WIDTHS, factor=st.floats(0.01, 100.0))
@FEW
def test_translation_rotation_and_scale(kernel: Mixture, seed: int, d: int, factor: float) -> None:
    x_ND, y_MD, shift_1D = draw(seed, 4, d), draw(seed + 1, 5, d), 100 * draw(seed + 2, 1, d)
    rotation_DD, _ = torch.linalg.qr(draw(seed + 3, d, d))
    k_NM = kernel()(x_ND, y_MD)
    torch.testing.assert_close(kernel()(x_ND + shift_1D, y_MD + shift_1D), k_NM)
    torch.testing.assert_close(kernel()(x_ND @ rotation_DD, y_MD @ rotation_DD), k_NM)
    torch.testing.assert_close(kernel(sigma=factor)(factor * x_ND, factor * y_MD), k_NM)


@each_mixture
def test_a_batch_equals_the_loop(kernel: Mixture) -> None:
    x_TND, y_TMD = draw(0, 3, 4, 2), draw(1, 3, 5, 2)
    looped = [kernel()(x, y) for x, y in zip(x_TND, y_TMD, strict=True)]
    torch.testing.assert_close(kernel()(x_TND, y_TMD), torch.stack(looped))


@each_mixture
@pytest.mark.parametrize("same", [False, True], ids=["two tensors", "one tensor"])
def test_first_and_second_derivatives(kernel: Mixture, same: bool) -> None:
    x_ND = draw(0, 4, 3).requires_grad_()
    y_MD = draw(1, 3, 3).requires_grad_()
    inputs = (x_ND,) if same else (x_ND, y_MD)

    def values(*samples: Tensor) -> Tensor:
        return kernel(scales=[0.2, 1.0, 3.0], sigma=0.7)(samples[0], samples[-1])

    assert torch.autograd.gradcheck(values, inputs)
    assert torch.autograd.gradgradcheck(values, inputs)


@pytest.mark.parametrize(("kernel", "fall"), with_(3))
def test_coinciding_rows_have_the_curvature_of_the_profile(kernel: Mixture, fall: float) -> None:
    # 1 - fall * d2/C to first order, so the Hessian at 0 is -2 fall/C = -fall/(D sigma^2 s).
    y_1D = 30 * draw(0, 1, 3)
    x_D = y_1D[0].clone().requires_grad_()
    k_N1 = kernel(scales=[2.0], sigma=0.5)(torch.stack([x_D, x_D * 0.5]), y_1D)
    wanted_DD = -fall * torch.eye(3, dtype=torch.float64) / (3 * 0.5**2 * 2.0)
    torch.testing.assert_close(hessian(k_N1[0, 0], x_D), wanted_DD)


@each_mixture
@pytest.mark.parametrize("distance", [0.0, 1e-20, 1e4, 1e15, 1e30])
def test_values_and_gradients_in_float32_are_finite_at_any_distance(
    kernel: Mixture, distance: float
) -> None:
    x_ND = torch.zeros(2, 3, requires_grad=True)
    k_NM = kernel()(x_ND, torch.full((2, 3), distance))
    (gradient_ND,) = torch.autograd.grad(k_NM.sum(), x_ND)
    assert bool(k_NM.isfinite().all())
    assert bool(gradient_ND.isfinite().all())


@each_mixture
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(kernel: Mixture, dtype: torch.dtype) -> None:
    x_ND, y_MD = (draw(0, 20, 16) + 10).to(dtype), (draw(1, 20, 16) + 10).to(dtype)
    k_NM = kernel()(x_ND, y_MD)
    assert k_NM.dtype == dtype
    wanted_NM = kernel()(x_ND.float(), y_MD.float()).to(dtype)
    assert torch.equal(k_NM, wanted_NM)


@each_mixture
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
        pytest.param({"sigma": torch.tensor(0.0)}, "sigma is 0.0", id="a sigma that is a tensor 0"),
        pytest.param({"sigma": torch.ones(3)}, r"has shape \[3\]", id="a sigma per column"),
        pytest.param({"relative_to": "mean"}, "relative_to is 'mean'", id="relative to the mean"),
        pytest.param(
            {"relative_to": "median", "sigma": 2.0}, "sigma is 2.0 beside", id="a sigma for nothing"
        ),
    ],
)
def test_refuses_options(kernel: Mixture, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"{type(kernel()).__name__}: .*{message}"):
        kernel(**options)


@each_mixture
def test_refuses_a_word_for_scales(kernel: Mixture) -> None:
    with pytest.raises(TypeError, match="scales is 'median'; wanted a list of numbers"):
        kernel(scales="median")


@each_mixture
def test_refuses_samples_under_its_own_name(kernel: Mixture) -> None:
    name = type(kernel()).__name__
    integers = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(TypeError, match=f"{name}: x has dtype torch.int64"):
        kernel()(integers, integers)
    with pytest.raises(ValueError, match=f"{name}: x has width 3 and y has width 2"):
        kernel()(torch.zeros(2, 3), torch.zeros(2, 2))


@each_mixture
@given(seed=SEEDS, d=WIDTHS, scales=SCALES, sigma=SIGMAS)
@FEW
def test_the_slope_is_the_derivative_of_the_value(
    kernel: Mixture, seed: int, d: int, scales: list[float], sigma: float
) -> None:
    k = kernel(scales=scales, sigma=sigma)
    d2_NM = draw(seed, 4, 5).exp().requires_grad_()
    k_NM = k.value(d2_NM, d)
    (wanted_NM,) = torch.autograd.grad(k_NM.sum(), d2_NM)
    got_NM, slope_NM = k.value_and_slope(d2_NM, d)
    assert not got_NM.requires_grad
    assert not slope_NM.requires_grad
    torch.testing.assert_close(got_NM, k_NM.detach())
    torch.testing.assert_close(slope_NM, wanted_NM)


@each_mixture
def test_values_and_slopes_leave_the_distances_as_they_were(kernel: Mixture) -> None:
    d2_NM = draw(0, 4, 5).exp()
    before_NM = d2_NM.clone()
    kernel().value(d2_NM, 3)
    kernel().value_and_slope(d2_NM, 3)
    assert torch.equal(d2_NM, before_NM)


@pytest.mark.parametrize(("kernel", "fall"), with_(3))
def test_the_slope_at_zero_is_that_of_the_profile(kernel: Mixture, fall: float) -> None:
    k = kernel(scales=[0.5, 2.0], sigma=0.7)
    _, slope = k.value_and_slope(torch.zeros(1, 1, dtype=torch.float64), 3)
    assert float(slope) == pytest.approx(-fall * sum(1 / c for c in k.widths(3)))


@pytest.mark.parametrize("kernel", [Laplacian(), Matern(nu=0.5)], ids=["laplacian", "matern 1/2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_infinite_slope_at_zero_is_given_as_zero(
    kernel: ScaleMixture, dtype: torch.dtype
) -> None:
    d2_NM = torch.tensor([[0.0, 1.0]], dtype=dtype, requires_grad=True)
    k_NM, slope_NM = kernel.value_and_slope(d2_NM.detach(), 2)
    (gradient_NM,) = torch.autograd.grad(kernel.value(d2_NM, 2).sum(), d2_NM)
    for got_NM in (slope_NM, gradient_NM):
        assert float(got_NM[0, 0]) == 0
        assert float(got_NM[0, 1]) < 0
    assert float(k_NM[0, 0]) == 7


@each_mixture
@given(d=WIDTHS, scales=SCALES)
@FEW
def test_the_value_at_zero_is_the_number_of_scales(
    kernel: Mixture, d: int, scales: list[float]
) -> None:
    zero = torch.zeros(1, d)
    k = kernel(scales=scales)
    assert k.at_zero(d) == float(k(zero, zero)) == len(scales)


@each_mixture
def test_samples_that_are_not_contiguous_give_the_same(kernel: Mixture) -> None:
    x_ND, y_MD = draw(0, 6, 8)[::2, ::2], draw(1, 4, 5).mT
    assert not x_ND.is_contiguous()
    assert not y_MD.is_contiguous()
    wanted_NM = kernel()(x_ND.contiguous(), y_MD.contiguous())
    torch.testing.assert_close(kernel()(x_ND, y_MD), wanted_NM)


@each_mixture
def test_kernels_of_equal_options_are_equal_and_hash_alike(kernel: Mixture) -> None:
    one, other = kernel(scales=[0.5, 1.0]), kernel(scales=(0.5, 1.0))
    assert one == other
    assert len({one, other, kernel(scales=[0.5])}) == 2


# -- what the profiles are ----------------------------------------------------------------------


def test_rational_quadratic_lies_between_imq_and_rbf() -> None:
    x_ND, y_MD = draw(0, 4, 3), draw(1, 5, 3)
    options = {"scales": [0.2, 1.0], "sigma": 0.7}
    imq = RationalQuadratic(alpha=1.0, **options)(x_ND, y_MD)
    torch.testing.assert_close(imq, Imq(**options)(x_ND, y_MD))
    nearly_rbf = RationalQuadratic(alpha=1e9, **options)(x_ND, y_MD)
    torch.testing.assert_close(nearly_rbf, Rbf(**options)(x_ND, y_MD), rtol=0, atol=1e-8)


def test_a_large_alpha_loses_no_digits_in_float32() -> None:
    x_ND, y_MD = draw(0, 4, 3, dtype=torch.float32), draw(1, 5, 3, dtype=torch.float32)
    nearly_rbf = RationalQuadratic(alpha=1e6)(x_ND, y_MD)
    torch.testing.assert_close(nearly_rbf, Rbf()(x_ND, y_MD), rtol=0, atol=1e-5)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_matern_is_the_bessel_function_that_defines_it(nu: float) -> None:
    distance = 0.1 + draw(0, 40).abs()
    u = math.sqrt(2 * nu) * distance / math.sqrt(2 * 1 * 0.7**2 * 0.6)
    bessel = torch.from_numpy(scipy.special.kv(nu, u.numpy()))
    wanted = 2 ** (1 - nu) / scipy.special.gamma(nu) * u**nu * bessel
    got = Matern(nu=nu, scales=[0.6], sigma=0.7)(distance[:, None], torch.zeros(1, 1).double())
    torch.testing.assert_close(got[:, 0], wanted)


def test_the_roughest_matern_is_laplacian() -> None:
    x_ND, y_MD = draw(0, 4, 3), draw(1, 5, 3)
    torch.testing.assert_close(Matern(nu=0.5)(x_ND, y_MD), Laplacian()(x_ND, y_MD))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (partial(RationalQuadratic, alpha=0.0), "RationalQuadratic: alpha is 0.0"),
        (partial(RationalQuadratic, alpha=math.inf), "RationalQuadratic: alpha is inf"),
        (partial(Matern, nu=2.0), "Matern: nu is 2.0; wanted 0.5, 1.5 or 2.5"),
        (partial(Matern, nu=1.5, scales=[]), "Matern: no scales given"),
    ],
)
def test_refuses_options_of_its_own(build: Mixture, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


# -- rows that coincide or nearly do ------------------------------------------------------------

kinked = pytest.mark.parametrize(
    "kernel", [Laplacian(), Matern(nu=0.5), Matern(nu=1.5), Matern(nu=2.5)],
    ids=["laplacian", "matern 1/2", "matern 3/2", "matern 5/2"],
)  # fmt: skip


@each_mixture
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_coinciding_rows_are_zero(kernel: Mixture, dtype: torch.dtype) -> None:
    x_ND = (100 * draw(0, 3, 4, dtype=dtype)).requires_grad_()
    y_MD = x_ND.detach().clone().requires_grad_()
    k_NM = kernel()(x_ND, y_MD)
    for gradient_ND in torch.autograd.grad(k_NM.diagonal().sum(), (x_ND, y_MD)):
        assert torch.equal(gradient_ND, torch.zeros_like(gradient_ND))


@kinked
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_coinciding_rows_of_two_tensors_are_at_distance_zero(
    kernel: ScaleMixture, spread: float
) -> None:
    x_TND = spread * draw(0, 2, 20, 3)
    k_TNN = kernel(x_TND, x_TND.clone())
    assert torch.equal(k_TNN.diagonal(dim1=-2, dim2=-1), torch.full((2, 20), 7.0).double())


@kinked
def test_near_rows_keep_their_distance_far_from_the_others(kernel: ScaleMixture) -> None:
    near = torch.tensor([[0.0], [1e-3], [2e-3]], dtype=torch.float64)
    far_ND = torch.cat([near, 1e5 + near])
    together = kernel(far_ND, far_ND)[:3, :3]
    torch.testing.assert_close(together, kernel(near, near), rtol=1e-11, atol=0)


@kinked
def test_second_derivatives_of_near_rows(kernel: ScaleMixture) -> None:
    offsets = torch.tensor([[1e-3, 0.0], [0.0, 2e-3]], dtype=torch.float64)
    x_ND = (5.0 + torch.cat([offsets, 1e3 + offsets])).requires_grad_()
    y_1D = torch.full((1, 2), 5.0, dtype=torch.float64)

    def alone(x_D: Tensor) -> Tensor:
        d2 = (x_D - y_1D[0]).square().sum()
        return kernel.value(d2.reshape(1, 1), 2).sum()

    def among_others(x_D: Tensor) -> Tensor:
        return kernel(torch.cat([x_D[None], x_ND.detach()[2:]]), y_1D)[0, 0]

    x_D = x_ND.detach()[0]
    wanted_DD = torch.autograd.functional.hessian(alone, x_D)
    torch.testing.assert_close(torch.autograd.functional.hessian(among_others, x_D), wanted_DD)


# -- bandwidths that are tensors ----------------------------------------------------------------


@each_mixture
def test_first_and_second_derivatives_in_the_bandwidth(kernel: Mixture) -> None:
    x_ND, y_MD = draw(0, 3, 2), draw(1, 4, 2)
    sigma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def values(sigma: Tensor, scale: Tensor) -> Tensor:
        return kernel(scales=[0.5, scale], sigma=sigma)(x_ND, y_MD)

    assert torch.autograd.gradcheck(values, (sigma, scale))
    assert torch.autograd.gradgradcheck(values, (sigma, scale))
    torch.testing.assert_close(
        values(sigma, scale), kernel(scales=[0.5, 1.3], sigma=0.7)(x_ND, y_MD)
    )


@each_mixture
def test_a_learnt_bandwidth_is_followed_and_told_to_backends(kernel: Mixture) -> None:
    sigma = torch.nn.Parameter(torch.tensor(1.0))
    learnt = kernel(sigma=sigma)
    assert not learnt.has_constant_width
    assert not kernel(scales=[1.0, sigma]).has_constant_width
    x_ND, y_MD = draw(0, 3, 2, dtype=torch.float32), draw(1, 4, 2, dtype=torch.float32)
    with torch.no_grad():
        sigma.fill_(2.0)
    assert learnt(x_ND, y_MD).dtype == torch.float32
    torch.testing.assert_close(learnt(x_ND, y_MD), kernel(sigma=2.0)(x_ND, y_MD))
    assert learnt.widths(2) == pytest.approx(kernel(sigma=2.0).widths(2))
    d2_NM = draw(2, 3, 4).exp()
    for got, wanted in zip(
        learnt.value_and_slope(d2_NM, 2), kernel(sigma=2.0).value_and_slope(d2_NM, 2), strict=True
    ):
        torch.testing.assert_close(got, wanted)
        assert not got.requires_grad


@each_mixture
def test_a_tensor_that_learns_nothing_is_a_number(kernel: Mixture) -> None:
    k = kernel(scales=[torch.tensor(0.5)], sigma=torch.tensor(2.0))
    assert k == kernel(scales=[0.5], sigma=2.0)
    assert k.has_constant_width


@each_mixture
def test_a_bandwidth_for_each_element_of_a_batch(kernel: Mixture) -> None:
    x_TND, y_TMD = draw(0, 2, 4, 3), draw(1, 2, 5, 3)
    k = kernel(sigma=torch.tensor([0.5, 2.0]).reshape(2, 1, 1))
    assert not k.has_constant_width
    looped = [kernel(sigma=s)(x, y) for s, x, y in zip((0.5, 2.0), x_TND, y_TMD, strict=True)]
    torch.testing.assert_close(k(x_TND, y_TMD), torch.stack(looped))
    d2_TNM = draw(2, 2, 4, 5).exp()
    _, slope_TNM = k.value_and_slope(d2_TNM, 3)
    slopes = [
        kernel(sigma=s).value_and_slope(d2, 3)[1] for s, d2 in zip((0.5, 2.0), d2_TNM, strict=True)
    ]
    torch.testing.assert_close(slope_TNM, torch.stack(slopes))
    with pytest.raises(ValueError, match="2 values of one width; wanted a single number"):
        k.widths(3)


# -- relative to the median ---------------------------------------------------------------------


@each_mixture
def test_relative_to_the_median_the_median_pair_is_at_the_typical_height(kernel: Mixture) -> None:
    x_ND, y_MD = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]])  # distances 1, 2 and 3
    k_NM = kernel(scales=[1.0], relative_to="median")(x_ND, y_MD)
    typical = kernel(scales=[1.0])(torch.zeros(1, 1), torch.full((1, 1), math.sqrt(2.0)))
    torch.testing.assert_close(k_NM[1, 0], typical[0, 0])


@each_mixture
@given(seed=SEEDS, factor=st.floats(0.01, 100.0))
@FEW
def test_relative_to_the_median_scale_and_offset_change_nothing(
    kernel: Mixture, seed: int, factor: float
) -> None:
    x_ND, y_MD = draw(seed, 4, 3), draw(seed + 1, 5, 3)
    k = kernel(relative_to="median")
    torch.testing.assert_close(k(factor * x_ND + 7, factor * y_MD + 7), k(x_ND, y_MD))


@each_mixture
def test_a_fitted_kernel_is_one_of_numbers_and_the_same_for_all_blocks(kernel: Mixture) -> None:
    x_ND, y_MD = draw(0, 4, 3), 1 + draw(1, 5, 3)
    k = kernel(scales=[0.5, 2.0], relative_to="median")
    assert not k.has_constant_width
    fitted = k.fitted(x_ND, y_MD)
    assert fitted.has_constant_width
    assert fitted.fitted(y_MD, y_MD) is fitted
    torch.testing.assert_close(fitted(x_ND, y_MD), k(x_ND, y_MD))
    assert not torch.allclose(fitted(x_ND, x_ND), k(x_ND, x_ND))
    assert type(fitted) is type(k)
    assert fitted == replace(fitted)
    with pytest.raises(ValueError, match=r"call kernel.fitted\(x, y\)"):
        k.widths(3)
    with pytest.raises(ValueError, match=r"call kernel.fitted\(x, y\)"):
        k.value(torch.ones(1, 1), 3)


@each_mixture
def test_each_element_of_a_batch_has_a_median_of_its_own(kernel: Mixture) -> None:
    x_TND, y_TMD = draw(0, 2, 4, 3), draw(1, 2, 5, 3)
    x_TND[1] *= 10
    k = kernel(relative_to="median")
    looped = [k(x, y) for x, y in zip(x_TND, y_TMD, strict=True)]
    torch.testing.assert_close(k(x_TND, y_TMD), torch.stack(looped))
    assert not k.fitted(x_TND, y_TMD).has_constant_width
    assert k.fitted(x_TND[:1], y_TMD[:1]).has_constant_width


@each_mixture
def test_the_median_takes_no_gradient(kernel: Mixture) -> None:
    x_ND, y_MD = draw(0, 4, 3).requires_grad_(), draw(1, 5, 3)
    k = kernel(relative_to="median")
    fitted = k.fitted(x_ND.detach(), y_MD)
    gradients = [torch.autograd.grad(f(x_ND, y_MD).sum(), x_ND)[0] for f in (k, fitted)]
    torch.testing.assert_close(*gradients)


# -- classes derived from a known kernel ---------------------------------------------------------


def test_a_profile_is_inherited_only_with_its_formula() -> None:
    class Named(Imq):
        """Another name alone."""

    class Narrower(Imq):
        """Another formula."""

        def height(self, z_NM: Tensor, /) -> Tensor:
            return super().height(z_NM).square()

    class Known(Imq):
        """Another formula that some backend knows."""

        profile: ClassVar[str] = "known"

        def value(self, d2_NM: Tensor, width: int, /) -> Tensor:
            return d2_NM

    assert (Imq.profile, Rbf.profile) == ("imq", "rbf")
    assert (Named.profile, Narrower.profile, Known.profile) == ("imq", "", "known")
