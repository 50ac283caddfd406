"""Weights, gradients and the optimiser's state in shards, of which each rank keeps one (FSDP2).

A tensor [N, ...] is cut along its first axis; where N is below R some ranks keep nothing of it. All
that is trained is one unit: parts of a model are called through any of their methods, the objective
calls some of them as well, and only a step's beginning and end are sure to be passed by all. So a
step has the whole weights and gradients on every rank, and leaves a shard of them behind.

Shapes: N rows of a tensor, R ranks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from genzoo_rwae.errors import PluginError
from genzoo_rwae.objective import Objective
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.training.engine import Engine
from genzoo_rwae.training.step import Step

__all__ = [
    "check_cuttable",
    "clip_gradients",
    "cut_like",
    "cut_state",
    "gathered",
    "is_sharded",
    "lend_weights",
    "shard",
    "take_weights",
    "whole_weights",
]

M = TypeVar("M", bound=nn.Module)
D = TypeVar("D", bound=dict[Any, Any])
_TINY = 1e-6  # as torch's clip_grad_norm_ has it


def is_sharded(engine: Engine) -> bool:
    """Whether `launch` was asked for shards."""
    if engine.world_size == 1:
        return False
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    return isinstance(engine, Fabric) and isinstance(engine.strategy, ModelParallelStrategy)


def shard(step: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Leave each rank its shard of what a Step trains; critics stay whole, they train alike.

    Args:
        step: on its device.
        mesh: Fabric's; only its kind of device is used.
    """
    assert isinstance(step, Step)
    critics = _of_critics(step.objective)
    for parameter in step.parameters():
        parameter.data = parameter.data.contiguous()  # others are not gathered
    # all ranks as one row; groups of Fabric's own would not wait for as long as `launch` has said
    world = dist.group.WORLD
    assert world is not None
    row = DeviceMesh.from_group(world, mesh.device_type)
    fully_shard(step, mesh=row, reshard_after_forward=False, ignored_params=critics)
    return step


def check_cuttable(model: nn.Module, objective: Objective) -> None:
    """Refuse what cannot be cut into shards.

    Raises:
        PluginError: a parameter without axes; those of critics are not cut.
    """
    critics = _of_critics(objective)
    for of, module in (("model", model), ("objective", objective)):
        for name, parameter in module.named_parameters():
            if parameter.dim() == 0 and parameter not in critics:
                raise PluginError(
                    f"the parameter '{of}.{name}' is a single number without an axis, which cannot "
                    "be cut into shards; make it [1] in the plugin, or train without shards"
                )


def _of_critics(objective: Objective) -> set[nn.Parameter]:
    return {p for critic in objective.critics.values() for p in critic.module.parameters()}


@contextmanager
def whole_weights(step: nn.Module) -> Iterator[None]:
    """Inside, parts of a sharded step can be called one by one. Every rank has to come here."""
    if not isinstance(step, FSDPModule):
        yield
        return
    step.unshard()
    try:
        yield
    finally:
        step.reshard()


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float, ranks: Ranks) -> Tensor:
    """Scale gradients down to a norm of `limit`, over all shards; their norm before."""
    shards = [p.grad.to_local() for p in parameters if isinstance(p.grad, DTensor)]
    if not shards:
        return nn.utils.clip_grad_norm_(parameters, limit)
    norm = ranks.sum(nn.utils.get_total_norm(shards).square()).sqrt()
    torch._foreach_mul_(shards, (limit / (norm + _TINY)).clamp(max=1.0))
    return norm


# -- checkpoints, which are whole -----------------------------------------------------------------


def gathered(state: D, ranks: Ranks) -> D:
    """A state dict whose shards are whole tensors in the first rank's memory, and empty elsewhere.

    What has no shards is as it was. Every rank has to come here with the same names.
    """
    return _changed(state, lambda _, value: _whole(value, ranks))


def _whole(value: Any, ranks: Ranks) -> Any:
    if isinstance(value, DTensor):
        whole = value.full_tensor().detach()
        # a copy: of uneven shards it is a view of more, all of which a checkpoint would hold
        return whole.to("cpu", copy=True) if ranks.is_first else whole.new_empty(0)
    return gathered(value, ranks) if isinstance(value, dict) else value


def cut_like(whole: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict of whole tensors, with shards where those of the same name in `own` are some."""
    return _changed(whole, lambda name, value: _cut(value, own.get(name)))


def cut_state(whole: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's whole state, with shards of what has the shape of a sharded parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        number: cut_like(of_one, dict.fromkeys(of_one, parameters[number]))
        for number, of_one in whole["state"].items()
    }
    return {**whole, "state": state}


def _changed(state: D, change: Callable[[Any, Any], Any]) -> D:
    """A dict of the same kind (state dicts of modules carry versions) with other values."""
    changed = copy.copy(state)
    for key, value in state.items():
        changed[key] = change(key, value)
    return changed


def _cut(whole: Any, like: Any) -> Any:
    if not (isinstance(like, DTensor) and isinstance(whole, Tensor) and whole.shape == like.shape):
        return whole
    there = whole.to(like.device)  # on every rank: nothing has to be sent
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)


# -- the model before and after -------------------------------------------------------------------


def lend_weights(model: M) -> M:
    """A copy to be sharded, with the model's weights. The model has none until it takes them back.

    torch has no way back from a sharded module to a plain one.
    """
    lent = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data = parameter.data.new_empty(0)
    return lent


def take_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model that has lent its weights those that have been trained."""
    for name, parameter in model.named_parameters():
        parameter.data = weights[name]
    model.load_state_dict(weights)
