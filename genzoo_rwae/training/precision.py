"""Precision, memory layout and threads: chosen by looking at the processor, logged, forceable."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from genzoo_rwae.spec.sections import Train

__all__ = ["Execution", "choose_execution", "has_fast_bfloat16"]


@dataclass(frozen=True)
class Execution:
    """How the nets run. Penalties always run in float32 or better.

    Attributes:
        precision: `bf16` (autocast) or `float32`.
        layout: of images: `channels-last` or `contiguous`.
        threads: CPU threads.
        device: `cpu` or `cuda`.
    """

    precision: str
    layout: str
    threads: int
    device: str

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a model's forward pass."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device, dtype=torch.bfloat16)

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """Put a model's weights into the layout."""
        if self.layout == "channels-last":
            return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
        return model


def choose_execution(train: Train, frame_shape: tuple[int, ...]) -> Execution:
    """Settle what the spec leaves to the machine.

    bfloat16 pays where the processor multiplies it in hardware (measured: 2.2 times float32 on a
    CPU with AVX512-BF16); channels-last pays for all convolutions on a CPU.
    """
    if train.threads:
        torch.set_num_threads(train.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = train.precision
    if precision == "auto":
        precision = "bf16" if has_fast_bfloat16(device) else "float32"
    layout = train.layout
    if layout == "auto":
        layout = "channels-last" if len(frame_shape) == 3 else "contiguous"
    return Execution(precision, layout, torch.get_num_threads(), device)


def has_fast_bfloat16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
