"""MMD estimators with weights: values, absent rows, derivatives, refusals; fitted kernels.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import Imq, Polynomial, Rbf, mmd2_biased, mmd2_unbiased
from genzoo_rwae_kernels.oracle import imq_pair, mmd2_by_loops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

imq = Imq()
pair = partial(imq_pair, scales=imq.scales)
FEW = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)
ROWS = st.integers(2, 8)
paired_unbiased = partial(mmd2_unbiased, paired=True)
Estimator = Callable[..., Tensor]
all_estimators = pytest.mark.parametrize(
    "estimator", [mmd2_biased, mmd2_unbiased, paired_unbiased], ids=["V", "U", "paired U"]
)
each_backend = pytest.mark.parametrize("backend", ["eager", "tiled"])


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(seed: int, *shape: int) -> Tensor:
    """Positive numbers with some zeros, of which each row has at least two that are positive."""
    w = draw(seed, *shape).exp() * (draw(seed + 1, *shape) > -0.5)
    w[..., :2] += 0.25
    return w


@each_backend
@given(seed=SEEDS, n=ROWS, m=ROWS, d=st.integers(1, 4))
@FEW
def test_equals_the_weighted_double_loop(backend: str, seed: int, n: int, m: int, d: int) -> None:
    x_ND, y_MD = draw(seed, n, d), draw(seed + 1, m, d) + 1
    a_N, b_M = weights(seed + 2, n), weights(seed + 4, m)
    x, y, a, b = x_ND.tolist(), y_MD.tolist(), a_N.tolist(), b_M.tolist()
    for name, estimator in (("biased", mmd2_biased), ("unbiased", mmd2_unbiased)):
        found = estimator(x_ND, y_MD, imq, x_weights=a_N, y_weights=b_M, backend=backend)
        wanted = mmd2_by_loops(x, y, pair, name, x_weights=a, y_weights=b)
        assert float(found) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        found = estimator(x_ND, y_MD, imq, y_weights=b_M, backend=backend)
        wanted = mmd2_by_loops(x, y, pair, name, y_weights=b)
        assert float(found) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    rows = min(n, m)
    x_ND, y_MD, a_N, b_M = x_ND[:rows], y_MD[:rows], a_N[:rows], b_M[:rows]
    for b_N in (b_M, None):
        options = {"x_weights": a_N, "y_weights": b_N, "backend": backend}
        found = paired_unbiased(x_ND, y_MD, imq, **options)
        wanted = mmd2_by_loops(
            *(x[:rows], y[:rows], pair, "unbiased", True, a[:rows]),
            None if b_N is None else b[:rows],
        )
        assert float(found) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@all_estimators
def test_equal_weights_are_no_weights(estimator: Estimator) -> None:
    x_TND, y_TND = draw(0, 3, 5, 2), draw(1, 3, 5, 2)
    wanted = estimator(x_TND, y_TND, imq)
    for scale in (1e-200, 1.0, 3.0, 1e200):
        same = torch.full((3, 5), scale, dtype=torch.float64)
        found = estimator(x_TND, y_TND, imq, x_weights=same, y_weights=same[0])
        torch.testing.assert_close(found, wanted)


@each_backend
@all_estimators
def test_rows_of_weight_0_are_absent_whatever_they_hold(estimator: Estimator, backend: str) -> None:
    x_TND, y_TND = draw(0, 3, 6, 2), draw(1, 3, 6, 2) + 1
    lengths = (6, 2, 4)
    mask_TN = torch.arange(6) < torch.tensor(lengths)[:, None]
    looped = [
        estimator(x[:length], y[:length], imq)
        for x, y, length in zip(x_TND, y_TND, lengths, strict=True)
    ]
    for nothing in (0.0, 1e30, math.nan, math.inf):
        x_filled = x_TND.masked_fill(~mask_TN[..., None], nothing).requires_grad_()
        y_filled = y_TND.masked_fill(~mask_TN[..., None], nothing)
        options: dict[str, Any] = {"x_weights": mask_TN, "y_weights": mask_TN.double()}
        found_T = estimator(x_filled, y_filled, imq, **options, backend=backend)
        torch.testing.assert_close(found_T, torch.stack(looped))
        (gradient,) = torch.autograd.grad(found_T.sum(), x_filled)
        assert bool((gradient[~mask_TN] == 0).all())
        assert bool((gradient[mask_TN] != 0).all())


def test_a_row_that_is_absent_does_not_hide_the_first_that_counts() -> None:
    x_ND, y_MD = draw(0, 5, 2), draw(1, 4, 2)
    mask_N = torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0])
    x_leaf = x_ND.clone().requires_grad_()
    found = mmd2_unbiased(x_leaf, y_MD, imq, x_weights=mask_N)
    kept_leaf = x_ND[[2, 4]].clone().requires_grad_()
    wanted = mmd2_unbiased(kept_leaf, y_MD, imq)
    torch.testing.assert_close(found, wanted)
    (gradient,), (kept,) = (
        torch.autograd.grad(found, x_leaf),
        torch.autograd.grad(wanted, kept_leaf),
    )
    torch.testing.assert_close(gradient[[2, 4]], kept)


@given(seed=SEEDS, n=ROWS, m=ROWS, copies=st.lists(st.integers(0, 3), min_size=8, max_size=8))
@FEW
def test_in_v_a_weight_is_a_number_of_copies(seed: int, n: int, m: int, copies: list[int]) -> None:
    x_ND, y_MD = draw(seed, n, 2), draw(seed + 1, m, 2)
    times_N = torch.tensor([copies[0] + 1, *copies[1:n]])
    torch.testing.assert_close(
        mmd2_biased(x_ND, y_MD, imq, x_weights=times_N.double()),
        mmd2_biased(x_ND.repeat_interleave(times_N, dim=0), y_MD, imq),
    )


def test_a_weighted_v_of_a_sample_and_itself_is_0() -> None:
    x_ND = draw(0, 30, 3).float() + 1e3
    w_N = weights(1, 30).float()
    assert 0 <= float(mmd2_biased(x_ND, x_ND, imq, x_weights=w_N, y_weights=w_N)) < 1e-6
    assert float(mmd2_biased(x_ND, x_ND, imq, x_weights=w_N)) > 1e-3


@each_backend
@all_estimators
def test_first_and_second_derivatives_in_the_weights(estimator: Estimator, backend: str) -> None:
    x_ND, y_ND = draw(0, 4, 2).requires_grad_(), draw(1, 4, 2)
    a_N = (draw(2, 4).abs() + 0.5).requires_grad_()
    b_N = (draw(3, 4).abs() + 0.5).requires_grad_()

    def value(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return estimator(x, y_ND, imq, x_weights=a, y_weights=b, backend=backend)

    assert torch.autograd.gradcheck(value, (x_ND, a_N, b_N))
    assert torch.autograd.gradgradcheck(value, (x_ND, a_N, b_N))


@all_estimators
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (torch.ones(3), ValueError, r"x_weights has shape \[3\]; wanted \[2, 4\]"),
        (torch.ones(4, 2), ValueError, r"x_weights has shape \[4, 2\]; wanted \[2, 4\]"),
        (torch.tensor([1.0, -1.0, 1.0, 1.0]), ValueError, "x_weights: 2 of 8 are negative, NaN"),
        (torch.tensor([1.0, math.nan, 1.0, 1.0]), ValueError, "2 of 8 are negative, NaN or inf"),
        (torch.tensor([1.0, math.inf, 1.0, 1.0]), ValueError, "2 of 8 are negative, NaN or inf"),
        (
            torch.tensor([[0.0] * 4, [1.0] * 4]),
            ValueError,
            "a batch element has 0 rows with a positive weight; wanted at least",
        ),
        (torch.ones(4, dtype=torch.complex64), TypeError, "x_weights has dtype torch.complex64"),
        (torch.ones(4, device="meta"), ValueError, "x_weights is on meta and x on cpu"),
    ],
)
def test_refuses_weights(
    estimator: Estimator, bad: Tensor, error: type[Exception], message: str
) -> None:
    x_TND = torch.zeros(2, 4, 3)
    with pytest.raises(error, match=message):
        estimator(x_TND, x_TND, imq, x_weights=bad)


def test_u_refuses_one_row_that_counts_and_v_does_not() -> None:
    x_ND, y_MD, one_N = draw(0, 3, 2), draw(1, 3, 2), torch.tensor([0.0, 2.0, 0.0])
    with pytest.raises(ValueError, match="there are 1 rows with a positive weight; wanted at lea"):
        mmd2_unbiased(x_ND, y_MD, imq, y_weights=one_N)
    found = mmd2_biased(x_ND, y_MD, imq, y_weights=one_N)
    torch.testing.assert_close(found, mmd2_biased(x_ND, y_MD[1:2], imq))


def test_nan_in_a_row_that_counts_is_refused() -> None:
    x_ND = torch.tensor([[0.0], [math.nan], [1.0]])
    with pytest.raises(ValueError, match="mmd2_unbiased: 1 of the 3 rows of x hold NaN"):
        mmd2_unbiased(x_ND, x_ND[:1].repeat(2, 1), imq, x_weights=torch.tensor([1.0, 1.0, 0.0]))


@all_estimators
def test_a_kernel_is_fitted_once_to_the_rows_that_count(estimator: Estimator) -> None:
    x_ND, y_ND = draw(0, 6, 2), 3 * draw(1, 6, 2)
    mask_N = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    median = Rbf(scales=[1.0], relative_to="median")
    found = estimator(x_ND, y_ND, median, x_weights=mask_N, y_weights=mask_N)
    fixed = median.fitted(x_ND[:4], y_ND[:4])
    torch.testing.assert_close(found, estimator(x_ND[:4], y_ND[:4], fixed))
    # The blocks of one estimate, each with a median of its own, are another number.
    assert float(found) != pytest.approx(
        float(estimator(x_ND[:4], y_ND[:4], lambda x, y: median(x, y)))
    )


@all_estimators
def test_backends_agree_on_an_estimate_and_its_gradients(estimator: Estimator) -> None:
    for kernel in (imq, Polynomial()):
        results = []
        for backend in ("eager", "tiled"):
            x_TND = draw(0, 2, 20, 3).requires_grad_()
            y_TND = (draw(1, 2, 20, 3) + 0.5).requires_grad_()
            value_T = estimator(x_TND, y_TND, kernel, backend=backend)
            results.append([value_T.detach(), *torch.autograd.grad(value_T.sum(), (x_TND, y_TND))])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@all_estimators
def test_an_unknown_backend_is_refused(estimator: Estimator) -> None:
    with pytest.raises(ValueError, match="backend 'numpy'; wanted one of auto"):
        estimator(torch.zeros(3, 2), torch.zeros(3, 2), imq, backend="numpy")


@pytest.mark.parametrize("weights", [[1e38, 1e-40, 0.0], [1.0, 1e-30, 1e-30]])
def test_one_row_that_outweighs_all_others_is_refused_by_u(weights: list[float]) -> None:
    x_ND = torch.randn(3, 2)
    with pytest.raises(ValueError, match="one row outweighs all others"):
        mmd2_unbiased(x_ND, x_ND + 1, Imq(), x_weights=torch.tensor(weights))
