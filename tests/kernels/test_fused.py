"""Backend `fused`: sums and derivatives against float64, threads, refusals, building and keeping.

Shapes: B batch, N rows of x, M rows of y, D width of a row.
"""

import ctypes
import platform
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from genzoo_rwae_kernels import (
    Energy,
    Imq,
    Laplacian,
    Matern,
    Radial,
    RationalQuadratic,
    Rbf,
    fused,
)
from genzoo_rwae_kernels.fused import build, library
from genzoo_rwae_kernels.fused.library import PAIR_SUMS
from genzoo_rwae_kernels.fused.profiles import profile_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

CPU = torch.device("cpu")
FEW = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.integers(1, 70)
OF_GRADIENTS = 3e-6  # of the pulls; the project asks for 5e-6 of their sum


def _no_compiler() -> str:
    try:
        build.compiler()
    except build.BuildError as reason:
        return str(reason)
    return ""


# Of a missing compiler alone: a failed self-test must fail here, not skip.
pytestmark = pytest.mark.skipif(bool(_no_compiler()), reason=f"fused: {_no_compiler()}")

KERNELS: dict[str, Radial] = {
    "imq": Imq(),
    "imq of one scale": Imq(scales=[0.7], sigma=2.0),
    "rbf ladder": Rbf(scales=[0.125, 0.25, 0.5, 1.0, 2.0, 4.0]),
    "rbf": Rbf(scales=[1.0, 0.3, 2.0, 0.5]),
    "rational quadratic": RationalQuadratic(),
    "steep rational quadratic": RationalQuadratic(alpha=300.0),
    "laplacian": Laplacian(),
    "matern 1/2": Matern(nu=0.5),
    "matern 3/2": Matern(nu=1.5),
    "matern 5/2": Matern(nu=2.5),
    "energy": Energy(),
    "energy 0.6": Energy(beta=0.6),
}
all_kernels = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
two_kernels = pytest.mark.parametrize("kernel", [Imq(), Rbf()], ids=["imq", "rbf"])


def formula(kernel: Radial, d2: Tensor, width: int) -> Tensor:
    """The kernel of squared distances, float64."""
    apart = d2 > 0
    r = torch.where(apart, torch.where(apart, d2, 1.0).sqrt(), 0.0)
    match kernel:
        case Imq():
            return sum(c / (c + d2) for c in kernel.widths(width))
        case Rbf():
            return sum((-d2 / c).exp() for c in kernel.widths(width))
        case RationalQuadratic(alpha=a):
            return sum((-a * (d2 / (a * c)).log1p()).exp() for c in kernel.widths(width))
        case Energy(beta=beta):
            return -0.5 * torch.where(apart, torch.where(apart, r, 1.0) ** beta, 0.0)
        case Laplacian() | Matern(nu=0.5):
            return sum((-r / c**0.5).exp() for c in kernel.widths(width))
        case Matern(nu=1.5):
            z = [(3.0 / c) ** 0.5 * r for c in kernel.widths(width)]
            return sum((1 + u) * (-u).exp() for u in z)
        case Matern(nu=2.5):
            z = [(5.0 / c) ** 0.5 * r for c in kernel.widths(width)]
            return sum((1 + u + u * u / 3) * (-u).exp() for u in z)
    raise AssertionError(kernel)


