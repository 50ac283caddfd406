"""Energy, linear and polynomial kernels, sums and products, ladders and medians of bandwidths.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import math
import statistics
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from genzoo_rwae_kernels import (
    Energy,
    Imq,
    Laplacian,
    Linear,
    Matern,
    Polynomial,
    Product,
    Radial,
    RadialProduct,
    RadialSum,
    RationalQuadratic,
    Rbf,
    Sum,
    kernel_product,
    kernel_sum,
    median_squared_distance,
    scale_ladder,
)
from genzoo_rwae_kernels.oracle import (
    energy_pair,
    imq_pair,
    laplacian_pair,
    linear_pair,
    mmd2_by_loops,
    polynomial_pair,
    rbf_pair,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

FEW = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
ROWS = st.integers(1, 7)
WIDTHS = st.integers(1, 9)

Kernel = Callable[[Tensor, Tensor], Tensor]
Pair = Callable[..., float]

ONE = {"scales": [1.0]}


def cosine(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x_ND, dim=-1) @ (
        torch.nn.functional.normalize(y_MD, dim=-1).mT
    )


def cosine_pair(a: list[float], b: list[float]) -> float:
    return linear_pair(a, b) / math.sqrt(linear_pair(a, a) * linear_pair(b, b))


def rbf_and_energy_pair(a: list[float], b: list[float]) -> float:
    return 0.5 * rbf_pair(a, b, scales=[1.0]) + 2 * energy_pair(a, b)


def sum_pair(a: list[float], b: list[float]) -> float:
    return imq_pair(a, b, scales=[0.5, 2.0]) + 3 * polynomial_pair(a, b) + cosine_pair(a, b)


def radial_product_pair(a: list[float], b: list[float]) -> float:
    return (
        imq_pair(a, b, scales=[0.5, 2.0])
        * laplacian_pair(a, b, scales=[1.0])
        * rbf_pair(a, b, scales=[1.0])
    )


def product_pair(a: list[float], b: list[float]) -> float:
    return rbf_pair(a, b, scales=[1.0]) * polynomial_pair(a, b, degree=2) * cosine_pair(a, b)


KERNELS: dict[str, tuple[Kernel, Pair]] = {
    "energy": (Energy(), energy_pair),
    "energy 1/2": (Energy(beta=0.5), partial(energy_pair, beta=0.5)),
    "energy 3/2": (Energy(beta=1.5), partial(energy_pair, beta=1.5)),
    "linear": (Linear(), linear_pair),
    "kid": (Polynomial(), lambda a, b: (linear_pair(a, b) / len(a) + 1) ** 3),
    "polynomial": (
        Polynomial(degree=2, offset=0.0, scale=0.3),
        partial(polynomial_pair, degree=2, offset=0.0, scale=0.3),
    ),
    "radial sum": (kernel_sum(Rbf(**ONE), Energy(), weights=[0.5, 2.0]), rbf_and_energy_pair),
    "sum": (
        Sum(of=[Imq(scales=[0.5, 2.0]), Polynomial(), cosine], weights=[1.0, 3.0, 1.0]),
        sum_pair,
    ),
    "radial product": (
        kernel_product(Imq(scales=[0.5, 2.0]), Laplacian(**ONE), Rbf(**ONE)),
        radial_product_pair,
    ),
    "product": (Product(of=[Rbf(**ONE), Polynomial(degree=2), cosine]), product_pair),
}
each_kernel = pytest.mark.parametrize(
    "kernel", [kernel for kernel, _ in KERNELS.values()], ids=list(KERNELS)
)
each_kernel_and_pair = pytest.mark.parametrize(
    ("kernel", "pair"), list(KERNELS.values()), ids=list(KERNELS)
)
each_radial = pytest.mark.parametrize(
    "kernel",
    [kernel for kernel, _ in KERNELS.values() if isinstance(kernel, Radial)],
    ids=[name for name, (kernel, _) in KERNELS.items() if isinstance(kernel, Radial)],
)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_pairs(pair: Pair, x_ND: Tensor, y_MD: Tensor) -> Tensor:
    rows = [[pair(a, b) for b in y_MD.tolist()] for a in x_ND.tolist()]
    return torch.tensor(rows, dtype=torch.float64)


# -- what holds of all ---------------------------------------------------------------------------


@each_kernel_and_pair
@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS, single=st.booleans())
@FEW
def test_equals_the_pair_by_pair_oracle(
    kernel: Kernel, pair: Pair, seed: int, n: int, m: int, d: int, single: bool
) -> None:
    dtype = torch.float32 if single else torch.float64
    x_ND, y_MD = draw(seed, n, d, dtype=dtype), draw(seed + 1, m, d, dtype=dtype)
    k_NM = kernel(x_ND, y_MD)
    assert k_NM.dtype == dtype
    wanted_NM = by_pairs(pair, x_ND, y_MD)
    tolerance = (3e-6 if single else 1e-12) * max(1.0, float(wanted_NM.abs().max()))
    torch.testing.assert_close(k_NM.double(), wanted_NM, rtol=0, atol=tolerance)


@each_kernel
@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS)
@FEW
def test_symmetric_and_positive_definite_at_least_conditionally(
    kernel: Kernel, seed: int, n: int, m: int, d: int
) -> None:
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d)
    torch.testing.assert_close(kernel(x_ND, y_MD), kernel(y_MD, x_ND).mT)
    z_ND = torch.cat([x_ND, y_MD, x_ND])
    k_NN = kernel(z_ND, z_ND)
    if not getattr(kernel, "is_positive_definite", True):
        centring_NN = torch.eye(len(z_ND)).double() - 1 / len(z_ND)
        k_NN = centring_NN @ k_NN @ centring_NN
    assert float(torch.linalg.eigvalsh(k_NN).min()) > -1e-9 * max(1.0, float(k_NN.abs().max()))


def test_which_kernels_are_positive_definite() -> None:
    indefinite = {
        name
        for name, (kernel, _) in KERNELS.items()
        if not getattr(kernel, "is_positive_definite", True)
    }
    assert indefinite == {"energy", "energy 1/2", "energy 3/2", "radial sum"}
    z_ND = draw(0, 5, 3)
    for name in indefinite:
        k_NN = KERNELS[name][0](z_ND, z_ND)
        assert float(torch.linalg.eigvalsh(k_NN).min()) < -0.1
    assert not Sum(of=[Linear(), Energy()]).is_positive_definite
    assert Sum(of=[Linear(), cosine]).is_positive_definite
    assert kernel_product(Rbf(), Imq()).is_positive_definite


@each_kernel
@pytest.mark.parametrize("same", [False, True], ids=["two tensors", "one tensor"])
def test_first_and_second_derivatives(kernel: Kernel, same: bool) -> None:
    x_ND = draw(0, 4, 3).requires_grad_()
    y_MD = draw(1, 3, 3).requires_grad_()
    inputs = (x_ND,) if same else (x_ND, y_MD)
    apart = 1.0 - torch.eye(4).double() if same else 1.0  # a root has no derivative at 0

    def values(*samples: Tensor) -> Tensor:
        return apart * kernel(samples[0], samples[-1])

    assert torch.autograd.gradcheck(values, inputs)
    assert torch.autograd.gradgradcheck(values, inputs)


@each_kernel
def test_gradients_of_coinciding_rows_are_finite(kernel: Kernel) -> None:
    x_ND = draw(0, 3, 4, dtype=torch.float32).requires_grad_()
    y_MD = x_ND.detach().clone().requires_grad_()
    for other in (x_ND, y_MD):
        total = kernel(x_ND, other).square().sum()
        (gradient_ND,) = torch.autograd.grad(total, x_ND, create_graph=True)
        assert bool(gradient_ND.isfinite().all())
        (second_ND,) = torch.autograd.grad(gradient_ND.square().sum(), x_ND)
        assert bool(second_ND.isfinite().all())


@each_radial
def test_coinciding_rows_pull_at_nothing(kernel: Radial) -> None:
    x_ND = (100 * draw(0, 3, 4)).requires_grad_()
    y_MD = x_ND.detach().clone().requires_grad_()
    k_NM = kernel(x_ND, y_MD)
    assert torch.equal(k_NM.diagonal(), torch.full((3,), kernel.at_zero(4)).double())
    for gradient_ND in torch.autograd.grad(k_NM.diagonal().sum(), (x_ND, y_MD)):
        assert torch.equal(gradient_ND, torch.zeros_like(gradient_ND))


@each_kernel
def test_a_batch_equals_the_loop(kernel: Kernel) -> None:
    x_TND, y_TMD = draw(0, 3, 4, 2), draw(1, 3, 5, 2)
    looped = [kernel(x, y) for x, y in zip(x_TND, y_TMD, strict=True)]
    torch.testing.assert_close(kernel(x_TND, y_TMD), torch.stack(looped))


@each_kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(kernel: Kernel, dtype: torch.dtype) -> None:
    x_ND, y_MD = draw(0, 20, 16).to(dtype), draw(1, 20, 16).to(dtype)
    k_NM = kernel(x_ND, y_MD)
    assert k_NM.dtype == dtype
    assert torch.equal(k_NM, kernel(x_ND.float(), y_MD.float()).to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside_NM = kernel(x_ND.float(), y_MD.float())
    assert torch.equal(inside_NM, kernel(x_ND.float(), y_MD.float()))


@each_kernel
def test_samples_that_are_not_contiguous_give_the_same(kernel: Kernel) -> None:
    x_ND, y_MD = draw(0, 6, 8)[::2, ::2], draw(1, 4, 5).mT
    wanted_NM = kernel(x_ND.contiguous(), y_MD.contiguous())
    torch.testing.assert_close(kernel(x_ND, y_MD), wanted_NM)


@each_kernel
def test_refuses_samples_under_its_own_name(kernel: Kernel) -> None:
    name = type(kernel).__name__
    integers = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(TypeError, match=f"{name}: x has dtype torch.int64"):
        kernel(integers, integers)
    with pytest.raises(ValueError, match=f"{name}: x has width 3 and y has width 2"):
        kernel(torch.zeros(2, 3), torch.zeros(2, 2))


@each_radial
@given(seed=SEEDS, d=WIDTHS)
@FEW
def test_the_slope_is_the_derivative_of_the_value(kernel: Radial, seed: int, d: int) -> None:
    d2_NM = draw(seed, 4, 5).exp().requires_grad_()
    k_NM = kernel.value(d2_NM, d)
    (wanted_NM,) = torch.autograd.grad(k_NM.sum(), d2_NM)
    before_NM = d2_NM.detach().clone()
    got_NM, slope_NM = kernel.value_and_slope(d2_NM, d)
    assert torch.equal(d2_NM, before_NM)
    assert not got_NM.requires_grad
    assert not slope_NM.requires_grad
    torch.testing.assert_close(got_NM, k_NM.detach())
    torch.testing.assert_close(slope_NM, wanted_NM)


@each_radial
def test_the_slope_at_zero_is_finite(kernel: Radial) -> None:
    value_NM, slope_NM = kernel.value_and_slope(torch.zeros(2, 2), 3)
    assert torch.equal(value_NM, torch.full((2, 2), kernel.at_zero(3)))
    assert bool(slope_NM.isfinite().all())


# -- energy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5])
def test_twice_its_mmd2_is_the_energy_distance(beta: float) -> None:
    x, y = draw(0, 5, 3).tolist(), (1 + draw(1, 7, 3)).tolist()

    def mean(a: list[list[float]], b: list[list[float]]) -> float:
        return statistics.fmean(math.dist(p, q) ** beta for p in a for q in b)

    energy_distance = 2 * mean(x, y) - mean(x, x) - mean(y, y)
    x_ND, y_MD = torch.tensor(x).double(), torch.tensor(y).double()
    kernel = Energy(beta=beta)
    mmd2 = kernel(x_ND, x_ND).mean() + kernel(y_MD, y_MD).mean() - 2 * kernel(x_ND, y_MD).mean()
    assert 2 * float(mmd2) == pytest.approx(energy_distance)


@given(seed=SEEDS, base=st.floats(-10, 10))
@FEW
def test_the_base_point_of_a_distance_induced_kernel_does_not_matter(
    seed: int, base: float
) -> None:
    x, y = draw(seed, 4, 2).tolist(), draw(seed + 1, 5, 2).tolist()
    origin = [base, -base]

    def based(a: list[float], b: list[float]) -> float:
        return (math.dist(a, origin) + math.dist(b, origin) - math.dist(a, b)) / 2

    for estimator in ("biased", "unbiased"):
        plain = mmd2_by_loops(x, y, energy_pair, estimator)
        assert plain == pytest.approx(mmd2_by_loops(x, y, based, estimator), abs=1e-12)


@given(seed=SEEDS, factor=st.floats(0.01, 100.0), beta=st.floats(0.2, 1.8))
@FEW
def test_energy_is_homogeneous(seed: int, factor: float, beta: float) -> None:
    x_ND, y_MD = draw(seed, 4, 3), draw(seed + 1, 5, 3)
    kernel = Energy(beta=beta)
    torch.testing.assert_close(
        kernel(factor * x_ND, factor * y_MD), factor**beta * kernel(x_ND, y_MD)
    )


@pytest.mark.parametrize("beta", [0.0, 2.0, -1.0, math.nan, math.inf])
def test_energy_refuses_exponents(beta: float) -> None:
    with pytest.raises(ValueError, match=f"Energy: beta is {beta}; wanted a number between 0"):
        Energy(beta=beta)


# -- inner products ------------------------------------------------------------------------------


def test_the_mmd2_of_the_linear_kernel_is_the_distance_of_the_means() -> None:
    x_ND, y_MD = draw(0, 5, 3), 1 + draw(1, 7, 3)
    k = Linear()
    mmd2 = k(x_ND, x_ND).mean() + k(y_MD, y_MD).mean() - 2 * k(x_ND, y_MD).mean()
    torch.testing.assert_close(mmd2, (x_ND.mean(0) - y_MD.mean(0)).square().sum())


def test_the_linear_kernel_is_the_polynomial_of_degree_1() -> None:
    x_ND, y_MD = draw(0, 5, 3), draw(1, 7, 3)
    polynomial = Polynomial(degree=1, offset=0.0, scale=1.0)
    torch.testing.assert_close(polynomial(x_ND, y_MD), Linear()(x_ND, y_MD))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 0}, "degree is 0; wanted a whole number"),
        ({"degree": 1.5}, "degree is 1.5; wanted a whole number"),
        ({"offset": -1.0}, "offset is -1.0; wanted a finite number >= 0"),
        ({"offset": math.inf}, "offset is inf"),
        ({"scale": 0.0}, "scale is 0.0; wanted a positive"),
        ({"scale": math.nan}, "scale is nan"),
    ],
)
def test_polynomial_refuses_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"Polynomial: {message}"):
        Polynomial(**options)


# -- sums and products ---------------------------------------------------------------------------


def test_sums_and_products_by_hand() -> None:
    x_ND, y_MD = draw(0, 4, 3), draw(1, 5, 3)
    a, b = Imq()(x_ND, y_MD), Matern(nu=2.5)(x_ND, y_MD)
    members = (Imq(), Matern(nu=2.5))
    for make in (lambda *k, **w: Sum(of=k, **w), kernel_sum):
        torch.testing.assert_close(make(*members)(x_ND, y_MD), a + b)
        weighted = make(*members, weights=[0.0, 2.0])
        torch.testing.assert_close(weighted(x_ND, y_MD), 2 * b)
    for make in (lambda *k: Product(of=k), kernel_product):
        torch.testing.assert_close(make(*members)(x_ND, y_MD), a * b)
        torch.testing.assert_close(make(members[0])(x_ND, y_MD), a)


def test_a_mixture_is_the_sum_of_kernels_of_one_scale() -> None:
    x_ND, y_MD = draw(0, 4, 3), draw(1, 5, 3)
    parts = kernel_sum(*(RationalQuadratic(scales=[s]) for s in (0.5, 1.0, 2.0)))
    torch.testing.assert_close(
        parts(x_ND, y_MD), RationalQuadratic(scales=[0.5, 1.0, 2.0])(x_ND, y_MD)
    )


def test_sums_and_products_of_radial_kernels_are_radial() -> None:
    assert isinstance(kernel_sum(Imq(), Energy()), RadialSum)
    assert isinstance(kernel_product(Imq(), Rbf()), RadialProduct)
    nested = kernel_sum(kernel_product(Imq(), Rbf()), Laplacian())
    assert isinstance(nested, Radial)
    assert nested.profile == ""
    assert nested.at_zero(3) == 7 * 7 + 7
    assert kernel_sum(Imq(), Rbf(), weights=[0.5, 2.0]).at_zero(3) == 7 * 2.5
    for kernel in (kernel_sum(Imq(), Linear()), kernel_product(Imq(), Linear())):
        assert not isinstance(kernel, Radial)
    with pytest.raises(TypeError, match=r"RadialSum: Linear\(\) is not radial.*use kernel_sum"):
        RadialSum(of=[Linear()])
    with pytest.raises(TypeError, match=r"RadialProduct: .*use kernel_product"):
        RadialProduct(of=[Linear()])


def test_kinks_and_widths_of_members_are_those_of_the_whole() -> None:
    learnt = Rbf(sigma=torch.tensor(1.0, requires_grad=True))
    for combine in (kernel_sum, kernel_product):
        assert not combine(Imq(), Rbf()).has_kink
        assert combine(Imq(), Laplacian()).has_kink
        assert combine(Imq(), Rbf()).has_constant_width
        assert not combine(Imq(), learnt).has_constant_width
        assert not combine(Imq(), Rbf(relative_to="median")).has_constant_width


@pytest.mark.parametrize("plain", [Sum, Product])
def test_fitting_makes_radial_what_can_be(plain: Callable[..., Kernel]) -> None:
    x_ND, y_MD = draw(0, 4, 3), draw(1, 5, 3)
    unfitted = Rbf(scales=[1.0], relative_to="median")
    for members, radial in (((Imq(), unfitted), True), ((cosine, unfitted), False)):
        kernel = plain(of=members)
        fitted = kernel.fitted(x_ND, y_MD)
        assert isinstance(fitted, Radial) is radial
        torch.testing.assert_close(fitted(x_ND, y_MD), kernel(x_ND, y_MD))
        assert not torch.allclose(fitted(x_ND, x_ND), kernel(x_ND, x_ND))
        median = median_squared_distance(x_ND, y_MD)
        torch.testing.assert_close(
            (fitted(x_ND, x_ND) - plain(of=[members[0]])(x_ND, x_ND))
            if plain is Sum
            else fitted(x_ND, x_ND) / members[0](x_ND, x_ND),
            (-torch.cdist(x_ND, x_ND).square() / median).exp(),
        )


@pytest.mark.parametrize("combine", [kernel_sum, kernel_product])
def test_radial_combinations_are_fitted_together(combine: Callable[..., Radial]) -> None:
    x_ND, y_MD = draw(0, 4, 3), 2 + draw(1, 5, 3)
    kernel = combine(Imq(), Rbf(relative_to="median"))
    fitted = kernel.fitted(x_ND, y_MD)
    assert fitted.has_constant_width
    assert fitted.fitted(x_ND, y_MD) is fitted
    by_hand = combine(Imq(), Rbf(relative_to="median").fitted(x_ND, y_MD))
    torch.testing.assert_close(fitted(x_ND, x_ND), by_hand(x_ND, x_ND))
    torch.testing.assert_close(kernel(x_ND, y_MD), by_hand(x_ND, y_MD))


def test_weights_of_rows_reach_the_members() -> None:
    x_ND, y_MD = draw(0, 4, 3), draw(1, 5, 3)
    x_ND[0] = 1e3
    weights_N = torch.tensor([0.0, 1.0, 1.0, 1.0])
    median = Rbf(relative_to="median")
    alone = median.fitted(x_ND[1:], y_MD)
    for combine in (kernel_sum, kernel_product):
        for members in ((Imq(), median), (cosine, median)):
            kernel = combine(*members)
            got = kernel.fitted(x_ND, y_MD, weights_N, None)
            wanted = combine(members[0], alone)
            torch.testing.assert_close(got(x_ND, y_MD), wanted(x_ND, y_MD))


def test_the_product_of_conditional_kernels_is_refused() -> None:
    for kernel in (Energy(), kernel_sum(Rbf(), Energy()), Sum(of=[Linear(), Energy()])):
        with pytest.raises(ValueError, match="only conditionally positive definite"):
            kernel_product(Rbf(), kernel)
        with pytest.raises(ValueError, match="only conditionally positive definite"):
            Product(of=[Linear(), kernel])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sum(of=[]), "Sum: no kernels given"),
        (kernel_sum, "Sum: no kernels given"),
        (kernel_product, "Product: no kernels given"),
        (lambda: kernel_sum(Imq(), weights=[1.0, 2.0]), "2 weights for 1 kernels"),
        (lambda: kernel_sum(Imq(), weights=[]), "0 weights for 1 kernels"),
        (lambda: kernel_sum(Imq(), weights=[-1.0]), r"weights are \[-1.0\]"),
        (lambda: kernel_sum(Imq(), Rbf(), weights=[0.0, 0.0]), r"weights are \[0.0, 0.0\]"),
        (lambda: kernel_sum(Imq(), weights=[math.inf]), r"weights are \[inf\]"),
    ],
)
def test_combinations_refuse(build: Callable[[], Kernel], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_only_callables_are_combined() -> None:
    with pytest.raises(TypeError, match="Sum: found 'rbf' among the kernels"):
        Sum(of=["rbf"])


def test_a_member_of_another_shape_is_named() -> None:
    def row_means(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        return x_ND.mean(-1, keepdim=True)

    for kernel in (Sum(of=[Imq(), row_means]), Product(of=[Imq(), row_means])):
        with pytest.raises(ValueError, match=r"kernel 1 of 2 returned shape \[4, 1\].*\[4, 5\]"):
            kernel(draw(0, 4, 3), draw(1, 5, 3))


def test_kernels_of_equal_options_are_equal_and_hash_alike() -> None:
    for build in (Sum, Product, RadialSum, RadialProduct):
        one, other = build(of=[Imq(scales=[1.0])]), build(of=(Imq(scales=(1.0,)),))
        assert one == other
        assert len({one, other, build(of=[Imq()])}) == 2
    assert len({Energy(), Energy(beta=1.0), Linear(), Linear(), Polynomial()}) == 3


# -- ladders and medians -------------------------------------------------------------------------


@given(count=st.integers(1, 9), ratio=st.floats(1.1, 10.0), middle=st.floats(0.01, 100.0))
@FEW
def test_a_ladder_has_equal_steps_around_its_middle(
    count: int, ratio: float, middle: float
) -> None:
    scales = scale_ladder(count, ratio=ratio, middle=middle)
    assert len(scales) == count
    assert statistics.geometric_mean(scales) == pytest.approx(middle)
    for lower, upper in pairwise(scales):
        assert upper / lower == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: scale_ladder(0), "count is 0; wanted 1 or more"),
        (lambda: scale_ladder(3, ratio=1.0), "ratio is 1.0"),
        (lambda: scale_ladder(3, ratio=math.inf), "ratio is inf"),
        (lambda: scale_ladder(3, middle=0.0), "middle is 0.0"),
    ],
)
def test_ladders_refuse(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def median_by_loops(rows: list[list[float]]) -> float:
    pairs = [(a, b) for i, a in enumerate(rows) for b in rows[:i]]
    return statistics.median_low(math.dist(a, b) ** 2 for a, b in pairs)


@given(seed=SEEDS, n=ROWS, m=ROWS, d=WIDTHS)
@FEW
def test_the_median_is_that_of_all_pairs_of_both_samples(seed: int, n: int, m: int, d: int) -> None:
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d)
    got = median_squared_distance(x_ND, y_MD)
    assert float(got) == pytest.approx(median_by_loops([*x_ND.tolist(), *y_MD.tolist()]))
    torch.testing.assert_close(median_squared_distance(y_MD, x_ND), got)


def test_a_sample_beside_itself_counts_once() -> None:
    x_ND = draw(0, 8, 3)
    got = median_squared_distance(x_ND, x_ND)
    assert float(got) == pytest.approx(median_by_loops(x_ND.tolist()))


@given(seed=SEEDS, kept=st.lists(st.booleans(), min_size=6, max_size=6))
@FEW
def test_rows_of_weight_zero_are_absent_from_the_median(seed: int, kept: list[bool]) -> None:
    kept_N = torch.tensor(kept)
    kept_N[0] = True
    x_ND, y_MD = draw(seed, 6, 3), draw(seed + 1, 4, 3)
    x_ND[~kept_N] = math.nan
    counted_M = torch.tensor([True, False, True, True])
    got = median_squared_distance(
        x_ND, y_MD, x_weights_N=0.3 * kept_N.float(), y_weights_M=counted_M.float()
    )
    torch.testing.assert_close(got, median_squared_distance(x_ND[kept_N], y_MD[counted_M]))


def test_a_batch_has_a_median_for_each_of_its_elements() -> None:
    x_TND, y_TMD = draw(0, 3, 4, 2), draw(1, 3, 5, 2)
    x_TND[1] *= 10
    weights_TN = torch.ones(3, 4)
    weights_TN[2, :2] = 0
    looped = [
        median_squared_distance(x[w > 0], y)
        for x, y, w in zip(x_TND, y_TMD, weights_TN, strict=True)
    ]
    got_T = median_squared_distance(x_TND, y_TMD, x_weights_N=weights_TN)
    torch.testing.assert_close(got_T, torch.stack(looped))


def test_the_median_of_many_rows_is_that_of_rows_at_equal_intervals() -> None:
    x_ND, y_MD = draw(0, 2500, 2), 3 + draw(1, 572, 2)  # 3 * 1024 rows in all
    got = median_squared_distance(x_ND, y_MD)
    third = torch.cat([x_ND, y_MD])[::3]
    torch.testing.assert_close(got, median_squared_distance(third[:1], third[1:]))
    assert torch.equal(got, median_squared_distance(x_ND, y_MD))


def test_the_median_has_no_gradient_and_keeps_the_dtype() -> None:
    x_ND = draw(0, 5, 3, dtype=torch.float32).requires_grad_()
    got = median_squared_distance(x_ND, x_ND.detach() + 1)
    assert not got.requires_grad
    assert got.dtype == torch.float32


@pytest.mark.parametrize(
    ("x_ND", "message"),
    [
        (torch.ones(6, 2), "15 pairs of rows have the median 0; wanted a positive"),
        (torch.full((6, 2), math.nan), "15 pairs of rows have the median nan"),
        (torch.zeros(1, 2), "one row beside itself; wanted at least two"),
    ],
)
def test_a_sample_without_a_median_is_refused(x_ND: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"median_squared_distance: {message}"):
        median_squared_distance(x_ND, x_ND)


def test_a_median_that_is_rounding_alone_is_refused() -> None:
    for seed in range(20):
        most_ND, one_1D = draw(seed, 1, 3).expand(5, 3), draw(seed + 100, 1, 3)
        with pytest.raises(ValueError, match="15 pairs of rows have the median"):
            median_squared_distance(most_ND, one_1D)


def test_the_median_of_samples_that_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="median_squared_distance: x has width 3"):
        median_squared_distance(torch.zeros(2, 3), torch.zeros(2, 2))
