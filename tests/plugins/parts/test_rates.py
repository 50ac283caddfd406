"""Optimisers and schedules."""

import itertools

import pytest
import torch
from genzoo_rwae_plugins.optimizers.adam import adam, adamw
from genzoo_rwae_plugins.schedules.rates import constant, cosine


@pytest.mark.parametrize("build", [adam, adamw])
def test_options_reach_the_optimizer(build):
    optimizer = build([torch.nn.Parameter(torch.zeros(2))], lr=0.5, betas=(0.5, 0.9))
    assert optimizer.defaults["lr"] == 0.5
    assert optimizer.defaults["betas"] == (0.5, 0.9)


@pytest.mark.parametrize("build", [adam, adamw])
def test_optimizer_goes_down(build):
    x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = build([x], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        x.square().sum().backward()
        optimizer.step()
    assert x.abs().max() < 0.1


@pytest.mark.parametrize(("build", "plain"), [(adam, torch.optim.Adam), (adamw, torch.optim.AdamW)])
def test_fused_steps_are_the_plain_ones_but_for_rounding(build, plain):
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2))
    decay = {"weight_decay": 1e-4} if build is adamw else {}
    optimizers = build([ours], lr=0.01), plain([theirs], lr=0.01, fused=False, **decay)
    for _ in range(50):
        ours.grad = torch.randn(50, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    assert (ours - torch.linspace(-1, 1, 50)).abs().max() > 0.01


def test_constant_schedule_keeps_the_rate():
    assert constant() == 1.0


def test_cosine_rises_to_one_and_falls_to_its_end():
    factors = [cosine(k / 1000, warm_up=0.1, final=0.01) for k in range(1001)]
    assert factors[0] > 0  # the first step moves
    assert max(factors) == factors[100] == 1.0
    assert factors[-1] == pytest.approx(0.01)
    assert all(a < b for a, b in itertools.pairwise(factors[:101]))
    assert all(a > b for a, b in itertools.pairwise(factors[100:]))


@pytest.mark.parametrize("warm_up", [0.0, 1.0])
def test_cosine_without_one_of_its_halves_stays_within_its_ends(warm_up):
    factors = [cosine(k / 50, warm_up=warm_up, final=0.01) for k in range(51)]
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize(("build", "plain"), [(adam, torch.optim.Adam), (adamw, torch.optim.AdamW)])
def test_channels_last_kernels_are_gone_through_as_they_lie(build, plain, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    shapes, last = [(6, 3, 4, 4), (6, 3, 4, 4), (5, 7), (4, 2, 2, 2)], torch.channels_last
    weights = [torch.randn(shape, generator=generator) for shape in shapes]
    weights[:2] = [weight.to(memory_format=last) for weight in weights[:2]]
    ours, theirs = ([torch.nn.Parameter(w.clone()) for w in weights] for _ in range(2))
    decay = {"weight_decay": 0.3} if build is adamw else {}
    optimizers = build(ours, lr=0.01, **decay), plain(theirs, lr=0.01, fused=True, **decay)
    fused, lie = torch._fused_adamw_ if build is adamw else torch._fused_adam_, []

    def noted(*lists, **options):
        lie.append([[tensor.is_contiguous() for tensor in tensors] for tensors in lists[:4]])
        fused(*lists, **options)

    monkeypatch.setattr(torch, fused.__name__, noted)
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            if one is ours[0]:  # that of the second lies otherwise than its kernel
                one.grad = one.grad.to(memory_format=last)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(one.is_contiguous(memory_format=last) for one in ours[:2])
    assert lie[0] == [[True, False, True, True], [True] * 4, *[[True, False, True, True]] * 2]
    assert not lie[1][0][0]  # torch's own
    state = optimizers[0].state_dict()["state"]
    assert state[0]["exp_avg"].shape == (6, 3, 4, 4)
