"""Time and memory of the unbiased squared MMD with its gradients: our backends and their peers.

    python benchmarks/mmd.py docs/performance/mmd.md            # about ten minutes on one thread
    python benchmarks/mmd.py docs/performance/mmd.md --large    # and n up to 100,000

Forward and backward in float32, kernels of seven IMQ or five RBF scales. `plain torch` is the
textbook: three blocks of |x|² + |y|² − 2 x·y, summed over scales, under autograd. geomloss and
KeOps get the same kernel; both compute V-statistics, which cost the same. A peer that is not
installed is left out with a word. Shapes: T batch elements of n rows of x and n of y, d wide.
"""

from __future__ import annotations

import argparse
import importlib
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from genzoo_rwae_kernels import Imq, Rbf, mmd2_unbiased
from matplotlib.figure import Figure
from measuring import best_times, machine, time_and_memory, versions
from torch import Tensor

IMQ, RBF = Imq(), Rbf(scales=(0.25, 0.5, 1.0, 2.0, 4.0))
SHAPES: list[tuple[int, int, int, Imq | Rbf]] = [
    (t, n, d, kernel)
    for t, n, d in (
        *((8, 64, 16), (32, 128, 32), (100, 64, 16), (100, 256, 64)),
        *((1, 200, 4), (1, 256, 64), (1, 512, 4), (1, 512, 64), (1, 512, 128), (1, 512, 256)),
        *((1, 2048, 64), (1, 2048, 256)),
    )
    for kernel in (IMQ, RBF)
]
SCALING = (10, 32, 100, 256, 512, 1024, 2048, 4096)
LARGE = (8192, 32768, 100_000)
OURS = ("eager", "tiled", "fused", "compiled")
MOST_TILED = 32768  # 100,000 rows take it about ten minutes
CLAIM = 5.0  # times faster than each of RIVALS is what `fused` claims, at the shapes of `claimed`
RIVALS = ("plain torch", "geomloss")
MOST_WIDE_KEOPS = 128  # columns; on a CPU its kernels of wider rows take minutes a call
MOST_PLAIN = 4096  # rows up to which an implementation with O(n²) memory is tried


def profile(d2_NM: Tensor, kernel: Imq | Rbf, width: int) -> Tensor:
    """The kernel as a textbook writes it."""
    widths = kernel.widths(width)
    if isinstance(kernel, Imq):
        return torch.stack([c / (c + d2_NM) for c in widths]).sum(0)
    return torch.stack([torch.exp(-d2_NM / c) for c in widths]).sum(0)


def plain(x: Tensor, y: Tensor, kernel: Imq | Rbf) -> Tensor:
    n, width = x.shape[-2:]

    def block(a: Tensor, b: Tensor) -> Tensor:
        d2 = (a**2).sum(-1)[..., :, None] + (b**2).sum(-1)[..., None, :] - 2 * a @ b.mT
        return profile(d2, kernel, width)

    def within(a: Tensor) -> Tensor:
        k = block(a, a)
        diagonal = k.diagonal(dim1=-2, dim2=-1).sum(-1)
        return (k.sum((-2, -1)) - diagonal) / (n * (n - 1))

    return within(x) + within(y) - 2 * block(x, y).mean((-2, -1))


def of_geomloss(kernel: Imq | Rbf) -> Callable[[Tensor, Tensor], Tensor]:
    from geomloss import SamplesLoss

    def own(x: Tensor, y: Tensor, blur: float | None = None, **_: object) -> Tensor:
        d2 = (x**2).sum(-1)[..., :, None] + (y**2).sum(-1)[..., None, :] - 2 * x @ y.mT
        return profile(d2, kernel, x.shape[-1])

    loss = SamplesLoss("gaussian", kernel=own, backend="tensorized")
    return lambda x, y: 2 * loss(x, y)  # it returns half of the squared MMD


