"""What a step of training costs over length, batch and size of frames, and on a thousand GPUs.

    python benchmarks/cost.py docs/performance/cost.md

Every point is a process of its own that trains zoo:sprites-rwae-mmd with all steps decoded, on
frames of noise, with one thread: seconds of processor of its fastest step, and its peak memory. The
models are sums of the terms in the tables, none of them negative, with the least squares of
relative errors. What a step computes, sends and draws is counted in the model itself; what a GPU
and a network do in a second is assumed, and every figure that follows from it is arithmetic.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cost_at_scale import (
    CLIP,
    CLIPS,
    PARTS,
    RANKS,
    breaking,
    data_table,
    floor_line,
    rank_table,
    seconds_of,
)
from cost_model import TERMS, Facts, Fit, Hardware, Point, fitted, step_on_ranks
from measuring import machine, peak, versions
from step import Noise, Steps, multiply_adds

import genzoo_rwae.draws
from genzoo_rwae.ranks import _visit

SPEC, SETTINGS = "zoo:sprites-rwae-mmd", ["model.decoded=null"]
BASE = Point(16, 8, 64)
POINTS = {
    "batch": [replace(BASE, batch=batch) for batch in (4, 8, 16, 32, 64, 128)],
    "length": [replace(BASE, length=length) for length in (2, 4, 8, 16, 32, 64)],
    "size": [replace(BASE, size=size) for size in (16, 32, 64, 128)],
    "batches of small frames": [Point(256, 2, 16), Point(1024, 2, 16), Point(4096, 2, 16)],
}
TINY = {"batch": [Point(2, 2, 16), Point(4, 2, 16)], "length": [Point(2, 4, 16)],
        "size": [Point(2, 2, 32)]}  # fmt: skip
CHANNELS = (8, 16, 32)
SECONDS, LEAST = 4.0, 3  # of measuring a point, and its fewest steps


# -- measuring ------------------------------------------------------------------------------------


def steps_at(point: Point, *settings: str) -> Steps:
    data = Noise(point.length, point.size, max(512, point.batch))
    return Steps(SPEC, [*SETTINGS, f"data.batch={point.batch}", *settings], data)


def measure(point: Point, channels: int) -> dict[str, float]:
    """Of this process."""
    frames = [f"model.{part}.frames.channels={channels}" for part in ("encoder", "decoder")]
    steps = steps_at(point, *frames)
    taken: list[float] = []
    while len(taken) < LEAST or sum(taken) < SECONDS:
        began = time.process_time()
        steps()
        taken.append(time.process_time() - began)
    return {"seconds": min(taken), "megabytes": peak(), "parameters": steps.parameters}


def count(point: Point = BASE) -> Facts:
    """What a step of the model computes, sends and draws."""
    steps = steps_at(point, "train.precision=float32")
    trainer, rows, drawn = steps.trainer, point.batch, 0
    draw = genzoo_rwae.draws._drawn

    def counted(*given: Any) -> torch.Tensor:
        nonlocal drawn
        numbers = draw(*given)
        drawn += numbers.numel()
        return numbers

    genzoo_rwae.draws._drawn = counted
    computed = multiply_adds(steps)
    genzoo_rwae.draws._drawn = draw
    batch = steps.given[0]
    passed = trainer.model.train()(batch.x_BT, batch.lengths_B, torch.Generator(), 0.5)
    codes: list[torch.Tensor] = [passed.lengths_B, passed.x_hat_BK.flatten(1)[:, 0]]  # and the cost
    _visit(passed.codes, codes.append)
    learnt = [tensor for tensor in codes if tensor.requires_grad]
    static = passed.codes.static.sample.shape[-1]
    dynamic = passed.codes.dynamic.sample.shape[-1] + passed.codes.dynamic.state.shape[-1]
    return Facts(
        parameters=steps.parameters,
        multiply_adds=computed / rows,
        coordinates=static + point.length * dynamic,
        gathered=sum(tensor.nbytes for tensor in codes) // rows,
        summed=sum(tensor.nbytes for tensor in learnt) // rows,
        collectives=len({tensor.dtype for tensor in codes}) + 1 + len(learnt),
        drawn=drawn // rows,
    )


def in_a_process(point: Point, channels: int) -> dict[str, float]:
    asked = json.dumps({**asdict(point), "channels": channels})
    done = subprocess.run(
        [sys.executable, __file__, "--point", asked], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


# -- the page -------------------------------------------------------------------------------------


def fit_table(fits: dict[str, Fit], units: dict[str, tuple[float, str]]) -> Iterator[str]:
    yield f"| model of | {' | '.join(TERMS)} | largest error | median error |"
    yield f"|---|{'---|' * (len(TERMS) + 2)}"
    for name, fit in fits.items():
        factor, unit = units[name]
        costs = " | ".join(f"{factor * cost:.3g} {unit}" for cost in fit.cost_F)
        errors = np.abs(fit.errors_N)
        worst = fit.errors_N[errors.argmax()]
        yield f"| {name} | {costs} | {worst:+.0%} | {np.median(errors):.0%} |"


def point_table(
    points: Sequence[Point], found: Sequence[dict[str, float]], fits: dict[str, Fit]
) -> Iterator[str]:
    yield "| batch | steps | frames | a step | model | error | peak memory | model | error |"
    yield "|---|---|---|---|---|---|---|---|---|"
    time_fit, memory_fit = fits["time"], fits["memory"]
    for n, (point, of) in enumerate(zip(points, found, strict=True)):
        yield (
            f"| {point.batch:,} | {point.length} | {point.size} x {point.size} | "
            f"{1e3 * of['seconds']:,.0f} ms | {1e3 * time_fit.at(point):,.0f} ms | "
            f"{time_fit.errors_N[n]:+.0%} | {of['megabytes']:,.0f} MB | "
            f"{memory_fit.at(point):,.0f} MB | {memory_fit.errors_N[n]:+.0%} |"
        )


def draw_picture(
    groups: dict[str, list[Point]], found: dict[Point, dict[str, float]], fit: Fit,
    facts: Facts, hardware: Hardware, rows: int, path: Path,
) -> None:  # fmt: skip
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.8), layout="constrained")
    axes = figure.subplots(1, 4)
    for panel, name in zip(axes, ("batch", "length", "size"), strict=False):
        x = [getattr(point, name) for point in groups[name]]
        panel.loglog(x, [found[point]["seconds"] for point in groups[name]], "o", label="measured")
        panel.loglog(x, [fit.at(point) for point in groups[name]], "-", label="model")
        panel.set(xlabel=name, ylabel="seconds a step, one thread")
        panel.set_xticks(x, [f"{value:,}" for value in x])
        panel.minorticks_off()
    axes[0].legend(frameon=False)
    for part in ("nets", *PARTS):
        steps = [step_on_ranks(facts, hardware, ranks, rows) for ranks in RANKS]
        axes[3].loglog(RANKS, [getattr(step, part) or np.nan for step in steps], label=part)
    axes[3].set(xlabel="GPUs (arithmetic)", ylabel="seconds a step")
    axes[3].legend(frameon=False, fontsize="x-small")
    figure.savefig(path, dpi=120)


def page(asked: argparse.Namespace) -> str:
    torch.set_num_threads(1)
    groups, found = TINY if asked.tiny else POINTS, {}
    for point in [point for group in groups.values() for point in group]:
        if point not in found:
            found[point] = in_a_process(point, 16)
            print(point, found[point], flush=True)
    widths = {} if asked.tiny else {n: in_a_process(BASE, n) for n in CHANNELS}
    points = list(found)
    fits = {
        "time": fitted(points, [found[point]["seconds"] for point in points]),
        "memory": fitted(points, [found[point]["megabytes"] for point in points]),
    }
    facts = count(Point(4, 2, 16) if asked.tiny else BASE)
    drawn, _ = seconds_of(lambda: torch.randn(10_000_000))
    hardware = Hardware(asked.flops, asked.network, asked.latency, 10_000_000 / drawn)
    reached = replace(hardware, flops=asked.reached, floor=asked.floor)
    picture = ""
    if asked.page:
        path = asked.page.with_suffix(".png")
        draw_picture(groups, found, fits["time"], facts, reached, asked.rows, path)
        picture = f"![cost over batch, length, size and GPUs]({path.name})"
    about = (__doc__ or "").split("\n\n")
    parts = [
        "# What a step costs, and where it leads",
        about[2].strip(),
        f"- command: `{shlex.join(['python', *sys.argv])}`\n- machine: {machine()}, one thread\n"
        f"- versions: {versions('torch', 'scipy', 'genzoo-rwae')}\n- seed: 0",
        "## Measured",
        "\n".join(point_table(points, [found[point] for point in points], fits)),
        "\n".join(fit_table(fits, {"time": (1e3, "ms"), "memory": (1.0, "MB")})),
        "A pair is one of sequences that the MMD compares, at each step of the dynamic codes and "
        "once for the static ones. Other widths of the frame nets, which the models leave out:",
        "\n".join(
            [
                "| channels | parameters | a step | peak memory |",
                "|---|---|---|---|",
                *(
                    f"| {n} | {of['parameters'] / 1e6:.1f} M | {1e3 * of['seconds']:,.0f} ms | "
                    f"{of['megabytes']:,.0f} MB |"
                    for n, of in widths.items()
                ),
            ]
        ),
        picture,
        "## What is sent",
        f"Counted in the model: {facts.parameters:,} parameters, whose gradients are averaged "
        f"({4 * facts.parameters / 1e6:.1f} MB a step, whatever the batch); for every sequence of "
        f"the global batch {facts.gathered:,} bytes of codes and cost that each rank gathers, and "
        f"{facts.summed:,} bytes of gradients that are summed over ranks, in {facts.collectives} "
        f"operations; {facts.drawn:,} random numbers that every rank draws; "
        f"{facts.multiply_adds / 1e9:.3g} billion multiply-adds.",
        "## Many GPUs",
        f"**Arithmetic, not a measurement**: {asked.rows} sequences a GPU. Operations and bytes "
        "are those counted above; the fits are of this processor and say nothing of GPUs. Assumed "
        f"are {asked.network:.3g} bytes a second into and out of a GPU, {asked.latency:.3g} s of a "
        f"collective for every doubling of the ranks. Measured here: {hardware.draws:.3g} random "
        "numbers a second. The parts follow one another; nothing overlaps. How fast a GPU is, is "
        "taken in two ways, and what breaks first depends on it.",
        "### GPUs as one was measured",
        f"{reached.flops:.3g} floating-point operations a second, and no step below "
        f"{1e3 * reached.floor:.0f} ms, which launching kernels takes: what the usual nets reach "
        "on an H200 with batches of 256 in bfloat16, and take with batches of 16 "
        "([on a GPU](gpu.md)). For the pairs of the MMD the same rate is assumed.",
        "\n".join(rank_table(facts, reached, asked.rows)),
        "What breaks first, by when it takes a tenth of the nets' time:",
        "\n".join(breaking(facts, reached, asked.rows)),
        "### GPUs that nets keep busy",
        f"{asked.flops:.3g} floating-point operations a second, whatever the batch, which nobody "
        "has measured: as if kernels were fused and launched at no cost. All that is not nets is "
        "noticed the sooner.",
        "\n".join(rank_table(facts, hardware, asked.rows)),
        "\n".join(breaking(facts, hardware, asked.rows)),
        floor_line(facts, hardware),
        "## 10⁹ clips",
        f"Of {CLIP:,} bytes each, {CLIPS * CLIP / 1e12:.0f} TB. Assumed: {asked.disc:.3g} bytes a "
        "second of the disc that checkpoints go to.",
        "\n".join(data_table(facts, reached, asked.rows, asked.disc)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, nargs="?", help="where to write; default: print")
    parser.add_argument("--tiny", action="store_true", help="a few small points, to try the script")
    parser.add_argument("--rows", type=int, default=64, help="sequences a GPU [64]")
    parser.add_argument("--flops", type=float, default=5e13, help="of a GPU, a second [5e13]")
    # docs/performance/gpu.md: 256 sequences of 5.1e9 multiply-adds in 166 ms; 16 of them in 44 ms
    parser.add_argument("--reached", type=float, default=1.6e13, help="as measured [1.6e13]")
    parser.add_argument("--floor", type=float, default=0.044, help="seconds of a step [0.044]")
    parser.add_argument("--network", type=float, default=25e9, help="bytes a second [25e9]")
    parser.add_argument("--latency", type=float, default=1e-5, help="seconds a doubling [1e-5]")
    parser.add_argument("--disc", type=float, default=1e9, help="bytes a second [1e9]")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        torch.set_num_threads(1)
        point = json.loads(asked.point)
        channels = point.pop("channels")
        print(json.dumps(measure(Point(**point), channels)))
        sys.exit()
    text = page(asked)
    print(text) if asked.page is None else asked.page.write_text(text)