class Oracle:
    """Sums in float64 of the same rows, and the size of what is summed, which rounding follows."""

    def __init__(
        self, x: Tensor, y: Tensor, a: Tensor, b: Tensor, kernel: Radial, skip: bool
    ) -> None:
        x, y = x.double(), y.double()
        a, b = a.double(), b.double()
        differences = x[:, :, None] - y[:, None]
        d2 = differences.square().sum(-1).requires_grad_()
        counted = torch.ones(d2.shape[1:], dtype=torch.float64)
        if skip:
            counted -= torch.eye(*d2.shape[1:], dtype=torch.float64)
        k = formula(kernel, d2, x.shape[-1]) * counted
        (slope,) = torch.autograd.grad(k.sum(), d2)
        k = k.detach()
        pull = 2.0 * a[:, :, None] * b[:, None] * slope
        self.value = (a[:, :, None] * b[:, None] * k).sum((1, 2))
        self.value_size = (a[:, :, None] * b[:, None] * k).abs().sum((1, 2))
        self.x_gradient = (pull[..., None] * differences).sum(2)
        self.y_gradient = -(pull[..., None] * differences).sum(1)
        self.gradient_size = (pull[..., None] * differences).abs().sum(2).norm()
        self.x_potential, self.y_potential = (k @ b[..., None])[..., 0], (a[:, None] @ k)[:, 0]
        self.potential_size = (k.abs() @ b.abs()[..., None]).norm() + (a.abs()[:, None] @ k).norm()


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights(seed: int, *shape: int) -> Tensor:
    """Weights >= 0 of which about a third are 0."""
    return draw(seed, *shape).clamp(min=-0.4).add(0.4)


def assert_near(found: Tensor, wanted: Tensor, size: Tensor, relative: float = 1e-6) -> None:
    assert found.shape == wanted.shape
    assert float((found - wanted).norm()) <= relative * float(size.norm()) + 1e-30


def assert_across(x: Tensor, y: Tensor, a: Tensor, b: Tensor, kernel: Radial, skip: bool) -> None:
    value, x_gradient, y_gradient, x_potential, y_potential = fused.across(
        x, y, a, b, kernel, skip_diagonal=skip
    )
    wanted = Oracle(x, y, a, b, kernel, skip)
    assert value.dtype == torch.float64
    assert x_gradient.dtype == torch.float32
    assert_near(value, wanted.value, wanted.value_size)
    assert_near(x_gradient, wanted.x_gradient, wanted.gradient_size, OF_GRADIENTS)
    assert_near(y_gradient, wanted.y_gradient, wanted.gradient_size, OF_GRADIENTS)
    assert_near(x_potential, wanted.x_potential, wanted.potential_size)
    assert_near(y_potential, wanted.y_potential, wanted.potential_size)


def assert_within(x: Tensor, w: Tensor, kernel: Radial) -> None:
    value, gradient, potential = fused.within(x, w, kernel)
    wanted = Oracle(x, x, w, w, kernel, skip=True)
    assert_near(value, wanted.value, wanted.value_size)
    gradient_wanted = wanted.x_gradient + wanted.y_gradient
    assert_near(gradient, gradient_wanted, 2 * wanted.gradient_size, OF_GRADIENTS)
    assert_near(potential, wanted.x_potential, wanted.potential_size)


def test_works_wherever_there_is_a_compiler() -> None:
    assert fused.why_not() == ""
    assert fused.available()


@all_kernels
@given(seed=SEEDS, b=st.integers(1, 3), n=SIZES, m=SIZES, d=SIZES, skip=st.booleans())
@FEW
def test_equals_the_formula_in_float64(
    kernel: Radial, seed: int, b: int, n: int, m: int, d: int, skip: bool
) -> None:
    x, y = draw(seed, b, n, d), draw(seed + 1, b, m, d) + 0.3
    y[:, 0] = x[:, 0]  # rows that coincide
    of_x, of_y = weights(seed + 2, b, n), weights(seed + 3, b, m)
    assert_across(x, y, of_x, of_y, kernel, skip)
    assert_within(x, of_x, kernel)


@two_kernels
@pytest.mark.parametrize("d", [1, 2, 4])
def test_rows_that_nearly_coincide_pull_at_each_other(kernel: Radial, d: int) -> None:
    x = draw(0, 1, 20, d)
    y = x + 1e-4 * draw(1, 1, 20, d)  # |x|² + |y|² - 2 x.y would be 0 in float32
    ones = torch.ones(1, 20)
    assert_across(x, y, ones, ones, kernel, skip=False)


