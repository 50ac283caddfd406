"""Two-sample test: its statistics against the estimators, its p-values, and refusals.

Shapes: N rows of x, M rows of y, D code width, P permutations.
"""

from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import (
    Energy,
    Imq,
    Kernel,
    Rbf,
    mmd2_biased,
    mmd2_unbiased,
    two_sample,
    two_sample_test,
)
from torch import Tensor

imq = Imq()


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kernel", [imq, Energy(), lambda x, y: x @ y.mT], ids=["imq", "e", "xy"])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 9), (9, 5)])
def test_every_statistic_is_the_estimator_of_its_labelling(
    kernel: Kernel, n: int, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x_ND, y_MD = draw(0, n, 2, dtype=torch.float64), draw(1, m, 2, dtype=torch.float64) + 0.5
    labellings = []
    original = two_sample._labellings

    def watched(*given: Any) -> Tensor:
        labellings.append(original(*given))
        return labellings[-1]

    monkeypatch.setattr(two_sample, "_labellings", watched)
    for name, estimator in (("unbiased", mmd2_unbiased), ("biased", mmd2_biased)):
        labellings.clear()
        found = two_sample_test(
            x_ND, y_MD, kernel, permutations=7, estimator=name, generator=seeded()
        )
        z_LD = torch.cat([x_ND, y_MD])
        assert found.statistic == pytest.approx(float(estimator(x_ND, y_MD, kernel)), rel=1e-9)
        wanted = [
            float(estimator(z_LD[in_x], z_LD[~in_x], kernel))
            for in_x in torch.cat(labellings, dim=1).unbind(1)
        ]
        assert len(wanted) == 8
        assert found.statistic == pytest.approx(wanted[0], rel=1e-9)
        assert found.null_P.tolist() == pytest.approx(wanted[1:], rel=1e-9, abs=1e-12)


def test_the_p_value_counts_the_observed_labelling() -> None:
    x_ND, y_MD = draw(0, 30, 2), draw(1, 30, 2) + 0.3
    found = two_sample_test(x_ND, y_MD, imq, permutations=99, generator=seeded())
    assert found.p_value == (1 + int((found.null_P >= found.statistic).sum())) / 100
    assert 0.01 < found.p_value < 1.0
    far = two_sample_test(x_ND, y_MD + 100, imq, permutations=99, generator=seeded())
    assert far.p_value == 0.01


def test_ties_count_against_a_difference() -> None:
    # Of two and two rows there are three labellings: the observed one comes back often, and
    # rounding must not make it look smaller.
    for seed in range(20):
        x_ND, y_ND = draw(seed, 2, 3), draw(seed + 50, 2, 3) + 5
        found = two_sample_test(x_ND, y_ND, imq, permutations=300, generator=seeded(seed))
        assert 0.2 < found.p_value < 0.5
    same_ND = torch.ones(5, 2)
    assert two_sample_test(same_ND, same_ND, imq, permutations=50).p_value == 1.0


def test_labellings_that_differ_in_rounding_alone_are_ties() -> None:
    # Two values only: the statistic depends on how often each is in x, and most labellings tie.
    missed = 0
    for seed in range(5):
        u, v = draw(seed, 2, 1, 3).unbind(0)
        x_ND, y_ND = torch.cat([u.repeat(5, 1), v.repeat(4, 1)]), u.repeat(4, 1)
        y_ND = torch.cat([y_ND, v.repeat(5, 1)])
        found = two_sample_test(x_ND, y_ND, imq, permutations=200, generator=seeded(seed))
        as_large = int((found.null_P >= found.statistic - 1e-6).sum())
        assert found.p_value == (1 + as_large) / 201 == 1.0
        missed += as_large - int((found.null_P >= found.statistic).sum())
    assert missed > 0


def test_permutations_in_batches_and_kernel_in_strips_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x_ND, y_MD = draw(0, 20, 2), draw(1, 31, 2) + 0.2
    whole = two_sample_test(x_ND, y_MD, imq, permutations=300, generator=seeded())
    monkeypatch.setattr(two_sample, "_TABLE_BYTES", 8 * 51 * 7)
    parts = two_sample_test(x_ND, y_MD, imq, permutations=300, generator=seeded(1))
    assert len(parts.null_P) == 300
    assert parts.statistic == pytest.approx(whole.statistic, rel=1e-5)
    assert parts.null_P.unique().numel() > 290
    assert parts.null_quantile(0.5) == pytest.approx(whole.null_quantile(0.5), abs=0.02)


def test_the_generator_decides() -> None:
    x_ND, y_MD = draw(0, 20, 2), draw(1, 20, 2)
    first, again, other = (
        two_sample_test(x_ND, y_MD, imq, permutations=20, generator=seeded(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.null_P, again.null_P)
    assert not torch.equal(first.null_P, other.null_P)
    torch.manual_seed(3)
    one = two_sample_test(x_ND, y_MD, imq, permutations=20)
    torch.manual_seed(3)
    assert torch.equal(two_sample_test(x_ND, y_MD, imq, permutations=20).null_P, one.null_P)


def test_a_kernel_relative_to_the_median_is_fitted_to_both_samples() -> None:
    x_ND, y_MD = draw(0, 15, 2, dtype=torch.float64), draw(1, 15, 2, dtype=torch.float64) * 4
    median = Rbf(scales=[1.0], relative_to="median")
    found = two_sample_test(x_ND, y_MD, median, permutations=5)
    assert found.statistic == pytest.approx(float(mmd2_unbiased(x_ND, y_MD, median)))


def test_no_graph_is_made_and_inputs_stay_as_they_are() -> None:
    x_ND, y_MD = draw(0, 8, 2).requires_grad_(), draw(1, 8, 2)
    kept = x_ND.detach().clone()
    assert not two_sample_test(x_ND, y_MD, imq, permutations=5).null_P.requires_grad
    assert torch.equal(x_ND.detach(), kept)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (torch.zeros(2, 4, 3), torch.zeros(2, 4, 3), {}, r"x has shape \[2, 4, 3\]; wanted \[rows"),
        (torch.zeros(1, 3), torch.zeros(4, 3), {}, "x has 1 and y has 4 rows; wanted at least 2"),
        (torch.zeros(4, 3), torch.zeros(1, 3), {}, "x has 4 and y has 1 rows"),
        (torch.zeros(4, 3), torch.zeros(4, 3), {"permutations": 0}, "permutations is 0; wanted 1"),
        (torch.zeros(4, 3), torch.zeros(4, 3), {"estimator": "v"}, "estimator 'v'; wanted 'unb"),
        (torch.full((4, 3), torch.nan), torch.zeros(4, 3), {}, "4 of the 4 rows of x hold NaN"),
        (
            torch.zeros(20_000, 1),
            torch.zeros(10_000, 1),
            {},
            r"30000 rows, whose kernel takes 3.6e\+09 bytes; wanted at most 23170: .*mmd2_block",
        ),
        (
            torch.zeros(10_000, 1),
            torch.zeros(10_000, 1).double(),
            {},
            r"20000 rows, whose kernel takes 3.2e\+09 bytes; wanted at most 16384",
        ),
    ],
)
def test_refuses(x: Tensor, y: Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"two_sample_test: {message}"):
        two_sample_test(x, y, imq, **options)
