"""What must hold of a prior of the static code.

Shapes: B rows, D code width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from genzoo_rwae.testing.prior_subject import PriorSubject
from genzoo_rwae.testing.properties import (
    Property,
    expect,
    expect_gradients,
    expect_same,
    expect_shape,
    figure,
    property_of,
)
from genzoo_rwae.testing.strategies import seeded

__all__ = ["SAMPLES", "STATIC", "expect_density", "grid_over"]

SAMPLES = 4_000  # whose law is compared with the density


@dataclass(frozen=True)
class _Count:
    size: int
    count: int


def _counts(subject: PriorSubject) -> SearchStrategy[_Count]:
    return st.builds(_Count, st.integers(1, 4), st.integers(1, 4))


@property_of(_counts, count=6, mend="expand the law's parameters to [count, size]")
def law(subject: PriorSubject, drawn: _Count) -> None:
    """law(count) is one law `count` times, [count, size], finite."""
    found = subject.lively(drawn.size).law(drawn.count)
    shape = [drawn.count, drawn.size]
    z_BD = seeded(3, 1, drawn.size).expand(shape)
    typical_BD, density_B = found.typical(), found.log_density(z_BD)
    for name, tensor, wanted in (
        ("sample", found.sample(torch.Generator().manual_seed(0)), shape),
        ("typical", typical_BD, shape),
        ("log_density", density_B, shape[:1]),
    ):
        expect_shape(name, tensor, wanted)
        expect(tensor.isfinite().all(), f"{name} {tensor.flatten().tolist()}", "finite numbers")
    expect_same(typical_BD, typical_BD[:1].expand_as(typical_BD), "typical")
    expect_same(density_B, density_B[:1].expand_as(density_B), "log_density")


@property_of(
    lambda subject: st.just(3),
    count=2,
    mend="all randomness of sample comes from the generator that it is given",
)
def draws(subject: PriorSubject, size: int) -> None:
    """A generator's seed says what is drawn, whatever torch's own generator does."""
    found = subject.lively(size).law(8)
    drawn = []
    for seed, other in ((0, 1), (0, 2), (1, 2)):
        torch.default_generator.manual_seed(other)
        drawn.append(found.sample(torch.Generator().manual_seed(seed)).detach())
    expect_same(drawn[1], drawn[0], "the second sample")
    expect(not torch.equal(drawn[2], drawn[0]), "the same sample of another seed", "another one")


@property_of(
    lambda subject: st.just(1),
    count=1,
    mend="log_density has all its constants, and is that of what sample draws",
)
def density(subject: PriorSubject, size: int) -> None:
    """Of codes of one number, the density integrates to 1 and samples follow it."""
    prior = subject.lively(size)
    with torch.no_grad():
        drawn_N = prior.law(SAMPLES).sample(torch.Generator().manual_seed(0))[:, 0]
        grid_M = grid_over(drawn_N)
        log_density_M = prior.law(len(grid_M)).log_density(grid_M[:, None].float())
    expect_density(drawn_N, grid_M, log_density_M)


def grid_over(drawn_N: Tensor) -> Tensor:
    """Points from well below the least sample to well above the largest one [M]."""
    low, high, reach = drawn_N.double().min(), drawn_N.double().max(), 2 * drawn_N.double().std()
    return torch.linspace(float(low - reach), float(high + reach), 20_001, dtype=torch.float64)


def expect_density(drawn_N: Tensor, grid_M: Tensor, log_density_M: Tensor) -> None:
    """Raise Falsified unless a density over a grid integrates to 1 and samples follow it."""
    drawn_N, count = drawn_N.double().sort().values, len(drawn_N)
    mass_M = torch.cumulative_trapezoid(log_density_M.double().exp(), grid_M)
    total = float(mass_M[-1])
    expect(abs(total - 1) < 0.01, f"a density that integrates to {total:.4f}", "1")
    below_N = mass_M[torch.searchsorted(grid_M, drawn_N).sub(1).clamp(0, len(mass_M) - 1)]
    gap = (below_N - torch.arange(count).add(0.5) / count).abs().max()
    most = 2.2 / count**0.5  # Kolmogorov and Smirnov's distance at a level of 1e-4
    expect(gap < most, f"distribution functions that differ by {figure(gap)}", f"below {most:.3f}")


@property_of(
    lambda subject: st.just(3), count=1, mend="use the parameter, or drop it; look for .detach()"
)
def law_learns(subject: PriorSubject, size: int) -> None:
    """The gradient of its law reaches every parameter, if it has any."""
    prior = subject.lively(size)
    expect_gradients(prior, (prior.law(4).log_density(seeded(1, 4, size)) * seeded(2, 4)).sum())


@property_of(
    lambda subject: st.just(3),
    count=1,
    mend="keep what it learns in parameters and buffers, and no other state",
)
def law_state(subject: PriorSubject, size: int) -> None:
    """What state_dict saves brings another one to the same law."""
    prior, other = subject.lively(size), subject.fresh(size, seed=1).eval()
    other.load_state_dict(prior.state_dict())
    z_BD = seeded(1, 4, size)
    expect_same(other.law(4).log_density(z_BD), prior.law(4).log_density(z_BD), "log_density")
    expect_same(other.law(4).typical(), prior.law(4).typical(), "typical")


STATIC: Sequence[Property] = (law, draws, density, law_learns, law_state)
