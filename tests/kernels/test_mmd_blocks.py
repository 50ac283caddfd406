"""Linear-time and block estimators: against loops, and their refusals.

Shapes: T batch, N rows, D code width.
"""

from functools import partial
from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import (
    Imq,
    Rbf,
    mmd2_block,
    mmd2_block_variance,
    mmd2_linear,
    mmd2_linear_variance,
    mmd2_unbiased,
)
from genzoo_rwae_kernels.oracle import imq_pair, mmd2_blocks_by_loops, mmd2_linear_by_loops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

imq = Imq()
pair = partial(imq_pair, scales=imq.scales)
FEW = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**31 - 1)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(seed=SEEDS, block=st.integers(2, 5), blocks=st.integers(1, 4), paired=st.booleans())
@FEW
def test_blocks_equal_the_loops(seed: int, block: int, blocks: int, paired: bool) -> None:
    n = block * blocks + seed % block
    x_ND, y_ND = draw(seed, n, 2), draw(seed + 1, n, 2) + 1
    mean, variance = mmd2_blocks_by_loops(x_ND.tolist(), y_ND.tolist(), pair, block, paired)
    options: dict[str, Any] = {"block": block, "paired": paired}
    assert float(mmd2_block(x_ND, y_ND, imq, **options)) == pytest.approx(mean, abs=1e-12)
    if blocks > 1:
        found = mmd2_block_variance(x_ND, y_ND, imq, **options)
        assert float(found) == pytest.approx(variance, abs=1e-12)


@given(seed=SEEDS, n=st.integers(2, 11))
@FEW
def test_linear_equals_the_loop(seed: int, n: int) -> None:
    x_ND, y_ND = draw(seed, n, 3), draw(seed + 1, n, 3) + 1
    mean, variance = mmd2_linear_by_loops(x_ND.tolist(), y_ND.tolist(), pair)
    assert float(mmd2_linear(x_ND, y_ND, imq)) == pytest.approx(mean, abs=1e-12)
    if n >= 4:
        found = mmd2_linear_variance(x_ND, y_ND, imq)
        assert float(found) == pytest.approx(variance, abs=1e-12)


@pytest.mark.parametrize("paired", [False, True])
def test_one_block_is_u(paired: bool) -> None:
    x_TND, y_TND = draw(0, 3, 7, 2), draw(1, 3, 7, 2)
    found = mmd2_block(x_TND, y_TND, imq, block=7, paired=paired)
    torch.testing.assert_close(found, mmd2_unbiased(x_TND, y_TND, imq, paired=paired))


def test_the_default_block_is_the_square_root_of_the_rows() -> None:
    x_ND, y_ND = draw(0, 30, 2), draw(1, 30, 2)
    assert torch.equal(mmd2_block(x_ND, y_ND, imq), mmd2_block(x_ND, y_ND, imq, block=5))
    assert torch.equal(mmd2_block(x_ND[:3], y_ND[:3], imq), mmd2_linear_unpaired(x_ND, y_ND))


def mmd2_linear_unpaired(x_ND: Tensor, y_ND: Tensor) -> Tensor:
    return mmd2_unbiased(x_ND[:2], y_ND[:2], imq)


@pytest.mark.parametrize("relative", [False, True], ids=["prior", "median"])
def test_a_batch_equals_the_loop(relative: bool) -> None:
    kernel = Rbf(scales=[1.0], relative_to="median") if relative else imq
    x_TND, y_TND = draw(0, 3, 9, 2), draw(1, 3, 9, 2) * torch.tensor([1.0, 2.0, 5.0])[:, None, None]
    for estimator in (
        mmd2_linear,
        mmd2_linear_variance,
        partial(mmd2_block, block=4),
        partial(mmd2_block_variance, block=3),
    ):
        looped = [estimator(x, y, kernel) for x, y in zip(x_TND, y_TND, strict=True)]
        torch.testing.assert_close(estimator(x_TND, y_TND, kernel), torch.stack(looped))


def test_dtype_in_is_dtype_out_and_half_precision_is_rounded_once() -> None:
    x_ND, y_ND = draw(0, 64, 3).bfloat16(), (1.5 * draw(1, 64, 3)).bfloat16()
    for estimator in (mmd2_linear, mmd2_linear_variance, mmd2_block, mmd2_block_variance):
        wanted = estimator(x_ND.float(), y_ND.float(), imq).bfloat16()
        assert torch.equal(estimator(x_ND, y_ND, imq), wanted)


def test_derivatives() -> None:
    x_ND, y_ND = draw(0, 6, 2).requires_grad_(), draw(1, 6, 2).requires_grad_()
    for estimator in (mmd2_linear, partial(mmd2_block, block=3), mmd2_linear_variance):
        assert torch.autograd.gradcheck(lambda x, y, e=estimator: e(x, y, imq), (x_ND, y_ND))


@pytest.mark.parametrize(
    ("n", "m", "options", "message"),
    [
        (4, 5, {}, "mmd2_block: x has 4 and y has 5 rows; wanted equal numbers"),
        (4, 4, {"block": 1}, "mmd2_block: block is 1 with 4 rows; wanted 2 to 4"),
        (4, 4, {"block": 5}, "mmd2_block: block is 5 with 4 rows; wanted 2 to 4"),
        (1, 1, {}, "mmd2_block: block is 2 with 1 rows"),
        (4, 4, {"backend": "numpy"}, "backend 'numpy'; wanted one of"),
    ],
)
def test_refuses(n: int, m: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmd2_block(torch.zeros(n, 2), torch.zeros(m, 2), imq, **options)


def test_a_variance_needs_two_blocks() -> None:
    x_ND = torch.zeros(5, 2)
    with pytest.raises(ValueError, match="one block of the 5 rows; wanted two blocks or more"):
        mmd2_block_variance(x_ND, x_ND, imq, block=3)


def test_linear_refuses_nan_under_its_own_name() -> None:
    x_ND = torch.tensor([[0.0], [torch.nan]])
    with pytest.raises(ValueError, match="mmd2_linear: 1 of the 2 rows of x hold NaN"):
        mmd2_linear(x_ND, torch.zeros(2, 1), imq)
