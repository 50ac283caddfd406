"""Backends of the pair sums: which there are, and which one a call gets.

Shapes: N rows of x, D code width; any leading batch dimensions.
"""

import importlib
import importlib.util
import logging
import os
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from genzoo_rwae_kernels import tiled
from genzoo_rwae_kernels.radial import Radial
from genzoo_rwae_kernels.samples import Kernel

__all__ = ["BACKENDS", "SWITCH", "choose", "module_of", "why_not"]

BACKENDS: tuple[str, ...] = ("auto", "eager", "tiled", "fused", "triton", "compiled")
SWITCH = "GENZOO_MMD_BACKEND"
_MODULES = {"triton": "triton_sums"}  # the others are called as their backend is

# Pairs in a call from which a backend beats eager, forward and backward (measured on one core).
_FUSED_FROM = 2**6
_TILED_FROM = 2**9
# Kernels that go through autograd tile by tile, and other devices, only gain memory.
_TILED_TO_SAVE_MEMORY_FROM = 2**23

_log = logging.getLogger("genzoo_rwae_kernels")


def choose(quantity: str, x_ND: Tensor, columns: int, kernel: Kernel, backend: str, /) -> str:
    """The backend of a call; logs each choice once.

    Args:
        quantity: what is asked for; errors begin with it.
        x_ND: [..., N, D], the longer sample.
        columns: rows that each of its rows meets.
        kernel: any kernel.
        backend: one of `BACKENDS`.

    Returns:
        A backend that can, never "auto".

    Raises:
        ValueError: a backend that is unknown or cannot.

    Example:
        >>> import torch
        >>> from genzoo_rwae_kernels import Imq
        >>> choose("within", torch.zeros(4, 2), 4, Imq(), "auto")
        'eager'
    """
    asked = backend if backend != "auto" else os.environ.get(SWITCH) or "auto"
    if asked != "auto":
        source = f"backend {asked!r}" if asked == backend else f"{SWITCH}={asked}"
        _check(quantity, source, asked, x_ND, kernel)
        chosen = asked
    else:
        chosen = _fastest(x_ND, columns, kernel)
    _log_once(quantity, chosen, x_ND.device.type)
    return chosen


@cache
def _log_once(quantity: str, chosen: str, device: str) -> None:
    _log.info("pair sums %s: %s on %s", quantity, chosen, device)


def _check(quantity: str, source: str, asked: str, x_ND: Tensor, kernel: Kernel) -> None:
    if asked not in BACKENDS:
        raise ValueError(f"{quantity}: {source}; wanted one of {', '.join(BACKENDS)}")
    reason = why_not(asked, x_ND, kernel)
    if reason:
        raise ValueError(
            f"{quantity}: {source} cannot compute {_name_of(kernel)} on {x_ND.dtype} rows: "
            f"{reason}; wanted a backend that can: 'eager' always does, 'auto' takes the fastest"
        )


def _fastest(x_ND: Tensor, columns: int, kernel: Kernel) -> str:
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "eager"  # torch.func goes through operations of torch alone
    pairs = x_ND.shape[:-1].numel() * columns
    compiled_for = {"cpu": ("fused", _FUSED_FROM), "cuda": ("triton", 0)}
    name, least = compiled_for.get(x_ND.device.type, ("", 0))
    if name and isinstance(kernel, Radial) and pairs >= least and not why_not(name, x_ND, kernel):
        return name
    fast = isinstance(kernel, Radial) and x_ND.device.type == "cpu"
    least = _TILED_FROM if fast else _TILED_TO_SAVE_MEMORY_FROM
    return "tiled" if pairs >= least and not why_not("tiled", x_ND, kernel) else "eager"


def why_not(backend: str, x_ND: Tensor, kernel: Kernel, /) -> str:
    """Why a backend cannot sum a kernel of some rows, in a clause; empty if it can.

    Example:
        >>> import torch
        >>> from genzoo_rwae_kernels import Imq
        >>> why_not("eager", torch.zeros(4, 2), Imq())
        ''
    """
    if backend == "eager":
        return ""
    if not _is_installed(backend):
        return "it is not part of this installation"
    reason: str = module_of(backend).refuses(kernel, x_ND.dtype, x_ND.device)
    if not reason and not isinstance(kernel, Radial) and tiled.has_own_gradients(x_ND, kernel):
        return "the kernel holds tensors that want gradients, which this backend has not"
    return reason


@cache
def _is_installed(backend: str) -> bool:
    return importlib.util.find_spec(_module_name(backend)) is not None


@cache
def module_of(backend: str, /) -> ModuleType:
    """The module that sums for a backend, imported at the first use.

    Example:
        >>> module_of("tiled").__name__
        'genzoo_rwae_kernels.tiled'
    """
    return importlib.import_module(_module_name(backend))


def _module_name(backend: str) -> str:
    return f"genzoo_rwae_kernels.{_MODULES.get(backend, backend)}"


def _name_of(kernel: Kernel) -> str:
    return getattr(kernel, "__name__", type(kernel).__name__)