@two_kernels
@pytest.mark.parametrize(("n", "m"), [(129, 300), (1100, 40), (70, 1025), (385, 385)])
def test_several_tiles(kernel: Radial, n: int, m: int) -> None:
    x, y = draw(0, 2, n, 6), draw(1, 2, m, 6) + 0.3
    assert_across(x, y, weights(2, 2, n), weights(3, 2, m), kernel, skip=False)
    assert_across(x, y, weights(2, 2, n), weights(3, 2, m), kernel, skip=True)
    assert_within(x, weights(2, 2, n), kernel)


@all_kernels
@pytest.mark.parametrize("offset", [1e3, 1e4])
@pytest.mark.parametrize("apart", [0.0, 1e4])
def test_offsets_and_far_clusters(kernel: Radial, offset: float, apart: float) -> None:
    x, y = draw(0, 1, 60, 8) + offset, draw(1, 1, 50, 8) + offset
    x[:, ::2] += apart
    y[:, ::3] += apart
    of_x, of_y = weights(2, 1, 60), weights(3, 1, 50)
    assert_across(x, y, of_x, of_y, kernel, skip=False)
    assert_within(x, of_x, kernel)


def found_by(reach: float, kernel: Radial, *given: Tensor, **options: object) -> library.Sums:
    """Sums by products where rows lie within `reach`: 0 is by differences, 1e9 by products."""
    x, y, a, b = given
    coefficients = torch.tensor([[1.5, 0.5, -2.0]], dtype=torch.float64).expand(len(x), 3)
    profile = replace(profile_of(kernel, x.shape[-1]), reach=reach)
    return PAIR_SUMS.load()(profile, x, y, a, b, coefficients, **options)


@two_kernels
@pytest.mark.parametrize("reach", [0.0, 1e9], ids=["differences", "products"])
@pytest.mark.parametrize("shape", [(2, 37, 37, 5), (1, 300, 261, 40), (3, 20, 90, 17)])
@pytest.mark.parametrize("skip", [False, True])
def test_both_ways_are_the_formula_with_all_three_sums_at_once(
    kernel: Radial, reach: float, shape: tuple[int, ...], skip: bool
) -> None:
    b, n, m, d = shape
    x, y = draw(0, b, n, d), draw(1, b, m, d) + 0.3
    y[:, 0] = x[:, 0]
    of_x, of_y = weights(2, b, n), weights(3, b, m)
    found = found_by(reach, kernel, x, y, of_x, of_y, skip_diagonal=skip and n == m)
    xx, yy = Oracle(x, x, of_x, of_x, kernel, True), Oracle(y, y, of_y, of_y, kernel, True)
    xy = Oracle(x, y, of_x, of_y, kernel, skip and n == m)
    sums, sizes = (
        torch.stack([getattr(part, name) for part in (xx, yy, xy)], dim=-1)
        for name in ("value", "value_size")
    )
    assert_near(found.sums_B3, sums, sizes)
    torch.testing.assert_close(
        found.value_B, found.sums_B3 @ torch.tensor([1.5, 0.5, -2.0], dtype=torch.float64)
    )
    size = 3.0 * xx.gradient_size + yy.gradient_size + 2.0 * xy.gradient_size
    wanted = 1.5 * (xx.x_gradient + xx.y_gradient) - 2.0 * xy.x_gradient
    assert_near(found.x_gradient_BND, wanted, size, OF_GRADIENTS)
    wanted = 0.5 * (yy.x_gradient + yy.y_gradient) - 2.0 * xy.y_gradient
    assert_near(found.y_gradient_BMD, wanted, size, OF_GRADIENTS)
    size = xx.potential_size + yy.potential_size + xy.potential_size
    assert_near(found.a_gradient_BN, 3.0 * xx.x_potential - 2.0 * xy.x_potential, size)
    assert_near(found.b_gradient_BM, yy.x_potential - 2.0 * xy.y_potential, size)


