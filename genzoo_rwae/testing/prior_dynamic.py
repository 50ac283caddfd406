"""What must hold of a prior of the dynamic codes.

Shapes: B batch, T time, D code width, S width of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from genzoo_rwae.codes import DiagonalGaussian, Law, draw_mean, draw_sample
from genzoo_rwae.testing.prior_static import SAMPLES, expect_density, grid_over
from genzoo_rwae.testing.prior_subject import (
    Numbers,
    Path,
    PriorSubject,
    Roll,
    Told,
    cut,
    expect_law,
    expect_same_law,
    expect_same_numbers,
    numbers_of,
    numbers_of_any,
    paths,
    rolls,
    some_paths,
)
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

__all__ = ["DYNAMIC"]

_FAR = 300  # steps: longer than any data that a prior was made for


@property_of(paths, count=8, mend="one law and one state for every step of every path")
def along(subject: PriorSubject, path: Path) -> None:
    """along gives laws [B, T, D] and states [B, T, S], finite."""
    found, state_BTS = subject.told(path.z.shape[-1], path.context).along(path.z)
    expect_law(found, path.z.shape)
    expect_shape("states", state_BTS, [*path.z.shape[:2], state_BTS.shape[-1]])
    expect(state_BTS.isfinite().all(), "states that are not finite", "finite numbers")


@property_of(
    paths,
    count=14,
    mend="feed codes shifted by one step: zeros first, z_BTD[:, :-1] after them; no backward pass",
)
def causal(subject: PriorSubject, path: Path) -> None:
    """The law and the state of a step depend on the codes before it alone."""
    prior = subject.told(path.z.shape[-1], path.context)
    law, states = prior.along(path.z)
    wanted = numbers_of(law)
    for t in range(path.z.shape[1]):
        changed = torch.cat([path.z[:, :t], path.z[:, t:] + 1.0], 1)
        law, other = prior.along(changed)
        found = numbers_of(law)
        expect_same_numbers(cut(found, np.s_[:, t]), cut(wanted, np.s_[:, t]))
        expect_same(other[:, t], states[:, t], f"state of step {t}")


@property_of(paths, count=5, mend="what is known before the first code is the same for all paths")
def starts_alike(subject: PriorSubject, path: Path) -> None:
    """The first law and the first state are the same for every path."""
    found, states = subject.lively(path.z.shape[-1]).along(path.z)
    first = cut(numbers_of(found), np.s_[:, 0])
    expect_same_numbers(first, cut(first, [0] * len(path.z)))
    expect_same(states[:, 0], states[:1, 0].expand_as(states[:, 0]), "first states")


@property_of(
    lambda subject: st.just(Path(seeded(5, 3, 5, 2))),
    count=1,
    mend="if steps are to be independent, except this",
)
def remembers(subject: PriorSubject, path: Path) -> None:
    """The law of a step depends on the codes before it."""
    prior = subject.lively(2)
    changed = torch.cat([path.z[:, :-1] + 1.0, path.z[:, -1:]], 1)
    before, after = (prior.along(z)[0].typical()[:, -1] for z in (path.z, changed))
    gap = float((before - after).detach().abs().max())
    expect(gap > 1e-6, f"means that differ by {figure(gap)} after another past", "a difference")


@property_of(
    lambda subject: paths(subject, steps=(2, 3), rows=(1, 4)),
    count=5,
    mend="no operation may mix the first axis: look for dim=0, and batch_first=True",
)
def rows_apart(subject: PriorSubject, path: Path) -> None:
    """A path has the same laws alone as in a batch."""
    # without a context, which goes by the row
    prior = subject.lively(path.z.shape[-1])
    together = numbers_of(prior.along(path.z)[0])
    for row in range(len(path.z)):
        found = cut(together, np.s_[row : row + 1])
        expect_same_numbers(found, numbers_of(prior.along(path.z[row : row + 1])[0]))


@property_of(rolls, count=8, mend="feed back what draw gave, one step at a time")
def rolls_out(subject: PriorSubject, roll: Roll) -> None:
    """roll_out gives finite paths [count, length, D] of any length."""
    prior = subject.told(roll.size, roll.context)
    path = prior.roll_out(roll.count, roll.length, draw_sample(torch.Generator().manual_seed(0)))
    expect_shape("paths", path, [roll.count, roll.length, roll.size])
    expect(path.isfinite().all(), "paths that are not finite", "finite numbers")


@property_of(
    lambda subject: st.just(2),
    count=1,
    mend="bound what is fed back, and look positions up in no table of one length",
)
def far(subject: PriorSubject, size: int) -> None:
    """A path far longer than any data is finite, and so are its laws."""
    prior = subject.lively(size)
    with torch.no_grad():
        path_BTD = prior.roll_out(2, _FAR, draw_sample(torch.Generator().manual_seed(0)))
        law, _ = prior.along(path_BTD)
    expect_shape("paths", path_BTD, [2, _FAR, size])
    for name, tensor in {"path": path_BTD, **numbers_of(law)}.items():
        later_T = (~tensor.isfinite()).any(-1).any(0).nonzero().flatten()
        first = later_T[0].item() if len(later_T) else ""
        expect(
            len(later_T) == 0, f"a {name} that is not finite from step {first}", "finite numbers"
        )


def _recording(seen: list[Law], drawn: list[Tensor]) -> Callable[..., Tensor]:
    """A draw that keeps the laws that it gets, and what it gives."""

    def draw(step: Law) -> Tensor:
        seen.append(step)
        drawn.append(step.sample(torch.Generator().manual_seed(len(seen))))
        return drawn[-1]

    return draw


@property_of(
    rolls,
    count=8,
    mend="along and roll_out have to be one law: the same first step, the same shift by one, the "
    "same bounds",
)
def along_what_it_rolled(subject: PriorSubject, roll: Roll) -> None:
    """Teacher-forced laws along a rolled-out path are those that it was drawn from."""
    prior = subject.told(roll.size, roll.context)
    seen: list[Law] = []
    path = prior.roll_out(roll.count, roll.length, _recording(seen, []))
    expect(len(seen) == roll.length, f"{len(seen)} draws", f"one for each of {roll.length} steps")
    steps = [numbers_of(step) for step in seen]
    wanted = {
        name: torch.stack([step[name].reshape(roll.count, -1) for step in steps], 1)
        for name in steps[0]
    }
    expect_same_numbers(numbers_of(prior.along(path)[0]), wanted)


@property_of(
    rolls, count=4, mend="append what draw gave, and feed back the same; change neither afterwards"
)
def path_of_its_draws(subject: PriorSubject, roll: Roll) -> None:
    """A rolled-out path is what was drawn, step by step."""
    prior = subject.told(roll.size, roll.context)
    drawn: list[Tensor] = []
    path_BTD = prior.roll_out(roll.count, roll.length, _recording([], drawn))
    wanted = [step.reshape(roll.count, roll.size) for step in drawn]
    expect_same(path_BTD, torch.stack(wanted, 1), "path")


@property_of(
    lambda subject: st.just(Path(seeded(5, 2, 4, 2), context=2)),
    count=1,
    only_if=lambda subject: (
        "" if subject.takes_context else "it is told nothing: its class is wired (size, /)"
    ),
    mend="put the context beside the code of every step, or wire (size, /) alone",
)
def told(subject: PriorSubject, path: Path) -> None:
    """The law of a step depends on what the prior is told; the first one unless it is N(0, I)."""
    prior = subject.told(2, path.context)
    one, other = (
        numbers_of(prior.prior.along(path.z, context_BC.expand(len(path.z), -1))[0])
        for context_BC in torch.eye(2)[:, None]
    )
    for which, steps in (("first", slice(1)), ("later", slice(1, None))):
        found, wanted = (cut(law, np.s_[:, steps]) for law in (one, other))
        size = path.z.shape[-1]
        if which == "first" and _is_standard(found, size) and _is_standard(wanted, size):
            continue  # an anchor is told nothing
        gap = max(float((found[name] - wanted[name]).detach().abs().max()) for name in found)
        said = f"{which} laws that differ by {figure(gap)} if told another thing"
        expect(gap > 1e-6, said, "a difference")


def _is_standard(found: Numbers, size: int) -> bool:
    """Whether numbers are those of N(0, I)."""
    zeros = torch.zeros(1, 1, size)
    standard = DiagonalGaussian(zeros, zeros)
    wanted = numbers_of(standard) if "mean" in found else numbers_of_any(standard)
    gaps = (float((tensor - wanted[name]).detach().abs().max()) for name, tensor in found.items())
    return max(gaps) < 1e-5


@property_of(
    paths, count=5, mend="inherit log_density, or sum the log-densities of the entries of a step"
)
def log_density(subject: PriorSubject, path: Path) -> None:
    """log_density is that of its laws, summed over the entries of a step."""
    prior = subject.told(path.z.shape[-1], path.context)
    law, _ = prior.along(path.z)
    found_BT = prior.prior.log_density(path.z, *prior.contexts(len(path.z)))
    wanted_BT = law.log_density(path.z)
    if isinstance(law, DiagonalGaussian):
        wanted_BT = Normal(law.mean, law.sd).log_prob(path.z).sum(-1)  # type: ignore[no-untyped-call]
    expect_same(found_BT, wanted_BT, "log_density")


@property_of(
    lambda subject: st.just(Path(seeded(5, 1, 3, 1))),
    count=1,
    mend="the law's log_density has all its constants, and is that of what its sample draws",
)
def density(subject: PriorSubject, path: Path) -> None:
    """Of codes of one number, every step's density integrates to 1 and samples follow it."""
    prior = subject.lively(1)
    with torch.no_grad():
        law, _ = prior.along(path.z.expand(SAMPLES, -1, -1))
        drawn_NT = law.sample(torch.Generator().manual_seed(0))[..., 0]
        for t in range(path.z.shape[1]):
            grid_M = grid_over(drawn_NT[:, t])
            law, _ = prior.along(path.z.expand(len(grid_M), -1, -1))
            at_MT1 = grid_M.float()[:, None, None].expand(-1, path.z.shape[1], 1)
            expect_density(drawn_NT[:, t], grid_M, law.log_density(at_MT1)[:, t])


