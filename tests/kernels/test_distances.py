"""Squared distances: exact values, every derivative, and refusals.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import pytest
import torch
from genzoo_rwae_kernels import distances, squared_distances
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import Tensor

FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
ROWS = st.integers(1, 9)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def exact(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return torch.from_numpy(cdist(x_ND.double().numpy(), y_MD.double().numpy(), "sqeuclidean"))


def hessian(value: Tensor, at_D: Tensor) -> Tensor:
    (gradient_D,) = torch.autograd.grad(value, at_D, create_graph=True)
    rows = [torch.autograd.grad(entry, at_D, retain_graph=True)[0] for entry in gradient_D.unbind()]
    return torch.stack(rows)


@given(seed=SEEDS, n=ROWS, m=ROWS, d=st.integers(1, 12), single=st.booleans())
@FEW
def test_equal_scipy(seed: int, n: int, m: int, d: int, single: bool) -> None:
    dtype = torch.float32 if single else torch.float64
    x_ND, y_MD = draw(seed, n, d, dtype=dtype), draw(seed + 1, m, d, dtype=dtype)
    d2_NM = squared_distances(x_ND, y_MD)
    assert d2_NM.dtype == dtype
    eps = 1.2e-7 if single else 1e-12
    torch.testing.assert_close(d2_NM.double(), exact(x_ND, y_MD), rtol=eps, atol=1e-13)


@given(seed=SEEDS, t=st.integers(1, 4), n=ROWS, m=ROWS, same=st.booleans())
@FEW
def test_a_batch_equals_the_loop(seed: int, t: int, n: int, m: int, same: bool) -> None:
    x_TND = draw(seed, t, n, 5)
    y_TMD = x_TND if same else draw(seed + 1, t, m, 5)
    looped = []
    for x_ND, y_MD in zip(x_TND.unbind(0), y_TMD.unbind(0), strict=True):
        looped.append(squared_distances(x_ND, x_ND if same else y_MD))
    torch.testing.assert_close(
        squared_distances(x_TND, y_TMD), torch.stack(looped), rtol=3e-7, atol=1e-13
    )


def test_two_leading_dimensions_equal_one() -> None:
    x, y = draw(0, 2, 3, 4, 5), draw(1, 2, 3, 6, 5)
    flat = squared_distances(x.flatten(0, 1), y.flatten(0, 1))
    torch.testing.assert_close(squared_distances(x, y).flatten(0, 1), flat)


@given(seed=SEEDS, n=ROWS, offset=st.floats(-1e4, 1e4))
@FEW
def test_the_same_tensor_has_a_diagonal_of_exactly_zero(seed: int, n: int, offset: float) -> None:
    x_ND = draw(seed, n, 7) + offset
    assert torch.equal(squared_distances(x_ND, x_ND).diagonal(), torch.zeros(n))


def test_another_tensor_keeps_its_diagonal() -> None:
    x_ND = draw(0, 4, 3)
    torch.testing.assert_close(squared_distances(x_ND, x_ND + 1).diagonal(), torch.full((4,), 3.0))


@given(seed=SEEDS, n=ROWS, offset=st.floats(-1e8, 1e8))
@FEW
def test_never_negative_where_rows_coincide(seed: int, n: int, offset: float) -> None:
    x_ND = draw(seed, n, 33, dtype=torch.float64) + offset
    assert bool((squared_distances(x_ND, x_ND.clone()) >= 0).all())


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e6])
def test_an_offset_costs_float32_nothing(offset: float) -> None:
    x_ND, y_MD = draw(0, 64, 16) + offset, draw(1, 50, 16) + offset
    torch.testing.assert_close(
        squared_distances(x_ND, y_MD).double(), exact(x_ND, y_MD), rtol=1.2e-7, atol=1e-13
    )


def test_an_offset_of_1e8_costs_float64_nothing_even_when_each_batch_element_has_its_own() -> None:
    offsets_T11 = torch.tensor([-1e8, 0.0, 1e8], dtype=torch.float64)[:, None, None]
    x_TND = draw(0, 3, 8, 4, dtype=torch.float64) + offsets_T11
    y_TMD = draw(1, 3, 6, 4, dtype=torch.float64) + offsets_T11
    wanted = torch.stack([exact(x, y) for x, y in zip(x_TND, y_TMD, strict=True)])
    torch.testing.assert_close(squared_distances(x_TND, y_TMD), wanted, rtol=1e-12, atol=1e-13)


def test_the_centre_is_common_when_the_samples_differ_in_size() -> None:
    x_ND, y_MD = draw(0, 2, 3, dtype=torch.float64), draw(1, 9, 3, dtype=torch.float64) + 5.0
    torch.testing.assert_close(
        squared_distances(x_ND, y_MD), exact(x_ND, y_MD), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("gap", [1e2, 1e4])
def test_two_far_clusters_keep_the_distances_inside_each(gap: float) -> None:
    sides_N1 = torch.arange(64).remainder(2)[:, None] * gap
    x_ND, y_MD = draw(0, 64, 16) + sides_N1, draw(1, 64, 16) + sides_N1
    torch.testing.assert_close(
        squared_distances(x_ND, y_MD).double(), exact(x_ND, y_MD), rtol=3e-7, atol=1e-13
    )


def test_two_far_clusters_keep_the_gradients_inside_each() -> None:
    near_ND, far_ND = draw(0, 16, 8), draw(1, 16, 8) + 1e4
    x_ND = torch.cat([near_ND, far_ND]).requires_grad_()
    inside_NN = torch.kron(torch.eye(2), torch.ones(16, 16))
    y_MD = torch.cat([draw(2, 16, 8), draw(3, 16, 8) + 1e4])
    (gradient_ND,) = torch.autograd.grad((squared_distances(x_ND, y_MD) * inside_NN).sum(), x_ND)
    a_ND, b_MD = x_ND.detach().double(), y_MD.double()
    wanted_ND = 2 * (inside_NN.double()[..., None] * (a_ND[:, None] - b_MD[None])).sum(1)
    torch.testing.assert_close(gradient_ND.double(), wanted_ND, rtol=5e-6, atol=1e-5)


@pytest.mark.parametrize("same", [False, True], ids=["two tensors", "one tensor"])
def test_first_and_second_derivatives(same: bool) -> None:
    x_TND = draw(0, 2, 4, 3, dtype=torch.float64).requires_grad_()
    if same:
        assert torch.autograd.gradcheck(lambda x: squared_distances(x, x), (x_TND,))
        assert torch.autograd.gradgradcheck(lambda x: squared_distances(x, x).square(), (x_TND,))
        return
    y_TMD = draw(1, 2, 5, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(squared_distances, (x_TND, y_TMD))
    assert torch.autograd.gradgradcheck(
        lambda x, y: squared_distances(x, y).square(), (x_TND, y_TMD)
    )


def test_coinciding_rows_have_gradient_0_and_hessian_2() -> None:
    # The rounding of these pairs falls on both sides of 0: a clamp would zero some Hessians.
    rows_ND = draw(0, 40, 7, dtype=torch.float64) * 100
    for row_D in rows_ND.unbind(0):
        x_D = row_D.clone().requires_grad_()
        y_MD = torch.stack([row_D, torch.zeros_like(row_D)])
        distance = squared_distances(torch.stack([x_D, x_D / 3]), y_MD)[0, 0]
        (gradient_D,) = torch.autograd.grad(distance, x_D, retain_graph=True)
        assert float(gradient_D.abs().max()) < 1e-10
        torch.testing.assert_close(hessian(distance, x_D), 2 * torch.eye(7, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    x_ND, y_MD = (draw(0, 20, 64) + 10).to(dtype), (draw(1, 20, 64) + 10).to(dtype)
    d2_NM = squared_distances(x_ND, y_MD)
    assert d2_NM.dtype == dtype
    torch.testing.assert_close(d2_NM, exact(x_ND, y_MD).to(dtype), rtol=0, atol=0)


def test_two_dtypes_are_promoted() -> None:
    x_ND, y_MD = draw(0, 3, 2).bfloat16(), draw(1, 3, 2)
    assert squared_distances(x_ND, y_MD).dtype == torch.float32


def test_a_device_without_float64_takes_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "wide_dtype", lambda device: torch.float32)
    sides_N1 = torch.arange(8).remainder(2)[:, None] * 1e4
    x_TND, y_TMD = draw(0, 2, 8, 4) + sides_N1, draw(1, 2, 6, 4) + sides_N1[:6]
    wanted = torch.stack([exact(x, y) for x, y in zip(x_TND, y_TMD, strict=True)])
    torch.testing.assert_close(
        squared_distances(x_TND, y_TMD).double(), wanted, rtol=1e-6, atol=1e-12
    )
    x = draw(2, 3, 2, dtype=torch.float64).requires_grad_()
    y = draw(3, 4, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda a, b: squared_distances(a, b).square(), (x, y))


def test_inputs_stay_as_they_are_and_need_not_be_contiguous() -> None:
    x_DN, y_MD = draw(0, 3, 6), draw(1, 5, 3)
    x_kept, y_kept = x_DN.clone(), y_MD.clone()
    d2_NM = squared_distances(x_DN.mT, y_MD)
    assert torch.equal(x_DN, x_kept)
    assert torch.equal(y_MD, y_kept)
    torch.testing.assert_close(d2_NM, squared_distances(x_DN.mT.contiguous(), y_MD))


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        pytest.param(
            torch.zeros(3, 2, dtype=torch.int64),
            torch.zeros(3, 2),
            TypeError,
            r"x has dtype torch.int64; wanted a floating dtype.*x.float\(\)",
            id="integers",
        ),
        pytest.param(
            torch.zeros(3, 2),
            torch.zeros(3, 2, dtype=torch.complex64),
            TypeError,
            "y has dtype torch.complex64; wanted a floating dtype",
            id="complex numbers",
        ),
        pytest.param(
            torch.zeros(3),
            torch.zeros(3, 1),
            ValueError,
            r"x has shape \[3\]; wanted \[..., rows, width\].*x\[:, None\]",
            id="one dimension",
        ),
        pytest.param(
            torch.zeros(3, 2),
            torch.zeros(0, 2),
            ValueError,
            r"y is empty, shape \[0, 2\]; wanted at least one row",
            id="no rows",
        ),
        pytest.param(
            torch.zeros(3, 2),
            torch.zeros(3, 1),
            ValueError,
            "x has width 2 and y has width 1",
            id="widths that would broadcast",
        ),
        pytest.param(
            torch.zeros(4, 3, 2),
            torch.zeros(1, 3, 2),
            ValueError,
            r"x has batch dimensions \[4\] and y has \[1\].*expand",
            id="batches that would broadcast",
        ),
        pytest.param(
            torch.zeros(3, 2),
            torch.zeros(3, 2, device="meta"),
            ValueError,
            "x is on cpu and y on meta; wanted one device",
            id="two devices",
        ),
    ],
)
def test_refuses(x: Tensor, y: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"squared_distances: {message}"):
        squared_distances(x, y)


def test_works_on_devices_that_know_no_autocast() -> None:
    x_ND = torch.zeros(3, 2, device="meta")
    assert squared_distances(x_ND, x_ND).shape == (3, 3)
