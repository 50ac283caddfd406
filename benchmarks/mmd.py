"""Time and memory of the unbiased squared MMD with its gradients: our backends and their peers.

    python benchmarks/mmd.py docs/performance/mmd.md            # about ten minutes on one thread
    python benchmarks/mmd.py docs/performance/mmd.md --large    # and n up to 100,000

Forward and backward in float32, kernels of seven IMQ or five RBF scales. `plain torch` is the
textbook: three blocks of |x|² + |y|² − 2 x·y, summed over scales, under autograd. geomloss and
KeOps get the same kernel; both compute V-statistics, which cost the same. A peer that is not
installed is left out with a word. Shapes: T batch elements of n rows of x and n of y, d wide.

Memory is taken from the system and given back as torch leaves it, so that where all pairs lie in
memory at once they are new pages every time: that is part of what plain torch, geomloss and `eager`
take from n = 1,024 on, and why they grow faster than n². A build keeps freed memory, and they are
faster there than here.
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
CLAIM_OF_TILED = {"training": 1.5, "large": 3.0}  # times plain torch, at the shapes of `tiled_at`
RIVALS = ("plain torch", "geomloss")
WIDEST = 64  # columns up to which claims are made; `floor` says why
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
    first = seconds
    if n < LARGE[0]:
        times = best_times(calls, rounds=rounds, seconds=15.0)
        seconds = {name: found.again for name, found in times.items()}
        first = {name: found.first for name, found in times.items()}
    return {
        name: {"ms": 1e3 * seconds[name], "first": 1e3 * first[name], "MB": memory[name]}
        for name in calls
    }


def claimed(t: int, n: int) -> bool:
    return n >= 512 or t * n**2 >= 30_000


def tiled_at(t: int, n: int) -> str:
    if 8 <= t <= 100 and 64 <= n <= 256:
        return "training"
    return "large" if n == 2048 else ""


def multiply_add_rate() -> float:
    """Multiply-adds a second of a large matrix product, the fastest of some."""
    side = 2048
    a, b = torch.ones(side, side), torch.ones(side, side)
    return side**3 / best_times({"product": lambda: a @ b}, rounds=3)["product"].again


def floor(shape: tuple[int, int, int, Imq | Rbf], rate: float) -> float:
    """Milliseconds of the multiply-adds that gradients of all pairs need at least.

    Three for each pair and coordinate, one for the distance and one at either end of the pull, over
    the (2n)²/2 pairs of the rows of both samples.
    """
    t, n, d, _ = shape
    return 1e3 * 3 * t * (2 * n) ** 2 / 2 * d / rate


def smallest_ratio(
    measured: dict[str, dict[str, dict[str, float]]],
    backend: str,
    rival: str,
    claim: float,
    time: str = "ms",
) -> str:
    """Whether a backend is as fast as it claims, from what was measured at the claimed shapes."""
    ratios = {
        label: found[rival][time] / found[backend][time]
        for label, found in measured.items()
        if rival in found and backend in found
    }
    if not ratios:
        return f"- {backend} against {rival}: not measured"
    label, least = min(ratios.items(), key=lambda item: item[1])
    below = [name for name, ratio in ratios.items() if ratio < claim]
    verdict = f"below {claim:g}x: {'; '.join(below)}" if below else f"at least {claim:g}x"
    return (
        f"- {backend} against {rival}: {least:.1f}x at {label}, the smallest of {len(ratios)}: "
        f"{verdict}"
    )


def floors(measured: dict[str, dict[str, dict[str, float]]], least: dict[str, float]) -> str:
    """What the multiply-adds alone take of `fused`, and how much faster they alone would be."""
    lines = [
        "| kernel, T, n, d | multiply-adds alone | share of fused | fused | at most |",
        "|---|---|---|---|---|",
    ]
    for label, found in measured.items():
        if not {"fused", "plain torch"} <= found.keys():
            continue
        fused, plain_ms = found["fused"]["ms"], found["plain torch"]["ms"]
        lines.append(
            f"| {label} | {least[label]:.3g} ms | {least[label] / fused:.0%} | "
            f"{plain_ms / fused:.1f}x | {plain_ms / least[label]:.1f}x |"
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
    rate, shapes = 0.0, {}
    for shape in SHAPES:
        rate = max(rate, multiply_add_rate())  # over the whole run: others may share the machine
        label = f"{type(shape[3]).__name__} {shape[0]}, {shape[1]}, {shape[2]}"
        shapes[label] = measure(shape, skip, arguments.rounds)
        print(row(label, shapes[label], list(shapes[label])), flush=True)
    curves, by_rows = scaling(arguments.large, skip)
    least = {label: floor(shape, rate) for label, shape in zip(shapes, SHAPES, strict=True)}
    narrow = [
        (label, shape) for label, shape in zip(shapes, SHAPES, strict=True) if shape[2] <= WIDEST
    ]
    claims = {label: shapes[label] for label, (t, n, _, _) in narrow if claimed(t, n)}
    claims |= {f"Imq 1, {n}, 64": by_rows[f"{n:,}"] for n in SCALING if claimed(1, n)}
    verdicts = [smallest_ratio(claims, "fused", rival, CLAIM) for rival in RIVALS]
    for size, claim in CLAIM_OF_TILED.items():
        at = {label: shapes[label] for label, (t, n, _, _) in narrow if tiled_at(t, n) == size}
        verdicts.append(smallest_ratio(at, "tiled", "plain torch", claim))
    firsts = [smallest_ratio(claims, "fused", rival, CLAIM, "first") for rival in RIVALS]
    print("\n".join((*verdicts, *firsts)))
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
                "Each cell: the shortest of several calls in interleaved turns, of 20 ms or one "
                "call each (from n = 8,192 on a single call), how many times faster than plain "
                "torch in the same run, and peak memory beyond what the process had.",
                "## Shapes of training and evaluation",
                table(shapes, "kernel, T, n, d"),
                "How many times faster `fused` is at the least, over all shapes measured here "
                f"up to {WIDEST} wide with n >= 512 or T n² >= 30,000, and `tiled` for training "
                "batches (T 8 to 100, n 64 to 256) and at n = 2,048:",
                "\n".join(verdicts),
                "The same of first calls alone, for which the turn of another implementation has "
                "emptied the caches:",
                "\n".join(firsts),
                "What `fused` cannot go below are its multiply-adds: three for each of the (2n)²/2 "
                f"pairs and each coordinate. At {rate / 1e9:.0f} billion a second, which a product "
                "of 2,048 x 2,048 matrices reached in this run, they alone take:",
                floors(shapes, least),
                "`at most` is how many times faster than plain torch the multiply-adds alone would "
                "be, with kernel, memory and call for nothing. The wider the codes, the more plain "
                "torch is multiply-adds too, and the less is left to gain: beyond "
                f"{WIDEST} columns nothing is claimed.",
                "## Cost over the number of rows",
                "T = 1, d = 64, seven IMQ scales.",
                table(by_rows, "n"),
                f"![cost over n]({picture.name})",
                "Growth between the two largest n of each: " + "; ".join(slopes) + ".",
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
