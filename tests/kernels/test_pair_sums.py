"""Pair sums: every backend against plain differences in float64, derivatives, choice of backend.

Shapes: T batch, N rows of x, M rows of y, D code width.
"""

import logging
from collections.abc import Callable

import pytest
import torch
from genzoo_rwae_kernels import (
    Energy,
    Imq,
    Kernel,
    Laplacian,
    Matern,
    Polynomial,
    Rbf,
    backends,
    compiled,
    stored_gradients,
)
from genzoo_rwae_kernels.pair_sums import BACKENDS, Coefficients, across, contrast, within
from torch import Tensor


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def works_here(backend: str) -> bool:
    """Whether a backend sums Imq in float32 on this machine."""
    return not backends.why_not(backend, torch.ones(1, 1), Imq())


QUICK = [b for b in ("eager", "tiled", "fused") if works_here(b)]
each_backend = pytest.mark.parametrize("backend", QUICK)


def two_d(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """A kernel that knows no batches and is no object."""
    assert x_ND.dim() == 2
    return (x_ND @ y_MD.T + 1.0).square()


def exact_kernel(kernel: Kernel) -> Kernel:
    """A radial kernel from plain differences, every other one as it is."""

    def of_differences(x_ND: Tensor, y_MD: Tensor) -> Tensor:
        d2_NM = (x_ND.unsqueeze(-2) - y_MD.unsqueeze(-3)).square().sum(-1)
        return kernel.value(d2_NM, x_ND.shape[-1])

    return of_differences if hasattr(kernel, "value") else kernel


def exact(
    kernel: Kernel, x_ND: Tensor, y_MD: Tensor | None, a_N: Tensor, b_M: Tensor, diagonal: bool
) -> Tensor:
    k_NM = exact_kernel(kernel)(x_ND, x_ND if y_MD is None else y_MD)
    weights_NM = a_N.unsqueeze(-1) * b_M.unsqueeze(-2)
    if not diagonal:
        k_NM = k_NM * (1.0 - torch.eye(k_NM.shape[-1], dtype=k_NM.dtype))
    return (k_NM * weights_NM).sum(dim=(-2, -1))


def with_gradients(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    leaves = [given.clone().requires_grad_() for given in inputs]
    value = function(*leaves)
    upstream = torch.linspace(0.5, 2.0, value.numel(), dtype=value.dtype).reshape(value.shape)
    return [value.detach(), *torch.autograd.grad(value, leaves, upstream)]


def assert_close(found: list[Tensor], wanted: list[Tensor], pairs: float, k0: float) -> None:
    value_error = (found[0] - wanted[0]).abs().max()
    assert float(value_error) <= 1e-5 * k0 * pairs
    for gradient, exact_gradient in zip(found[1:], wanted[1:], strict=True):
        assert gradient.isfinite().all()
        error = (gradient.double() - exact_gradient).norm() / exact_gradient.norm()
        assert float(error) <= 5e-6


# Offset, distance of two clusters: both up to 1e4.
PLACES = [(0.0, 0.0), (1e4, 0.0), (0.0, 30.0), (-1e4, 1e4)]
SHAPES = [
    pytest.param((7, 5, 3), id="few rows"),
    pytest.param((5, 40, 33, 8), id="a batch"),
    pytest.param((300, 261, 4), id="several tiles"),
]


@each_backend
@pytest.mark.parametrize("kernel", [Imq(), Rbf()], ids=["imq", "rbf"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("offset", "gap"), PLACES)
def test_values_and_gradients_in_float32_are_those_of_float64(
    backend: str, kernel: Kernel, shape: tuple[int, ...], offset: float, gap: float
) -> None:
    *batch, n, m, d = shape
    x_ND = draw(0, *batch, n, d) + torch.arange(n).remainder(2)[:, None] * gap + offset
    y_MD = 1.2 * draw(1, *batch, m, d) + torch.arange(m).remainder(2)[:, None] * gap + offset
    a_N, b_M = draw(2, *batch, n).abs(), draw(3, *batch, m).abs()
    a_N[..., 1] = 0.0
    x, y, a, b = x_ND.double(), y_MD.double(), a_N.double(), b_M.double()
    found = with_gradients(lambda x, a: within(x, a, kernel, backend=backend), x_ND, a_N)
    wanted = with_gradients(lambda x, a: exact(kernel, x, None, a, a, False), x, a)
    assert_close(found, wanted, float(a.sum(-1).max()) ** 2, 7.0)
    found = with_gradients(
        lambda x, y, a, b: across(x, y, a, b, kernel, backend=backend), x_ND, y_MD, a_N, b_M
    )
    wanted = with_gradients(lambda x, y, a, b: exact(kernel, x, y, a, b, True), x, y, a, b)
    assert_close(found, wanted, float((a.sum(-1) * b.sum(-1)).max()), 7.0)


@each_backend
@pytest.mark.parametrize("n", [6, 300])
@pytest.mark.parametrize("diagonal", [False, True])
def test_pairs_of_one_row_are_counted_or_not(backend: str, n: int, diagonal: bool) -> None:
    x_ND, y_ND, a_N, b_N = draw(0, n, 3), draw(1, n, 3), draw(2, n).abs(), draw(3, n).abs()
    x, y, a, b = x_ND.double(), y_ND.double(), a_N.double(), b_N.double()
    found = within(x_ND, a_N, Imq(), diagonal=diagonal, backend=backend)
    torch.testing.assert_close(found, exact(Imq(), x, None, a, a, diagonal), rtol=1e-6, atol=0)
    found = across(x_ND, y_ND, a_N, b_N, Imq(), skip_diagonal=not diagonal, backend=backend)
    torch.testing.assert_close(found, exact(Imq(), x, y, a, b, diagonal), rtol=1e-6, atol=0)


@each_backend
def test_no_weights_are_weights_of_1(backend: str) -> None:
    x_TND, y_TMD = draw(0, 2, 3, 9, 4), draw(1, 2, 3, 7, 4)
    ones_N, ones_M = torch.ones(2, 3, 9), torch.ones(2, 3, 7)
    torch.testing.assert_close(
        within(x_TND, None, Imq(), backend=backend), within(x_TND, ones_N, Imq(), backend=backend)
    )
    found = across(x_TND, y_TMD, None, None, Imq(), backend=backend)
    assert found.shape == (2, 3)
    assert found.dtype == torch.float64
    for some in ((ones_N, ones_M), (None, ones_M), (ones_N, None)):
        torch.testing.assert_close(across(x_TND, y_TMD, *some, Imq(), backend=backend), found)


def parts(*given: Tensor, kernel: Kernel, flag: bool, backend: str) -> Tensor:
    """A contrast from `within` and `across`, its coefficients [3, T]."""
    x_TND, y_TMD, a_TN, b_TM, c_3T = given
    return (
        c_3T[0] * within(x_TND, a_TN, kernel, diagonal=flag, backend=backend)
        + c_3T[1] * within(y_TMD, b_TM, kernel, diagonal=flag, backend=backend)
        + c_3T[2] * across(x_TND, y_TMD, a_TN, b_TM, kernel, skip_diagonal=flag, backend=backend)
    )


def at_once(*given: Tensor, kernel: Kernel, flag: bool, backend: str) -> Tensor:
    x_TND, y_TMD, a_TN, b_TM, c_3T = given
    options = {"diagonal": flag, "skip_diagonal": flag, "backend": backend}
    found = contrast(x_TND, y_TMD, a_TN, b_TM, kernel, Coefficients(*c_3T), **options)
    assert not found.sums.requires_grad
    torch.testing.assert_close((found.sums * c_3T.T).sum(-1).detach(), found.value.detach())
    return found.value


def some_given(m: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    x_TND, y_TMD = draw(0, 3, 20, 4, dtype=dtype), draw(1, 3, m, 4, dtype=dtype)
    a_TN, b_TM = draw(2, 3, 20, dtype=dtype).abs(), draw(3, 3, m, dtype=dtype).abs()
    return [x_TND, y_TMD, a_TN, b_TM, draw(4, 3, 3, dtype=torch.float64)]


@each_backend
@pytest.mark.parametrize("kernel", [Imq(), Rbf(), Energy()], ids=["imq", "rbf", "energy"])
@pytest.mark.parametrize(("m", "flag"), [(20, False), (20, True), (31, False)])
def test_a_contrast_is_made_of_the_sums(backend: str, kernel: Kernel, m: int, flag: bool) -> None:
    options = {"kernel": kernel, "flag": flag}
    given = some_given(m)
    found = with_gradients(lambda *g: at_once(*g, backend=backend, **options), *given)
    wide = [one.double() for one in given]
    wanted = with_gradients(lambda *g: parts(*g, backend="eager", **options), *wide)
    for one, other in zip(found, wanted, strict=True):
        scale = float(other.abs().max())
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=2e-6 * scale)


@each_backend
def test_second_derivatives_of_a_contrast_are_those_of_the_formula(backend: str) -> None:
    # The weights and the coefficients are functions of the rows, as those of a mask that is learnt.
    x_TND, y_TMD, *_ = some_given(20, torch.float64)

    def derivatives(dtype: torch.dtype, backend: str) -> list[Tensor]:
        x, y = (given.to(dtype).requires_grad_() for given in (x_TND, y_TMD))
        a, c = x.sum(-1).sigmoid(), y.mean(dim=(-2, -1)).cos().double()
        given = (x, y, a, a.flip(0), torch.stack([c, c.square(), -2.0 * c]))
        value = at_once(*given, kernel=Imq(), flag=False, backend=backend)
        first = torch.autograd.grad(value.sum(), (x, y), create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), (x, y))
        return [one.detach().double() for one in (*first, *second)]

    wanted = derivatives(torch.float64, "eager")
    for one, other in zip(derivatives(torch.float32, backend), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@each_backend
def test_a_contrast_without_weights_has_plain_numbers_for_coefficients(backend: str) -> None:
    x_ND, y_MD = draw(0, 2, 3, 12, 4), draw(1, 2, 3, 15, 4)
    numbers = Coefficients(x=0.5, y=0.25, across=-1.0)
    found, sums = contrast(x_ND, y_MD, None, None, Imq(), numbers, diagonal=True, backend=backend)
    ones = (torch.ones(2, 3, 12), torch.ones(2, 3, 15))
    wanted, _ = contrast(x_ND, y_MD, *ones, Imq(), numbers, diagonal=True, backend="eager")
    assert found.shape == (2, 3)
    assert sums.shape == (2, 3, 3)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)
    x_ND.requires_grad_()
    value = contrast(x_ND, y_MD, None, None, Imq(), numbers, backend=backend).value
    (gradient,) = torch.autograd.grad(value.sum(), x_ND)
    assert gradient.shape == x_ND.shape
    assert contrast(x_ND[0, 0], y_MD[0, 0], None, None, Imq(), numbers).value.shape == ()


OTHERS = [
    pytest.param(Energy(), id="energy"),
    pytest.param(Laplacian(), id="laplacian"),
    pytest.param(Matern(nu=1.5), id="matern"),
    pytest.param(Polynomial(), id="polynomial"),
    pytest.param(two_d, id="a function"),
]


@pytest.mark.parametrize("kernel", OTHERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("diagonal", [False, True])
def test_tiles_take_every_kernel(kernel: Kernel, dtype: torch.dtype, diagonal: bool) -> None:
    n, m = 270, 270
    x_ND, y_MD = draw(0, n, 3, dtype=dtype), draw(1, m, 3, dtype=dtype) + 0.3
    x_ND[5] = x_ND[3]
    y_MD[4] = x_ND[3]
    a_N, b_M = draw(2, n, dtype=dtype).abs(), draw(3, m, dtype=dtype).abs()

    def both(backend: str) -> list[list[Tensor]]:
        options = {"backend": backend}
        return [
            with_gradients(
                lambda x, a: within(x, a, kernel, diagonal=diagonal, **options), x_ND, a_N
            ),
            with_gradients(
                lambda *given: across(*given, kernel, skip_diagonal=not diagonal, **options),
                *(x_ND, y_MD, a_N, b_M),
            ),
        ]

    rtol = 1e-5 if dtype == torch.float32 else 1e-10
    for found, wanted in zip(both("tiled"), both("eager"), strict=True):
        for one, other in zip(found, wanted, strict=True):
            scale = float(other.abs().max())
            torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("kernel", [Imq(), Polynomial()], ids=["imq", "polynomial"])
def test_first_and_second_derivatives_in_rows_and_weights(kernel: Kernel) -> None:
    x_TND = draw(0, 2, 3, 2, dtype=torch.float64).requires_grad_()
    y_TMD = draw(1, 2, 3, 2, dtype=torch.float64).requires_grad_()
    a_TN = draw(2, 2, 3, dtype=torch.float64).abs().requires_grad_()
    b_TM = draw(3, 2, 3, dtype=torch.float64).abs().requires_grad_()
    for skip in (False, True):
        checks: list[tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = [
            (
                lambda x, a, skip=skip: within(x, a, kernel, diagonal=skip, backend="tiled"),
                (x_TND, a_TN),
            ),
            (
                lambda *given, skip=skip: across(
                    *given, kernel, skip_diagonal=skip, backend="tiled"
                ),
                (x_TND, y_TMD, a_TN, b_TM),
            ),
        ]
        for function, inputs in checks:
            assert torch.autograd.gradcheck(function, inputs)
            assert torch.autograd.gradgradcheck(function, inputs)


def test_second_derivatives_do_not_count_the_path_from_one_input_to_another_twice() -> None:
    x_ND = draw(0, 4, 2, dtype=torch.float64).requires_grad_()

    def gradient(backend: str) -> Tensor:
        # The second sample and the weights are functions of the first sample.
        y_ND, a_N = x_ND.square().flip(0), x_ND.sum(-1).sigmoid()
        value = across(x_ND, y_ND, a_N, a_N.flip(0), Imq(), backend=backend)
        value = value + within(x_ND, a_N, Imq(), backend=backend)
        (first,) = torch.autograd.grad(value, x_ND, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x_ND)
        return torch.cat([first.detach(), second])

    torch.testing.assert_close(gradient("tiled"), gradient("eager"))


def test_the_function_itself_does_not_count_that_path_either() -> None:
    # Its callers hand it fresh views; without them an input is a node of the other one's graph.
    x_BND = draw(0, 1, 4, 2, dtype=torch.float64).requires_grad_()
    ones_BN = torch.ones(1, 4, dtype=torch.float64)

    def gradient(graph: bool) -> Tensor:
        value = stored_gradients._apply(
            stored_gradients._Across, x_BND, x_BND.square(), ones_BN, ones_BN, Imq(), "tiled", False
        )
        return torch.autograd.grad(value, x_BND, create_graph=graph)[0].detach()

    torch.testing.assert_close(gradient(graph=True), gradient(graph=False))


@pytest.mark.parametrize("kernel", [Imq(), Polynomial()], ids=["imq", "polynomial"])
@pytest.mark.parametrize("flag", [False, True])
def test_the_gradient_with_a_graph_is_the_gradient(kernel: Kernel, flag: bool) -> None:
    x_ND = draw(0, 5, 2, dtype=torch.float64).requires_grad_()
    y_ND = draw(1, 5, 2, dtype=torch.float64).requires_grad_()
    a_N = draw(2, 5, dtype=torch.float64).abs().requires_grad_()
    b_N = draw(3, 5, dtype=torch.float64).abs().requires_grad_()
    total = within(x_ND, a_N, kernel, diagonal=flag, backend="tiled") + across(
        x_ND, y_ND, a_N, b_N, kernel, skip_diagonal=flag, backend="tiled"
    )
    inputs = (x_ND, y_ND, a_N, b_N)
    stored = torch.autograd.grad(total, inputs, retain_graph=True)
    for one, other in zip(
        torch.autograd.grad(total, inputs, create_graph=True), stored, strict=True
    ):
        torch.testing.assert_close(one.detach(), other)


def test_only_what_wants_a_gradient_gets_one() -> None:
    x_ND, y_MD = draw(0, 4, 2), draw(1, 3, 2).requires_grad_()
    value = across(x_ND, y_MD, None, None, Imq(), backend="tiled")
    (gradient,) = torch.autograd.grad(value, y_MD, create_graph=True)
    assert gradient.requires_grad
    assert not within(x_ND, None, Imq(), backend="tiled").requires_grad


class TestChoice:
    """Which backend is taken, and what is said about those that cannot."""

    @pytest.fixture(autouse=True)
    def _no_switch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(backends.SWITCH, raising=False)

    @staticmethod
    def chosen(x_ND: Tensor, kernel: Kernel, backend: str = "auto") -> str:
        return backends.choose("within", x_ND, x_ND.shape[-2], kernel, backend)

    def test_small_samples_go_eager_and_large_ones_in_one_sweep(self) -> None:
        fast = "fused" if "fused" in QUICK else "tiled"
        assert self.chosen(torch.zeros(4, 2), Imq()) == "eager"
        assert self.chosen(torch.zeros(512, 2), Imq()) == fast
        compiled = "fused" if "fused" in QUICK else "eager"  # pays much earlier
        assert self.chosen(torch.zeros(8, 2), Imq()) == compiled
        assert self.chosen(torch.zeros(512, 2).double(), Imq()) == "tiled"
        assert self.chosen(torch.zeros(100, 64, 2).double(), Energy()) == "tiled"

    def test_what_torch_transforms_goes_eager_at_any_size(self) -> None:
        x_ND, y_ND = draw(0, 40, 2), draw(1, 40, 2)
        slope_ND = torch.func.grad(lambda x: across(x, y_ND, None, None, Imq()))(x_ND)
        x_ND = x_ND.requires_grad_()
        (wanted_ND,) = torch.autograd.grad(across(x_ND, y_ND, None, None, Imq()), x_ND)
        torch.testing.assert_close(slope_ND, wanted_ND)

    def test_other_kernels_go_tile_by_tile_only_to_save_memory(self) -> None:
        assert self.chosen(torch.zeros(512, 2), two_d) == "eager"
        assert self.chosen(torch.zeros(4096, 2), two_d) == "tiled"

    def test_a_kernel_with_tensors_that_want_gradients_goes_eager_at_any_size(self) -> None:
        width = torch.ones((), requires_grad=True)
        x_ND = draw(0, 3000, 1)
        assert self.chosen(x_ND, Rbf(sigma=width)) == "eager"
        assert self.chosen(x_ND, lambda x, y: width * x @ y.mT) == "eager"
        value = within(x_ND[:1000], None, Rbf(sigma=width, scales=[1.0]))
        (gradient,) = torch.autograd.grad(value, width)
        assert float(gradient) > 0

    def test_the_variable_decides_where_the_call_does_not(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(backends.SWITCH, "tiled")
        assert self.chosen(torch.zeros(4, 2), Imq()) == "tiled"
        assert self.chosen(torch.zeros(4, 2), Imq(), "eager") == "eager"
        monkeypatch.setenv(backends.SWITCH, "fast")
        with pytest.raises(ValueError, match="GENZOO_MMD_BACKEND=fast; wanted one of auto, eager"):
            within(torch.zeros(4, 2), None, Imq())

    def test_an_unknown_backend_is_refused_with_those_that_there_are(self) -> None:
        with pytest.raises(ValueError, match="across: backend 'numpy'; wanted one of auto, eager"):
            across(torch.zeros(4, 2), torch.zeros(4, 2), None, None, Imq(), backend="numpy")

    @pytest.mark.parametrize("backend", [b for b in BACKENDS if b not in ("auto", "eager")])
    def test_a_backend_that_cannot_says_why_and_what_to_do(self, backend: str) -> None:
        learnt = Imq(sigma=torch.ones((), requires_grad=True))
        message = rf"within: backend '{backend}' cannot compute Imq on torch.float32 rows: .+; want"
        with pytest.raises(ValueError, match=message):
            within(torch.zeros(4, 2), None, learnt, backend=backend)

    def test_a_function_with_a_parameter_is_refused_by_a_backend_that_would_lose_it(self) -> None:
        slope = torch.ones((), requires_grad=True)
        with pytest.raises(ValueError, match=r"'tiled' cannot compute .*holds tensors that want"):
            within(torch.zeros(4, 2), None, lambda x, y: slope * x @ y.mT, backend="tiled")

    def test_a_backend_that_is_not_there_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backends, "_is_installed", lambda backend: False)
        with pytest.raises(ValueError, match=r"fused.*it is not part of this installation"):
            within(torch.zeros(4, 2), None, Imq(), backend="fused")
        assert self.chosen(torch.zeros(512, 2), Imq()) == "eager"

    def test_the_choice_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        backends._log_once.cache_clear()
        with caplog.at_level(logging.INFO, logger="genzoo_rwae_kernels"):
            for _ in range(3):
                within(torch.zeros(4, 2), None, Imq())
                within(torch.zeros(4, 2), None, Imq(), backend="tiled")
        assert [record.getMessage() for record in caplog.records] == [
            "pair sums within: eager on cpu",
            "pair sums within: tiled on cpu",
        ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda: within(torch.zeros(4, 2), torch.ones(3), Imq()),
            r"within: weights w have shape \[3\]; wanted one for each row, \[4\]",
            id="weights",
        ),
        pytest.param(
            lambda: across(torch.zeros(4, 2), torch.zeros(5, 2), None, torch.ones(4), Imq()),
            r"across: weights b have shape \[4\]; wanted one for each row, \[5\]",
            id="weights across",
        ),
        pytest.param(
            lambda: across(
                torch.zeros(4, 2), torch.zeros(5, 2), None, None, Imq(), skip_diagonal=True
            ),
            "across: skip_diagonal with 4 rows of x and 5 rows of y",
            id="no diagonal",
        ),
        pytest.param(
            lambda: contrast(
                *(torch.zeros(4, 2), torch.zeros(5, 2), None, None, Imq()),
                Coefficients(1.0, 1.0, 1.0),
                skip_diagonal=True,
            ),
            "contrast: skip_diagonal with 4 rows of x and 5 rows of y",
            id="no diagonal of a contrast",
        ),
        pytest.param(
            lambda: within(torch.zeros(0, 2), None, Imq()), "within: x is empty", id="no rows"
        ),
    ],
)
def test_refuses(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def everything(backend: str, kernel: Kernel) -> list[Tensor]:
    x_ND, y_MD, a_N, b_M = draw(0, 40, 3), draw(1, 40, 3), draw(2, 40).abs(), draw(3, 40).abs()
    found = []
    for flag in (False, True):
        found += with_gradients(
            lambda x, a, flag=flag: within(x, a, kernel, diagonal=flag, backend=backend), x_ND, a_N
        )
        found += with_gradients(
            lambda *given, flag=flag: across(*given, kernel, skip_diagonal=flag, backend=backend),
            *(x_ND, y_MD, a_N, b_M),
        )
    return found


@pytest.mark.parametrize("kernel", [Imq(), Polynomial()], ids=["imq", "polynomial"])
def test_the_compiled_backend_is_its_formula_with_the_gradients_stored(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda formula: formula)
    monkeypatch.setattr(compiled, "_compiled", compiled._compiled.__wrapped__)
    monkeypatch.setattr(compiled, "_broken_compiler", compiled._broken_compiler.__wrapped__)
    for one, other in zip(everything("compiled", kernel), everything("eager", kernel), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_without_a_compiler_the_compiled_backend_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(formula: Callable[..., Tensor]) -> Callable[..., Tensor]:
        raise RuntimeError("no working C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(compiled, "_broken_compiler", compiled._broken_compiler.__wrapped__)
    message = (
        r"torch.compile does not work here \(RuntimeError: no working C\+\+ compiler\); wanted"
    )
    with pytest.raises(ValueError, match=message):
        within(torch.zeros(4, 2), None, Imq(), backend="compiled")


@pytest.mark.slow
def test_the_compiled_formula_compiles() -> None:
    x_ND = draw(0, 40, 3)
    if not works_here("compiled"):
        pytest.skip("torch.compile does not work here")
    kernel = Imq(scales=[1.0])
    found = with_gradients(lambda x: within(x, None, kernel, backend="compiled"), x_ND)
    wanted = with_gradients(lambda x: within(x, None, kernel, backend="eager"), x_ND)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