@two_kernels
def test_products_leave_equal_rows_at_distance_0(kernel: Radial) -> None:
    row = draw(0, 1, 1, 61)
    x, y = row.expand(1, 20, 61), row.expand(1, 30, 61)
    found = found_by(1e9, kernel, x, y, None, None)
    height = kernel.at_zero(61)
    assert found.sums_B3.tolist() == [[height * 20 * 19, height * 30 * 29, height * 20 * 30]]
    assert not found.x_gradient_BND.any()
    assert not found.y_gradient_BMD.any()


@two_kernels
def test_far_clusters_are_met_by_differences_and_near_ones_by_products(kernel: Radial) -> None:
    x, y, none = draw(0, 2, 80, 16), draw(1, 2, 70, 16), (None, None)
    x[1, ::2] += 300.0  # in one element of the batch alone

    def same(one: library.Sums, other: library.Sums, b: int) -> bool:
        return torch.equal(one.x_gradient_BND[b], other.x_gradient_BND[b])

    chosen = found_by(profile_of(kernel, 16).reach, kernel, x, y, *none)
    by_products, by_differences = (found_by(r, kernel, x, y, *none) for r in (1e9, 0.0))
    assert same(chosen, by_products, 0)
    assert not same(chosen, by_differences, 0)
    assert same(chosen, by_differences, 1)
    assert not same(chosen, by_products, 1)
    # An offset of all rows is no distance.
    offset = found_by(profile_of(kernel, 16).reach, kernel, x + 64.0, y + 64.0, *none)
    assert float((offset.x_gradient_BND[0] - chosen.x_gradient_BND[0]).norm()) <= 1e-5 * float(
        chosen.x_gradient_BND[0].norm()
    )


@pytest.mark.parametrize("kind", [Imq, Rbf])
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_at_the_largest_reach_of_products_gradients_are_within_5e_6(
    kind: type[Imq] | type[Rbf], scale: float
) -> None:
    # Two clusters, the hardest case: rows far from the centre, most of the pull between near ones.
    kernel = kind(scales=[scale])
    reach = profile_of(kernel, 8).reach
    sides = torch.arange(200).remainder(2)[:, None] - 0.5
    x = 0.5 * draw(0, 1, 200, 8)
    gap, more = 0.0, 0.25

    def largest(gap: float) -> float:
        z = x + gap * sides
        return float((z - z.mean(dim=1, keepdim=True)).square().sum(-1).max())

    while largest(gap + more) < reach:
        gap += more
    assert gap > 0.0
    x, ones = x + gap * sides, torch.ones(1, 200)
    gradient = fused.within(x, ones, kernel)[1]
    oracle = Oracle(x, x, ones, ones, kernel, skip=True)
    wanted = oracle.x_gradient + oracle.y_gradient
    assert float((gradient - wanted).norm() / wanted.norm()) < 5e-6


def test_no_weights_are_weights_of_1_and_what_is_not_wanted_is_not_made() -> None:
    x, y = draw(0, 2, 40, 9), draw(1, 2, 50, 9)
    coefficients = torch.tensor([[1.0, 2.0, -3.0]]).expand(2, 3)
    weighted = fused.contrast(x, y, torch.ones(2, 40), torch.ones(2, 50), coefficients, Imq())
    plain = fused.contrast(x, y, None, None, coefficients, Imq())
    assert all(torch.equal(one, other) for one, other in zip(weighted, plain, strict=True))
    some = fused.contrast(
        *(x, y, None, None, coefficients, Imq()), wanted=(False, True, False, False)
    )
    assert [part is None for part in some] == [False, False, True, False, True, True]
    none = fused.contrast(
        *(x, y, None, None, coefficients, Imq()), wanted=(False, False, False, False)
    )
    assert torch.equal(none[0], plain[0])
    assert torch.equal(some[3], plain[3])


