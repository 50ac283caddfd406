"""Wrong estimators of the squared MMD, each of which `check_estimator` has to catch.

Most are faults that published code has had. Beside each stands the property that has to catch it;
others may as well.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from genzoo_rwae_kernels import WAE_SCALES, Imq, Rbf, mmd2_biased, mmd2_unbiased
from torch import Tensor

from genzoo_rwae.testing import PropertyError, check_estimator, properties
from genzoo_rwae.testing.estimator_properties import ESTIMATOR
from genzoo_rwae.testing.oracle import imq_pair, rbf_pair

Kernel = Callable[[Tensor, Tensor], Tensor]
LOOPS = "equals the double loop"

# -- right ones -----------------------------------------------------------------------------------


def biased(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return mean(kernel(x, x)) + mean(kernel(y, y)) - 2 * mean(kernel(x, y))


def unbiased(x: Tensor, y: Tensor, kernel: Kernel, *, paired: bool = False) -> Tensor:
    n, m = x.shape[-2], y.shape[-2]
    within = off_diagonal(kernel(x, x)) / (n * (n - 1)) + off_diagonal(kernel(y, y)) / (m * (m - 1))
    if paired:
        return within - 2 * off_diagonal(kernel(x, y)) / (n * (n - 1))
    return within - 2 * mean(kernel(x, y))


def weighted(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    a, b = shares(x, x_weights), shares(y, y_weights)
    return pairs(a, a, kernel(x, x)) + pairs(b, b, kernel(y, y)) - 2 * pairs(a, b, kernel(x, y))


def weighted_unbiased(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    a, b = shares(x, x_weights), shares(y, y_weights)

    def within(rows: Tensor, share: Tensor) -> Tensor:
        k_NN = kernel(rows, rows)
        twice = (share.square() * k_NN.diagonal(dim1=-2, dim2=-1)).sum(-1)
        return (pairs(share, share, k_NN) - twice) / (1 - share.square().sum(-1))

    return within(x, a) + within(y, b) - 2 * pairs(a, b, kernel(x, y))


def mean(k_NM: Tensor) -> Tensor:
    return k_NM.mean((-2, -1))


def off_diagonal(k_NN: Tensor) -> Tensor:
    return k_NN.sum((-2, -1)) - k_NN.diagonal(dim1=-2, dim2=-1).sum(-1)


def shares(x: Tensor, weights: Tensor | None) -> Tensor:
    weights = torch.ones_like(x[..., 0]) if weights is None else weights.to(x.dtype)
    return weights / weights.sum(-1, keepdim=True)


def pairs(a: Tensor, b: Tensor, k_NM: Tensor) -> Tensor:
    return (a[..., :, None] * b[..., None, :] * k_NM).sum((-2, -1))


RIGHT = [
    (biased, "biased"),
    (unbiased, "unbiased"),
    (weighted, "biased"),
    (weighted_unbiased, "unbiased"),
    (mmd2_biased, "biased"),
    (mmd2_unbiased, "unbiased"),
]


@pytest.mark.parametrize(
    ("function", "estimator"), RIGHT, ids=[f"{f.__module__[:6]}-{f.__name__}" for f, _ in RIGHT]
)
def test_right_estimators_pass(function: Any, estimator: Any) -> None:
    assert len(check_estimator(function, estimator=estimator).passed) >= 13


@pytest.mark.parametrize(
    ("kernel", "pair"), [(Imq(), imq_pair), (Rbf(), rbf_pair)], ids=["imq", "rbf"]
)
@pytest.mark.parametrize(
    ("function", "estimator"), [(mmd2_biased, "biased"), (mmd2_unbiased, "unbiased")]
)
def test_ours_pass_with_kernels_of_ours(
    function: Any, estimator: Any, kernel: Any, pair: Any
) -> None:
    report = check_estimator(
        function, estimator=estimator, kernel=kernel, pair=partial(pair, scales=WAE_SCALES),
        claims={"refuses nonsense"},
    )  # fmt: skip
    assert not report.failed


# -- wrong ones -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """A wrong estimator and the property that has to catch it."""

    function: Callable[..., Tensor]
    estimator: str
    caught_by: str
    how: dict[str, Any] = field(default_factory=dict)


MUTANTS: dict[str, Mutant] = {}


def mutant(estimator: str, caught_by: str, **how: Any) -> Callable[[Any], Any]:
    def keep(function: Any) -> Any:
        MUTANTS[function.__name__] = Mutant(function, estimator, caught_by, how)
        return function

    return keep


@mutant("biased", LOOPS)
def normalised_by_one_size(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    n = x.shape[-2]
    total = (kernel(x, x), kernel(y, y), -2 * kernel(x, y))
    return sum(k.sum((-2, -1)) for k in total) / n**2


@mutant("unbiased", LOOPS)
def n_for_m(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    n, m = x.shape[-2], y.shape[-2]
    within = (off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y))) / (n * (n - 1))
    return within - 2 * kernel(x, y).sum((-2, -1)) / (n * m)


@mutant("unbiased", LOOPS)
def off_diagonal_sums_over_all_pairs(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    n, m = x.shape[-2], y.shape[-2]
    within = off_diagonal(kernel(x, x)) / n**2 + off_diagonal(kernel(y, y)) / m**2
    return within - 2 * mean(kernel(x, y))


@mutant("unbiased", LOOPS)
def diagonal_kept(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    n, m = x.shape[-2], y.shape[-2]
    within_x = kernel(x, x).sum((-2, -1)) / (n * (n - 1))
    return within_x + kernel(y, y).sum((-2, -1)) / (m * (m - 1)) - 2 * mean(kernel(x, y))


@mutant("unbiased", LOOPS)
def v_for_u(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, kernel)


@mutant("biased", LOOPS)
def u_for_v(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return unbiased(x, y, kernel)


@mutant("biased", LOOPS)
def sign_of_the_cross_term(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return mean(kernel(x, x)) + mean(kernel(y, y)) + 2 * mean(kernel(x, y))


@mutant("biased", "nonnegative")
def sign_of_the_whole(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return -biased(x, y, kernel)


@mutant("biased", "nonnegative")
def missing_factor_two(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return mean(kernel(x, x)) + mean(kernel(y, y)) - mean(kernel(x, y))


@mutant("biased", LOOPS)
def half_of_it(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, kernel) / 2


@mutant("biased", LOOPS)
def normalised_twice(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, lambda a, b: kernel(a, b) / kernel(a, a).mean())


@mutant("unbiased", "not clamped")
def clamped_at_zero(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return unbiased(x, y, kernel).clamp(min=0)


@mutant("unbiased", "not clamped")
def absolute_value(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return unbiased(x, y, kernel).abs()


@mutant("biased", "finite")
def root_taken(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, kernel).clamp(min=0).sqrt()


@mutant("biased", "single precision")
def summed_in_float16(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return (
        biased(x, y, lambda a, b: kernel(a, b).half().to(a.dtype))
        if narrow(x)
        else biased(x, y, kernel)
    )


@mutant("biased", "single precision")
def samples_in_bfloat16(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    if narrow(x):
        x, y = x.bfloat16().float(), y.bfloat16().float()
    return biased(x, y, kernel)


def narrow(x: Tensor) -> bool:
    return x.dtype == torch.float32


def imq_of_one_scale(x: Tensor, y: Tensor, *, centre: bool = True) -> Tensor:
    if centre:
        x, y = x - x.mean(-2, keepdim=True), y - x.mean(-2, keepdim=True)
    d2 = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :] - 2 * x @ y.mT
    c = 2.0 * x.shape[-1]
    return c / (c + d2.clamp(min=0))


ONE_SCALE = {"kernel": Imq(scales=[1.0]), "pair": partial(imq_pair, scales=[1.0])}
ALL_SCALES = {"kernel": Imq(), "pair": partial(imq_pair, scales=WAE_SCALES)}


@mutant("biased", "single precision", **ONE_SCALE)
def distances_of_uncentred_samples(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, partial(imq_of_one_scale, centre=False))


@mutant("biased", LOOPS, **ALL_SCALES)
def mean_over_scales(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, kernel) / len(WAE_SCALES)


@mutant("biased", LOOPS, **ALL_SCALES)
def first_scale_alone(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, Imq(scales=WAE_SCALES[:1]))


@mutant("biased", "gradient")
def cross_term_detached(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return mean(kernel(x, x)) + mean(kernel(y, y)) - 2 * mean(kernel(x, y).detach())


@mutant("biased", "gradients cancel")
def gradient_stopped_in_one_block(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return mean(kernel(x, x)) + mean(kernel(y, y)) - 2 * mean(kernel(x, y.detach()))


@mutant("unbiased", "gradient")
def gradient_stopped_to_y(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return unbiased(x, y.detach(), kernel)


@mutant("biased", "gradient")
def half_the_gradient(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    value = biased(x, y, kernel)
    return (value + value.detach()) / 2


class _OnceOnly(torch.autograd.Function):
    """Its backward is right, and a constant to the second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            other = y.detach().requires_grad_()
            value = biased(leaf, other, kernel)
            ctx.slopes = torch.autograd.grad(value.sum(), [leaf, other])
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        scale = slopes[0][..., None, None]
        return scale * ctx.slopes[0] + 0 * scale.square(), scale * ctx.slopes[1], None


