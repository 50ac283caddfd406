"""What a step of training costs on one core, and where the time goes.

    python benchmarks/step.py docs/performance/step.md

A step is forward, backward, optimiser and critics, as training takes it. Times are seconds of
processor of one thread, the shortest of several turns: the machine is shared. `plain` is the same
step in float32 with every map channels-first, in a process that gives freed memory back to the
system, as torch leaves it. Frames are those of the spec's own data where they are there, else noise
of the same shape; the shares of a step are told by torch's profiler, by the kind of operation, of
steps that get hardly a new page: the profiler's own memory lies between that of the first ones. A
gradient counts where its operation does, the LSTM of a head that goes step by step as LSTM, and a
transposed convolution that is computed as another, with its pixels put in place, as convolution.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from genzoo_rwae_kernels import halving
from genzoo_rwae_plugins.frames.maps import FromMap
from genzoo_rwae_plugins.heads.dynamic import LstmHead
from genzoo_rwae_plugins.penalties.mmd import mmd
from measuring import machine, peak, versions
from rich.console import Console
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

import genzoo_rwae as gz
from genzoo_rwae.assemble import assemble, open_split
from genzoo_rwae.run_folder import RunFolder
from genzoo_rwae.sequences import Batch, DataInfo, SequenceData
from genzoo_rwae.spec import load_spec
from genzoo_rwae.training.loop import Trainer
from genzoo_rwae.training.memory import keep_freed_memory

USUAL = Path(__file__).with_name("usual-nets.yaml")
CASES = {
    "the family's usual nets": str(USUAL),
    "zoo:sprites-rwae-mmd": "zoo:sprites-rwae-mmd",
    "zoo:sprites-priced-mmd": "zoo:sprites-priced-mmd",
}
PLAIN = ["train.precision=float32", "train.layout=contiguous"]
ENCODERS = {
    "lstm": "{use: lstm, hidden: 256, frames: {use: conv, channels: 32}}",
    "conv-lstm": "{use: conv-lstm, channels: 32, hidden: 88}",
    "transformer": "{use: transformer, hidden: 128, frames: {use: conv, channels: 32}}",
    "transformer, patches of 8": "{use: transformer, hidden: 224, patch: 8}",
}
CHANNELS, BATCHES = (16, 24, 32, 48), (16, 64, 128)  # of zoo:sprites-rwae-mmd, one at a time
# what is wanted: sequences a second, times as fast as plain, MB
RATES = {"the family's usual nets": 24.0, "zoo:sprites-rwae-mmd": 75.0}
GAINS = {"the family's usual nets": 2.3}
MEMORY = 900.0
OTHERS = {"the family's usual nets": 15.0, "zoo:sprites-rwae-mmd": 15.0}  # % of a step
ENCODER = 1.5  # times the step of the LSTM encoder
NETS = ("convolution", "LSTM and linear")  # kinds; what is none of them are the others
WARM_UP, PROFILED = 2, 4  # steps
LOOKED_AT, FEW = 60, 64  # steps that are profiled at most; one counts with fewer new pages
KEPT, LEFT = "this step counts", "this step does not"
WIDE, LONG = 256, 100  # sequences and steps of the penalty that has to stay small

# a word in the name of an operation, or of one that called it -> kind; the first that fits
KINDS = {
    "Optimizer.step": "optimiser",
    "_foreach": "optimiser",
    "penalties": "penalties and prices",
    "_Contrast": "penalties and prices",
    "onvolution": "convolution",
    "_Halving": "convolution",
    "_Doubling": "convolution",
    "_norm": "normalisation",
    "Norm": "normalisation",
    "rnn": "LSTM and linear",
    "lstm": "LSTM and linear",
    "aten::mm": "LSTM and linear",
    "aten::addmm": "LSTM and linear",
    "leaky_relu": "leaky ReLU",
    "copy_": "copies",
    "aten::index": "copies",
    "aten::cat": "copies",
}


class Noise(SequenceData):
    """Frames of noise, in the shape of Sprites if nothing else is said, for machines without them.

    Args:
        length: T.
        size: side of a frame in pixels.
        count: how many sequences there are.
    """

    def __init__(self, length: int = 8, size: int = 64, count: int = 512) -> None:
        self.info, self.count = DataInfo((3, size, size), length, True), count

    def __len__(self) -> int:
        return self.count

    def take(self, indices_B: np.ndarray, /, *, draw: int = 0) -> Batch:
        draws = np.random.default_rng(int(indices_B[0]))
        length, (channels, *sides) = self.info.length, self.info.frame_shape
        shape = (len(indices_B), length, *sides, channels)
        frames = draws.integers(0, 256, shape, dtype=np.uint8)
        lengths_B = torch.full((len(indices_B),), length)
        x_BT = torch.from_numpy(frames).permute(0, 1, 4, 2, 3)
        return Batch(x_BT, lengths_B, torch.from_numpy(indices_B))


class Steps:
    """Steps of training of a spec, one at a time.

    Args:
        spec: file or name.
        settings: over the spec's, as `key=value`.
        data: in place of the spec's.
    """

    def __init__(
        self, spec: str, settings: Sequence[str], data: SequenceData | None = None
    ) -> None:
        zoo = gz.Zoo()
        loaded = load_spec(spec, zoo=zoo, settings=[*settings, "train.threads=1"])
        try:
            self.data = data or open_split(loaded, "train")
        except gz.DataError:
            self.data = Noise()
        self.folder = tempfile.TemporaryDirectory()
        run = RunFolder.prepare(Path(self.folder.name), loaded)
        assembled = assemble(loaded, self.data.info)
        quiet = Console(quiet=True)
        self.trainer = Trainer(loaded, assembled, self.data, self.data, run, zoo, quiet)
        self.trainer.step_module.train()
        self.size = self.trainer.batches.size
        self.given = [self.trainer.batches.at(step) for step in range(4)]
        if set(PLAIN) <= set(settings):
            for part in assembled.model.modules():
                if isinstance(part, FromMap):  # else its maps begin channels-last
                    part.layers.register_forward_pre_hook(lambda _, maps: (maps[0].contiguous(),))
        for _ in range(WARM_UP):
            self()

    def __call__(self) -> None:
        trainer = self.trainer
        trainer._train_step(self.given[trainer.step % 4], _Clock())
        trainer.step += 1

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.trainer.model.parameters())


class _Clock:
    """Stands for the loop's own, whose rate nobody wants here."""

    def rate(self, count: int) -> float:
        return 0.0


