"""A pass forwards and backwards, timed, that leaves a model as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from genzoo_rwae.sequence_model import Pass, SequenceModel
from genzoo_rwae.sequences import Batch
from genzoo_rwae.training.precision import Execution
from genzoo_rwae.training.randomness import step_generator

__all__ = ["Forward", "left_as_it_was", "pass_seconds"]

Forward = Callable[[Tensor, Tensor, torch.Generator, float], Pass]


def pass_seconds(
    forward: Forward,
    model: SequenceModel,
    batch: Batch,
    execution: Execution,
    seed: int,
    number: int,
) -> float:
    """Seconds of one pass forwards and backwards, with draws of its own.

    Args:
        forward: the model, or what passes a batch in its place.
        model: whose gradients it fills in.
        batch: on the model's device.
        execution: how the nets run.
        seed: of the draws.
        number: of the pass: as in training, draws and progress are new ones each time.
    """
    generator = step_generator(seed, "draws", number)
    model.zero_grad(set_to_none=True)
    _wait(execution.device)
    began = time.perf_counter()
    with execution.autocast():
        passed = forward(batch.x_BT, batch.lengths_B, generator, number / (number + 1))
    # reaches every net: frames are decoded from all codes, the state is the prior's
    loss = passed.x_hat_BK.square().mean() + passed.codes.dynamic.state.float().square().mean()
    torch.autograd.backward(loss)
    _wait(execution.device)
    return time.perf_counter() - began


@contextmanager
def left_as_it_was(model: SequenceModel) -> Iterator[None]:
    """Inside, a model may be passed to and fro: no gradient stays, and statistics come back."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            model.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, value in before:
                    buffer.copy_(value)


def _wait(device: str) -> None:
    """Until a GPU has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
