"""What a step and the MMD cost on a GPU, and whether their numbers are those of a CPU.

    python benchmarks/gpu.py docs/performance/gpu.md

A step is forward, backward, optimiser and critics of benchmarks/usual-nets.yaml, as training takes
it, on frames of noise in the shape of Sprites; all of them lie in the processor's memory, as in
training. The MMD is the unbiased squared one of seven IMQ scales in float32, forward and backward;
`plain torch` is the textbook, with all pairs in memory at once. Times are medians by the clock,
the GPU being waited for; memory is the most that tensors took on the GPU beyond what was there
before. `float32` steps may use TensorFloat-32 in convolutions and LSTMs, as torch does if it is not
told otherwise; the comparison of numbers does not.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from genzoo_rwae_kernels import mmd2_unbiased
from measuring import versions
from mmd import IMQ, MOST_PLAIN, plain
from step import Noise, Steps
from torch import Tensor

import genzoo_rwae as gz
from genzoo_rwae.assemble import assemble
from genzoo_rwae.spec import load_spec
from genzoo_rwae.training.precision import Execution
from genzoo_rwae.training.randomness import step_generator
from genzoo_rwae.training.step import Step

NETS = "benchmarks/usual-nets.yaml"
BATCHES = (16, 64, 256)
PRECISIONS = ("float32", "bf16")
SHAPES = ((100, 256, 64), (1, 2048, 64), (1, 4096, 64), (1, 16384, 64))  # T, n, d
BACKENDS = ("eager", "tiled", "triton")
SECONDS = 1.0  # of repetitions of one measurement, at most


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of a call on the GPU, and the MB that it took there."""
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, taken, began = torch.cuda.memory_allocated(), [], time.perf_counter()
    while len(taken) < 5 or (time.perf_counter() - began < SECONDS and len(taken) < 50):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return 1e3 * median(taken), (torch.cuda.max_memory_allocated() - before) / 1e6


def steps_table() -> str:
    lines = [
        "| batch | precision | a step | sequences a second | memory |",
        "|---|---|---|---|---|",
    ]
    for batch in BATCHES:
        for precision in PRECISIONS:
            settings = [f"data.batch={batch}", f"train.precision={precision}"]
            torch.cuda.empty_cache()
            ms, megabytes = timed(Steps(NETS, settings, Noise(count=1024)))
            lines.append(
                f"| {batch} | {precision} | {ms:.1f} ms | {1e3 * batch / ms:,.0f} | "
                f"{megabytes:,.0f} MB |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


def samples(shape: tuple[int, int, int], device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(shape, generator=generator).to(device).requires_grad_() for _ in range(2))
    return x, y


def mmd_table() -> str:
    names = ("plain torch", *BACKENDS)
    lines = [f"| T, n, d | {' | '.join(names)} |", "|" + "---|" * (1 + len(names))]
    for shape in SHAPES:
        x, y = samples(shape, "cuda")
        cells = []
        for name in names:
            if shape[1] > MOST_PLAIN and name != "triton":
                cells.append("")
                continue

            def call(name: str = name, x: Tensor = x, y: Tensor = y) -> object:
                value = (
                    plain(x, y, IMQ)
                    if name == "plain torch"
                    else mmd2_unbiased(x, y, IMQ, backend=name)
                )
                return torch.autograd.grad(value.sum(), (x, y))

            ms, megabytes = timed(call)
            cells.append(f"{ms:.3g} ms, {megabytes:,.0f} MB")
        lines.append(f"| {', '.join(f'{number:,}' for number in shape)} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def loss_and_gradient(device: str) -> tuple[float, Tensor]:
    """Of one step in float32, with the weights, the batch and the draws of the seed."""
    torch.backends.cudnn.allow_tf32 = False
    loaded = load_spec(NETS)
    data = Noise()
    assembled = assemble(loaded, data.info)
    execution = Execution("float32", "contiguous", 1, device)
    step = Step(assembled.model, assembled.objective, execution, 0).to(device).train()
    batch = data.take(torch.arange(16).numpy())
    loss, _ = step(batch, 0.5, step_generator(0, "draws", 0))
    loss.backward()
    torch.backends.cudnn.allow_tf32 = True
    gradients = [weight.grad.flatten().cpu() for weight in step.learnt_parameters()]
    return loss.item(), torch.cat(gradients).double()


def differences() -> str:
    (loss, gradient), (loss_there, gradient_there) = map(loss_and_gradient, ("cpu", "cuda"))
    lines = [
        f"- loss of a step: {loss:.6g} and {loss_there:.6g}, apart by "
        f"{abs(loss_there / loss - 1):.1e} of it",
        f"- its gradient in all weights: apart by "
        f"{((gradient_there - gradient).norm() / gradient.norm()).item():.1e} of its norm",
    ]
    shape = SHAPES[0]
    x, y = samples(shape, "cpu")
    value = mmd2_unbiased(x.double(), y.double(), IMQ)
    [pull] = torch.autograd.grad(value.sum(), [x])
    for backend in BACKENDS:
        x_there, y_there = samples(shape, "cuda")
        there = mmd2_unbiased(x_there, y_there, IMQ, backend=backend)
        [pull_there] = torch.autograd.grad(there.sum(), [x_there])
        far = (there.detach().cpu() - value.detach()).abs().max().item()
        apart = ((pull_there.cpu() - pull).norm() / pull.norm()).item()
        lines.append(
            f"- MMD² of {', '.join(map(str, shape))} by `{backend}`: apart by at most {far:.1e} "
            f"from float64 on the processor, its gradient by {apart:.1e} of its norm"
        )
    print("\n".join(lines), flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU here: this page is measured on one")
    torch.set_num_threads(1)
    parts = [
        "# On a GPU",
        __doc__.split("\n\n", 2)[2].strip(),
        f"- command: `python {shlex.join(sys.argv)}`\n- seed: 0\n- machine: "
        f"{torch.cuda.get_device_name()}, one thread of the processor\n- versions: "
        f"{versions('torch', 'triton')}, genzoo-rwae {gz.__version__}",
        "## The same numbers",
        "In float32 on the processor and on the GPU:",
        differences(),
        "## A step",
        steps_table(),
        "## The MMD with its gradients",
        mmd_table(),
    ]
    arguments.page.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
