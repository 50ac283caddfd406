"""The tiled backend: tiles, precision of its products, memory.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import pytest
import torch
from genzoo_rwae_kernels import Energy, Imq, Laplacian, Rbf, tiled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def everything(x_TND: Tensor, y_TMD: Tensor, kernel: Imq | Rbf | Energy) -> list[Tensor]:
    a_TN, b_TM = draw(2, *x_TND.shape[:2]).abs(), draw(3, *y_TMD.shape[:2]).abs()
    return [
        *tiled.within(x_TND, a_TN.to(x_TND.dtype), kernel),
        *tiled.across(x_TND, y_TMD, a_TN.to(x_TND.dtype), b_TM.to(x_TND.dtype), kernel),
    ]


@given(
    t=st.integers(1, 5),
    n=st.integers(1, 20),
    m=st.integers(1, 20),
    tile=st.integers(1, 9),
    pairs=st.integers(1, 4),
    kernel=st.sampled_from([Imq(), Rbf(), Energy()]),
)
@settings(max_examples=40, deadline=None)
def test_the_size_of_a_tile_changes_nothing(
    t: int, n: int, m: int, tile: int, pairs: int, kernel: Imq | Rbf | Energy
) -> None:
    x_TND, y_TMD = draw(0, t, n, 3, dtype=torch.float64), draw(1, t, m, 3, dtype=torch.float64)
    wanted = everything(x_TND, y_TMD, kernel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiled, "_TILE", tile)
        patch.setattr(tiled, "_PAIRS", pairs * tile**2)
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
        sizes = [tile.stop - tile.start for tile in tiled._tiles(n)]
        assert sum(sizes) == n
        assert max(sizes) <= 256
        assert max(sizes) - min(sizes) <= len(sizes)
    met = torch.zeros(3, 600, 600)
    for elements, rows, columns in tiled._strips(met[:, 0], met[:, 0], mirror=True):
        for these in columns:
            met[elements, rows, these] += 1
            if these != rows:
                met[elements, these, rows] += 1
    assert bool((met == 1).all())


def products(x_TND: Tensor, kernel: Imq | Rbf | Energy) -> torch.dtype:
    (side,) = tiled._centred(kernel, (x_TND, torch.ones(x_TND.shape[:2])))
    return side.rows_BNE.dtype


def test_products_are_float32_only_where_the_spread_allows_it() -> None:
    codes_TND = draw(0, 8, 128, 32)
    gap_N1 = torch.arange(128).remainder(2)[:, None] * 30.0
    for kernel in (Imq(), Rbf()):
        assert products(codes_TND, kernel) == torch.float32
        assert products(codes_TND + 1e4, kernel) == torch.float32
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
