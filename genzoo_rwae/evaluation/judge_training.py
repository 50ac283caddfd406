"""Training a judge: full supervision on the training split, and never a look at the test split.

Shapes: B batch, K classes of a factor.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from genzoo_rwae.errors import DataError, RunError
from genzoo_rwae.evaluation.judge import Judge, Verdict, judged, prepared
from genzoo_rwae.spec.sections import JudgeSlot, Train
from genzoo_rwae.training.batches import Batches
from genzoo_rwae.training.memory import keep_freed_memory
from genzoo_rwae.training.precision import Execution, choose_execution
from genzoo_rwae.training.progress import TrainingBar

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo_rwae.sequences import Batch, DataInfo, SequenceData
    from genzoo_rwae.spec import Part

__all__ = ["train_judge", "untrained"]

_VALIDATED = 512  # most sequences of a look at the validation split
_LOOKS = 20  # of them, if all steps are taken


def untrained(part: Part, info: DataInfo) -> nn.Module:
    """The net with its initial weights, which the slot's seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(part.slot.seed)
        net: nn.Module = part(info)
    return net


def train_judge(
    part: Part, train: SequenceData, validation: SequenceData, console: Console
) -> Judge:
    """Train a judge on all factors of the data.

    The mean over a batch of Σ_factors −ln p(label | x), minimised by Adam. The validation split
    only says when to stop; without one, all steps are taken.

    Args:
        part: the spec's judge; its slot says how long and how.
        train: whose sequences and labels it learns.
        validation: may be empty.
        console: where progress is shown.

    Raises:
        DataError: the data have no labelled factors.
        RunError: the loss is not finite.
    """
    slot: JudgeSlot = part.slot
    info = train.info
    if not info.factors:
        raise DataError(
            f"the judge '{part.name}' learns labelled factors, and these data have none; leave "
            "out the metrics that ask for a judge"
        )
    # not the run's own settings: a judge is of the data, the same for every model of them
    execution = choose_execution(Train(), info.frame_shape)
    if execution.device == "cpu":
        keep_freed_memory()
    net = execution.place(untrained(part, info).to(execution.device))
    batches = Batches(train, min(slot.batch, len(train)), slot.seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=slot.lr)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, slot.steps)
    look_every = max(1, slot.steps // _LOOKS)
    before, seen, began = False, dict[str, float](), time.monotonic()
    with torch.enable_grad(), torch.random.fork_rng(devices=[]), TrainingBar(console) as bar:
        torch.manual_seed(slot.seed)  # of nets that draw, as dropout does
        for step, batch in enumerate(batches.start(0, slot.steps), 1):
            loss = _step(net.train(), info, batch, execution, optimizer)
            rate.step()
            if not math.isfinite(loss):
                raise RunError(f"the judge's loss is not finite at step {step}; lower judge.lr")
            speed = step * batches.size / (time.monotonic() - began)
            row = {"step": step, "loss": loss, "sequences_per_second": speed, **seen}
            bar.show(step / slot.steps, row)
            if step % look_every == 0 and len(validation):
                seen = Judge(net, info).accuracy(validation, _VALIDATED)
                enough = min(seen.values()) >= slot.enough
                if enough and before:
                    break
                before = enough
    said = ", ".join(f"{name} {value:.4g}" for name, value in seen.items())
    console.print(
        f"trained a judge for {step:,} steps, {time.monotonic() - began:.0f} s; accuracy on "
        f"validation sequences: {said or 'not measured, there are none'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return Judge(net, info)


def _step(
    net: nn.Module,
    info: DataInfo,
    batch: Batch,
    execution: Execution,
    optimizer: torch.optim.Optimizer,
) -> float:
    """One step of the optimiser; the loss before it."""
    x_BT = prepared(batch.x_BT, batch.lengths_B, execution.device)
    with execution.autocast():
        verdict = judged(net, info, x_BT, batch.lengths_B.to(execution.device))
    loss = _loss(verdict, batch.factors)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.item()


def _loss(verdict: Verdict, labels: Mapping[str, Tensor]) -> Tensor:
    """Sum over factors of the cross-entropy, in float32 whatever the net ran in."""
    losses = [
        cross_entropy(logits_BK.float(), labels[name].to(logits_BK.device))
        for name, logits_BK in verdict.logits.items()
    ]
    return torch.stack(losses).sum()
