"""From one process to several: started here, or by torchrun, on one node or on many."""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from genzoo_rwae.errors import RunError, SpecError
from genzoo_rwae.ranks import Ranks
from genzoo_rwae.training.engine import Alone, Engine
from genzoo_rwae.training.sharding import shard

if TYPE_CHECKING:
    from lightning_fabric.strategies.strategy import Strategy

__all__ = ["disconnected_at_exit", "launch", "noticed_losses", "ranks_of"]

# Ranks wait so long for each other: at the start, where some read data for long or machines come up
# late, and while the first one saves, calls hooks and talks to trackers. A process that dies is
# noticed at once, by its closed connections; this is for machines that vanish.
_PATIENCE = timedelta(minutes=30)
_FIRST = "GENZOO_FIRST_RANK"  # the process that has started this one
_GLANCE = 0.2  # seconds


def launch(devices: int | None = None, *, shard_weights: bool = False) -> Engine:
    """The processes of this call, connected.

    Under torchrun they are there already. Else this process starts the others, each of which runs
    the same command and comes to this very line.

    Args:
        devices: processes on this node, each with a GPU of its own where there are some; None: as
            many as torchrun has started, or one.
        shard_weights: each keeps a shard of what is trained (FSDP2), not the whole (DDP).

    Raises:
        SpecError: torchrun has started another number of processes, there are fewer GPUs, there is
            no file that the others could run, processes are connected already, or a single one
            is to keep shards.
    """
    nodes = 1
    if dist.is_available() and dist.is_torchelastic_launched():
        started = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // started
        if devices not in (None, started):
            raise SpecError(
                f"--devices {devices} under torchrun, which has started {started} processes on "
                "this node; leave it out, and say torchrun --nproc-per-node"
            )
        devices = started
    devices = devices or 1
    if devices * nodes == 1:
        if shard_weights:
            raise SpecError(
                "--shard-weights on one rank, which has to keep all of them; wanted --devices 2 or "
                "more, or torchrun. A run that was begun in shards goes on without"
            )
        return Alone()
    if dist.is_initialized():
        raise SpecError(
            f"{devices * nodes} processes wanted, and those of this script are connected already, "
            "by a build before or by itself; wanted one build on several ranks a script"
        )
    if not (dist.is_torchelastic_launched() or hasattr(sys.modules["__main__"], "__file__")):
        raise SpecError(
            f"devices={devices} from a notebook or from python -c: the other processes run the "
            "calling script again, and there is no file of it. Put the call into a file, or give "
            f"the command: genzoo build SPEC --devices {devices}"
        )
    # imported here: a second and 100 MB, which one process can do without
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise SpecError(
            f"--devices {devices}, and this machine has {torch.cuda.device_count()} GPUs; wanted "
            "as many at most: each process has one of its own"
        )
    strategy: Strategy
    if shard_weights:
        strategy = ModelParallelStrategy(
            shard,
            data_parallel_size=devices * nodes,
            tensor_parallel_size=1,
            timeout=_PATIENCE,
        )
    else:
        # parameters without a gradient there may be, as those of a prior under prior_gradient: stop
        strategy = DDPStrategy(timeout=_PATIENCE, find_unused_parameters=True)
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision="32-true",
    )
    if dist.is_torchelastic_launched():
        _connect_anew("nccl" if accelerator == "cuda" else "gloo")
    # its own words on that are for who debugs it; later ones, of children that died, are not
    log = logging.getLogger("lightning_fabric")
    level = log.level
    log.setLevel(logging.WARNING)
    with _watched_start(getattr(fabric.strategy.launcher, "procs", [])):
        fabric.launch()
    log.setLevel(level)
    return fabric


@contextmanager
def _watched_start(started: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End this process where one that it was started with is gone before all are connected.

    What connects them would wait for it, and says nothing.

    Args:
        started: the processes that this one starts meanwhile.
    """
    first = os.environ.get(_FIRST) if int(os.environ.get("LOCAL_RANK", 0)) else None
    connected = threading.Event()

    def gone() -> str:
        if first and os.getppid() != int(first):
            return "the first rank has ended"
        codes = {rank: process.poll() for rank, process in enumerate(started, start=1)}
        ended = (rank for rank, code in codes.items() if code is not None)
        return next((f"rank {rank} has ended with {codes[rank]}" for rank in ended), "")

    def watch() -> None:
        while not connected.wait(_GLANCE):
            if who := gone():
                said = f"{who} before all ranks were connected; the same command begins again"
                print(f"genzoo: {said}", file=sys.stderr, flush=True)
                for process in started:
                    process.kill()
                os._exit(1)

    is_first = _FIRST not in os.environ
    os.environ.setdefault(_FIRST, str(os.getpid()))
    threading.Thread(target=watch, name="watched-start", daemon=True).start()
    try:
        yield
    finally:
        connected.set()
        if is_first:
            del os.environ[_FIRST]


def _connect_anew(backend: str) -> None:
    """Connect the processes that torchrun has started, or started again.

    Its store outlives them: without a name of each start's own, a new process would find the
    addresses of those that have died, and wait for them.
    """
    store, rank, count = next(rendezvous("env://", timeout=_PATIENCE))
    start = PrefixStore(f"start-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    dist.init_process_group(backend, store=start, rank=rank, world_size=count, timeout=_PATIENCE)


def disconnected_at_exit(ranks: Ranks) -> None:
    """Take the connections down when this process ends, before Python takes itself down.

    Threads of gloo let tensors go after those who wait for them have gone on. One that does so
    while Python takes itself down is ended in the midst of it, and the process with it, by an
    abort. To be called when all is sent: on the way out of a failure there may be something to wait
    for. (Of CUDA's connections the engine takes care.)
    """
    if ranks.count > 1 and dist.get_backend() == "gloo":
        atexit.register(_disconnect)


def _disconnect() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
    # The threads stay, as DDP and torch's caches of shards refer to them, and nothing tells when
    # they are done with tensors. To collect what refers to them would join them with Python held:
    # for ever, where one of them waits for Python.
    time.sleep(_GLANCE)


def ranks_of(engine: Engine) -> Ranks:
    """The ranks that `launch` has connected."""
    return Ranks(dist.group.WORLD, engine.device) if engine.world_size > 1 else Ranks()


@contextmanager
def noticed_losses(ranks: Ranks) -> Iterator[None]:
    """Turn what a collective raises when a rank is gone into a message.

    Raises:
        RunError: a rank has ended, or has not answered for too long.
    """
    try:
        yield
    except RuntimeError as error:
        # the gloo backend raises plain RuntimeErrors
        if ranks.count == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise RunError(
            f"rank {ranks.number} of {ranks.count}: another rank has ended, or has not answered "
            f"for {_PATIENCE.seconds // 60} minutes; its own message says why, if it had the time. "
            "The last checkpoint is as it was: the same command goes on from there, on any number "
            "of ranks"
        ) from error
