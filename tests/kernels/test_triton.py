"""Backend `triton`: sums and derivatives against float64, in Triton's interpreter and on a GPU.

Shapes: B batch, N rows of x, M rows of y, D width of a row.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from genzoo_rwae_kernels import Imq, Laplacian, Rbf, ScaleMixture, triton_sums
from torch import Tensor

ROOT = Path(__file__).parents[2]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
needs_a_place = pytest.mark.skipif(
    not INTERPRETED and not torch.cuda.is_available(),
    reason="no GPU here; runs in test_in_the_interpreter",
)
both_kernels = pytest.mark.parametrize(
    "kernel", [Imq(), Rbf(scales=[0.5, 1.0, 3.0])], ids=["imq", "rbf"]
)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def formula(kernel: ScaleMixture, d2: Tensor, width: int) -> Tensor:
    if isinstance(kernel, Imq):
        return torch.stack([c / (c + d2) for c in kernel.widths(width)]).sum(0)
    return torch.stack([(-d2 / c).exp() for c in kernel.widths(width)]).sum(0)


def assert_across(
    x: Tensor, y: Tensor, a: Tensor, b: Tensor, kernel: ScaleMixture, skip: bool
) -> None:
    found = triton_sums.across(x, y, a, b, kernel, skip_diagonal=skip)
    wide = [part.double().requires_grad_() for part in (x, y, a, b)]
    d2 = (wide[0][:, :, None] - wide[1][:, None]).square().sum(-1)
    k = formula(kernel, d2, x.shape[-1])
    if skip:
        k = k * (1.0 - torch.eye(*k.shape[1:], device=k.device))
    value = (wide[2][:, :, None] * wide[3][:, None] * k).sum((1, 2))
    assert_near(found, (value, *torch.autograd.grad(value.sum(), wide)))


def assert_within(x: Tensor, w: Tensor, kernel: ScaleMixture) -> None:
    value, gradient, potential = triton_sums.within(x, w, kernel)
    wide, of_row = x.double().requires_grad_(), w.double()
    d2 = (wide[:, :, None] - wide[:, None]).square().sum(-1)
    k = formula(kernel, d2, x.shape[-1]) * (1.0 - torch.eye(x.shape[1], device=x.device))
    wanted_potential = (k * of_row[:, None]).sum(-1)
    wanted = (of_row * wanted_potential).sum(-1)
    (wanted_gradient,) = torch.autograd.grad(wanted.sum(), wide)
    assert_near((value, gradient, potential), (wanted, wanted_gradient, wanted_potential))


def assert_near(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> None:
    for i, (got, want) in enumerate(zip(found, wanted, strict=True)):
        assert got.shape == want.shape
        assert float((got - want.detach()).norm()) <= 3e-6 * float(want.detach().norm()), i


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")
@pytest.mark.skipif(torch.cuda.is_available(), reason="the tests below have a GPU")
def test_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(INTERPRETED, reason="compiles for a device")
@both_kernels
def test_compiles_for_cuda_without_a_device(kernel: ScaleMixture) -> None:
    triton = pytest.importorskip("triton")
    compiler = pytest.importorskip("triton.backends.compiler")
    program = triton_sums._compiled()
    of_rows, sums = ["x_at", "y_at", "weights_at", "inverse_at"], ["potential_at", "pull_at"]
    signature = dict.fromkeys(program.arg_names, "i32")
    signature |= dict.fromkeys(of_rows, "*fp32") | dict.fromkeys(sums, "*fp64")
    chosen = {
        "SKIP": True,
        "PROFILE": triton_sums._PROFILES[kernel.profile],
        "I": triton_sums._I,
        "J": triton_sums._J,
        "K": triton_sums._K,
    }
    signature |= dict.fromkeys(chosen, "constexpr")
    source = triton.compiler.ASTSource(fn=program, signature=signature, constexprs=chosen)
    made = triton.compile(
        source,
        target=compiler.GPUTarget("cuda", 80, 32),
        options={"enable_fp_fusion": True},
    )
    assert "_rows" in made.asm["ptx"]


@needs_a_place
@both_kernels
@pytest.mark.parametrize(("b", "n", "m", "d"), [(1, 1, 1, 1), (2, 37, 50, 11), (3, 5, 33, 17)])
@pytest.mark.parametrize("skip", [False, True])
def test_equals_the_formula_in_float64(
    kernel: ScaleMixture, b: int, n: int, m: int, d: int, skip: bool
) -> None:
    x, y = draw(0, b, n, d), draw(1, b, m, d) + 0.5
    of_x, of_y = draw(2, b, n).clamp(min=-0.4) + 0.4, draw(3, b, m).clamp(min=-0.4) + 0.4
    assert_across(x, y, of_x, of_y, kernel, skip)
    assert_within(x, of_x, kernel)


@needs_a_place
@both_kernels
@pytest.mark.parametrize("apart", [0.0, 1e4])
def test_offsets_and_far_clusters(kernel: ScaleMixture, apart: float) -> None:
    x, y = draw(0, 1, 30, 8) + 1e4, draw(1, 1, 20, 8) + 1e4
    x[:, ::2] += apart
    y[:, ::3] += apart
    assert_across(x, y, torch.rand_like(x[..., 0]), torch.rand_like(y[..., 0]), kernel, False)
    assert_within(x, torch.rand_like(x[..., 0]), kernel)


@needs_a_place
def test_non_contiguous_rows_and_small_weights() -> None:
    x, y = draw(0, 9, 40, 2).permute(2, 1, 0), draw(1, 2, 60, 18)[:, ::2, ::2]
    a, b = torch.tensor([0.5], device=DEVICE).expand(2, 40), draw(2, 60, 1).mT[:, ::2].expand(2, 30)
    assert_across(x, y, a, b.abs(), Imq(), False)
    assert_across(x, y, a * 1e-33, b.abs(), Imq(), False)
    assert [len(part) for part in triton_sums.within(x[:0], a[:0], Imq())] == [0, 0, 0]


@pytest.mark.gpu
@both_kernels
def test_large_samples_on_a_gpu(kernel: ScaleMixture) -> None:
    if not torch.cuda.is_available() or INTERPRETED:
        pytest.skip("no GPU here")
    x, y = draw(0, 2, 1500, 48), draw(1, 2, 1111, 48) + 0.2
    of_x, of_y = torch.rand_like(x[..., 0]), torch.rand_like(y[..., 0])
    assert_across(x, y, of_x, of_y, kernel, True)
    assert_within(x, of_x, kernel)
    twice = [triton_sums.within(x, of_x, kernel) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*twice, strict=True))


def test_says_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    float32, cuda, cpu = torch.float32, torch.device("cuda"), torch.device("cpu")
    assert "knows" in triton_sums.refuses(Laplacian(), float32, cuda)
    assert "tensor" in triton_sums.refuses(Rbf(relative_to="median"), float32, cuda)
    assert "extreme" in triton_sums.refuses(Imq(sigma=1e-9), float32, cuda)
    assert "float64" in triton_sums.refuses(Imq(), torch.float64, cuda)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    reason = triton_sums.refuses(Imq(), float32, cpu)
    assert "rows are on cpu" in reason or reason == "triton is not installed"
    with pytest.raises(ValueError, match=r"triton_sums.within: .*; wanted what refuses lets pass"):
        triton_sums.within(torch.zeros(1, 2, 3), torch.ones(1, 2), Imq())


def test_a_machine_without_triton_gets_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reason = triton_sums.refuses(Imq(), torch.float32, torch.device("cuda"))
    assert reason == "triton is not installed"


@needs_a_place
def test_input_that_does_not_fit_is_refused() -> None:
    x, w = draw(0, 2, 4, 3), torch.ones(2, 4, device=DEVICE)
    with pytest.raises(ValueError, match=r"rows of shape \[4, 3\]; wanted \[B, N, D\]"):
        triton_sums.within(x[0], w[0], Imq())
    with pytest.raises(ValueError, match=r"weights of shape \[2, 3\].*wanted.*\[2, 4\]"):
        triton_sums.within(x, w[:, :3], Imq())
    with pytest.raises(ValueError, match=r"x \[2, 4, 3\] and y \[2, 4, 2\]"):
        triton_sums.across(x, x[..., :2], w, w, Imq())
