"""What must hold of an adversarial penalty: its critic learns, and the model is set against it."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from genzoo_rwae.testing.penalty_subject import (
    PenaltySubject,
    moved,
)
from genzoo_rwae.testing.properties import (
    expect,
    expect_gradients,
    expect_shape,
    figure,
    property_of,
)
from genzoo_rwae.testing.strategies import Pair, seeded

__all__ = [
    "critic_improves",
    "critic_is_opposed",
    "critic_learns",
    "critic_settings",
]


def _far(subject: PenaltySubject) -> SearchStrategy[Pair]:
    pair = subject.like(*(seeded(s, 16, 3, dtype=subject.dtype) for s in (1, 2)))
    return st.just(moved(pair, 1.0))


@property_of(_far, count=1, mend="set critic_lr, critic_betas and critic_steps in __init__")
def critic_settings(subject: PenaltySubject, pair: Pair) -> None:
    """Its critic's learning rate, betas and steps are such that Adam can work with."""
    critic = subject.at(pair).critic
    assert critic is not None
    expect(critic.critic_lr > 0, f"critic_lr {critic.critic_lr}", "more than 0")
    betas = critic.critic_betas
    good = len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
    expect(good, f"critic_betas {betas}", "two numbers from 0 to below 1")
    expect(critic.critic_steps >= 1, f"critic_steps {critic.critic_steps}", "1 or more")


@property_of(
    _far,
    count=1,
    mend="critic_loss must not detach what the critic says, nor leave a layer out",
)
def critic_learns(subject: PenaltySubject, pair: Pair) -> None:
    """The gradient of critic_loss reaches every parameter of the critic."""
    wired = subject.fresh(3, subject.dtype, seed=0)
    assert wired.critic is not None
    loss = subject.critic_loss(wired, pair)
    expect_shape("critic_loss", loss, [])
    expect_gradients(wired.critic, loss)


@property_of(_far, count=1, mend="critic_loss is minimised: look for its sign; or lower critic_lr")
def critic_improves(subject: PenaltySubject, pair: Pair) -> None:
    """Training the critic brings critic_loss down."""
    wired = subject.fresh(3, subject.dtype, seed=0)
    critic = wired.critic
    assert critic is not None
    critic.train()
    optimizer = torch.optim.Adam(
        critic.parameters(), lr=critic.critic_lr, betas=critic.critic_betas
    )
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = subject.critic_loss(wired, pair)
        losses.append(float(loss.detach()))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    first, last = losses[0], min(losses[-10:])
    expect(last < first, f"{figure(last)} after 60 steps, from {figure(first)}", "a lower loss")


@property_of(
    _far,
    count=1,
    mend="the two sides of the game are opposed: forward must pull q to where the critic takes it "
    "for p",
)
def critic_is_opposed(subject: PenaltySubject, pair: Pair) -> None:
    """What a trained critic has learnt, the model's side counts against q."""
    wired = subject.fresh(3, subject.dtype, seed=0)
    critic = wired.critic
    assert critic is not None
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.9))
    for _ in range(60):
        optimizer.zero_grad()
        subject.critic_loss(wired, pair).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.default_generator.manual_seed(0)
    apart = wired(pair.q, pair.p, paired=False).detach()
    torch.default_generator.manual_seed(0)
    other = seeded(5, *pair.p.shape, dtype=subject.dtype)
    together = wired(other, pair.p, paired=False).detach()
    expect(
        apart > together,
        f"forward gives {figure(apart)} for q apart from p and {figure(together)} for q like p",
        "more for q apart from p",
    )
