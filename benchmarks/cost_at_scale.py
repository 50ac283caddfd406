"""What benchmarks/cost.py says of many GPUs and of more clips than a machine holds: its tables."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from cost_model import (
    Facts,
    Hardware,
    breaks_at,
    least_seconds,
    shards_for,
    smallest_shard,
    step_on_ranks,
)
from genzoo_rwae_plugins.sources.shard_order import ShardOrder

from genzoo_rwae.sequences import DataInfo
from genzoo_rwae.shards import INDEX, Shard, ShardIndex, SplitShards
from genzoo_rwae.shards.index import MOST_SHARDS

__all__ = [
    "CLIP",
    "CLIPS",
    "PARTS",
    "RANKS",
    "breaking",
    "data_table",
    "floor_line",
    "rank_table",
    "seconds_of",
]

T = TypeVar("T")
RANKS = (1, 8, 64, 256, 1000)
CLIPS, WINDOW = 1e9, 8
CLIP = 8 * 64 * 64 * 3  # bytes
SHARDS = (32e6, 512e6)  # bytes: what `genzoo data shard` writes by itself, and larger ones
PARTS = ("penalty", "gradients", "codes", "draws")


def seconds_of(call: Callable[[], T]) -> tuple[float, T]:
    """Of the processor, and what was made."""
    began = time.process_time()
    made = call()
    return time.process_time() - began, made


def rank_table(facts: Facts, hardware: Hardware, rows: int) -> Iterator[str]:
    yield (
        "| GPUs | global batch | nets | penalty | gradients of weights | codes and their gradients "
        "| draws | a step | nets' share | a pass over 10⁹ clips | times as fast as one |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    alone = step_on_ranks(facts, hardware, 1, rows).total
    for ranks in RANKS:
        step = step_on_ranks(facts, hardware, ranks, rows)
        parts = " | ".join(f"{1e3 * getattr(step, part):,.2f} ms" for part in ("nets", *PARTS))
        hours = CLIPS / (ranks * rows) * step.total / 3600
        yield (
            f"| {ranks:,} | {ranks * rows:,} | {parts} | {1e3 * step.total:,.1f} ms | "
            f"{step.nets / step.total:.0%} | {hours:,.1f} h | {ranks * alone / step.total:,.1f} |"
        )


def floor_line(facts: Facts, hardware: Hardware) -> str:
    """What no number of GPUs goes below."""
    hours = least_seconds(facts, hardware, CLIPS) / 3600
    return (
        f"However many GPUs there are, a pass over 10⁹ clips takes {hours:,.2f} h at least: every "
        "rank draws for every clip, and gets its codes and their gradients."
    )


def breaking(facts: Facts, hardware: Hardware, rows: int) -> Iterator[str]:
    """What breaks first, the first one first."""
    answers = {
        "penalty": "The MMD of the whole batch, O(B²/R) a rank: `estimator: block` or "
        "`random-features` are linear in the batch.",
        "gradients": "Averaging the gradients of weights, which hardly grows with the ranks: DDP "
        "sends them while the rest of backward runs, which is not counted here.",
        "codes": "Gathering codes and summing their gradients, O(B·D) a rank however many share "
        "the work, so that a smaller batch a rank does not help: fewer ranks do, and narrower "
        "states of the prior (`given: none` compares none, and they are still sent).",
        "draws": "Every rank draws the random numbers of the whole batch, so that they are those "
        "of one rank; a generator of its own for every row would end that, and there is none yet.",
    }
    found = [(breaks_at(facts, hardware, rows, part), part) for part in PARTS]
    for ranks, part in sorted(found, key=lambda one: one[0] or float("inf")):
        where = (
            f"from {ranks:,} GPU{'s' * (ranks > 1)} on"
            if ranks
            else "on no number of GPUs up to a million"
        )
        yield f"- **{part}**, {where}. {answers[part]}"


def data_table(facts: Facts, hardware: Hardware, rows: int, disc: float) -> Iterator[str]:
    """What grows with the data and not with the model."""
    entry, numbers = bytes_an_entry(), 10_000_000
    permuted, _ = seconds_of(lambda: np.random.default_rng(0).permutation(numbers))
    yield "| what | at 10⁹ clips | what the design does |"
    yield "|---|---|---|"
    yield (
        f"| order of an epoch of any other source: a permutation | {8 * CLIPS / 1e9:.0f} GB and "
        f"{permuted * CLIPS / numbers:,.0f} s of every rank's processor an epoch (measured at "
        f"{numbers:,}) | the source `shards` orders shards, below |"
    )
    for size in SHARDS:
        shards = shards_for(CLIPS, CLIP, size)
        index = entry * shards
        refused = "**refused**" if shards > MOST_SHARDS else "written"
        counts_P = np.full(shards, round(size // CLIP))
        ordered, _ = seconds_of(
            lambda of=counts_P: ShardOrder(of, WINDOW, np.random.default_rng(0))
        )
        yield (
            f"| {shards:,} shards of {size / 1e6:.0f} MB | {INDEX} has {index / 1e6:.0f} MB: "
            f"{refused}, {MOST_SHARDS:,} shards are the most; {ordered:.1f} s and "
            f"{32 * shards / 1e6:.0f} MB for the order of an epoch; at most "
            f"{(WINDOW + 1) * size / 1e9:.1f} GB of shards mapped a rank; {shards:,} files looked "
            f"at by every rank at the start | `genzoo data shard --size`: "
            f"{smallest_shard(CLIPS, CLIP, MOST_SHARDS) / 1e6:,.0f} MB are the least |"
        )
    step = step_on_ranks(facts, hardware, RANKS[-1], rows)
    rate = RANKS[-1] * rows * CLIP / step.total
    yield (
        f"| reading, {RANKS[-1]:,} GPUs | {rate / 1e9:,.1f} GB/s in all, "
        f"{rate / RANKS[-1] / 1e6:,.0f} MB/s a GPU | one thread a rank makes the next batch while "
        "a step runs; the files lie where every rank can read them |"
    )
    saved = 12 * facts.parameters  # weights and two moments, float32
    yield (
        f"| a checkpoint | {saved / 1e6:,.0f} MB, {saved / disc:.2f} s while all wait | the first "
        "rank alone writes, every `train.save_every` seconds (60): that is what a lost machine "
        "costs; the order is no part of it, being a function of the step |"
    )


def bytes_an_entry() -> float:
    """What shards.json has for each shard."""
    info, sizes = DataInfo((3, 64, 64), 8, True), []
    with tempfile.TemporaryDirectory() as folder:
        for shards in (1_000, 2_000):
            every = tuple(
                Shard(f"train-{n:06}.safetensors", 325, 31_987_840, "0" * 64) for n in range(shards)
            )
            split = SplitShards(info, "uint8", False, every)
            empty = SplitShards(info, "uint8", False, ())
            ShardIndex("noise", {"train": split, "validation": empty, "test": empty}).write(
                Path(folder)
            )
            sizes.append((Path(folder) / INDEX).stat().st_size)
    return (sizes[1] - sizes[0]) / 1_000
