"""The tiled backend: tiles and their meetings, precision of its products, ladders of scales.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import Energy, Imq, Laplacian, Matern, Radial, RadialSum, Rbf, tiled
from genzoo_rwae_kernels.pair_sums import Coefficients
from genzoo_rwae_kernels.pair_sums import contrast as contrast_by
from genzoo_rwae_kernels.sweeps import ALL, Kinds, Wanted
from genzoo_rwae_kernels.tiled import by_autograd, mixtures, radial_sweep
from genzoo_rwae_kernels.tiled.meetings import all_meetings
from genzoo_rwae_kernels.tiled.stack import Stack
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def everything(x_TND: Tensor, y_TMD: Tensor, kernel: Radial) -> list[Tensor]:
    a_TN, b_TM = draw(2, *x_TND.shape[:2]).abs(), draw(3, *y_TMD.shape[:2]).abs()
    a_TN, b_TM = a_TN.to(x_TND.dtype), b_TM.to(x_TND.dtype)
    c_T3 = draw(4, len(x_TND), 3, dtype=torch.float64)
    return [
        *tiled.within(x_TND, a_TN, kernel),
        *tiled.across(x_TND, y_TMD, a_TN, b_TM, kernel),
        *tiled.contrast(x_TND, y_TMD, a_TN, None, c_T3, kernel),
    ]


@given(
    t=st.integers(1, 4),
    n=st.integers(1, 14),
    m=st.integers(1, 14),
    tile=st.integers(2, 9),
    pairs=st.integers(1, 4),
    kernel=st.sampled_from([Imq(), Rbf(), Energy()]),
)
@settings(max_examples=25, deadline=None)
def test_the_size_of_a_tile_changes_nothing(
    t: int, n: int, m: int, tile: int, pairs: int, kernel: Radial
) -> None:
    x_TND, y_TMD = draw(0, t, n, 3, dtype=torch.float64), draw(1, t, m, 3, dtype=torch.float64)
    wanted = everything(x_TND, y_TMD, kernel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radial_sweep, "_TILE", tile)
        patch.setattr(radial_sweep, "_AT_ONCE", pairs * tile**2)
        found = everything(x_TND, y_TMD, kernel)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_the_number_of_threads_changes_nothing() -> None:
    x_TND, y_TMD = draw(0, 3, 300, 8), draw(1, 3, 290, 8)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(everything(x_TND, y_TMD, Imq()))
    torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-6, atol=1e-3 * 2e-6)


def test_tiles_cover_every_pair_once_and_none_is_larger_than_allowed() -> None:
    for n in (1, 255, 256, 257, 513, 700):
        sizes = [tile.stop - tile.start for tile in by_autograd._tiles(n)]
        assert sum(sizes) == n
        assert max(sizes) <= 256
        assert max(sizes) - min(sizes) <= len(sizes)
    met = torch.zeros(3, 600, 600)
    for elements, rows, columns in by_autograd._strips(met[:, 0], met[:, 0], mirror=True):
        for these in columns:
            met[elements, rows, these] += 1
            if these != rows:
                met[elements, these, rows] += 1
    assert bool((met == 1).all())


@given(
    t=st.integers(1, 3),
    n=st.integers(1, 40),
    m=st.integers(0, 40),
    most=st.integers(1, 20),
    kinds=st.sampled_from([ALL, *Kinds]),
)
@settings(max_examples=60, deadline=None)
def test_every_pair_of_rows_meets_once_in_the_sum_that_it_belongs_to(
    t: int, n: int, m: int, most: int, kinds: Kinds
) -> None:
    found = all_meetings(t, (n, m), kinds, most, torch.device("cpu"))
    assert found.height <= most
    sample_R = torch.cat([torch.zeros(n), torch.full((found.missing[0],), 2.0)])
    sample_R = torch.cat([sample_R, torch.ones(m), torch.full((found.missing[1],), 2.0)])
    tile_R = torch.arange(len(sample_R)) // found.height
    for b in range(t):
        met = torch.zeros(3, len(sample_R), len(sample_R))
        for number, (left, right, at) in enumerate(
            zip(found.left_P, found.right_P, found.sum_P, strict=True)
        ):
            if at // 3 != b:
                continue
            pairs = (tile_R == left - b * sum(found.tiles))[:, None] & (
                tile_R == right - b * sum(found.tiles)
            )
            met[at % 3] += pairs
            if number >= found.itself:
                met[at % 3] += pairs.T
        in_x, in_y = (sample_R == 0).float(), (sample_R == 1).float()
        for kind, (one, other) in zip(
            Kinds, ((in_x, in_x), (in_y, in_y), (in_x, in_y)), strict=True
        ):
            both = torch.maximum(torch.outer(one, other), torch.outer(other, one))
            wanted = both if kind in kinds else torch.zeros_like(both)
            assert torch.equal(met[kind.bit_length() - 1] * both, wanted)
            assert not (
                met[kind.bit_length() - 1] * (1 - both) * torch.outer(in_x + in_y, in_x + in_y)
            ).any()


def test_few_rows_fill_up_tiles_and_samples_of_one_size_need_none() -> None:
    for n, m in ((128, 128), (256, 256), (2048, 2048), (10, 256), (300, 261), (1000, 7)):
        found = all_meetings(1, (n, m), ALL, 256, torch.device("cpu"))
        assert sum(found.missing) <= 0.5 * (n + m)
        if n == m:
            assert not any(found.missing)


def products(x_TND: Tensor, kernel: Radial) -> torch.dtype:
    few = all_meetings(len(x_TND), (x_TND.shape[1], 0), Kinds.WITHIN_X, 256, x_TND.device)
    return Stack.of(x_TND, x_TND[:, :0], None, None, kernel, few).left_THE.dtype


def test_products_are_float32_only_where_the_spread_allows_it() -> None:
    codes_TND = draw(0, 8, 128, 32)
    gap_N1 = torch.arange(128).remainder(2)[:, None] * 30.0
    for kernel in (Imq(), Rbf()):
        assert products(codes_TND, kernel) == torch.float32
        assert products(codes_TND + 1e4, kernel) == torch.float32
        assert products(draw(0, 1, 257, 32) + 1e4, kernel) == torch.float32  # one row fills up
        assert products(codes_TND + gap_N1, kernel) == torch.float64
        assert products(codes_TND.double(), kernel) == torch.float64
    assert products(codes_TND, Imq(scales=[1e-4])) == torch.float64
    assert products(codes_TND, Energy()) == torch.float64
    assert products(codes_TND, Laplacian()) == torch.float64


@pytest.mark.parametrize("scale", [0.1, 1.0])
@pytest.mark.parametrize("kind", [Imq, Rbf])
def test_at_the_largest_spread_that_float32_takes_gradients_are_within_5e_6(
    kind: type[Imq] | type[Rbf], scale: float
) -> None:
    # Two clusters at the distance where the bound is met: the hardest case that it lets pass.
    kernel = kind(scales=[scale])
    sides_N1 = torch.arange(400).remainder(2)[:, None] - 0.5
    x_ND = draw(0, 400, 8)
    gap = 0.0
    while products((x_ND + (gap + 0.5) * sides_N1)[None], kernel) == torch.float32:
        gap += 0.5
    x_TND = (x_ND + gap * sides_N1)[None]
    w_TN = torch.ones(1, 400)
    _, gradient, _ = tiled.within(x_TND, w_TN, kernel)
    _, exact, _ = tiled.within(x_TND.double(), w_TN.double(), kernel)
    assert float((gradient - exact).norm() / exact.norm()) < 5e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rows_that_nearly_coincide_pull_a_kernel_with_a_kink_at_full_strength(
    dtype: torch.dtype,
) -> None:
    # |x - y| has a gradient of length 1 however close they are: products would lose this pair.
    x_TND = torch.tensor([[[0.0, 0.0], [1e-8, 0.0], [50.0, 50.0]]], dtype=dtype)
    w_TN = torch.tensor([[1.0, 1.0, 0.0]], dtype=dtype)
    value, gradient, _ = tiled.within(x_TND, w_TN, Energy())
    assert float(value) == pytest.approx(-1e-8)
    wanted = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], dtype=dtype)
    torch.testing.assert_close(gradient[0], wanted, rtol=0, atol=1e-5)


def test_float64_distances_beyond_float32_are_no_nan() -> None:
    x_TND = torch.tensor([[[0.0], [1e25], [1e25]]])
    for kernel in (Imq(), Rbf()):
        value, gradient, potential = tiled.within(x_TND, torch.ones(1, 3), kernel)
        assert float(value) == pytest.approx(14.0)
        assert bool(gradient.isfinite().all())
        assert bool(potential.isfinite().all())


def test_no_tile_of_another_kernel_is_larger_than_allowed() -> None:
    seen = []

    def watched(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        k_NM = x_ND @ y_MD.mT
        seen.append(k_NM.numel())
        return k_NM

    tiled.across(
        draw(0, 1, 1000, 2), draw(1, 1, 700, 2), torch.ones(1, 1000), torch.ones(1, 700), watched
    )
    tiled.within(draw(0, 50, 60, 2), torch.ones(50, 60), watched)
    assert max(seen) <= 256**2
    assert sum(seen) == 1000 * 700 + 50 * 60 * 60


def test_a_constant_kernel_has_no_gradient() -> None:
    def constant(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        return torch.full((len(x_ND), len(y_MD)), 2.0)

    value, gradient, potential = tiled.within(draw(0, 1, 5, 2), torch.ones(1, 5), constant)
    assert float(value) == 40.0
    assert bool((gradient == 0).all())
    assert bool((potential == 8.0).all())


def test_inputs_stay_as_they_are() -> None:
    x_TND, y_TMD, w_TN = draw(0, 1, 300, 3), draw(1, 1, 300, 3), draw(2, 1, 300)
    kept = [given.clone() for given in (x_TND, y_TMD, w_TN)]
    tiled.across(x_TND, y_TMD, w_TN, w_TN, Imq())
    tiled.within(x_TND, w_TN, lambda x, y: x @ y.mT)
    for given_, before in zip((x_TND, y_TMD, w_TN), kept, strict=True):
        assert torch.equal(given_, before)


LADDER = Rbf(scales=[0.25, 0.5, 1.0, 2.0, 4.0])
# Offset and distance of two clusters.
PLACES = [(0.0, 0.0), (1e4, 0.0), (0.0, 30.0), (-1e4, 1e4)]


def of_differences(kernel: Radial, *samples: Tensor) -> Tensor:
    x_TND, y_TMD, a_TN, b_TM = samples
    d2_TNM = (x_TND.unsqueeze(-2) - y_TMD.unsqueeze(-3)).square().sum(-1)
    return kernel.value(d2_TNM, x_TND.shape[-1]) * a_TN.unsqueeze(-1) * b_TM.unsqueeze(-2)


def exact_sums(
    kernel: Radial, x_TND: Tensor, y_TMD: Tensor, a_TN: Tensor, b_TM: Tensor, skip: bool
) -> list[Tensor]:
    """Within x, within y and across, from differences."""
    tables = [
        of_differences(kernel, x_TND, x_TND, a_TN, a_TN),
        of_differences(kernel, y_TMD, y_TMD, b_TM, b_TM),
        of_differences(kernel, x_TND, y_TMD, a_TN, b_TM),
    ]
    for table_TNM in tables if skip else tables[:2]:
        table_TNM.diagonal(dim1=-2, dim2=-1).zero_()
    return [table_TNM.sum(dim=(-2, -1)) for table_TNM in tables]


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(Imq(), id="imq"),
        pytest.param(LADDER, id="a ladder"),
        pytest.param(Rbf(), id="scales that are no ladder"),
        pytest.param(Matern(nu=1.5), id="matern"),
        pytest.param(RadialSum(of=[Imq(), LADDER], weights=[0.5, 2.0]), id="a sum"),
    ],
)
@pytest.mark.parametrize(
    "shape", [(1, 7, 7, 3), (5, 40, 33, 8), (1, 300, 261, 4), (1, 270, 270, 20), (3, 9, 90, 2)]
)
@pytest.mark.parametrize(("offset", "gap"), PLACES)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_contrast_in_float32_is_that_of_differences_in_float64(
    kernel: Radial, shape: tuple[int, int, int, int], offset: float, gap: float, weighted: bool
) -> None:
    t, n, m, d = shape
    skip = n == m
    x_TND = draw(0, t, n, d) + torch.arange(n).remainder(2)[:, None] * gap + offset
    y_TMD = 1.2 * draw(1, t, m, d) + torch.arange(m).remainder(2)[:, None] * gap + offset
    a_TN, b_TM = (
        draw(seed, *rows.shape[:2]).abs() if weighted else torch.ones(rows.shape[:2])
        for seed, rows in ((2, x_TND), (3, y_TMD))
    )
    if weighted:
        a_TN[:, 1] = 0.0
    c_T3 = draw(4, t, 3, dtype=torch.float64)
    given_weights = (a_TN, b_TM) if weighted else (None, None)
    found = tiled.contrast(x_TND, y_TMD, *given_weights, c_T3, kernel, skip_diagonal=skip)
    leaves = [rows.double().requires_grad_() for rows in (x_TND, y_TMD, a_TN, b_TM)]
    sums = exact_sums(kernel, *leaves, skip)
    parts = [
        torch.autograd.grad((c_T3[:, i] * one).sum(), leaves, retain_graph=True, allow_unused=True)
        for i, one in enumerate(sums)
    ]
    pairs = torch.stack([a_TN.sum(-1) ** 2, b_TM.sum(-1) ** 2, a_TN.sum(-1) * b_TM.sum(-1)], dim=-1)
    height = kernel.at_zero(d)
    assert bool(((found[1] - torch.stack(sums, -1).detach()).abs() <= 1e-6 * height * pairs).all())
    torch.testing.assert_close(found[0], (found[1] * c_T3).sum(-1))
    for number, gradient in enumerate(found[2:]):
        each = [part[number] for part in parts if part[number] is not None]
        assert gradient is not None
        size = sum(float(one.norm()) for one in each)
        assert float((gradient - sum(each)).norm()) <= 5e-6 * size


def test_only_the_gradients_that_are_wanted_are_given_and_they_are_the_same() -> None:
    given_ = (draw(0, 2, 30, 3), draw(1, 2, 20, 3), draw(2, 2, 30).abs(), None)
    c_T3 = draw(4, 2, 3, dtype=torch.float64)
    _, _, *every = tiled.contrast(*given_, c_T3, Imq())
    for number in range(4):
        wanted = Wanted(*(i == number for i in range(4)))
        value_T, _, *found = tiled.contrast(*given_, c_T3, Imq(), wanted=wanted)
        assert [one is not None for one in found] == list(wanted)
        assert torch.equal(found[number], every[number])
    value_T, *_ = tiled.contrast(*given_, c_T3, Imq(), wanted=(False,) * 4)
    torch.testing.assert_close(value_T, tiled.contrast(*given_, c_T3, Imq())[0])


@pytest.mark.parametrize(
    ("kernel", "m"),
    [
        pytest.param(Imq(), 3, id="imq"),
        pytest.param(LADDER, 4, id="a ladder"),
        pytest.param(Energy(), 4, id="energy"),
    ],
)
def test_first_and_second_derivatives_of_a_contrast(kernel: Radial, m: int) -> None:
    leaves = [
        draw(seed, *shape, dtype=torch.float64).abs().add(0.1 * seed).requires_grad_()
        for seed, shape in enumerate([(2, 4, 2), (2, m, 2), (2, 4), (2, m), (3, 2)], start=1)
    ]

    def value(*given: Tensor) -> Tensor:
        *samples, c_3T = given
        coefficients = Coefficients(*c_3T)
        options: dict[str, Any] = {"skip_diagonal": m == 4, "backend": "tiled"}
        return contrast_by(*samples, kernel, coefficients, **options).value

    assert torch.autograd.gradcheck(value, leaves)
    assert torch.autograd.gradgradcheck(value, leaves)


@pytest.mark.parametrize(
    ("scales", "exponentials"),
    [
        ([0.25, 0.5, 1.0, 2.0, 4.0], 1),
        ([4.0, 0.5, 1.0, 0.25, 2.0], 1),
        ([2.0**s for s in range(-3, 4)], 2),
        ([1.0, 1.0, 0.5, 0.5], 2),
        ([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0], 3),
        ([1.0, 0.3], 2),
    ],
)
def test_scales_that_halve_are_squares_of_one_exponential(
    scales: list[float], exponentials: int
) -> None:
    kernel = Rbf(scales=scales)
    ladders = mixtures._ladders(kernel.widths(3))
    assert len(ladders) == exponentials
    steps = [ladder.width / 2**s for ladder in ladders for s in range(ladder.squarings + 1)]
    assert sorted(steps) == pytest.approx(sorted(kernel.widths(3)))
    d2_PIJ = torch.logspace(-4, 3, 500, dtype=torch.float64).view(2, 10, 25)
    for dtype, near in ((torch.float32, 2e-6), (torch.float64, 1e-14)):
        d2 = d2_PIJ.to(dtype)
        found = mixtures.value_and_slope(kernel, d2, 3, torch.empty(3, 500, dtype=dtype))
        wanted = kernel.value_and_slope(d2.double(), 3)
        for one, other in zip(found, wanted, strict=True):
            error = (one.double() - other).abs().max() / other.abs().max()
            assert float(error) < near