@property_of(
    lambda subject: st.just(Path(seeded(5, 2, 4, 2))),
    count=1,
    only_if=lambda subject: "" if subject.is_fitted else "nothing is fitted when training is over",
    mend="leave out what is beyond lengths_N, as true_steps says; draw from an own generator",
)
def fits(subject: PriorSubject, path: Path) -> None:
    """Fitted again it is the same, whatever stands beyond true lengths; torch's generator stays."""
    prior = subject.lively(2)
    before = torch.default_generator.get_state()
    again = subject.fitted(2, beyond=50.0)
    expect_same_law(again.along(path.z)[0], prior.along(path.z)[0])
    with torch.no_grad():
        said = again.fit_to(lambda most: some_paths(min(most, 40), 2, 0))
    expect_same_law(again.along(path.z)[0], prior.along(path.z)[0])
    expect(said is None or isinstance(said, str), f"fit_to gave {said!r}", "a string, or None")
    unchanged = torch.equal(torch.default_generator.get_state(), before)
    expect(unchanged, "draws from torch's own generator", "none")


@property_of(
    rolls,
    count=8,
    mend="bring the state to where start_BTD ends, and do not repeat its steps",
)
def goes_on(subject: PriorSubject, roll: Roll) -> None:
    """Going on after the beginning of a path is rolling it out in one go."""
    prior = subject.told(roll.size, roll.context)
    whole = prior.roll_out(roll.count, roll.length + 2, draw_mean)
    rest = prior.roll_out(roll.count, 2, draw_mean, whole[:, : roll.length])
    expect_same(rest, whole[:, roll.length :], "the two steps after the start")