@two_kernels
def test_mmd_within_the_tolerances_of_the_project(kernel: Radial) -> None:
    n = 400
    x, y, w = draw(0, 1, n, 32), draw(1, 1, n, 32) + 0.2, torch.full((1, n), 1 / n)
    within_x, within_y = fused.within(x, w, kernel), fused.within(y, w, kernel)
    across = fused.across(x, y, w, w, kernel)
    o_xx, o_yy = Oracle(x, x, w, w, kernel, skip=True), Oracle(y, y, w, w, kernel, skip=True)
    o_xy = Oracle(x, y, w, w, kernel, skip=False)
    error = within_x[0] + within_y[0] - 2 * across[0] - (o_xx.value + o_yy.value - 2 * o_xy.value)
    assert error.abs().item() <= 1e-5 * kernel.at_zero(32)
    wanted = o_xx.x_gradient + o_xx.y_gradient - 2 * o_xy.x_gradient
    found = within_x[1].double() - 2 * across[1].double()
    assert float((found - wanted).norm() / wanted.norm()) <= 5e-6


@all_kernels
def test_stays_finite_where_rows_are_very_far_apart(kernel: Radial) -> None:
    x = draw(0, 1, 20, 3)
    x[:, 3], x[:, 5] = 1e15, -1e12
    for found in fused.within(x, torch.ones(1, 20), kernel):
        assert found.isfinite().all()


def test_nan_is_not_lost() -> None:
    x = draw(0, 1, 20, 3)
    x[:, 3, 1] = torch.nan
    for kernel in KERNELS.values():
        value, gradient, _ = fused.within(x, torch.ones(1, 20), kernel)
        assert value.isnan().all()
        assert gradient[:, 0, 1].isnan().all()


@two_kernels
def test_a_zero_weight_is_an_absent_row(kernel: Radial) -> None:
    x, w = draw(0, 1, 40, 5), torch.ones(1, 40)
    w[:, 7:20] = 0.0
    there = w[0] > 0
    value, gradient, potential = fused.within(x, w, kernel)
    fewer = fused.within(x[:, there], w[:, there], kernel)
    assert_near(value, fewer[0], fewer[0])
    assert_near(gradient[:, there], fewer[1], fewer[1])
    assert_near(potential[:, there], fewer[2], fewer[2])
    assert not gradient[:, ~there].any()
    assert (potential[:, ~there] > 0).all()
    assert not any(part.any() for part in fused.within(x, torch.zeros(1, 40), kernel))


@two_kernels
def test_tiny_and_mixed_weights(kernel: Radial) -> None:
    x, w = draw(0, 2, 30, 5), weights(1, 2, 30).double()
    w[0] *= 1e-30
    value, gradient, potential = fused.within(x, w, kernel)
    plain = fused.within(x, w * torch.tensor([[1e30], [1.0]]), kernel)
    scale = torch.tensor([1e-30, 1.0], dtype=torch.float64)
    torch.testing.assert_close(potential, plain[2] * scale[:, None], rtol=1e-6, atol=0.0)
    torch.testing.assert_close(value, plain[0] * scale**2, rtol=1e-6, atol=0.0)
    assert_within(x, weights(2, 2, 30) - 0.5, kernel)
    assert gradient.isfinite().all()


@two_kernels
def test_a_batch_is_the_loop(kernel: Radial) -> None:
    x, y, a, b = draw(0, 5, 33, 9), draw(1, 5, 20, 9), weights(2, 5, 33), weights(3, 5, 20)
    together = fused.across(x, y, a, b, kernel)
    for i in range(5):
        alone = fused.across(x[i : i + 1], y[i : i + 1], a[i : i + 1], b[i : i + 1], kernel)
        assert all(
            torch.equal(part[i : i + 1], one) for part, one in zip(together, alone, strict=True)
        )
    assert [len(part) for part in fused.within(x[:0], a[:0], kernel)] == [0, 0, 0]


