"""Penalties with a fault, each of which `check_penalty` has to catch, and right ones that pass.

Shapes: T steps, N rows, D code width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genzoo_rwae import Categorical, DiagonalGaussian, penalty
from genzoo_rwae.adversarial import AdversarialPenalty
from genzoo_rwae.errors import OptionError, PluginError
from genzoo_rwae.testing import PropertyError, Report, check_penalty, properties
from genzoo_rwae.testing.penalties import ADVERSARIAL, PENALTY

NAMES = {p.name for p in (*PENALTY, *ADVERSARIAL) if not p.claim}
METRIC = {"symmetric", "nonnegative", "zero at equal samples", "shift invariant"}

# -- right ones -----------------------------------------------------------------------------------


@penalty("moments", batched=True)
def moments(q_ND: Tensor, p_ND: Tensor, weights_N: Tensor | None = None, /) -> Tensor:
    """Squared distance of weighted means."""
    weights = torch.ones_like(q_ND[..., 0]) if weights_N is None else weights_N
    shares = (weights / weights.sum(-1, keepdim=True)).unsqueeze(-1)
    return (shares * (q_ND - p_ND)).sum(-2).square().sum(-1)


@penalty("cost-of-rows", batched=True, batch_coupled=False)
def cost_of_rows(q_ND: Tensor, p_ND: Tensor, /, *, power: int = 2) -> Tensor:
    """Mean distance of row i from row i."""
    return (q_ND - p_ND).pow(power).sum(-1).mean(-1)


@penalty("kl", batched=True, batch_coupled=False)
def kl(q: DiagonalGaussian, p: DiagonalGaussian, /) -> Tensor:
    """KL of laws, one value per row."""
    return q.kl(p)


def log_share(law: Categorical) -> Tensor:
    return law.log_p.logsumexp(-2) - math.log(law.logits.shape[-2])


@penalty("shares", batched=True)
def shares(q: Categorical, p: Categorical, /) -> Tensor:
    """KL of mean categorical laws."""
    log_q = log_share(q)
    return (log_q.exp() * (log_q - log_share(p))).sum(-1)


@penalty("sliced")
def sliced(q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
    """Along random directions."""
    directions = torch.randn(q_ND.shape[1], 16, dtype=q_ND.dtype)
    q, p = ((x @ directions).sort(dim=0).values for x in (q_ND, p_ND))
    return (q - p).square().mean()


@penalty("covariance")
def covariance(q_ND: Tensor, p_ND: Tensor, split: int, /) -> Tensor:
    """Squared covariance of the two codes of a row."""
    centred = q_ND - q_ND.mean(0)
    return (centred[:, :split].T @ centred[:, split:] / len(q_ND)).square().sum()


@penalty("feature-gap")
class FeatureGap(nn.Module):
    """Distance of mean features, learnt."""

    def __init__(self, width: int, /, *, features: int = 4) -> None:
        super().__init__()
        self.net = nn.Linear(width, features)

    def forward(self, q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
        return (
            (torch.tanh(self.net(q_ND)).mean(0) - torch.tanh(self.net(p_ND)).mean(0)).square().sum()
        )


@penalty("gan")
class Gan(AdversarialPenalty):
    """A critic that tells q from p."""

    critic_lr = 1e-2

    def __init__(self, width: int, /, *, hidden: int = 8) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
        return nn.functional.softplus(-self.net(q_ND)).mean()

    def critic_loss(self, q_ND: Tensor, p_ND: Tensor, /) -> Tensor:
        fake, real = self.net(q_ND), self.net(p_ND)
        return (nn.functional.softplus(fake) + nn.functional.softplus(-real)).mean()


@pytest.mark.parametrize(
    ("right", "claims"),
    [
        (moments, METRIC),
        (cost_of_rows, {"symmetric", "nonnegative"}),
        (kl, {"nonnegative", "zero at equal samples", "shift invariant"}),
        (shares, {"nonnegative", "zero at equal samples", "shift invariant"}),
        (sliced, METRIC - {"shift invariant"}),
        (covariance, {"nonnegative"}),
        (FeatureGap, {"symmetric", "nonnegative", "zero at equal samples"}),
        (Gan, {"nonnegative"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_right_penalties_pass(right: Any, claims: set[str]) -> None:
    assert len(check_penalty(right, claims=claims).passed) >= 12


# -- wrong ones -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    build: Any
    caught_by: str
    claims: set[str] = field(default_factory=set)


MUTANTS: dict[str, Mutant] = {}


def mutant(caught_by: str, *, claims: tuple[str, ...] = (), **marks: Any) -> Any:
    def keep(build: Any) -> Any:
        name = build.__name__.lower().replace("_", "-")
        MUTANTS[name] = Mutant(penalty(name, **marks)(build), caught_by, set(claims))
        return build

    return keep


def gap(q: Tensor, p: Tensor) -> Tensor:
    return (q.mean(-2) - p.mean(-2)).square().sum(-1)


@mutant("takes a batch")
def one_value_per_row(q: Tensor, p: Tensor, /) -> Tensor:
    return (q - p).square().sum(-1)


@mutant("takes a batch")
def wants_thousands(q: Tensor, p: Tensor, /) -> Tensor:
    if len(q) < 1000:
        raise OptionError(f"{len(q)} rows; wanted 1000")
    return gap(q, p)


@mutant("reacts")
def fewer_where_more(q: Categorical, p: Categorical, /) -> Tensor:
    return -shares(q, p)


@mutant("finite")
def logarithm_of_shares(q: Categorical, p: Categorical, /) -> Tensor:
    share = (50 * q.logits).softmax(-1).mean(-2)
    share = torch.where(share < 1e-9, 0.0, share)
    return (share * (share.log() - log_share(p))).sum(-1)


@mutant("gradient")
def laws_detached(q: Categorical, p: Categorical, /) -> Tensor:
    return shares(Categorical(q.logits.detach()), p)


@mutant("takes a batch")
def one_value_per_class(q: Categorical, p: Categorical, /) -> Tensor:
    return log_share(q) - log_share(p)


@mutant("coupled rows")
def of_single_rows(q: Categorical, p: Categorical, /) -> Tensor:
    return (q.log_p.exp() * (q.log_p - p.log_p)).sum(-1).mean(-1)


@mutant("steps as a loop", batched=True)
def summed_over_steps(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p).sum() * torch.ones_like(q[..., 0, 0])


@mutant("steps as a loop", batched=True)
def blind_to_steps(q: Tensor, p: Tensor, /) -> Tensor:
    return (q.mean(0) - p.mean(0)).square().sum()


@mutant("steps apart", batched=True)
def looks_at_other_steps(q: Tensor, p: Tensor, /) -> Tensor:
    value = gap(q, p)
    return value + 0.1 * value.mean()


@mutant("repeats")
def private_generator(q: Tensor, p: Tensor, /) -> Tensor:
    noise = torch.Generator()
    noise.seed()
    return gap(q, p) * (1 + torch.rand((), generator=noise))


@mutant("dtype kept")
def float64_out(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p).double()


@mutant("single precision")
def half_inside(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p) if q.dtype == torch.float64 else gap(q.bfloat16(), p.bfloat16()).float()


@mutant("single precision")
def squares_subtracted(q: Tensor, p: Tensor, /) -> Tensor:
    q, p = q.mean(0), p.mean(0)
    return q.square().sum() + p.square().sum() - 2 * (q * p).sum()


@mutant("finite")
def bare_root(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p).sqrt()


@mutant("finite")
def divided_by_spread(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p) / p.var(0).sum()


@mutant("inputs kept")
def written_into(q: Tensor, p: Tensor, /) -> Tensor:
    value = gap(q, p)
    if not q.requires_grad:
        q += 1
    return value


@mutant("layout")
def viewed(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q.view(-1).view(q.shape), p)


@mutant("row order")
def first_rows_weigh_more(q: Tensor, p: Tensor, /) -> Tensor:
    weights = torch.arange(len(q), 0, -1, dtype=q.dtype)[:, None]
    return ((q - p) * weights).sum(0).square().sum() / weights.sum() ** 2


@mutant("gradient")
def p_detached(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p.detach())


@mutant("gradient")
def all_detached(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p).detach()


@mutant("gradient")
def part_detached(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p) * gap(q, p).detach()


@mutant("reacts")
def ignores_its_samples(q: Tensor, p: Tensor, /) -> Tensor:
    return 0 * (q.sum() + p.sum())


@mutant("reacts")
def ignores_p(q: Tensor, p: Tensor, /) -> Tensor:
    return (q - q.mean(0)).square().mean()


@mutant("reacts")
def sign(q: Tensor, p: Tensor, /) -> Tensor:
    return -gap(q, p)


@mutant("descends")
def gradient_of_wrong_sign(q: Tensor, p: Tensor, /) -> Tensor:
    return 2 * gap(q, p).detach() - gap(q, p)


@mutant("absent rows", batched=True)
def weights_unused(q: Tensor, p: Tensor, weights_N: Tensor | None = None, /) -> Tensor:
    return gap(q, p)


@mutant("absent rows", batched=True)
def masked_but_divided_by_all(q: Tensor, p: Tensor, weights_N: Tensor | None = None, /) -> Tensor:
    weights = torch.ones_like(q[..., :1]) if weights_N is None else weights_N[..., None]
    return gap(q * weights, p * weights)


@mutant("weights of one", batched=True)
def ones_are_not_none(q: Tensor, p: Tensor, weights_N: Tensor | None = None, /) -> Tensor:
    return moments(q, p, weights_N) if weights_N is not None else moments(q, p) * 2


@mutant("ragged steps", batched=True)
def weights_of_the_first_step(q: Tensor, p: Tensor, weights_N: Tensor | None = None, /) -> Tensor:
    if weights_N is not None and weights_N.dim() == 2:
        weights_N = weights_N[:1].expand_as(weights_N)
    return moments(q, p, weights_N)


@mutant("mean over rows", batch_coupled=False)
def coupled_and_not_marked(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p)


@mutant("coupled rows")
def marked_and_not_coupled(q: Tensor, p: Tensor, /) -> Tensor:
    return (q - p).square().sum(-1).mean()


@mutant("takes a batch", batch_coupled=False)
def laws_summed_over_rows(q: DiagonalGaussian, p: DiagonalGaussian, /) -> Tensor:
    return q.kl(p)[:, None].expand(-1, 2)


@mutant("mean over rows", batch_coupled=False)
def kl_summed_over_rows(q: DiagonalGaussian, p: DiagonalGaussian, /) -> Tensor:
    return q.kl(p).sum(-1)


@mutant("gradient", batch_coupled=False)
def kl_of_fixed_variance(q: DiagonalGaussian, p: DiagonalGaussian, /) -> Tensor:
    return DiagonalGaussian(q.mean, q.log_variance.detach()).kl(p)


@mutant("symmetric", claims=("symmetric",))
def kl_called_symmetric(q: DiagonalGaussian, p: DiagonalGaussian, /) -> Tensor:
    return q.kl(p).mean() + q.mean.mean(0).square().sum()


@mutant("nonnegative", claims=("nonnegative",))
def called_nonnegative(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p) - 0.01


@mutant("zero at equal samples", claims=("zero at equal samples",))
def called_zero(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p) + q.var(0, correction=0).sum() * 0.1


@mutant("shift invariant", claims=("shift invariant",))
def called_shift_invariant(q: Tensor, p: Tensor, /) -> Tensor:
    return gap(q, p) * (1 + q.mean().square())


@mutant("state")
class OutsideTheState(FeatureGap):
    def __init__(self, width: int, /) -> None:
        super().__init__(width)
        self.scale = 1 + torch.rand(())

    def forward(self, q: Tensor, p: Tensor, /) -> Tensor:
        return self.scale * super().forward(q, p)


@mutant("parameters learn")
class IdleLayer(FeatureGap):
    def __init__(self, width: int, /) -> None:
        super().__init__(width)
        self.idle = nn.Linear(2, 2)


@mutant("critic settings")
class NoSteps(Gan):
    critic_steps = 0


@mutant("critic learns")
class CriticDetached(Gan):
    def critic_loss(self, q: Tensor, p: Tensor, /) -> Tensor:
        return super().critic_loss(q, p).detach()


@mutant("critic learns")
class LossPerRow(Gan):
    def critic_loss(self, q: Tensor, p: Tensor, /) -> Tensor:
        return super().critic_loss(q, p).expand(len(q))


@mutant("critic improves")
class CriticTooFast(Gan):
    critic_lr = 500.0


@mutant("critic is opposed")
class BothOnOneSide(Gan):
    def forward(self, q: Tensor, p: Tensor, /) -> Tensor:
        return nn.functional.softplus(self.net(q)).mean()


@mutant("built")
class CannotBeBuilt(FeatureGap):
    def __init__(self, width: int, /) -> None:
        raise ZeroDivisionError("on purpose")


@mutant("built")
def wants_what_nobody_has(q: Tensor, p: Tensor, weather: float, /) -> Tensor:
    return gap(q, p)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(properties, "_MOST_CALLS", -1)  # no smaller example: for speed
    found = MUTANTS[name]
    with pytest.raises(PropertyError) as caught:
        check_penalty(found.build, claims=found.claims, exceptions=applicable(found))
    (finding,) = caught.value.report.failed
    assert finding.property == found.caught_by
    assert finding.example
    assert any(word in finding.message for word in ("found", "raised", "refused"))


def applicable(found: Mutant) -> set[str]:
    """The names of all properties but the one that has to catch it."""
    kit = PENALTY
    if isinstance(found.build, type) and issubclass(found.build, AdversarialPenalty):
        kit += ADVERSARIAL
    return {p.name for p in kit if not p.claim} - {found.caught_by}


# -- the call -------------------------------------------------------------------------------------


def test_options_reach_the_penalty() -> None:
    assert not check_penalty(cost_of_rows, power=4).failed
    with pytest.raises(PropertyError) as caught:
        check_penalty(cost_of_rows, claims={"nonnegative"}, power=3)
    assert {f.property for f in caught.value.report.failed} == {"nonnegative"}


def test_an_unknown_option_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(PluginError, match=r"has no option 'powr'; it has: power"):
        check_penalty(cost_of_rows, powr=3)


def test_an_option_without_a_default_has_to_be_given() -> None:
    @penalty("asks")
    def asks(q_ND: Tensor, p_ND: Tensor, /, *, factor: float) -> Tensor:
        return factor * gap(q_ND, p_ND)

    with pytest.raises(PluginError, match=r"without a default: factor; .*factor=\.\.\."):
        check_penalty(asks)
    assert not check_penalty(asks, factor=2.0).failed


def test_what_is_no_penalty_is_an_error() -> None:
    with pytest.raises(PluginError, match=r"gap is no component; put @penalty"):
        check_penalty(gap)


@pytest.mark.parametrize("argument", ["claims", "exceptions"])
def test_a_misspelt_name_of_a_property_is_an_error(argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} names 'symetric'; wanted some of: "):
        check_penalty(moments, **{argument: {"symetric"}})


def test_an_exception_is_reported_as_skipped() -> None:
    report = check_penalty(MUTANTS["p-detached"].build, exceptions={"gradient"})
    assert {f.property: f.message for f in report.skipped}["gradient"] == "excepted by the author"


def test_the_failure_shows_property_example_and_cure() -> None:
    with pytest.raises(PropertyError) as caught:
        check_penalty(MUTANTS["bare-root"].build)
    said = str(caught.value)
    assert said.startswith("the penalty 'bare-root': 1 of ")
    assert "finite: Value and gradient are finite, also where rows coincide." in said
    assert "q = torch.tensor([[0.0], [0.0]], dtype=torch.float64)" in said
    assert "mend: sqrt and norm have an infinite slope at 0" in said


def test_the_kit_leaves_torch_s_generator_as_it_was() -> None:
    torch.manual_seed(5)
    check_penalty(sliced)
    drawn = torch.rand(())
    torch.manual_seed(5)
    assert torch.rand(()) == drawn


def test_the_same_check_finds_the_same() -> None:
    def report() -> Report:
        with pytest.raises(PropertyError) as caught:
            check_penalty(MUTANTS["first-rows-weigh-more"].build)
        return caught.value.report

    assert report() == report()