def shortest(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of processor of every call, the least of rounds in which each has its turn."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - began)
    return best


def products_a_second(dtype: torch.dtype) -> float:
    """Multiply-adds a second of a product of 2,048 x 2,048 matrices."""
    a = torch.randn(2048, 2048).to(dtype)
    return 2048**3 / shortest({"product": lambda: a @ a}, 8)["product"]


def multiply_adds(steps: Callable[[], object]) -> float:
    """Of convolutions and products; fused LSTMs and attention are taken apart to be counted."""
    apart = (torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH))
    # four pixels at a place are drawn by kernels that are mostly zeros
    sparse = patch.object(halving, "_NARROW", 0)
    with FlopCounterMode(display=False) as counter, apart[0], apart[1], sparse:
        steps()
    return counter.get_total_flops() / 2


def shares(steps: Steps) -> Counter[str]:
    """Kind of operation -> its share of a step."""
    terms, values = steps.trainer.objective, steps.trainer.objective._values
    by_parts = LstmHead._by_parts

    def penalties(*given: object) -> object:
        with record_function("penalties"):
            return list(values(*given))

    def lstm(head: LstmHead, features_BTH: Tensor) -> Callable[..., object]:
        stepped = by_parts(head, features_BTH)

        def scoped(*given: object) -> object:
            with record_function("lstm"):
                return stepped(*given)

        return scoped

    by_places = halving._by_places

    def doubled(*given: Any) -> Tensor:
        with record_function("convolution"):
            return by_places(*given)

    inside = (
        patch.object(terms, "_values", penalties),
        patch.object(LstmHead, "_by_parts", lstm),
        patch.object(halving, "_by_places", doubled),
    )
    kept = 0
    with ExitStack() as held:
        for one in inside:
            held.enter_context(one)
        seen = held.enter_context(profile(activities=[ProfilerActivity.CPU]))
        for _ in range(LOOKED_AT):
            before = new_pages()
            steps()
            counts = new_pages() - before < FEW
            with record_function(KEPT if counts else LEFT):
                kept += counts
            if kept == PROFILED:
                break
        else:
            raise SystemExit(f"{kept} of {LOOKED_AT} profiled steps got fewer than {FEW} new pages")
    events = sorted(seen.events(), key=lambda event: event.time_range.start)
    # the last of a number is the operation that a gradient goes back through
    numbered = (event for event in events if event.sequence_nr >= 0)
    forward = {event.sequence_nr: event for event in numbered if not event.fwd_thread}
    found: Counter[str] = Counter()
    of_step: Counter[str] = Counter()
    for event in events:
        if event.name in (KEPT, LEFT):
            found.update(of_step if event.name == KEPT else {})
            of_step.clear()
        else:
            of_step[_kind(event, forward)] += event.self_cpu_time_total
    total = sum(found.values())
    return Counter({kind: time / total for kind, time in found.items()})


