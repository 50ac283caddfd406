"""What a trainer asks of whatever connects its processes: lightning-fabric, or nothing for one."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

__all__ = ["Alone", "Engine"]


class Engine(Protocol):
    """The part of lightning-fabric's `Fabric` that training uses.

    Attributes:
        device: where this process computes.
        world_size: how many processes train together.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def world_size(self) -> int: ...

    def setup_module(self, module: nn.Module) -> Any:
        """The module as it is to be called: its gradients are averaged over processes."""

    def setup_optimizers(self, optimizer: torch.optim.Optimizer) -> Any:
        """The optimiser to be used in its place."""

    def backward(self, tensor: Tensor) -> None:
        """Fill in the gradients."""


class Alone:
    """One process, on the first GPU if there is one: nothing has to be wrapped.

    Fabric would do it as well, at the price of being imported.
    """

    world_size = 1

    def __init__(self) -> None:
        self.device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

    def setup_module(self, module: nn.Module) -> nn.Module:
        return module

    def setup_optimizers(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        return optimizer

    def backward(self, tensor: Tensor) -> None:
        torch.autograd.backward(tensor)