@pytest.mark.parametrize(("b", "n", "m"), [(1, 900, 700), (40, 20, 33), (1, 1300, 5)])
def test_the_number_of_threads_changes_nothing(b: int, n: int, m: int) -> None:
    sweep, coefficients = PAIR_SUMS.load(), draw(4, b, 3).double()
    x, y, of_x, of_y = draw(0, b, n, 7), draw(1, b, m, 7), weights(2, b, n), weights(3, b, m)
    for reach in (0.0, 1e9):
        profile = replace(profile_of(Imq(), 7), reach=reach)
        arguments = (profile, x, y, of_x, of_y, coefficients)
        one = sweep(*arguments, threads=1)
        for threads in (2, 3, 8):
            for _ in range(3):
                several = sweep(*arguments, threads=threads)
                for name, part in one._asdict().items():
                    assert torch.equal(part, getattr(several, name)), name


def test_non_contiguous_rows_and_weights() -> None:
    x, y = draw(0, 9, 40, 2).permute(2, 1, 0), draw(1, 2, 60, 18)[:, ::2, ::2]
    a, b = torch.tensor([0.5]).expand(2, 40), weights(3, 60, 1).mT[:, ::2].expand(2, 30)
    before = [part.clone(memory_format=torch.contiguous_format) for part in (x, y, a, b)]
    given_so = fused.across(x, y, a, b, Imq())
    assert all(torch.equal(old, new) for old, new in zip(before, (x, y, a, b), strict=True))
    plain = fused.across(*before, Imq())
    assert all(torch.equal(one, other) for one, other in zip(given_so, plain, strict=True))
    of_graph = fused.within(x.clone().requires_grad_(), a, Imq())
    assert not any(part.requires_grad for part in of_graph)


def test_says_what_it_refuses() -> None:
    class Own(Imq):
        def height(self, z_NM: Tensor, /) -> Tensor:
            return z_NM

    float32 = torch.float32
    assert all(fused.refuses(kernel, float32, CPU) == "" for kernel in KERNELS.values())
    assert "float64" in fused.refuses(Imq(), torch.float64, CPU)
    assert "cuda" in fused.refuses(Imq(), float32, torch.device("cuda"))
    assert "knows" in fused.refuses(lambda x, y: x @ y.mT, float32, CPU)
    assert "knows" in fused.refuses(Own(), float32, CPU)
    assert "too far apart" in fused.refuses(Imq(scales=[1e-6, 1e6]), float32, CPU)
    learnt = Imq(sigma=torch.tensor(1.0, requires_grad=True))
    assert "tensor" in fused.refuses(learnt, float32, CPU)
    assert "tensor" in fused.refuses(Rbf(relative_to="median"), float32, CPU)


def test_input_that_does_not_fit_is_refused() -> None:
    x, w = draw(0, 2, 4, 3), torch.ones(2, 4)
    with pytest.raises(ValueError, match=r"fused.within: it computes in float32.*float64"):
        fused.within(x.double(), w, Imq())
    with pytest.raises(ValueError, match=r"rows of shape \[4, 3\]; wanted \[B, N, D\]"):
        fused.within(x[0], w[0], Imq())
    with pytest.raises(ValueError, match=r"rows of shape \[2, 0, 3\]"):
        fused.within(x[:, :0], w[:, :0], Imq())
    with pytest.raises(ValueError, match=r"weights of shape \[2, 3\].*wanted.*\[2, 4\]"):
        fused.within(x, w[:, :3], Imq())
    with pytest.raises(ValueError, match=r"x \[2, 4, 3\] and y \[2, 4, 2\]"):
        fused.across(x, x[..., :2], w, w, Imq())
    with pytest.raises(ValueError, match=r"contrast: x is torch.float32.*y torch.float64"):
        fused.contrast(x, x.double(), w, w, torch.ones(2, 3), Imq())
    other = library.Profile("other", (1.0,), 0.0, 1.0)
    with pytest.raises(ValueError, match="does not know the profile 'other'"):
        PAIR_SUMS.load()(other, x, x, w, w, torch.ones(2, 3))


