"""Tensors that a part is lent, and that it must not change in place: others see them too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genzoo_rwae.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["left_alone"]


@contextmanager
def left_alone(who: str, *lent: object) -> Iterator[None]:
    """Tell of tensors that are changed in place meanwhile, by torch's own count of such changes.

    Raises:
        PluginError: one was.
    """
    before = None if torch.compiler.is_compiling() else _changes(lent)
    yield
    if before is not None and _changes(lent) != before:
        raise PluginError(
            f"{who} changes in place what it is given, which others compare or see as well; wanted "
            "it left as it was: x - y in place of x -= y, x.mul(y) in place of x.mul_(y), or a "
            "clone of it"
        )


def _changes(lent: tuple[object, ...]) -> list[int]:
    """How often each was changed; those of inference mode do not count."""
    return [t._version for t in lent if isinstance(t, Tensor) and not t.is_inference()]
