"""MMD estimators: what they refuse, and in which words.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from genzoo_rwae_kernels import Imq, Kernel, mmd2_biased, mmd2_unbiased
from torch import Tensor

imq = Imq()

Estimator = Callable[[Tensor, Tensor, Kernel], Tensor]
paired_unbiased = partial(mmd2_unbiased, paired=True)
all_estimators = pytest.mark.parametrize(
    "estimator", [mmd2_biased, mmd2_unbiased, paired_unbiased], ids=["V", "U", "paired U"]
)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    return x_ND @ y_MD.mT


@all_estimators
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_refuses_nan_and_inf_and_counts_the_rows(estimator: Estimator, bad: float) -> None:
    good_TND, bad_TND = torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)
    bad_TND[0, 1] = bad
    bad_TND[1, 2, 0] = bad
    bad_TND[1, 3, 2] = bad
    with pytest.raises(ValueError, match=r"mmd2_\w+: 3 of the 8 rows of x hold NaN or inf"):
        estimator(bad_TND, good_TND, imq)
    with pytest.raises(ValueError, match=r"mmd2_\w+: 3 of the 8 rows of y hold NaN or inf"):
        estimator(good_TND, bad_TND, imq)
    with pytest.raises(ValueError, match="3 of the 8 rows of x and 3 of the 8 rows of y hold"):
        estimator(bad_TND, bad_TND, imq)


@all_estimators
@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        pytest.param(
            torch.zeros(3, 2).int(), torch.zeros(3, 2), TypeError, "x has dtype", id="integers"
        ),
        pytest.param(
            torch.zeros(3, 2), torch.zeros(0, 2), ValueError, "y is empty", id="an empty sample"
        ),
        pytest.param(
            torch.zeros(3, 2), torch.zeros(3, 1), ValueError, "x has width 2 and y", id="widths"
        ),
        pytest.param(
            torch.zeros(2, 3, 2),
            torch.zeros(3, 2),
            ValueError,
            r"x has batch dimensions \[2\] and y has \[\]",
            id="batch dimensions",
        ),
    ],
)
def test_refuses(
    estimator: Estimator, x: Tensor, y: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=rf"mmd2_\w+: {message}"):
        estimator(x, y, linear)


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (1, 1)])
def test_u_refuses_a_single_row_and_v_does_not(n: int, m: int) -> None:
    x_ND, y_MD = draw(0, n, 2), draw(1, m, 2)
    message = f"x has {n} and y has {m} rows; wanted at least 2 of each: enlarge the batch"
    with pytest.raises(ValueError, match=message):
        mmd2_unbiased(x_ND, y_MD, imq)
    assert float(mmd2_biased(x_ND, y_MD, imq)) > 0


def test_paired_u_refuses_unequal_sizes() -> None:
    message = "paired samples with 4 rows of x and 5 rows of y; wanted equal numbers"
    with pytest.raises(ValueError, match=message):
        mmd2_unbiased(torch.zeros(4, 2), torch.zeros(5, 2), imq, paired=True)


@all_estimators
def test_refuses_a_kernel_that_gives_another_shape(estimator: Estimator) -> None:
    def reduced(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        return imq(x_ND, y_MD).mean(dim=-1, keepdim=True)

    message = r"kernel returned shape \[4, 1\] for 4 and 4 rows; wanted \[4, 4\]"
    with pytest.raises(ValueError, match=message):
        estimator(torch.zeros(4, 2), torch.zeros(4, 2), reduced)