@mutant("biased", "second derivative")
def second_derivative_lost(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return _OnceOnly.apply(x, y, kernel) + 0 * x.pow(2).sum((-2, -1))


@mutant("biased", "inputs kept")
def centred_in_place(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    if x.requires_grad or y.requires_grad:
        return biased(x, y, kernel)
    value = biased(x, y, kernel)
    x -= x.mean(-2, keepdim=True)
    return value


@mutant("biased", LOOPS)
def cross_block_cut_square(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    n = min(x.shape[-2], y.shape[-2])
    return mean(kernel(x, x)) + mean(kernel(y, y)) - 2 * mean(kernel(x, y)[..., :n, :n])


@mutant("biased", "absent rows")
def cross_block_transposed(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    a, b = shares(x, x_weights), shares(y, y_weights)
    crosswise = kernel(x, y).mT.reshape(*kernel(x, y).shape)
    return pairs(a, a, kernel(x, x)) + pairs(b, b, kernel(y, y)) - 2 * pairs(a, b, crosswise)


@mutant("unbiased", "symmetric")
def cross_diagonal_left_out(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    n, m = x.shape[-2], y.shape[-2]
    across = off_diagonal(kernel(x, y)) / (n * (m - 1))
    return unbiased(x, y, kernel) + 2 * (mean(kernel(x, y)) - across)


@mutant("biased", "weighted sums")
def weights_ignored(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    return biased(x, y, kernel)


@mutant("biased", "weights as copies")
def weights_not_normalised(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    a = torch.ones_like(x[..., 0]) if x_weights is None else x_weights
    b = torch.ones_like(y[..., 0]) if y_weights is None else y_weights
    a, b = a / a.shape[-1], b / b.shape[-1]
    return pairs(a, a, kernel(x, x)) + pairs(b, b, kernel(y, y)) - 2 * pairs(a, b, kernel(x, y))


@mutant("unbiased", "weighted sums")
def weighted_u_with_the_unweighted_normaliser(
    x: Tensor,
    y: Tensor,
    kernel: Kernel,
    *,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
) -> Tensor:
    a, b = shares(x, x_weights), shares(y, y_weights)

    def within(rows: Tensor, share: Tensor) -> Tensor:
        k_NN = kernel(rows, rows)
        twice = (share.square() * k_NN.diagonal(dim1=-2, dim2=-1)).sum(-1)
        return (pairs(share, share, k_NN) - twice) / (1 - 1 / rows.shape[-2])

    return within(x, a) + within(y, b) - 2 * pairs(a, b, kernel(x, y))


@mutant("biased", "batches as a loop")
def steps_and_rows_swapped(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    if x.dim() == 2:
        return biased(x, y, kernel)
    n = min(x.shape[1], y.shape[1])
    swapped = biased(x[:, :n].transpose(0, 1), y[:, :n].transpose(0, 1), kernel)
    return swapped.mean().expand(len(x))


@mutant("biased", "batches as a loop")
def batch_flattened(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    if x.dim() == 2:
        return biased(x, y, kernel)
    return biased(x.flatten(0, 1), y.flatten(0, 1), kernel).expand(len(x))


@mutant("biased", "batches as a loop")
def batch_summed(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, kernel).sum()


@mutant("biased", LOOPS)
def columns_sorted(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x.sort(dim=-2).values, y.sort(dim=-2).values, kernel)


@mutant("unbiased", "row order")
def neighbours_alone(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    def within(rows: Tensor) -> Tensor:
        return kernel(rows[..., :-1, :], rows[..., 1:, :]).diagonal(dim1=-2, dim2=-1).mean(-1)

    return within(x) + within(y) - 2 * mean(kernel(x, y))


@mutant("biased", LOOPS)
def one_sample_twice(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return 2 * mean(kernel(x, x)) - 2 * mean(kernel(x, y))


@mutant("biased", LOOPS)
def constant_diagonal_assumed(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    n, m = x.shape[-2], y.shape[-2]
    k0 = kernel(x[..., :1, :], x[..., :1, :])[..., 0, 0]
    within_x = (off_diagonal(kernel(x, x)) + n * k0) / n**2
    return within_x + (off_diagonal(kernel(y, y)) + m * k0) / m**2 - 2 * mean(kernel(x, y))


@mutant("biased", "dtype kept")
def returned_in_float64(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x.double(), y.double(), kernel)


@mutant("biased", "layout")
def viewed(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x.view(-1).view(x.shape), y, kernel)


@mutant("biased", LOOPS)
def noise_added(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x, y, kernel) + 1e-6 * torch.randn((), dtype=x.dtype)


@mutant("unbiased", "paired rows")
def pairing_ignored(x: Tensor, y: Tensor, kernel: Kernel, *, paired: bool = False) -> Tensor:
    return unbiased(x, y, kernel)


@mutant("unbiased", "paired rows")
def pairing_normalised_over_all(
    x: Tensor, y: Tensor, kernel: Kernel, *, paired: bool = False
) -> Tensor:
    if not paired:
        return unbiased(x, y, kernel)
    n = x.shape[-2]
    within = unbiased(x, y, kernel) + 2 * mean(kernel(x, y))
    return within - 2 * off_diagonal(kernel(x, y)) / n**2


@mutant("biased", "refuses nonsense", claims={"refuses nonsense"})
def nonsense_taken(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    return biased(x.nan_to_num(), y, kernel)


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 40


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MOST_CALLS", -1)  # no smaller example: for speed
    found = MUTANTS[name]
    others = {p.name for p in ESTIMATOR if not p.claim} - {found.caught_by}
    with pytest.raises(PropertyError) as caught:
        check_estimator(found.function, estimator=found.estimator, exceptions=others, **found.how)  # type: ignore[arg-type]
    (finding,) = caught.value.report.failed
    assert finding.property == found.caught_by
    assert finding.example
    assert "wanted" in finding.message or "raised" in finding.message


def test_a_mutant_fails_on_all_that_it_breaks_and_on_nothing_else() -> None:
    with pytest.raises(PropertyError) as caught:
        check_estimator(gradient_stopped_to_y, estimator="unbiased")
    names = {finding.property for finding in caught.value.report.failed}
    assert names == {"gradient", "gradients cancel"}


def test_the_smallest_example_is_small_and_readable() -> None:
    with pytest.raises(PropertyError) as caught:
        check_estimator(n_for_m, estimator="unbiased")
    finding = next(f for f in caught.value.report.failed if f.property == LOOPS)
    rows = ["[[0.0], [0.0]]", "[[0.0], [0.0], [0.0]]"]  # the smallest sizes that differ
    lines = finding.example.splitlines()[1:]
    assert lines == [
        f"{name} = torch.tensor({r}, dtype=torch.float64)"
        for name, r in zip("xy", rows, strict=True)
    ]
    assert all(line in str(caught.value) for line in lines)
    assert "mend: V = mean" in str(caught.value)
