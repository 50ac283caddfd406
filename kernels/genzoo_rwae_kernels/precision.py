"""Precision in which kernels and divergences are computed, whatever the surroundings use.

Shapes: N rows of x, M rows of y, D code width; any leading batch dimensions.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["in_working_precision", "outside_autocast", "wide_dtype"]


def in_working_precision(x_ND: Tensor, y_MD: Tensor, /) -> tuple[Tensor, Tensor]:
    """Both samples in float32, or in float64 if either of them is.

    One tensor given twice stays one tensor, so that a kernel still sees ``x is y`` and knows
    that its diagonal pairs every row with itself.

    Args:
        x_ND: [..., N, D], any floating dtype.
        y_MD: [..., M, D], any floating dtype.

    Returns:
        The two samples, [..., N, D] and [..., M, D], of one dtype.

    Source: Micikevicius et al., Mixed Precision Training, arXiv 1710.03740 (reductions in float32).

    Example:
        >>> x = torch.zeros(3, 2, dtype=torch.bfloat16)
        >>> a, b = in_working_precision(x, x)
        >>> a.dtype, a is b
        (torch.float32, True)
    """
    dtype = torch.promote_types(torch.float32, torch.promote_types(x_ND.dtype, y_MD.dtype))
    if x_ND.dtype == dtype == y_MD.dtype:
        return x_ND, y_MD
    working_ND = x_ND.to(dtype)
    return working_ND, working_ND if y_MD is x_ND else y_MD.to(dtype)


def wide_dtype(device: torch.device, /) -> torch.dtype:
    """Widest floating dtype of a device: float64, but float32 on Apple's GPUs, which have no more.

    Args:
        device: where the sums run.

    Returns:
        The dtype for long sums and for differences of nearly equal numbers.

    Source: PyTorch, MPS backend: "MPS framework doesn't support float64".

    Example:
        >>> wide_dtype(torch.device("cpu")), wide_dtype(torch.device("mps"))
        (torch.float64, torch.float32)
    """
    return torch.float32 if device.type == "mps" else torch.float64


def outside_autocast(device: torch.device, /) -> AbstractContextManager[object]:
    """Context in which autocast is off for a device; no-op where it is off, or not known.

    Args:
        device: of the tensors computed inside.

    Returns:
        A context manager.

    Source: PyTorch, torch.amp: a nested ``autocast(enabled=False)`` keeps the inputs' dtype.

    Example:
        >>> a = torch.ones(2, 2)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     inside = (a @ a).dtype
        ...     with outside_autocast(a.device):
        ...         outside = (a @ a).dtype
        >>> inside, outside
        (torch.bfloat16, torch.float32)
    """
    if not _knows_autocast(device.type) or not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _knows_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)