def of_keops(kernel: Imq | Rbf) -> Callable[[Tensor, Tensor], Tensor]:
    import pykeops
    from pykeops.torch import LazyTensor

    pykeops.set_verbose(False)

    def total(a: Tensor, b: Tensor) -> Tensor:
        d2 = ((LazyTensor(a[..., :, None, :]) - LazyTensor(b[..., None, :, :])) ** 2).sum(-1)
        parts = [
            c / (c + d2) if isinstance(kernel, Imq) else (-d2 / c).exp()
            for c in kernel.widths(a.shape[-1])
        ]
        k = parts[0]
        for part in parts[1:]:
            k = k + part
        return k.sum(dim=a.dim() - 1).sum((-2, -1))

    def mmd2(x: Tensor, y: Tensor) -> Tensor:
        n = x.shape[-2]
        return (total(x, x) + total(y, y) - 2 * total(x, y)) / n**2

    return mmd2


def peers(kernel: Imq | Rbf) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    found = {}
    for name, make in (("geomloss", of_geomloss), ("KeOps", of_keops)):
        try:
            importlib.import_module({"KeOps": "pykeops"}.get(name, name))
        except ImportError:
            print(f"{name} is not installed: left out")
            continue
        found[name] = make(kernel)
    return found


def implementations(
    n: int, d: int, kernel: Imq | Rbf, skip: set[str]
) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Everything that can be tried at n rows, plain torch first."""
    found: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
    if n <= MOST_PLAIN:
        found["plain torch"] = lambda x, y: plain(x, y, kernel)
        found |= peers(kernel)
        if d > MOST_WIDE_KEOPS:
            found.pop("KeOps", None)
    for backend in OURS:
        if n > MOST_PLAIN and backend in ("eager", "compiled"):
            continue
        if n > MOST_TILED and backend == "tiled":
            continue
        found[backend] = lambda x, y, b=backend: mmd2_unbiased(x, y, kernel, backend=b)
    return {name: call for name, call in found.items() if name not in skip}


def measure(
    shape: tuple[int, int, int, Imq | Rbf], skip: set[str], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds and MB of every implementation that works at this shape."""
    t, n, d, kernel = shape
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(t, n, d, generator=generator).requires_grad_() for _ in range(2))

    def step(call: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(call(x, y).sum(), (x, y))

    calls, seconds, memory = {}, {}, {}
    for name, call in implementations(n, d, kernel, skip).items():
        try:
            if n < LARGE[0]:
                step(call)()  # builds, compiles, warms up
            seconds[name], memory[name] = time_and_memory(step(call))
            calls[name] = step(call)
        except (ValueError, RuntimeError) as error:
            print(f"{name} at {shape[:3]}: {str(error).splitlines()[0]}")
    if n < LARGE[0]:
        seconds = best_times(calls, rounds=rounds, seconds=15.0)
    return {name: {"ms": 1e3 * seconds[name], "MB": memory[name]} for name in calls}


def claimed(t: int, n: int) -> bool:
    return n >= 512 or t * n**2 >= 30_000


def smallest_ratios(measured: dict[str, dict[str, dict[str, float]]]) -> str:
    """Whether `fused` is as fast as it claims, from what was measured at the claimed shapes."""
    lines = []
    for rival in RIVALS:
        ratios = {
            label: found[rival]["ms"] / found["fused"]["ms"]
            for label, found in measured.items()
            if rival in found and "fused" in found
        }
        if not ratios:
            lines.append(f"- against {rival}: not measured")
            continue
        label, least = min(ratios.items(), key=lambda item: item[1])
        below = [name for name, ratio in ratios.items() if ratio < CLAIM]
        verdict = f"below {CLAIM:g}x: {'; '.join(below)}" if below else f"at least {CLAIM:g}x"
        lines.append(
            f"- against {rival}: {least:.1f}x at {label}, the smallest of {len(ratios)}; {verdict}"
        )
    return "\n".join(lines)


def row(label: str, found: dict[str, dict[str, float]], columns: list[str]) -> str:
    cells = []
    reference = found.get("plain torch", {}).get("ms")
    for name in columns:
        if name not in found:
            cells.append("")
            continue
        ratio = f", {reference / found[name]['ms']:.1f}x" if reference else ""
        ms = found[name]["ms"]
        shown = f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"
        cells.append(f"{shown} ms{ratio}, {found[name]['MB']:,.0f} MB")
    return f"| {label} | {' | '.join(cells)} |"


def draw(curves: dict[str, list[tuple[int, float]]], path: Path) -> None:
    figure = Figure(figsize=(7, 4.5), dpi=110)
    axes = figure.add_subplot()
    for name, points in curves.items():
        axes.loglog(*zip(*points, strict=True), marker="o", markersize=3.5, label=name)
    axes.set_xlabel("n, rows of each sample (d = 64, seven IMQ scales)")
    axes.set_ylabel("seconds, forward and backward, one thread")
    axes.grid(visible=True, which="major", linewidth=0.4)
    axes.legend(frameon=False)
    figure.savefig(path, bbox_inches="tight")


def scaling(large: bool, skip: set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for n in (*SCALING, *(LARGE if large else ())):
        found = measure((1, n, 64, IMQ), skip, 3)
        tables[f"{n:,}"] = found
        for name, values in found.items():
            curves.setdefault(name, []).append((n, values["ms"] / 1e3))
        print(row(f"n {n}", found, list(found)), flush=True)
    return curves, tables


def table(tables: dict[str, dict[str, dict[str, float]]], head: str) -> str:
    names = {name for found in tables.values() for name in found}
    order = ["plain torch", "geomloss", "KeOps", *OURS]
    columns = [name for name in order if name in names]
    lines = [f"| {head} | {' | '.join(columns)} |", "|" + "---|" * (1 + len(columns))]
    return "\n".join(lines + [row(label, found, columns) for label, found in tables.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--large", action="store_true", help="n up to 100,000 as well")
    parser.add_argument("--skip", nargs="*", default=[], help="implementations to leave out")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    skip = set(arguments.skip)
    shapes = {}
    for shape in SHAPES:
        label = f"{type(shape[3]).__name__} {shape[0]}, {shape[1]}, {shape[2]}"
        shapes[label] = measure(shape, skip, arguments.rounds)
        print(row(label, shapes[label], list(shapes[label])), flush=True)
    curves, by_rows = scaling(arguments.large, skip)
    claims = {
        f"{type(kernel).__name__} {t}, {n}, {d}": shapes[f"{type(kernel).__name__} {t}, {n}, {d}"]
        for t, n, d, kernel in SHAPES
        if claimed(t, n)
    }
    claims |= {f"Imq 1, {n}, 64": by_rows[f"{n:,}"] for n in SCALING if claimed(1, n)}
    print(smallest_ratios(claims))
    picture = arguments.page.with_suffix(".png")
    arguments.page.parent.mkdir(parents=True, exist_ok=True)
    draw(curves, picture)
    slopes = [
        f"{name}: n^{math.log(p[-1][1] / p[-2][1]) / math.log(p[-1][0] / p[-2][0]):.2f}"
        for name, p in curves.items()
    ]
    packages = ("torch", "genzoo-rwae", "geomloss", "pykeops")
    arguments.page.write_text(
        "\n\n".join(
            [
                "# Speed and memory of the MMD",
                __doc__.split("\n\n", 2)[2].strip(),
                f"- command: `python {shlex.join(sys.argv)}`\n- seed: 0\n- machine: {machine()}, "
                f"one thread\n- versions: {versions(*packages)}",
                "Each cell: the shortest of interleaved runs (from n = 8,192 on a single one), how "
                "many times faster than plain torch in the same run, and peak memory beyond what "
                "the process had.",
                "## Shapes of training and evaluation",
                table(shapes, "kernel, T, n, d"),
                "How many times faster `fused` is at the least, over all shapes measured here with "
                "n >= 512 or T n² >= 30,000:",
                smallest_ratios(claims),
                "## Cost over the number of rows",
                table(by_rows, "n"),
                f"![cost over n]({picture.name})",
                "Growth between the two largest n of each: " + "; ".join(slopes) + ".",
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
