"""Where a step's numbers come from."""

from __future__ import annotations

import pytest
import torch

from genzoo_rwae.training.randomness import step_generator


@pytest.mark.parametrize("accelerator", [False, True])
def test_a_step_seeds_torchs_own_generator_alike_with_and_without_a_gpu(
    accelerator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_generator(0, "global", 5)
    first = torch.rand(4)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    step_generator(0, "global", 5)
    assert torch.equal(torch.rand(4), first)
    step_generator(0, "global", 6)
    assert not torch.equal(torch.rand(4), first)


def test_a_steps_draws_leave_torchs_own_generator_alone() -> None:
    torch.manual_seed(0)
    first = torch.rand(4)
    torch.manual_seed(0)
    step_generator(0, "draws", 5)
    assert torch.equal(torch.rand(4), first)