def _kind(event: Any, forward: Mapping[int, Any]) -> str:
    """By its own name, those of its callers, and those of the operation whose gradient it makes."""
    names = []
    while event is not None:
        names.append(event.name)
        is_gradient = event.fwd_thread and event.cpu_parent is None
        event = forward.get(event.sequence_nr) if is_gradient else event.cpu_parent
    fits = (kind for word, kind in KINDS.items() if any(word in name for name in names))
    return next(fits, "the rest")


def peak_megabytes(spec: str) -> float:
    """Peak resident memory of a process that trains for a few steps."""
    command = [sys.executable, __file__, "--peak", spec]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Plain(NamedTuple):
    """A plain step, in a process that leaves memory to the C library."""

    seconds: float
    pages: int


def plain_step(spec: str, rounds: int) -> Plain:
    command = [sys.executable, __file__, "--plain", spec, "--rounds", str(rounds)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return Plain(float(told[0]), int(told[1]))


def new_pages_of(steps: Steps) -> int:
    """Pages that the system gives in a step, the fewest of three."""
    counts = []
    for _ in range(3):
        before = new_pages()
        steps()
        counts.append(new_pages() - before)
    return min(counts)


def new_pages() -> int:
    """Pages that the system has given this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def page(rounds: int) -> str:
    torch.set_num_threads(1)
    peaks = {dtype: products_a_second(dtype) for dtype in (torch.bfloat16, torch.float32)}
    keep_freed_memory()
    rows, parts, waits, said, new_pages = [], {}, [], [], []
    for name, spec in CASES.items():
        ours, kept = Steps(spec, []), Steps(spec, PLAIN)
        first = plain_step(spec, rounds)
        best = shortest({"ours": ours, "plain, memory kept": kept}, rounds)
        then = plain_step(spec, rounds)  # once before and once after: the machine is shared
        best["plain"], pages = min(first.seconds, then.seconds), then.pages
        new_pages.append(f"{name}: {new_pages_of(ours):,} (plain {pages:,})")
        rate = ours.size / best["ours"]
        bound = multiply_adds(ours) / peaks[torch.bfloat16]
        rows.append(
            f"| {name} | {ours.parameters / 1e6:.1f} M | {1e3 * best['ours']:,.0f} ms | "
            f"{rate:.1f} | {best['plain'] / best['ours']:.2f} | "
            f"{best['plain, memory kept'] / best['ours']:.2f} | {1e3 * bound:,.0f} ms | "
            f"{bound / best['ours']:.0%} |"
        )
        print(rows[-1], flush=True)
        said += verdicts(name, rate, best["plain"] / best["ours"], ours.size / bound)
        parts[name] = shares(ours)
        if name in OTHERS:
            said.append(others_line(name, parts[name], best["ours"], ours.size))
        take = shortest({"take": partial(_take, ours, iter(range(8)))}, 8)["take"]
        waits.append(f"{name}: {take / best['ours']:.1%} ({type(ours.data).__name__.strip('_')})")
    kinds = dict.fromkeys(kind for found in parts.values() for kind, _ in found.most_common())
    profile_rows = [
        f"| {kind} | {' | '.join(f'{found[kind]:.1%}' for found in parts.values())} |"
        for kind in kinds
    ]
    encoder_steps = {
        name: Steps("zoo:sprites-rwae-mmd", [f"model.encoder={text}"])
        for name, text in ENCODERS.items()
    }
    times = shortest(encoder_steps, rounds)
    work = {name: multiply_adds(steps) for name, steps in encoder_steps.items()}
    encoder_rows = [
        f"| {name} | {sum(p.numel() for p in steps.trainer.model.encoder.parameters()):,} | "
        f"{1e3 * times[name]:,.0f} ms | {times[name] / times['lstm']:.2f} | "
        f"{work[name] / work['lstm']:.2f} |"
        for name, steps in encoder_steps.items()
    ]
    said += [
        _said(f"the encoder {name}", times[name] / times["lstm"], ENCODER, "times that of lstm")
        for name in list(ENCODERS)[1:]
    ]
    both = "model.{}.frames.channels={}"
    size_rows = [
        size_row(
            f"{channels} channels",
            [both.format(half, channels) for half in ("encoder", "decoder")],
            rounds,
        )
        for channels in CHANNELS
    ]
    size_rows += [size_row(f"batch {batch}", [f"data.batch={batch}"], rounds) for batch in BATCHES]
    megabytes = peak_megabytes(str(USUAL))
    about = (__doc__ or "").split("\n\n")
    return "\n".join(
        [
            "# A step of training on one core",
            "",
            about[2].strip(),
            "",
            f"- command: `{shlex.join(['python', *sys.argv])}`",
            f"- machine: {machine()}, one thread",
            f"- versions: {versions('torch', 'genzoo-rwae')}",
            "- seed: 0, that of the specs",
            "- a product of 2,048 x 2,048 matrices, in the same run: "
            + ", ".join(
                f"{rate / 1e9:.0f} billion multiply-adds a second in "
                f"{str(dtype).removeprefix('torch.')}"
                for dtype, rate in peaks.items()
            ),
            "",
            "| nets | parameters | a step | sequences a second | times as fast as plain | as plain "
            "with freed memory kept | its multiply-adds alone | share of the step |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "`Its multiply-adds alone`: what convolutions, LSTMs and linear layers would take "
            "at the speed of the product above.",
            "",
            *said,
            _said("peak memory of a process that trains the usual nets", megabytes, MEMORY, "MB"),
            "",
            "## Where the time goes",
            "",
            f"| kind | {' | '.join(parts)} |",
            f"|---|{'---|' * len(parts)}",
            *profile_rows,
            "",
            "Making a batch, which a thread does one step ahead, in shares of a step's processor "
            f"time: {'; '.join(waits)}.",
            "",
            f"New pages that a step gets from the system: {'; '.join(new_pages)}.",
            "",
            "All but convolutions and products takes a smaller share where there is more of these: "
            "zoo:sprites-rwae-mmd with wider nets, or larger batches.",
            "",
            "| zoo:sprites-rwae-mmd | a step | sequences a second | all but convolutions and "
            "products |",
            "|---|---|---|---|",
            *size_rows,
            "",
            f"An MMD of {WIDE} sequences of {LONG} steps, codes 16 wide beside a state of 128, "
            f"takes {_penalty_share(rows_seconds=times['lstm'])}.",
            "",
            "## Encoders",
            "",
            "zoo:sprites-rwae-mmd with other encoders of about as many parameters. At equal "
            "parameters an encoder is the dearer the more often it uses each: an LSTM's once a "
            "frame, a conv-LSTM's at every place of its maps, a transformer's on patches for every "
            "patch. The last column says how many multiply-adds of convolutions and products a "
            "whole step has, beside that of `lstm`.",
            "",
            "| encoder | its parameters | a step | times that of lstm | multiply-adds, times |",
            "|---|---|---|---|---|",
            *encoder_rows,
            "",
        ]
    )


def size_row(name: str, settings: Sequence[str], rounds: int) -> str:
    """A line on zoo:sprites-rwae-mmd of another size."""
    steps = Steps("zoo:sprites-rwae-mmd", settings)
    seconds = shortest({"step": steps}, rounds)["step"]
    rate = steps.size / seconds
    return f"| {name} | {1e3 * seconds:,.0f} ms | {rate:.0f} | {others_of(shares(steps)):.1%} |"


def others_of(found: Mapping[str, float]) -> float:
    """The share of what is no convolution or product."""
    return 1 - sum(found[kind] for kind in NETS)


def verdicts(name: str, rate: float, gain: float, bound: float) -> list[str]:
    """Lines on what was wanted of a case; `bound` is the rate that multiply-adds alone allow."""
    lines = []
    if name in RATES:
        allows = f" (its multiply-adds alone allow {bound:.1f})"
        lines.append(_said(name, rate, RATES[name], "sequences a second") + allows)
    if name in GAINS:
        lines.append(_said(name, gain, GAINS[name], "times plain"))
    return lines


def others_line(name: str, found: Mapping[str, float], seconds: float, size: int) -> str:
    """A line on what is no convolution or product, as a share and in milliseconds.

    The share rises when convolutions get faster. So it is also told of a step that takes as long as
    the wanted rate allows.
    """
    others = others_of(found)
    line = _said(f"{name}, all but convolutions and products", 100 * others, OTHERS[name], "%")
    at_rate = others * seconds * RATES[name] / size
    return (
        f"{line} ({1e3 * others * seconds:.0f} ms; {at_rate:.1%} of a step at {RATES[name]:g} "
        "sequences a second)"
    )


def _said(what: str, found: float, wanted: float, unit: str) -> str:
    """A line on one figure; speeds are to be above what is wanted, all else below."""
    above = unit in ("sequences a second", "times plain")
    reached = found >= wanted if above else found <= wanted
    sign = "at least" if above else "at most"
    return f"- {what}: {found:,.2f} {unit}; {sign} {wanted:g}: {'yes' if reached else 'NO'}"


def _take(steps: Steps, numbers: Iterator[int]) -> None:
    steps.trainer.batches.at(next(numbers))


def _penalty_share(rows_seconds: float) -> str:
    """Of a step of that many sequences, whose nets cost as much a frame as those of a small one."""
    q_TND, p_TND = torch.randn(2, LONG, WIDE, 16 + 128)
    q_TND.requires_grad_()
    seconds = shortest({"mmd": lambda: mmd(q_TND, p_TND, True, None, None).sum().backward()}, 4)
    step = rows_seconds * WIDE * LONG / (16 * 8)
    return (
        f"{1e3 * seconds['mmd']:,.0f} ms with its gradient: {seconds['mmd'] / step:.1%} of a step "
        "of such a batch, by the cost a frame of the step with the LSTM encoder below"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, nargs="?", help="where to write; default: print")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plain:
        torch.set_num_threads(1)
        steps = Steps(asked.plain, PLAIN)
        print(shortest({"plain": steps}, asked.rounds)["plain"], new_pages_of(steps))
        sys.exit()
    if asked.peak:
        torch.set_num_threads(1)
        keep_freed_memory()
        steps = Steps(asked.peak, [])
        for _ in range(4):
            steps()
        print(peak())
        sys.exit()
    text = page(asked.rounds)
    print(text) if asked.page is None else asked.page.write_text(text)
