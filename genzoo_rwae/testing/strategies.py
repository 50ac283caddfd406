"""Hypothesis strategies for what components are given: samples, laws, weights, lengths.

Numbers are multiples of 1/8, so that an example can be read, and adding an offset loses nothing;
what shrinks, shrinks to few rows of zeros.

Shapes: T steps, N rows of q, M rows of p, D code width, B batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.codes import Categorical, DiagonalGaussian

__all__ = [
    "Pair",
    "laws",
    "lengths",
    "pairs_of_categoricals",
    "pairs_of_laws",
    "pairs_of_samples",
    "samples",
    "seeded",
    "weights",
    "with_seed",
]

Range = tuple[int, int]
"""Smallest and largest."""

_LARGEST = 24  # eighths: numbers from -3 to 3


@dataclass(frozen=True)
class Pair:
    """What a penalty or an estimator compares.

    Attributes:
        q: [..., N, D], or the laws of N rows.
        p: [..., M, D], or the laws of M rows.
    """

    q: Any
    p: Any


@st.composite
def samples(
    draw: st.DrawFn,
    *,
    rows: Range = (2, 6),
    width: Range = (1, 3),
    steps: Range | None = None,
    offsets: Sequence[float] = (0.0,),
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    generic: bool = False,
) -> Tensor:
    """A sample [N, D], or [T, N, D].

    Args:
        rows: N, smallest and largest.
        width: D.
        steps: T; None: there is no such axis.
        offsets: one of them is added to all entries.
        dtypes: one of them is taken.
        generic: a seeded Gaussian of which no two numbers coincide; such a sample shrinks in size
            only.
    """
    shape = [] if steps is None else [draw(st.integers(*steps))]
    shape += [draw(st.integers(*rows)), draw(st.integers(*width))]
    return draw(_entries(shape, offsets, dtypes, generic))


@st.composite
def pairs_of_samples(
    draw: st.DrawFn,
    *,
    rows: Range = (2, 6),
    width: Range = (1, 3),
    steps: Range | None = None,
    offsets: Sequence[float] = (0.0,),
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    generic: bool = False,
    equal_sizes: bool = True,
    apart: Sequence[float] = (0.0,),
) -> Pair:
    """Two samples of one width, dtype and offset; see `samples`.

    Args:
        equal_sizes: N = M; if not, both are drawn.
        apart: one of them is added to q alone.
    """
    lead = [] if steps is None else [draw(st.integers(*steps))]
    n = draw(st.integers(*rows))
    m = n if equal_sizes else draw(st.integers(*rows))
    columns = draw(st.integers(*width))
    offset, dtype = draw(st.sampled_from(offsets)), draw(st.sampled_from(dtypes))
    q_ND = draw(_entries([*lead, n, columns], [offset], [dtype], generic))
    p_MD = draw(_entries([*lead, m, columns], [offset], [dtype], generic, salt=1000))
    return Pair(q_ND + draw(st.sampled_from(apart)), p_MD)


@st.composite
def laws(
    draw: st.DrawFn,
    *,
    rows: Range = (1, 5),
    width: Range = (1, 3),
    steps: Range | None = None,
    offsets: Sequence[float] = (0.0,),
    dtypes: Sequence[torch.dtype] = (torch.float32,),
) -> DiagonalGaussian:
    """Diagonal Gaussians with means [N, D] (or [T, N, D]) and log-variances from -3 to 1."""
    mean = draw(samples(rows=rows, width=width, steps=steps, offsets=offsets, dtypes=dtypes))
    return DiagonalGaussian(mean, draw(_log_variance(mean)))


@st.composite
def pairs_of_laws(
    draw: st.DrawFn,
    *,
    rows: Range = (1, 5),
    width: Range = (1, 3),
    steps: Range | None = None,
    offsets: Sequence[float] = (0.0,),
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    apart: Sequence[float] = (0.0,),
) -> Pair:
    """Laws of one shape and dtype; see `laws` and `pairs_of_samples`."""
    means = draw(
        pairs_of_samples(
            rows=rows, width=width, steps=steps, offsets=offsets, dtypes=dtypes, apart=apart
        )
    )
    q, p = (DiagonalGaussian(mean, draw(_log_variance(mean))) for mean in (means.q, means.p))
    return Pair(q, p)


def pairs_of_categoricals(
    *,
    rows: Range = (1, 5),
    classes: Range = (2, 4),
    steps: Range | None = None,
    offsets: Sequence[float] = (0.0,),
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    apart: Sequence[float] = (0.0,),
) -> SearchStrategy[Pair]:
    """Categorical laws of one shape and dtype; their logits as of `pairs_of_samples`."""
    logits = pairs_of_samples(
        rows=rows, width=classes, steps=steps, offsets=offsets, dtypes=dtypes, apart=apart
    )
    return logits.map(lambda pair: Pair(Categorical(pair.q), Categorical(pair.p)))


@st.composite
def weights(
    draw: st.DrawFn, rows: int, *, steps: int | None = None, fewest: int = 2, masks: bool = False
) -> Tensor:
    """Weights [N] (or [T, N]) >= 0, of which at least `fewest` of every step are above 0.

    Args:
        rows: N.
        steps: T; None: there is no such axis.
        fewest: rows that count at every step.
        masks: of zeros and ones only.
    """
    heaviest = 1 if masks else 4

    def row() -> list[float]:
        drawn = list(draw(st.tuples(*[st.integers(0, heaviest)] * rows)))
        missing = max(0, min(fewest, rows) - sum(weight > 0 for weight in drawn))
        for place in [i for i, weight in enumerate(drawn) if not weight][:missing]:
            drawn[place] = 1
        return [float(weight) for weight in drawn]

    return torch.tensor(row() if steps is None else [row() for _ in range(steps)])


@st.composite
def lengths(draw: st.DrawFn, *, batch: Range = (1, 4), longest: Range = (1, 5)) -> Tensor:
    """True lengths [B] int64 of padded sequences, 1 <= length <= T."""
    most = draw(st.integers(*longest))
    size = draw(st.integers(*batch))
    return torch.tensor(draw(st.tuples(*[st.integers(1, most)] * size)))


def seeded(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A standard Gaussian sample of its seed alone, to three places."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn.mul(1000).round() / 1000).to(dtype)


@contextmanager
def with_seed(seed: int) -> Iterator[None]:
    """Torch's generator at a seed, and afterwards where it was.

    Not by torch.manual_seed, which takes milliseconds where there is no accelerator.
    """
    kept = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(kept)


@st.composite
def _entries(
    draw: st.DrawFn,
    shape: Sequence[int],
    offsets: Sequence[float],
    dtypes: Sequence[torch.dtype],
    generic: bool,
    salt: int = 0,
) -> Tensor:
    offset, dtype = draw(st.sampled_from(offsets)), draw(st.sampled_from(dtypes))
    if generic:
        seed = salt + draw(st.integers(0, 999))
        entries = seeded(seed, *shape, dtype=torch.float64)
        # three places do not always tell them apart
        while len(set(entries.flatten().tolist())) < entries.numel():
            seed += 2000
            entries = seeded(seed, *shape, dtype=torch.float64)
    else:
        count = int(torch.Size(shape).numel())
        whole = st.tuples(*[st.integers(-_LARGEST, _LARGEST)] * count)
        entries = torch.tensor(draw(whole), dtype=torch.float64).reshape(shape) / 8
    return (entries + offset).to(dtype)


def _log_variance(mean: Tensor) -> SearchStrategy[Tensor]:
    whole = st.tuples(*[st.integers(-12, 4)] * mean.numel())
    return whole.map(lambda drawn: torch.tensor(drawn, dtype=mean.dtype).reshape(mean.shape) / 4)
