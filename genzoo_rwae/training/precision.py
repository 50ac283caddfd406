"""Precision, memory layout and threads: chosen by looking at the processor, logged, forceable."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from genzoo_rwae.spec.sections import Train

__all__ = ["Execution", "bfloat16_gain", "choose_execution", "has_fast_bfloat16"]

_WORTH_IT = 1.2  # bfloat16 has to be this much faster to be worth its rounding


@dataclass(frozen=True)
class Execution:
    """How the nets run. Penalties always run in float32 or better.

    Attributes:
        precision: `bf16` (autocast) or `float32`.
        layout: of images: `channels-last` or `contiguous`.
        threads: CPU threads.
        device: `cpu` or `cuda`.
    """

    precision: Literal["bf16", "float32"]
    layout: Literal["channels-last", "contiguous"]
    threads: int
    device: str

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a model's forward pass."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device, dtype=torch.bfloat16)

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """Put a model's weights into the layout."""
        return _with_channels_last(model) if self.layout == "channels-last" else model


def _with_channels_last(net: torch.nn.Module) -> torch.nn.Module:
    """The same net, its convolutions over images laid out for speed; others stay as they are."""
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.dim() == 4:
            # not contiguous(): of one channel it leaves strides that gradients do not have
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return net


def choose_execution(
    train: Train,
    frame_shape: tuple[int, ...],
    before: Literal["bf16", "float32"] | None = None,
    *,
    sharded: bool = False,
) -> Execution:
    """Settle what the spec leaves to the machine.

    Args:
        train: the spec's section.
        frame_shape: (C, H, W) of images, (F,) of vectors.
        before: the precision that the run was begun with; `auto` keeps it, since weights in the
            middle of a run are to go on as they began.
        sharded: weights are in shards, which lie contiguous; `auto` does as much.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = train.precision
    if precision == "auto":
        precision = before or ("bf16" if has_fast_bfloat16(device) else "float32")
    layout = train.layout
    if layout == "auto":
        images = len(frame_shape) == 3 and not sharded
        layout = "channels-last" if images else "contiguous"
    return Execution(precision, layout, torch.get_num_threads(), device)


def has_fast_bfloat16(device: str) -> bool:
    """Whether bfloat16 pays on the device.

    On a GPU that multiplies it in hardware it halves memory and is faster where batches are large;
    small ones it makes a sixth to a quarter slower (docs/performance/gpu.md). CPUs that name it
    among their instructions were measured at 2.2 times float32 (Zen 5) and at 0.7 times (a Xeon
    without AMX): so it is tried.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    named = any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
    return named and bfloat16_gain() >= _WORTH_IT


@cache
def bfloat16_gain() -> float:
    """How many times faster a strided convolution trains in bfloat16 than in float32, on this CPU.

    A twentieth of a second or so; the best of several interleaved tries, in time of the processor
    and not of the clock, so that a busy machine hardly changes the answer.
    """
    with torch.random.fork_rng(devices=[]):
        net = torch.nn.Conv2d(32, 64, 4, 2, 1)
        x_NCHW = torch.randn(64, 32, 32, 32).contiguous(memory_format=torch.channels_last)
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(6):
        for dtype in best:
            began = time.process_time()
            low = torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16)
            with low, torch.enable_grad():  # a judge is trained where metrics are measured
                loss = net(x_NCHW).float().square().mean()
            loss.backward()
            best[dtype] = min(best[dtype], time.process_time() - began)
    return best[torch.float32] / best[torch.bfloat16]