@property_of(
    rolls,
    count=4,
    mend="all randomness goes through draw: no torch.randn, and no dropout in evaluation",
)
def draws_alone_are_random(subject: PriorSubject, roll: Roll) -> None:
    """The same seed gives the same path, whatever torch's own generator does."""
    prior = subject.lively(roll.size)
    found = []
    for other in (1, 2):
        torch.default_generator.manual_seed(other)
        draw = draw_sample(torch.Generator().manual_seed(0))
        found.append(prior.roll_out(roll.count, roll.length, draw))
    expect_same(found[1], found[0], "the second path")


@property_of(
    lambda subject: st.just(Path(seeded(5, 4, 5, 3))),
    count=1,
    mend="use the layer, or drop it; look for .detach() and torch.no_grad()",
)
def laws_learn(subject: PriorSubject, path: Path) -> None:
    """The gradient of its laws reaches every parameter."""
    context = 2 if subject.takes_context else 0
    prior = subject.fresh(3, context, seed=0)
    found, _ = Told(prior, context).along(path.z)
    shown = torch.cat([*numbers_of(found).values()], -1)
    expect_gradients(prior, (shown * seeded(1, *shown.shape)).sum())


@property_of(
    lambda subject: st.just(Path(seeded(5, 2, 4, 2))),
    count=1,
    mend="keep what it learns in parameters and buffers, and no other state",
)
def laws_state(subject: PriorSubject, path: Path) -> None:
    """What state_dict saves brings another one to the same laws."""
    prior, other = subject.lively(2), subject.fresh(2, seed=1).eval()
    other.load_state_dict(prior.state_dict())
    expect_same_law(other.along(path.z)[0], prior.along(path.z)[0])


DYNAMIC: Sequence[Property] = (
    along,
    causal,
    starts_alike,
    remembers,
    rows_apart,
    told,
    log_density,
    density,
    fits,
    rolls_out,
    far,
    along_what_it_rolled,
    path_of_its_draws,
    goes_on,
    draws_alone_are_random,
    laws_learn,
    laws_state,
)