# Building and keeping.

SMALL = 'extern "C" __attribute__((visibility("default"))) int answer() { return 42; }\n'


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A fresh start: nothing loaded, an empty folder, quick builds that do not optimise."""
    monkeypatch.setattr(PAIR_SUMS, "_found", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "FLAGS", tuple("-O0" if f == "-O3" else f for f in build.FLAGS))
    return monkeypatch


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.cpp"
    path.write_text(SMALL)
    return path


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "genzoo-rwae").iterdir())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")
@pytest.mark.parametrize(("choice", "needs"), [("-march=x86-64", ""), ("-march=x86-64-v3", "avx2")])
def test_other_vector_widths(choice: str, needs: str, unloaded: pytest.MonkeyPatch) -> None:
    if needs not in build._processor():
        pytest.skip(f"this processor has no {needs}")
    unloaded.setattr(build, "FLAGS", (*build.FLAGS, "-O1"))
    unloaded.setattr(build, "CHOICES", ((choice,),))
    assert fused.why_not() == ""
    for kernel in KERNELS.values():
        x, y = draw(0, 2, 37, 11), draw(1, 2, 140, 11)
        assert_across(x, y, weights(2, 2, 37), weights(3, 2, 140), kernel, skip=True)
        assert_within(y, weights(3, 2, 140), kernel)


def test_no_compiler_is_a_reason_and_no_exception(
    unloaded: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unloaded.setenv("PATH", str(tmp_path))
    unloaded.delenv("CXX", raising=False)
    assert "no C++ compiler on the PATH" in fused.why_not()
    assert not fused.available()
    assert fused.refuses(Imq(), torch.float32, CPU) == fused.why_not()
    with pytest.raises(ValueError, match=r"no C\+\+ compiler"):
        fused.within(draw(0, 1, 4, 3), torch.ones(1, 4), Imq())


def test_the_compiler_that_cxx_names_is_taken(unloaded: pytest.MonkeyPatch) -> None:
    (found, *_) = build.compiler()
    unloaded.setenv("CXX", f"{found} -g")
    assert build.compiler() == (found, "-g")
    unloaded.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in fused.why_not()


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENZOO_FUSED", "0")
    assert "GENZOO_FUSED" in fused.why_not()
    monkeypatch.setenv("GENZOO_FUSED", "1")
    assert fused.available()


def test_a_failed_compilation_says_what_the_compiler_said(
    unloaded: pytest.MonkeyPatch, small: Path, tmp_path: Path
) -> None:
    small.write_text("int broken = nothing;\n")
    unloaded.setattr(PAIR_SUMS, "source", small)
    assert "failed on small.cpp" in fused.why_not()
    assert "nothing" in fused.why_not()
    assert kept(tmp_path) == []


def test_a_bad_build_disables_itself(
    unloaded: pytest.MonkeyPatch, small: Path, tmp_path: Path
) -> None:
    text = PAIR_SUMS.source.read_text()
    small.write_text(text)
    for header in PAIR_SUMS.source.parent.glob("*.hpp"):
        shutil.copy(header, small.parent)
    inner = small.parent / "meeting.hpp"
    right, wrong = "opposite[r % 2] += g * row[r];", "opposite[r % 2] -= g * row[r];"
    assert right in inner.read_text()
    inner.write_text(inner.read_text().replace(right, wrong))
    unloaded.setattr(PAIR_SUMS, "source", small)
    assert "self-test" in fused.why_not()
    assert "gradient of x of imq by products: off by" in fused.why_not()
    assert kept(tmp_path) == []


def test_a_library_is_built_once(unloaded: pytest.MonkeyPatch, small: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda _: next(build.library_files(small)), range(4)))
    assert all(path.is_file() for path in built)
    folder = tmp_path / "cache" / "genzoo-rwae"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(path.suffix == ".so" for path in kept(tmp_path))

    unloaded.setattr(build, "_compile", None)  # would fail if it were called
    first = next(build.library_files(small))
    assert ctypes.CDLL(str(first)).answer() == 42


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_bytes(b""),
        lambda path: path.chmod(0o777),
    ],
    ids=["cut short", "altered", "empty", "open to others"],
)
def test_a_spoilt_library_is_built_anew(
    spoil: Callable[[Path], None], unloaded: pytest.MonkeyPatch, small: Path
) -> None:
    path = next(build.library_files(small))
    spoil(path)
    anew = next(build.library_files(small))
    assert ctypes.CDLL(str(anew)).answer() == 42
    assert not anew.stat().st_mode & 0o022


def test_a_library_that_does_not_load_is_built_anew(
    unloaded: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = build.cache_folder()
    junk = tmp_path / "junk"
    junk.write_bytes(b"no library")
    key = build._key(PAIR_SUMS.source, build.compiler())
    planted = folder / f"pair_sums-{key}-{build._digest(junk)}.so"
    shutil.copy(junk, planted)
    planted.chmod(0o700)
    assert fused.why_not() == ""
    assert not planted.exists()
    assert len(kept(tmp_path)) == 1


def test_machines_that_share_a_folder_do_not_share_libraries(
    unloaded: pytest.MonkeyPatch, small: Path
) -> None:
    here = next(build.library_files(small))
    unloaded.setattr(build, "_processor", lambda: "another processor")
    there = next(build.library_files(small))
    assert here != there
    small.with_name("small.hpp").write_text("#define ANSWER 43\n")
    small.write_text('#include "small.hpp"\n' + SMALL.replace("42", "ANSWER"))
    changed = next(build.library_files(small))
    assert ctypes.CDLL(str(changed)).answer() == 43
    small.with_name("small.hpp").write_text("#define ANSWER 44\n")
    changed = next(build.library_files(small))
    assert ctypes.CDLL(str(changed)).answer() == 44


def test_a_folder_that_others_can_write_into_is_refused(unloaded: pytest.MonkeyPatch) -> None:
    folder = build.cache_folder()
    folder.chmod(0o770)
    assert "others own or can write into" in fused.why_not()
    assert "chmod go-w" in fused.why_not()


def test_a_place_that_cannot_hold_a_folder_is_a_reason(
    unloaded: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    unloaded.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "XDG_CACHE_HOME" in fused.why_not()


def test_what_the_processor_can_do_is_part_of_the_key() -> None:
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("no /proc/cpuinfo")
    assert "flags" in build._processor().lower() or "features" in build._processor().lower()


@pytest.mark.parametrize(
    "surroundings",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.device("meta"),
    ],
    ids=["no_grad", "inference_mode", "another default device"],
)
def test_the_first_call_may_come_from_anywhere(
    monkeypatch: pytest.MonkeyPatch, surroundings: Callable[[], AbstractContextManager[object]]
) -> None:
    monkeypatch.setattr(PAIR_SUMS, "_found", None)
    with surroundings():
        assert fused.why_not() == ""


def test_the_first_call_may_come_under_another_default_dtype(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PAIR_SUMS, "_found", None)
    torch.set_default_dtype(torch.float64)
    try:
        assert fused.why_not() == ""
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_broken_cxx_is_a_reason_and_no_error(unloaded: pytest.MonkeyPatch) -> None:
    unloaded.setenv("CXX", '"')
    assert "CXX is no command" in fused.why_not()


def test_a_relative_cache_home_is_ignored(unloaded: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unloaded.chdir(tmp_path)
    unloaded.setenv("HOME", str(tmp_path / "home"))
    unloaded.setenv("XDG_CACHE_HOME", "here")
    assert build.cache_folder() == tmp_path / "home" / ".cache" / "genzoo-rwae"
    assert not (tmp_path / "here").exists()
