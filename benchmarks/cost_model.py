"""What a step of training costs: a model that is fitted to measured points, and carried on.

The cost of a step, in seconds or in megabytes, is taken as a sum of five terms that grow as its
pixels, its frames, its sequences, the pairs of sequences that an MMD compares at every step, and
not at all. Many ranks are arithmetic from there on, with figures of hardware that are assumed.

Shapes: N points, F terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

__all__ = [
    "TERMS",
    "Facts",
    "Fit",
    "Hardware",
    "Point",
    "Step",
    "breaks_at",
    "fitted",
    "shards_for",
    "smallest_shard",
    "step_on_ranks",
    "terms",
]

TERMS = ("a million pixels", "a frame", "a sequence", "a thousand pairs", "a step")
NOTICED = 0.1  # of the nets' time: from there on a part of a step counts as broken
MOST_RANKS = 2**20


@dataclass(frozen=True)
class Point:
    """The shape of a batch: sequences, steps of each, side of its frames in pixels."""

    batch: int
    length: int
    size: int


def terms(point: Point) -> np.ndarray:
    """How often a step has what each term is for: [F]."""
    frames = point.batch * point.length
    pairs = point.batch**2 * (point.length + 1)  # of the dynamic codes at every step, of the static
    return np.array([frames * point.size**2 / 1e6, frames, point.batch, pairs / 1e3, 1.0])


@dataclass(frozen=True)
class Fit:
    """The model of one cost.

    Attributes:
        cost_F: of each term, not negative.
        errors_N: (model − measured) / measured.
    """

    cost_F: np.ndarray
    errors_N: np.ndarray

    def at(self, point: Point) -> float:
        return float(terms(point) @ self.cost_F)


def fitted(points: Sequence[Point], measured: Sequence[float]) -> Fit:
    """The model with the least squares of relative errors, no term of which is negative."""
    counts_NF = np.stack([terms(point) for point in points])
    measured_N = np.asarray(measured, float)
    cost_F, _ = nnls(counts_NF / measured_N[:, None], np.ones(len(points)))
    return Fit(cost_F, counts_NF @ cost_F / measured_N - 1)


@dataclass(frozen=True)
class Facts:
    """What a model computes, sends and draws in a step; counted, not assumed.

    Attributes:
        parameters: whose gradients are averaged over ranks, in float32.
        multiply_adds: of the nets with their gradients, a sequence.
        coordinates: that the MMDs compare, all steps together.
        gathered: bytes of a sequence's codes and cost, which every rank gets of all sequences.
        summed: bytes of the gradients that come back for a sequence, summed over ranks.
        collectives: how many operations that makes.
        drawn: random numbers of a sequence; every rank draws those of all sequences.
    """

    parameters: int
    multiply_adds: float
    coordinates: int
    gathered: int
    summed: int
    collectives: int
    drawn: int


@dataclass(frozen=True)
class Hardware:
    """What is assumed of a GPU and what is round it.

    Attributes:
        flops: floating-point operations a second that nets and penalties reach.
        network: bytes a second into, and out of, a GPU.
        latency: seconds of a collective for every doubling of the ranks.
        draws: random numbers a second of a rank's processor.
        floor: seconds that the nets take however few the sequences, as for launching kernels.
    """

    flops: float
    network: float
    latency: float
    draws: float
    floor: float = 0.0


@dataclass(frozen=True)
class Step:
    """Seconds of a step, one part after the other.

    Attributes:
        nets: a rank's own sequences, forwards and backwards.
        penalty: its share of the pairs.
        gradients: averaging those of the weights.
        codes: gathering them, and summing their gradients.
        draws: the random numbers of the whole batch.
    """

    nets: float
    penalty: float
    gradients: float
    codes: float
    draws: float

    @property
    def total(self) -> float:
        return self.nets + self.penalty + self.gradients + self.codes + self.draws


def step_on_ranks(facts: Facts, hardware: Hardware, ranks: int, rows: int) -> Step:
    """A step of many ranks with so many sequences each; nothing overlaps."""
    batch = ranks * rows
    pairs = (2 * batch) ** 2 / 2
    others = (ranks - 1) / ranks
    hops = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    # a ring passes the sum on as often as it made it: twice the bytes of a gather
    averaged = 2 * others * 4 * facts.parameters
    carried = others * batch * (facts.gathered + 2 * facts.summed)
    return Step(
        nets=max(hardware.floor, 2 * facts.multiply_adds * rows / hardware.flops),
        # three multiply-adds a pair and coordinate (docs/performance/mmd.md)
        penalty=2 * 3 * facts.coordinates * pairs / ranks / hardware.flops,
        gradients=averaged / hardware.network + hops * hardware.latency,
        codes=carried / hardware.network + hops * hardware.latency * facts.collectives,
        draws=batch * facts.drawn / hardware.draws,
    )


def breaks_at(facts: Facts, hardware: Hardware, rows: int, part: str) -> int | None:
    """The least power of two of ranks on which a part takes a tenth of the nets' time."""
    ranks = 1
    while ranks <= MOST_RANKS:
        step = step_on_ranks(facts, hardware, ranks, rows)
        if getattr(step, part) > NOTICED * step.nets:
            return ranks
        ranks *= 2
    return None


def least_seconds(facts: Facts, hardware: Hardware, clips: float) -> float:
    """Of a pass over so many clips, however many ranks there are.

    Every rank draws the numbers of every clip, and gets its codes and their gradients.
    """
    carried = facts.gathered + 2 * facts.summed
    return clips * (carried / hardware.network + facts.drawn / hardware.draws)


def shards_for(clips: float, clip: float, shard: float) -> int:
    """How many shards of so many bytes hold clips of so many."""
    return math.ceil(clips / max(1, shard // clip))


def smallest_shard(clips: float, clip: float, most: int) -> float:
    """Bytes of the smallest shards of which there are no more than `most`."""
    return math.ceil(clips / most) * clip
